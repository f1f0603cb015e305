"""Mixed precision: networks compute in 16 bits, everything that is summed, compared or kept stays in 32."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Precision:
    """How forward and backward passes are computed and a gradient step is taken under `amp`: off, bf16 or fp16.

    Weights, optimiser, log-probabilities, losses and advantages are float32 under all three: policies return float32,
    whatever their layers computed in. fp16 needs losses scaled up, lest small gradients vanish; the factor adapts
    itself, and is the state kept here. Source: Micikevicius et al. 2018 (arXiv:1710.03740).
    """

    def __init__(self, amp: str, device: torch.device):
        self.amp, self.device = amp, device
        self.scaler = torch.amp.GradScaler(device.type, enabled=amp == "fp16")

    @property
    def on_gpu(self) -> bool:
        """Whether it all happens on a GPU that torch drives by CUDA."""
        return self.device.type == "cuda"

    @property
    def skips_steps(self) -> bool:
        """Whether a gradient that is not finite means no more than a loss that was scaled too far."""
        return self.scaler.is_enabled()

    def forward(self) -> AbstractContextManager[None]:
        """Within it, layers compute in the chosen precision."""
        return torch.autocast(self.device.type, DTYPES.get(self.amp), enabled=self.amp != "off")

    def step(
        self,
        loss: Tensor,
        optimizer: torch.optim.Adam,
        parameters: Sequence[nn.Parameter],
        max_norm: float,
        complete: Callable[[Sequence[nn.Parameter]], None] | None = None,
        allowed: Tensor | None = None,
    ) -> Tensor:
        """The global gradient norm before clipping, after `complete` has had the gradients. Where it is not finite, or
        where `allowed`, a scalar on the device, is 0, the weights stay as they are: fused Adam's `found_inf` makes it skip
        the step without the host having to look."""
        optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        if complete is not None:
            complete(parameters)
        self.scaler.unscale_(optimizer)
        norm = torch.nn.utils.clip_grad_norm_(parameters, max_norm)
        if not self.scaler.is_enabled():
            good = torch.isfinite(norm) if allowed is None else torch.isfinite(norm) & (allowed > 0)
            optimizer.found_inf = (~good).float()  # type: ignore[attr-defined]
        self.scaler.step(optimizer)
        self.scaler.update()
        return norm
