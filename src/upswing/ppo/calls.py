"""The distribution over calls of functions with arguments."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from upswing.ppo.distributions import Categorical, Distribution


@dataclass(frozen=True, eq=False)
class FunctionCall(Distribution):
    """A function f, and independently of it a value x_a for each kind of argument; only those that f takes are real.
    Actions: int64 [B, 1 + A], the function and then all arguments.

        log p = log p(f) + Σ_{a ∈ f} log p_a(x_a)
        H     = H(f) + Σ_a P(a is taken) H_a,        P(a is taken) = Σ_f p(f) [a ∈ f]
        KL    = KL(f) + Σ_a P(a is taken) KL_a

    Values drawn for arguments that f does not take change neither. The factorisation is that of Vinyals et al. 2017
    (arXiv:1708.04782), section 4.2; the entropy is its exact one, not the mean over samples that is often used.
    """

    function: Categorical
    arguments: tuple[Categorical, ...]
    uses: Tensor  # [functions, A] float: 1 where the function takes the argument

    def sample(self, generator: torch.Generator | None = None, noise: Tensor | None = None) -> Tensor:
        """Calls [B, 1 + A]."""
        return torch.stack([part.sample(generator) for part in (self.function, *self.arguments)], -1)

    def mode(self) -> Tensor:
        """The most likely function, and the most likely value of each argument, [B, 1 + A]."""
        return torch.stack([part.mode() for part in (self.function, *self.arguments)], -1)

    def log_prob(self, actions: Tensor) -> Tensor:
        """log p [B] of the calls `actions` [B, 1 + A]."""
        chosen = actions[:, 0].long()
        values = [part.log_prob(actions[:, 1 + a]) for a, part in enumerate(self.arguments)]
        return self.function.log_prob(chosen) + self._sum(self.uses[chosen], values)

    def entropy(self) -> Tensor:
        """Entropy [B]."""
        return self.function.entropy() + self._sum(self._taken(), [part.entropy() for part in self.arguments])

    def kl(self, other: Distribution) -> Tensor | None:
        """KL(self ‖ other) [B]."""
        if not isinstance(other, FunctionCall):
            return None
        parts = zip((self.function, *self.arguments), (other.function, *other.arguments), strict=True)
        function, *values = (mine.kl(its) for mine, its in parts)
        return function + self._sum(self._taken(), values)  # type: ignore[arg-type, operator]

    def _taken(self) -> Tensor:
        """P(a is taken), [B, A]."""
        return self.function._log_probs.exp() @ self.uses

    @staticmethod
    def _sum(weights: Tensor, values: list[Tensor]) -> Tensor:
        """Σ_a weights[:, a] · values[a], where a weight of 0 also silences what is infinite."""
        if not values:
            return weights.sum(-1)
        stacked = torch.stack(values, -1)
        return (weights * torch.where(weights > 0, stacked, 0.0)).sum(-1)
