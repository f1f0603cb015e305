"""Distributions over continuous actions: Gaussians, plain, state-dependent (gSDE) and squashed into bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from upswing.ppo.distributions import Distribution

HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
SDE_EPSILON = 1e-6  # added to gSDE's variance, as in Stable-Baselines3: features that are all 0 must not give σ = 0
QUADRATURE_NODES, QUADRATURE_REACH = 33, 5.5  # evenly spaced ε from -5.5 to 5.5


@dataclass(frozen=True, eq=False)
class DiagGaussian(Distribution):
    """A Gaussian with independent dimensions. Actions: float32 [B, A], unbounded.

    log p(a) = Σ_k -½((a_k - μ_k) / σ_k)² - log σ_k - ½ log 2π
    H        = Σ_k log σ_k + ½ log 2πe
    KL       = Σ_k log(σ'_k / σ_k) + (σ_k² + (μ_k - μ'_k)²) / 2σ'_k² - ½
    """

    mean: Tensor  # [B, A]
    log_std: Tensor  # log σ: [A], or [B, A] where it depends on the state

    def sample(self, generator: torch.Generator | None = None, noise: Tensor | None = None) -> Tensor:
        """μ + σ ε [B, A] with ε standard normal."""
        epsilon = torch.empty_like(self.mean).normal_(generator=generator)
        return self.mean + self.log_std.exp() * epsilon

    def mode(self) -> Tensor:
        """μ [B, A]."""
        return self.mean

    def log_prob(self, actions: Tensor) -> Tensor:
        """Log-density [B] of `actions` [B, A]."""
        z = (actions - self.mean) * (-self.log_std).exp()
        return -(0.5 * z.square() + self.log_std).sum(-1) - HALF_LOG_2PI * self.mean.shape[-1]

    def entropy(self) -> Tensor:
        """Differential entropy [B]."""
        return self.log_std.expand_as(self.mean).sum(-1) + (0.5 + HALF_LOG_2PI) * self.mean.shape[-1]

    def kl(self, other: Distribution) -> Tensor | None:
        """KL(self ‖ other) [B]."""
        if not isinstance(other, DiagGaussian):
            return None
        shift = self.log_std - other.log_std
        distance = (self.mean - other.mean) * (-other.log_std).exp()
        return (0.5 * ((2.0 * shift).exp() + distance.square() - 1.0) - shift).sum(-1)

    def std(self) -> Tensor:
        """σ [B, A]."""
        return self.log_std.exp().expand_as(self.mean)


@dataclass(frozen=True, eq=False)
class StateDependentGaussian(DiagGaussian):
    """gSDE: a Gaussian whose noise is a random linear function of the state's features, θ·z with θ ~ N(0, s²).

        a = μ + zᵀθ,  so given the state  a_k ~ N(μ_k, Σ_i z_i² s_ik² + 10⁻⁶)

    While θ is held fixed, the same state gets the same action, which explores more smoothly than fresh noise at every
    step. Densities, entropy and KL are those of the Gaussian of one state. No gradient reaches the features through
    the noise, as in Stable-Baselines3.

    Source: Raffin, Kober and Stulp 2021, "Smooth exploration for robotic reinforcement learning" (arXiv:2005.05719).
    """

    latent: Tensor  # z [B, L]: the policy's last hidden layer

    @classmethod
    def from_latent(cls, mean: Tensor, latent: Tensor, weight_std: Tensor) -> StateDependentGaussian:
        """The distribution for features `latent` [B, L] and noise weights of σ `weight_std` [L, A] (or [L, 1])."""
        latent = latent.detach()
        variance = latent.square() @ weight_std.square()
        return cls(mean, 0.5 * (variance + SDE_EPSILON).log(), latent)

    def sample(self, generator: torch.Generator | None = None, noise: Tensor | None = None) -> Tensor:
        """Actions [B, A]: μ + zᵀθ with the matrices `noise` [B, L, A], or as if each row had a fresh matrix."""
        if noise is None:
            return super().sample(generator)
        return self.mean + torch.bmm(self.latent.unsqueeze(1), noise).squeeze(1)


@dataclass(frozen=True, eq=False)
class SquashedGaussian(Distribution):
    """A Gaussian pressed into the environment's bounds: a = tanh(u), u ~ `base`. Actions: u, float32 [B, A].

        log p(a) = log N(u) - Σ_k log(1 - tanh² u_k),    log(1 - tanh² u) = 2 (log 2 - u - softplus(-2u))

    Keeping u instead of a needs no inverse tanh, which is lost to rounding near the bounds. Densities are over
    [-1, 1]; stretching that to the bounds would only add a constant. KL is that of the Gaussians, since a bijection
    does not change it.

    Source: Haarnoja et al. 2018 (arXiv:1812.05905), appendix C, for the change of variables.
    """

    base: DiagGaussian  # also a StateDependentGaussian
    low: Tensor  # [A] bounds of the environment's actions
    high: Tensor  # [A]

    def sample(self, generator: torch.Generator | None = None, noise: Tensor | None = None) -> Tensor:
        """u [B, A], before the tanh; `noise` as in StateDependentGaussian."""
        return self.base.sample(generator, noise)

    def mode(self) -> Tensor:
        """The u [B, A] whose tanh is the distribution's median; the density itself may peak at the bounds."""
        return self.base.mean

    def log_prob(self, actions: Tensor) -> Tensor:
        """Log-density [B] of tanh(`actions`), for `actions` [B, A] before the tanh."""
        return self.base.log_prob(actions) - _log_tanh_slope(actions).sum(-1)

    def entropy(self) -> Tensor:
        """Entropy [B] = entropy of u + E[Σ_k log(1 - tanh² u_k)].

        The expectation has no closed form; the trapezoidal rule gives it to 10⁻⁴ for σ ≤ 3 and to 10⁻² for σ ≤ 5.
        Unlike -log p of the rollout's actions, whose expected gradient is zero for an unchanged policy, it is a
        deterministic function of μ and σ with the right gradient.
        """
        nodes, weights = _quadrature(self.base.mean.device, self.base.mean.dtype)
        u = self.base.mean.unsqueeze(-1) + self.base.log_std.exp().unsqueeze(-1) * nodes  # [B, A, nodes]
        return self.base.entropy() + (_log_tanh_slope(u) @ weights).sum(-1)

    def kl(self, other: Distribution) -> Tensor | None:
        """KL(self ‖ other) [B]."""
        return self.base.kl(other.base) if isinstance(other, SquashedGaussian) else None

    def std(self) -> Tensor:
        """σ [B, A] of u, before the tanh."""
        return self.base.std()

    def to_env(self, actions: Tensor) -> Tensor:
        """tanh(`actions`) stretched from [-1, 1] to the bounds, [B, A]."""
        return self.low + 0.5 * (actions.tanh() + 1.0) * (self.high - self.low)


