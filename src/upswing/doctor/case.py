"""What every rule is given: the series, what the return does, and where in the run to look."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from upswing.doctor.reference import Reference
from upswing.doctor.returns import FALLEN, FLAT, PLATEAU, RISING, UNKNOWN, Returns, returns_of
from upswing.doctor.series import LAST_MINIBATCH, Series
from upswing.doctor.shape import budget
from upswing.doctor.stats import median, rolling_share
from upswing.doctor.thresholds import limit

FIRE, CLEAR, WARM_UP = limit("fire_share"), limit("clear_share"), limit("warm_up_share")


class Stretch(NamedTuple):
    """A part of a run in which something held."""

    onset: int  # the first iteration of it
    end: int  # the last one
    now: bool  # whether it reaches to the end of the run
    share: float  # of the judged iterations that violate, over the whole run


@dataclass(frozen=True)
class Case:
    """A run as the rules see it."""

    series: Series
    returns: Returns
    active: Mapping[str, str] = field(default_factory=dict)  # codes in force and their severity: they clear later
    live: bool = False  # the run goes on
    reference: Reference | None = None  # what it is compared with

    @property
    def n(self) -> int:
        """Iterations recorded."""
        return len(self.series)

    @property
    def warm(self) -> int:
        """Iterations at the beginning that are not judged."""
        return int(min(max(10, WARM_UP * self.n), self.n // 4))

    @property
    def width(self) -> int:
        """Iterations in a window."""
        return int(min(max(10, WARM_UP * self.n), max(3, self.n // 3)))

    @property
    def last(self) -> slice:
        """The last window."""
        return slice(max(0, self.n - self.width), self.n)

    def now(self, tag: str) -> float:
        """The median of a column over the last window that holds numbers; NaN where none does."""
        values = self.series.column(tag)
        known = np.flatnonzero(np.isfinite(values))
        return median(values[known[-self.width :]]) if len(known) else float("nan")

    def over_run(self, tag: str) -> float:
        """The median of a column after the warm-up."""
        return median(self.series.column(tag)[self.warm :])

    def value_at(self, tag: str, stretch: Stretch) -> float:
        """The median of a column over `stretch`."""
        return median(self.series.column(tag)[stretch.onset : stretch.end + 1])

    def step(self, index: int) -> int:
        """The environment step of iteration `index`."""
        return int(self.series.steps[min(max(index, 0), self.n - 1)]) if self.n else 0

    def held(self, code: str, violates: np.ndarray, known: np.ndarray, past: float | None = 0.3) -> Stretch | None:
        """The stretch in which `violates` persists: at the end of the run, or for the share `past` of it; else None.

        It persists where at least 70 % of a window violates. A code in force stays so until under 40 % do. `past=None`
        looks at the end alone.
        """
        shares = rolling_share(violates, known, self.width)
        judged = np.arange(self.n) >= min(self.warm + self.width // 2, self.n - 1)
        ended = np.flatnonzero(np.isfinite(shares))
        if not len(ended):
            return None
        firing = (shares >= FIRE) & judged
        now = shares[ended[-1]] >= (CLEAR if code in self.active else FIRE) and bool(judged[ended[-1]])
        share = float(firing.sum() / max(1, (judged & np.isfinite(shares)).sum()))
        if not now and (past is None or share < past):
            return None
        return self._stretch(firing, int(ended[-1]), now, share)

    def held_sparsely(self, violates: np.ndarray, known: np.ndarray) -> Stretch | None:
        """As `held`, for a figure that only some iterations have: 70 % of its last three or more values violate."""
        at = np.flatnonzero(known)
        if not len(at):
            return None
        recent = at[-max(3, len(at) // 3) :]
        share = float(violates[recent].mean())
        if share < FIRE:
            return None
        return Stretch(int(at[np.flatnonzero(violates[at])[0]]), self.n - 1, True, share)

    def _stretch(self, firing: np.ndarray, final: int, now: bool, share: float) -> Stretch:
        """The stretch that reaches the end, else the longest one."""
        edges = np.diff(np.concatenate([[0], firing.astype(int), [0]]))
        starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1
        if not len(starts):  # in force by hysteresis alone
            return Stretch(max(0, final - self.width + 1), final, now, share)
        pick = len(starts) - 1 if now else int(np.argmax(ends - starts))
        onset = max(0, int(starts[pick]) - int(FIRE * self.width) + 1)
        return Stretch(onset, final if now else int(ends[pick]), now, share)

    @property
    def done(self) -> float:
        """How much of its budget a running training has used; 1 for one that is over."""
        if not self.live or not self.n:
            return 1.0
        return float(self.series.steps[-1]) / max(1.0, budget(self.series))

    @property
    def rising(self) -> bool:
        """Whether the return still rises."""
        return self.returns.state == RISING

    @property
    def stuck(self) -> bool:
        """Whether the return does not rise and is not known to be solved."""
        return self.returns.state in (FLAT, PLATEAU, FALLEN) and not self.returns.solved

    @property
    def least_share(self) -> float:
        """The share of what is known to be reachable below which a run is far from it: most of it, where a reference says so."""
        if self.reference is not None:
            return limit("R01.share_of_reference")
        return limit("rising_share" if self.rising else "R01.share_of_goal")

    @property
    def failed(self) -> bool:
        """Whether the return never rose, has fallen, or ends far from what is known to be reachable."""
        if self.returns.solved or self.done < limit("live_share"):
            return False
        share = self.returns.share_of_goal
        far = share is not None and share < self.least_share
        return self.returns.state in (FLAT, FALLEN) or (self.returns.state != UNKNOWN and not self.live and far)

    @cached_property
    def kl_tag(self) -> str | None:
        """The column that tells best how far an update moves the policy; None where none was logged."""
        return next((tag for tag in ("train/kl_update", "train/approx_kl") if self.series.has(tag)), None)

    @property
    def noisy(self) -> float:
        """How much wider a limit must be where a figure comes from one minibatch alone."""
        tag = self.kl_tag
        return limit("last_minibatch_factor") if tag and self.series.source.over(tag) == LAST_MINIBATCH else 1.0

    @property
    def discrete(self) -> bool | None:
        """Whether actions are discrete; None where nothing tells."""
        if "n_actions" in self.series.environment:
            return True
        continuous = self.series.environment.get("continuous")
        if continuous is not None:
            return not continuous
        if self.series.has("train/std"):
            return False
        entropy = self.series.column("train/entropy_loss")
        entropy = -entropy[np.isfinite(entropy)]
        if not len(entropy):
            return None
        return False if entropy.min() < -1e-6 else None


def make_case(
    series: Series,
    active: Mapping[str, str] | None = None,
    live: bool = False,
    reference: Reference | None = None,
) -> Case:
    """The case that `series` makes, beside a `reference` where there is one."""
    if reference is not None:
        known = {**series.environment, "reward_threshold": reference.reached, "reference_start": reference.start}
        series = dataclasses.replace(series, environment=known)
    return Case(series, returns_of(series), active or {}, live, reference)
