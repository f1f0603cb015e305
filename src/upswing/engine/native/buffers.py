"""The memory kernels work in: a policy's flat parameters, its optimiser's state, and everything in between."""

from __future__ import annotations

from typing import Any

import numpy as np

from upswing.engine.native.layout import Layout, aligned, layout_of
from upswing.errors import StorageError
from upswing.policies import ActorCritic, flatten_parameters, parameter_offsets
from upswing.run.snapshot import Arrays


class NetworkBuffers:
    """A policy's parameters in the module's own memory, and the workspace to compute its networks."""

    def __init__(self, policy: ActorCritic):
        self.policy = policy
        self.layout: Layout = layout_of(policy)
        self.bind()
        self.shadow = aligned(self.layout.n_shadow)
        n = self.layout.chunk_rows * self.layout.n_columns
        self.outputs, self.slopes = aligned(n), aligned(n)

    def bind(self) -> None:
        """Take the parameters' memory as it now is. A module that has lost its flat memory gets a new one."""
        self.params = flatten_parameters(self.policy).numpy()
        self._places: list[tuple[Any, str, int]] = [
            (module._parameters, key, parameter.data_ptr())
            for module in self.policy.modules()
            for key, parameter in module._parameters.items()
            if parameter is not None
        ]

    def check(self) -> None:
        """Bind again where a parameter has moved or been replaced: loading with assign=True and .to() do that."""
        if any(held[key].data_ptr() != place for held, key, place in self._places):
            self.bind()

    @property
    def network(self) -> tuple[np.ndarray, ...]:
        """What every kernel begins with: layers, head, params, shadow."""
        return self.layout.layers, self.layout.head, self.params, self.shadow

    @property
    def forward(self) -> tuple[np.ndarray, ...]:
        """What kernels that only compute the networks begin with: `network`, and workspace for outputs and slopes."""
        return *self.network, self.outputs, self.slopes


class PolicyBuffers(NetworkBuffers):
    """A policy that learns: Adam's moments beside its networks."""

    def __init__(self, policy: ActorCritic):
        super().__init__(policy)
        self.exp_avg, self.exp_avg_sq = aligned(self.params.size), aligned(self.params.size)
        self.steps = 0  # of Adam

    def adam_arrays(self) -> Arrays:
        """Adam's state by parameter name, as torch has it; empty before the first step."""
        if self.steps == 0:
            return {}
        arrays: Arrays = {"step": np.array([float(self.steps)], np.float64)}
        for name, where, shape in self._named():
            arrays[f"{name}.exp_avg"] = self.exp_avg[where].reshape(shape).copy()
            arrays[f"{name}.exp_avg_sq"] = self.exp_avg_sq[where].reshape(shape).copy()
        return arrays

    def load_adam(self, arrays: Arrays) -> None:
        """Continue from `adam_arrays` of either engine. Raises StorageError where one is missing."""
        self.steps = int(arrays["step"][0]) if "step" in arrays else 0
        for moment, flat in (("exp_avg", self.exp_avg), ("exp_avg_sq", self.exp_avg_sq)):
            flat[:] = 0.0
            for name, where, _ in self._named() if self.steps else ():
                if f"{name}.{moment}" not in arrays:
                    raise StorageError(
                        f"The checkpoint's optimizer.safetensors lacks {name}: resume from another checkpoint of this run."
                    )
                flat[where] = arrays[f"{name}.{moment}"].reshape(-1)

    def _named(self) -> list[tuple[str, slice, tuple[int, ...]]]:
        """Each parameter's name, place in the flat buffers, and shape."""
        offsets = parameter_offsets(self.policy)
        return [
            (name, slice(offsets[name], offsets[name] + parameter.numel()), tuple(parameter.shape))
            for name, parameter in self.policy.named_parameters()
        ]