def positive_std(log_std: Tensor, use_expln: bool) -> Tensor:
    """σ from the learned parameter: exp(x), or with `use_expln` exp(x) for x ≤ 0 and 1 + log(1 + x) above.

    The second grows slowly and keeps σ from running away. Source: Rückstieß, Felder and Schmidhuber 2008,
    "State-dependent exploration for policy gradient methods", where it is called expln.
    """
    if not use_expln:
        return log_std.exp()
    return torch.where(log_std <= 0, log_std.clamp(max=0.0).exp(), log_std.clamp(min=0.0).log1p() + 1.0)


def _log_tanh_slope(u: Tensor) -> Tensor:
    """log(1 - tanh² u), exact for large |u| too."""
    return 2.0 * (math.log(2.0) - u - F.softplus(-2.0 * u))


@cache
def _quadrature(device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Nodes x and weights w with E[f(ε)] ≈ Σ w f(x) for standard normal ε and smooth f.

    For functions that vanish at both ends the trapezoidal rule converges exponentially, here faster than
    Gauss-Hermite. Source: Trefethen and Weideman 2014, "The exponentially convergent trapezoidal rule".
    """
    with torch.inference_mode(False):  # kept for later calls, which may need gradients
        nodes = torch.linspace(-QUADRATURE_REACH, QUADRATURE_REACH, QUADRATURE_NODES, device=device, dtype=dtype)
        return nodes, (-0.5 * nodes.square()).softmax(0)
