"""What the return of a run does: whether it rose, stands, falls, and how sure that is. Most rules ask this first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from upswing.doctor.series import Series
from upswing.doctor.stats import jitter, median, slope_interval, smooth

N_BINS = 40
RISING, PLATEAU, FLAT, FALLEN, UNKNOWN = "rising", "plateau", "flat", "fallen", "unknown"
"""Rising now; rose and now stands; never rose; rose and lost much of it; too little to tell."""


@dataclass(frozen=True)
class Returns:
    """The return over a run, in at most 40 bins of equal numbers of points."""

    state: str
    x: np.ndarray  # [B] environment steps
    y: np.ndarray  # [B] mean return
    start: float = float("nan")
    best: float = float("nan")
    final: float = float("nan")
    noise: float = float("nan")  # standard deviation of a bin around the trend
    best_step: float = float("nan")
    slope: tuple[float, float] = (float("nan"), float("nan"))  # 90 % interval over the last quarter, return per step
    solved_at: float | None = None  # a return that counts as solving the task, where one is known
    evaluated: float | None = None  # the last evaluations, where there are any

    @property
    def range(self) -> float:
        """From the lowest to the highest smoothed return."""
        return float(self.best - min(self.start, self.final)) if len(self.y) else float("nan")

    @property
    def solved(self) -> bool | None:
        """Whether the final return reaches what counts as solved, give or take 5 % of the way; None where unknown.

        Evaluations alone do not count where the return of training falls at the end: the policy is getting worse.
        """
        if self.solved_at is None or self.state == UNKNOWN:
            return None
        if self.slope[1] < 0 and self.final < self._solving:
            return False
        return self.reached >= self._solving

    @property
    def short(self) -> bool:
        """Whether the episodes of training end below what counts as solved, whatever evaluations reach."""
        return self.solved_at is not None and self.state != UNKNOWN and self.final < self._solving

    @property
    def share_in_training(self) -> float | None:
        """How much of the way to the solving return training episodes cover, where evaluations cover all of it: the
        rest is lost to the policy's own randomness. None where evaluations do not solve the task."""
        if not self.solved or self.evaluated is None or self.solved_at is None or self.solved_at <= self.start:
            return None
        return (self.final - self.start) / (self.solved_at - self.start)

    @property
    def _solving(self) -> float:
        assert self.solved_at is not None
        return self.solved_at - 0.05 * max(abs(self.solved_at), abs(self.solved_at - self.start))

    @property
    def reached(self) -> float:
        """What the policy can do in the end: the final return, or that of evaluations where it is higher."""
        return self.final if self.evaluated is None else max(self.final, self.evaluated)

    @property
    def share_of_goal(self) -> float | None:
        """How much of the way from the first return to the solving one was covered; None where unknown."""
        if self.solved_at is None or self.state == UNKNOWN or self.solved_at <= self.start:
            return None
        return float((self.reached - self.start) / (self.solved_at - self.start))


