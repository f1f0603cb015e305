"""Generalised advantage estimation, with termination and truncation kept apart."""

from __future__ import annotations

import torch
from torch import Tensor


def gae(
    rewards: Tensor,
    values: Tensor,
    last_values: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    final_values: Tensor,
    gamma: float,
    gae_lambda: float,
    bootstrap_terminations: bool = False,
    valid: Tensor | None = None,
    by_doubling: bool = False,
) -> tuple[Tensor, Tensor]:
    """Advantages and returns, each [T, N].

        δ_t = r_t + γ V(s_{t+1}) - V(s_t)
        A_t = δ_t + γλ c_t A_{t+1},    R_t = A_t + V(s_t)

    c_t is 0 where an episode ended at t, else 1. V(s_{t+1}) is 0 after a termination; after a truncation it is
    `final_values`, the value of the true last observation; at the end of the rollout it is `last_values` [N].
    With `bootstrap_terminations` a termination is valued like a truncation. Where `valid` [T, N] is False no transition
    took place, such as the step on which an episode was lost with its worker: its advantage is 0, so that nothing of
    it enters the steps before. With `by_doubling`, for rollouts in which all are valid, the sums are taken in log2(T)
    operations on all steps at once, which suits a GPU, in place of T on one step each; they differ by rounding.

    Source: Schulman et al. 2016 (arXiv:1506.02438), equation 16; Pardo et al. 2018 (arXiv:1712.00378) for time limits.
    """
    ended = terminated | truncated
    worth = final_values if bootstrap_terminations else final_values.masked_fill(terminated, 0.0)
    following = torch.cat([values[1:], last_values[None]])
    following = torch.where(ended, worth, following)
    deltas = rewards + gamma * following - values
    trace = gamma * gae_lambda * (~ended).to(deltas.dtype)
    if by_doubling:
        advantages = discounted_sums(deltas, trace)
        return advantages, advantages + values
    advantages = torch.empty_like(deltas)
    running = torch.zeros_like(last_values)
    for t in range(len(deltas) - 1, -1, -1):
        running = deltas[t] + trace[t] * running
        if valid is not None:
            running = torch.where(valid[t], running, 0.0)
        advantages[t] = running
    return advantages, advantages + values


def discounted_sums(x: Tensor, c: Tensor) -> Tensor:
    """S with S_t = x_t + c_t S_{t+1} and S_T = 0, each [T, N], by doubling.

    After k rounds y_t is the sum of the first 2^k terms from t on, and p_t what multiplies the term that comes next:
    y_t ← y_t + p_t y_{t+2^k}, p_t ← p_t p_{t+2^k}, with zeros beyond the end.

    Source: Hillis and Steele 1986, "Data parallel algorithms"; Blelloch 1990, "Prefix sums and their applications", for
    linear recurrences.
    """
    y, p, reach = x, c, 1
    while reach < len(x):
        beyond = torch.zeros_like(x[:reach])
        y, p = y + p * torch.cat([y[reach:], beyond]), p * torch.cat([p[reach:], beyond])
        reach *= 2
    return y


def normalize_advantages(advantages: Tensor) -> Tensor:
    """`advantages` [B] shifted to mean 0 and scaled to standard deviation 1; unchanged where B is 1.

    The standard deviation is the unbiased one plus 1e-8, as in Stable-Baselines3.
    """
    if advantages.numel() < 2:
        return advantages
    return (advantages - advantages.mean()) / (advantages.std() + 1e-8)
