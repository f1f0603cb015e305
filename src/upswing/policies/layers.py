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
    """The layers of `policy`, or None where it is not a pure MLP over one float vector: see `why_no_mlp`."""
    if why_no_mlp(policy) is not None:
        return None
    assert isinstance(policy, NetworkPolicy)
    trunk, pi, vf = ([layer for layer in part if isinstance(layer, nn.Linear)] for part in _parts(policy))
    name = next(name for name, known in ACTIVATIONS.items() if known is policy.options.activation_class)
    return MlpLayers(
        trunk, [*pi, policy.action_head.net], [*vf, policy.value_net], name, bool(trunk), policy.action_head
    )


def why_no_mlp(policy: ActorCritic) -> str | None:
    """What makes `policy` more than an MLP over one float vector, as the end of a sentence; None where nothing does.

    That are images (even flattened: they are divided by 255), several arrays, one's own computation, features extractor
    or kind of layer, and an activation that is not in ACTIVATIONS.
    """
    if not isinstance(policy, NetworkPolicy) or not _computes_as_usual(type(policy)):
        return f"{type(policy).__name__} computes in a way of its own"
    if not isinstance(policy.readers, Reader):
        return "the observations are a Dict"
    if policy.readers.is_image:
        return "the observations are images"
    if type(policy.features) is not Flatten:
        return f"{type(policy.features).__name__} extracts features from the observations"
    kind = policy.options.activation_class
    if kind not in ACTIVATIONS.values():
        return f"the activation {kind.__name__} is not one that is known by name"
    strange = [type(layer) for part in _parts(policy) for layer in part if type(layer) not in (nn.Linear, kind)]
    if strange:
        return f"the policy holds a layer of the kind {strange[0].__name__}"
    return None


def _parts(policy: NetworkPolicy) -> tuple[nn.Sequential, nn.Sequential, nn.Sequential]:
    return policy.trunk, policy.pi, policy.vf


def _computes_as_usual(kind: type[NetworkPolicy]) -> bool:
    methods = ("forward", "get_distribution", "predict_values")
    return all(getattr(kind, method) is getattr(NetworkPolicy, method) for method in methods)
