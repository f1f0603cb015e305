"""Adam's state as arrays by parameter name: the layout both engines save and load."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from upswing.errors import StorageError
from upswing.run.snapshot import Arrays

MOMENTS = ("exp_avg", "exp_avg_sq")


def adam_arrays(optimizer: torch.optim.Adam, policy: nn.Module) -> Arrays:
    """First and second moments by parameter name, and the number of steps taken; empty before the first step."""
    arrays: Arrays = {}
    for name, parameter in policy.named_parameters():
        state = optimizer.state.get(parameter)
        if state:
            arrays |= {f"{name}.{moment}": state[moment].detach().cpu().numpy().copy() for moment in MOMENTS}
            arrays["step"] = np.array([float(state["step"])], np.float64)
    return arrays


def load_adam_arrays(optimizer: torch.optim.Adam, policy: nn.Module, arrays: Arrays) -> None:
    """Continue from moments that `adam_arrays` gave. Raises StorageError where one is missing."""
    if "step" not in arrays:
        optimizer.state.clear()
        return
    for name, parameter in policy.named_parameters():
        try:
            moments = {m: torch.from_numpy(arrays[f"{name}.{m}"].copy()).to(parameter) for m in MOMENTS}
        except KeyError:
            raise StorageError(
                f"The checkpoint's optimizer.safetensors lacks {name}: resume from another checkpoint of this run."
            ) from None
        step = torch.tensor(float(arrays["step"][0]), dtype=torch.float32, device=parameter.device)
        optimizer.state[parameter] = {"step": step, **moments}
