"""What the native engine can compute. Asking does not import numba."""

from __future__ import annotations

from gymnasium import spaces

from upswing.engine.native.layout import ACTIVATION_CODES
from upswing.policies import ActorCritic, mlp_layers, why_no_mlp


def why_not_compiled(policy: ActorCritic) -> str | None:
    """What about `policy` keeps it from being computed by kernels, as the end of a sentence; None where nothing does."""
    if policy.state_size:
        return "the policy has a memory"
    parts = mlp_layers(policy)
    if parts is None:
        return why_no_mlp(policy)
    if isinstance(policy.observation_space, spaces.Dict):
        return "the environment masks actions"  # what else a Dict may hold is no MLP's
    if not all(parameter.requires_grad for parameter in policy.parameters()):
        return "some of the policy's parameters are frozen"
    if parts.activation not in ACTIVATION_CODES:
        return f"the activation {parts.activation} is not one of {', '.join(ACTIVATION_CODES)}"
    if parts.head.use_sde:
        return "use_sde explores with state-dependent noise"
    if parts.head.squash_output:
        return "squash_output presses actions through a tanh"
    if next(policy.parameters()).device.type != "cpu":
        return "the policy is not on the CPU"
    return None


def plays_compiled(policy: ActorCritic, env: object) -> bool:
    """Whether playing.py can play `policy` in `env`."""
    return type(env).__module__ == "upswing.envs.native.vector" and why_not_compiled(policy) is None
