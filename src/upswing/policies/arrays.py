"""A policy's parameters as NumPy arrays, and back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from upswing.errors import ConfigError

NORMALIZER, OPTIMIZER = "normalizer.", "optimizer."  # prefixes of what stands beside the parameters in a model file


def policy_arrays(policy: nn.Module) -> dict[str, np.ndarray]:
    """Copies of all parameters and persistent buffers by their torch names."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in policy.state_dict().items()}


def load_policy_arrays(policy: nn.Module, arrays: Mapping[str, np.ndarray]) -> None:
    """Copies `arrays` into the parameters of `policy`, in place. Names that begin with NORMALIZER or OPTIMIZER are passed over.

    Raises ConfigError, before anything is changed, where a name is missing, unknown or of another shape.
    """
    own = policy.state_dict()
    given = {name: array for name, array in arrays.items() if not name.startswith((NORMALIZER, OPTIMIZER))}
    remedy = "use the policy and policy_kwargs it was trained with, or start without checkpoint_path."
    for name in (*own, *given):
        if name not in given:
            raise ConfigError(f"the saved policy has no {name}, which this one needs: {remedy}")
        if name not in own:
            raise ConfigError(f"the saved policy has {name}, which this one lacks: {remedy}")
    for name, tensor in own.items():
        if tuple(tensor.shape) != tuple(given[name].shape):
            raise ConfigError(
                f"the saved policy's {name} has the shape {tuple(given[name].shape)}, but this one's has {tuple(tensor.shape)} "
                f"(another net_arch, observation or action space): {remedy}"
            )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(torch.as_tensor(np.ascontiguousarray(given[name])))
