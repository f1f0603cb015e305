"""What every distribution over actions offers, and the discrete kinds; the continuous ones are in `gaussians`.

Distributions are small frozen values that hold tensors with a leading batch shape [B]. All kinds share one interface
(`Distribution`), so an engine never asks which kind it has. Actions are kept as they were drawn: not clipped and, for
squashed Gaussians, before the tanh. `to_env` maps them to what the environment gets; clipping to its bounds is the
environment's side of the contract. No kind uses torch's global generator when it is given one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F


class Distribution:
    """What every kind of action distribution offers."""

    def sample(self, generator: torch.Generator | None = None, noise: Tensor | None = None) -> Tensor:
        """Actions [B] or [B, A] drawn at random. `noise` is gSDE's (see there); other kinds take no notice of it."""
        raise NotImplementedError

    def mode(self) -> Tensor:
        """The most likely actions [B] or [B, A]."""
        raise NotImplementedError

    def log_prob(self, actions: Tensor) -> Tensor:
        """Log-probability, or log-density, [B] of `actions` as `sample` gives them."""
        raise NotImplementedError

    def entropy(self) -> Tensor:
        """Entropy [B] in nats."""
        raise NotImplementedError

    def kl(self, other: Distribution) -> Tensor | None:
        """Exact KL(self ‖ other) [B] in nats for two of the same kind, or None where there is no closed form."""
        return None

    def std(self) -> Tensor | None:
        """σ [B, A] per action dimension, or None for discrete kinds."""
        return None

    def to_env(self, actions: Tensor) -> Tensor:
        """`actions` as the environment understands them: the same, except for squashed kinds."""
        return actions


@dataclass(frozen=True, eq=False)
class Categorical(Distribution):
    """One of n choices: p_i = exp(l_i) / Σ_j exp(l_j), over the valid choices only. Actions: int64 [B].

        H = -Σ_i p_i log p_i        KL(p ‖ q) = Σ_i p_i (log p_i - log q_i)

    Source: Huang and Ontañón 2022 (arXiv:2006.14171) for masks: an invalid choice has probability 0, gets no
    gradient, and does not count in the entropy.
    """

    logits: Tensor  # [B, n]
    mask: Tensor | None = None  # [B, n] bool: True where the choice is valid
    _log_probs: Tensor = field(init=False, repr=False)  # [B, n]

    def __post_init__(self) -> None:
        logits = self.logits if self.mask is None else self.logits.masked_fill(~self.mask, -math.inf)
        object.__setattr__(self, "_log_probs", logits.log_softmax(-1))

    def sample(self, generator: torch.Generator | None = None, noise: Tensor | None = None) -> Tensor:
        """Choices [B]. Raises ValueError on the CPU where a row has no valid choice (see `require_choices`)."""
        _require_choices_on_cpu(self.mask)
        return _draw(self._log_probs, generator)

    def mode(self) -> Tensor:
        """The most likely choices [B]; errors as `sample`."""
        _require_choices_on_cpu(self.mask)
        return self._log_probs.argmax(-1)

    def log_prob(self, actions: Tensor) -> Tensor:
        """log p of the choices `actions` [B]; -inf for an invalid one."""
        return _pick(self._log_probs, actions)

    def entropy(self) -> Tensor:
        """Entropy [B] over the valid choices."""
        return _entropy(self._log_probs)

    def kl(self, other: Distribution) -> Tensor | None:
        """KL(self ‖ other) [B]; infinite where `other` excludes what `self` allows."""
        return _kl(self._log_probs, other._log_probs) if isinstance(other, Categorical) else None


