"""What a gradient step minimises, and the figures of a minibatch: pure functions of tensors that every learner shares."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from upswing.engine.collector import Tensors
from upswing.engine.contract import Hyper
from upswing.errors import ConfigError
from upswing.policies.base import Obs
from upswing.ppo.distributions import Distribution
from upswing.ppo.losses import approx_kl, clip_fraction, policy_loss, value_loss


class Batch(NamedTuple):
    """The valid transitions of a rollout, flattened: every tensor is [B] or [B, ...]."""

    obs: Tensors
    actions: Tensor
    log_probs: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor
    weights: Tensor | None = None  # of stale samples; None: all are fresh


class MinibatchStats(NamedTuple):
    """Figures of one minibatch, each a scalar tensor left on the device."""

    policy_gradient_loss: Tensor
    value_loss: Tensor
    entropy_loss: Tensor
    loss: Tensor
    approx_kl: Tensor
    clip_fraction: Tensor
    grad_norm: Tensor  # 0 until it is known
    ratio_error: Tensor


def take(batch: Batch, rows: Tensor | slice) -> Batch:
    """The `rows` of a batch."""
    obs = {key: part[rows] for key, part in batch.obs.items()} if isinstance(batch.obs, dict) else batch.obs[rows]
    rest: list[Any] = [None if part is None else part[rows] for part in batch[1:]]
    return Batch(obs, *rest)


def objective(
    evaluate: Callable[[Obs], tuple[Distribution, Tensor]],
    forward: Callable[[], AbstractContextManager[None]],
    batch: Batch,
    weight: float,
    hyper: Hyper,
    vf_coef: float,
) -> tuple[Tensor, MinibatchStats]:
    """The loss of a minibatch, and its figures, detached.

    `evaluate` gives distribution and values for observations, computed within `forward`; `weight` is the share of the
    minibatch that `batch` is. The settings in `hyper` are numbers, or tensors on the device.
    """
    with forward():
        distribution, values = evaluate(batch.obs)
    log_ratio = distribution.log_prob(batch.actions) - batch.log_probs
    policy = weight * policy_loss(log_ratio, batch.advantages, hyper.clip_range)
    value = weight * value_loss(values, batch.values, batch.returns, hyper.clip_range_vf)
    entropy = -weight * distribution.entropy().mean()
    loss = policy + hyper.ent_coef * entropy + vf_coef * value
    with torch.no_grad():
        kl = weight * approx_kl(log_ratio)
        clipped = weight * clip_fraction(log_ratio, hyper.clip_range)
        ratio_error = (log_ratio.exp() - 1.0).abs().max()
    figures = (policy, value, entropy, loss, kl, clipped, torch.zeros_like(loss), ratio_error)
    return loss, MinibatchStats(*(figure.detach() for figure in figures))


def on_device(hyper: Hyper, device: torch.device) -> Any:
    """`hyper` with tensors on `device` for the numbers that the objective reads."""

    def placed(value: float | None) -> Tensor | None:
        return None if value is None else torch.tensor(value, dtype=torch.float32, device=device)

    numbers: Any = {name: placed(getattr(hyper, name)) for name in ("clip_range", "clip_range_vf", "ent_coef")}
    return hyper._replace(**numbers)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` compiled by torch for each shape that it meets. Raises ConfigError where there is no C++ compiler."""
    found = os.environ.get("CXX") or next((name for name in ("c++", "g++", "clang++") if shutil.which(name)), None)
    if found is None:
        raise ConfigError(
            "compile = true needs a C++ compiler, and there is none on the PATH: install g++, or set it to false."
        )
    return torch.compile(function, dynamic=False)