def returns_of(series: Series) -> Returns:
    """What the return in `series` does."""
    x, y = _curve(series)
    if len(y) < 6:
        return Returns(UNKNOWN, x, y, solved_at=goal(series))
    smoothed = smooth(y, 3)
    smoothed[:2] = smoothed[2]
    edge = max(2, len(y) // 10)
    start, final = min(_first(series), median(y[:edge])), median(y[-edge:])
    best_at = int(np.argmax(smoothed))
    noise = float(np.nan_to_num(jitter(y)))
    best = float(max(smoothed[best_at], final))
    last = x >= x[-1] - 0.25 * (x[-1] - x[0])
    slope = slope_interval(*_fine(series, x[-1] - 0.25 * (x[-1] - x[0]))) if last.sum() >= 3 else (np.nan, np.nan)
    state = _state(start, best, final, noise, slope, 0.25 * (x[-1] - x[0]))
    known = _comparable(goal(series), start, best, series.environment.get("reference_start"))
    evaluated = last_evaluations(series)
    return Returns(state, x, y, start, best, final, noise, float(x[best_at]), slope, known, evaluated)


def _comparable(known: float | None, start: float, best: float, began: float | None) -> float | None:
    """`known` where this run's returns can be those of the same task; None where rewards are scaled or shaped.

    A reference `began` with an untrained policy too: the starts differ by less than half of what it gained.
    """
    if known is None:
        return None
    if began is not None:
        return known if abs(start - began) <= 0.5 * abs(known - began) else None
    scale = abs(known) or abs(start) or 1.0
    return known if -50.0 <= (start - known) / scale <= (best - known) / scale <= 0.95 else None


def _state(start: float, best: float, final: float, noise: float, slope: tuple[float, float], stretch: float) -> str:
    """One of the five words. A rise counts when it is four times the noise and 5 % of the level it began at."""
    least = max(4.0 * noise, 0.05 * abs(start), 1e-9)
    rose = best - start > least
    if rose and best - final > max(4.0 * noise, 0.3 * (best - min(start, final))):
        return FALLEN
    gained = slope[0] * stretch  # the cautious end of the interval, over the last quarter
    if np.isfinite(gained) and gained > 0.05 * max(best - start, least) and final - start > 2.0 * noise:
        return RISING
    return PLATEAU if rose else FLAT


def _curve(series: Series) -> tuple[np.ndarray, np.ndarray]:
    """Bins of the return: of raw episodes where they are known, else of the logged means."""
    if series.episodes is not None and len(series.episodes.returns) >= 20:
        return _binned(series.episodes.steps, series.episodes.returns)
    if series.has("rollout/iteration_rew_mean", "rollout/iteration_episodes"):
        return _binned(
            series.steps, series.column("rollout/iteration_rew_mean"), series.column("rollout/iteration_episodes")
        )
    return _binned(series.steps, series.column("rollout/ep_rew_mean"))


def _first(series: Series) -> float:
    """The return before anything was learned: of the first ten episodes, else the first logged means."""
    if series.episodes is not None and len(series.episodes.returns) >= 20:
        return float(np.nanmean(series.episodes.returns[:10]))
    _, y = _fine(series, -np.inf)
    return median(y[np.isfinite(y)][:3])


def _fine(series: Series, since: float) -> tuple[np.ndarray, np.ndarray]:
    """The points of the return after step `since`, as fine as they are known."""
    if series.episodes is not None and len(series.episodes.returns) >= 20:
        x, y = series.episodes.steps, series.episodes.returns
    else:
        raw = "rollout/iteration_rew_mean"
        x, y = series.steps, series.column(raw if series.has(raw) else "rollout/ep_rew_mean")
    return x[x >= since], y[x >= since]


def _binned(x: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Weighted means of `y` in at most N_BINS equally wide stretches of `x`; empty stretches are left out."""
    keep = np.isfinite(x) & np.isfinite(y)
    if not keep.any():
        return np.empty(0), np.empty(0)
    x, y = x[keep], y[keep]
    w = np.ones(len(x)) if weight is None else np.nan_to_num(weight[keep])
    edges = np.linspace(x[0], x[-1], min(N_BINS, len(x)) + 1)
    bins = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, max(0, len(edges) - 2))
    mass = np.bincount(bins, w, len(edges) - 1)
    filled = mass > 0
    return tuple(np.bincount(bins, w * v, len(edges) - 1)[filled] / mass[filled] for v in (x, y))  # type: ignore[return-value]


def last_evaluations(series: Series) -> float | None:
    """The median of the last three evaluations; None where there are fewer."""
    scores = series.column("eval/mean_reward")
    scores = scores[np.isfinite(scores)]
    return median(scores[-3:]) if len(scores) >= 3 else None


def goal(series: Series) -> float | None:
    """The return at which the environment counts as solved, where its settings or Gymnasium's registry tell it."""
    known = series.environment.get("reward_threshold")
    if isinstance(known, int | float):
        return float(known)
    return None