@dataclass(frozen=True, eq=False)
class MultiCategorical(Distribution):
    """Several independent Categoricals side by side, one head per entry of `nvec`. Actions: int64 [B, A].

    log p(a) = Σ_k log p_k(a_k); entropies and KLs add up in the same way.
    """

    logits: Tensor  # [B, sum(nvec)]
    nvec: tuple[int, ...]
    mask: Tensor | None = None  # [B, sum(nvec)] bool
    _log_probs: Tensor = field(
        init=False, repr=False
    )  # [B, A, max(nvec)]: a row per head, filled up with probability 0

    def __post_init__(self) -> None:
        logits = self.logits if self.mask is None else self.logits.masked_fill(~self.mask, -math.inf)
        object.__setattr__(self, "_log_probs", self._heads(logits).log_softmax(-1))

    def _heads(self, logits: Tensor) -> Tensor:
        if len(set(self.nvec)) == 1:
            return logits.unflatten(-1, (len(self.nvec), self.nvec[0]))
        widest = max(self.nvec)
        heads = zip(logits.split(self.nvec, -1), self.nvec, strict=True)
        return torch.stack([F.pad(head, (0, widest - n), value=-math.inf) for head, n in heads], -2)

    def sample(self, generator: torch.Generator | None = None, noise: Tensor | None = None) -> Tensor:
        """Choices [B, A]. Raises ValueError on the CPU where a head has no valid choice (see `require_choices`)."""
        _require_choices_on_cpu(self.mask, self.nvec)
        return _draw(self._log_probs, generator)

    def mode(self) -> Tensor:
        """The most likely choices [B, A]; errors as `sample`."""
        _require_choices_on_cpu(self.mask, self.nvec)
        return self._log_probs.argmax(-1)

    def log_prob(self, actions: Tensor) -> Tensor:
        """log p of the choices `actions` [B, A], summed over the heads."""
        return _pick(self._log_probs, actions).sum(-1)

    def entropy(self) -> Tensor:
        """Entropy [B] over the valid choices, summed over the heads."""
        return _entropy(self._log_probs).sum(-1)

    def kl(self, other: Distribution) -> Tensor | None:
        """KL(self ‖ other) [B], summed over the heads."""
        return _kl(self._log_probs, other._log_probs).sum(-1) if isinstance(other, MultiCategorical) else None


@dataclass(frozen=True, eq=False)
class Bernoulli(Distribution):
    """A independent switches, on with probability p_k = 1 / (1 + exp(-l_k)). Actions: float32 [B, A] of 0 and 1.

    H = -Σ_k p_k log p_k + (1 - p_k) log(1 - p_k)
    """

    logits: Tensor  # [B, A]

    def sample(self, generator: torch.Generator | None = None, noise: Tensor | None = None) -> Tensor:
        """Switches [B, A]."""
        return torch.bernoulli(self.logits.sigmoid(), generator=generator)

    def mode(self) -> Tensor:
        """Each switch's more likely position [B, A]; off where both are equally likely."""
        return (self.logits > 0).float()

    def log_prob(self, actions: Tensor) -> Tensor:
        """log p [B] of the switches `actions` [B, A]."""
        return _log_bernoulli(self.logits, actions.to(self.logits.dtype))

    def entropy(self) -> Tensor:
        """Entropy [B], summed over the switches."""
        return -_log_bernoulli(self.logits, self.logits.sigmoid())

    def kl(self, other: Distribution) -> Tensor | None:
        """KL(self ‖ other) [B], summed over the switches."""
        if not isinstance(other, Bernoulli):
            return None
        p = self.logits.sigmoid()
        return _log_bernoulli(self.logits, p) - _log_bernoulli(other.logits, p)


def require_choices(mask: Tensor, nvec: tuple[int, ...] | None = None) -> None:
    """Nothing; raises ValueError with the row indices where `mask` [B, n] leaves no valid choice, head by head.

    Reading the answer makes a GPU wait, so distributions ask only on the CPU: an engine that moves masks to a GPU
    calls this before.
    """
    heads = mask.split(nvec, -1) if nvec else (mask,)
    valid = torch.stack([head.any(-1) for head in heads], -1).all(-1)
    if not bool(valid.all()):
        rows = (~valid).nonzero().flatten().tolist()
        named = ", ".join(map(str, rows[:10])) + (", …" if len(rows) > 10 else "")
        raise ValueError(f"the action mask leaves no valid action in row {named}: at least one must be allowed.")


def _require_choices_on_cpu(mask: Tensor | None, nvec: tuple[int, ...] | None = None) -> None:
    if mask is not None and mask.device.type == "cpu":
        require_choices(mask, nvec)


def _draw(log_probs: Tensor, generator: torch.Generator | None) -> Tensor:
    """Indices along the last axis: of exponential clocks with rates p_i, i rings first with probability p_i."""
    probs = log_probs.exp()
    return (probs / torch.empty_like(probs).exponential_(generator=generator)).argmax(-1)


def _pick(log_probs: Tensor, actions: Tensor) -> Tensor:
    return log_probs.gather(-1, actions.long().unsqueeze(-1)).squeeze(-1)


def _entropy(log_probs: Tensor) -> Tensor:
    finite = log_probs.masked_fill(log_probs == -math.inf, 0.0)  # 0 · log 0 = 0, in the gradient too
    return -(log_probs.exp() * finite).sum(-1)


def _kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    return (log_p.exp() * (log_p - log_q).masked_fill(log_p == -math.inf, 0.0)).sum(-1)


def _log_bernoulli(logits: Tensor, targets: Tensor) -> Tensor:
    """Σ_k t_k log p_k + (1 - t_k) log(1 - p_k), [B]."""
    return -F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(-1)
