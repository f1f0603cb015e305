"""What a pure MLP policy consists of, for engines that compute it themselves."""

from __future__ import annotations

from typing import NamedTuple

from torch import nn

from upswing.policies.base import ActorCritic
from upswing.policies.extractors import Flatten, Reader
from upswing.policies.heads import ActionHead
from upswing.policies.networks import NetworkPolicy
from upswing.policies.options import ACTIVATIONS


class MlpLayers(NamedTuple):
    """The layers of a pure MLP policy. An activation follows every hidden layer and no head."""

    trunk: list[nn.Linear]  # hidden layers that policy and value share; empty for separate networks
    pi: list[nn.Linear]  # the policy's own hidden layers, then its head
    vf: list[nn.Linear]  # the value's own hidden layers, then its head, of width 1
    activation: str  # a name in ACTIVATIONS
    shared: bool  # whether trunk holds any layer
    head: ActionHead  # kind, nvec, log_std, use_sde, use_expln, squash_output, low, high


def mlp_layers(policy: ActorCritic) -> MlpLayers | None:
    """The layers of `policy`, or None where it is not a pure MLP over one float vector.

    Not pure are images (even flattened: they are divided by 255), several arrays, one's own computation, features
    extractor or kind of layer, and an activation that is not in ACTIVATIONS.
    """
    if not isinstance(policy, NetworkPolicy) or not _computes_as_usual(type(policy)):
        return None
    if type(policy.features) is not Flatten or not isinstance(policy.readers, Reader) or policy.readers.is_image:
        return None
    kind = policy.options.activation_class
    names = [name for name, known in ACTIVATIONS.items() if known is kind]
    parts = (policy.trunk, policy.pi, policy.vf)
    if not names or any(type(layer) not in (nn.Linear, kind) for part in parts for layer in part):
        return None
    trunk, pi, vf = ([layer for layer in part if isinstance(layer, nn.Linear)] for part in parts)
    return MlpLayers(
        trunk, [*pi, policy.action_head.net], [*vf, policy.value_net], names[0], bool(trunk), policy.action_head
    )


def _computes_as_usual(kind: type[NetworkPolicy]) -> bool:
    methods = ("forward", "get_distribution", "predict_values")
    return all(getattr(kind, method) is getattr(NetworkPolicy, method) for method in methods)
