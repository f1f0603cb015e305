"""Policies: torch modules from observations to a distribution over actions and a value."""

from upswing.policies.arrays import load_policy_arrays, policy_arrays
from upswing.policies.base import ActorCritic, forget, split_mask
from upswing.policies.flat import flatten_parameters, is_flat, parameter_offsets
from upswing.policies.heads import ActionHead
from upswing.policies.layers import MlpLayers, mlp_layers, why_no_mlp
from upswing.policies.make import POLICIES, make_policy
from upswing.policies.networks import CnnPolicy, MlpPolicy, MultiInputPolicy, NetworkPolicy
from upswing.policies.recurrent import RecurrentPolicy

__all__ = [
    "POLICIES",
    "ActionHead",
    "ActorCritic",
    "CnnPolicy",
    "MlpLayers",
    "MlpPolicy",
    "MultiInputPolicy",
    "NetworkPolicy",
    "RecurrentPolicy",
    "flatten_parameters",
    "forget",
    "is_flat",
    "load_policy_arrays",
    "make_policy",
    "mlp_layers",
    "parameter_offsets",
    "policy_arrays",
    "split_mask",
    "why_no_mlp",
]
