"""What is said about a run: by the doctor, by the plain threshold bands, and by zen-rl, in one form."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from upswing.doctor.diagnose import Diagnosis, diagnose
from upswing.doctor.findings import INFO
from upswing.doctor.readers import read_series
from upswing.doctor.readers.events import PATTERN, read_events
from upswing.doctor.series import Series
from upswing.doctor.stats import median

PARTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Shares of a run after which it is asked when the fault could first be seen."""


class Said(NamedTuple):
    """One finding of a rule: whether it is more than a remark, and which causes it suspects."""

    code: str
    grave: bool
    suspects: tuple[str, ...]


class Advice(NamedTuple):
    """A cause, and the setting that would mend it with its new value; None where no setting does."""

    cause: str
    field: str | None = None
    value: Any = None


@dataclass(frozen=True)
class Verdict:
    """What was said about a run."""

    warnings: int  # cards above a remark
    causes: tuple[str, ...]  # of the first card above a remark, the likeliest first
    said: tuple[Said, ...] = ()
    advice: tuple[Advice, ...] = ()  # of that card, cause by cause

    def warned(self, code: str) -> tuple[str, ...] | None:
        """The suspects of `code` where it warned, None where it did not."""
        found = [said.suspects for said in self.said if said.code == code and said.grave]
        return tuple(cause for suspects in found for cause in suspects) if found else None

    def mentions(self, code: str) -> bool:
        """Whether `code` was found at all, be it as a remark."""
        return any(said.code == code for said in self.said)


def doctor(path: Path, remarks_only: frozenset[str] | None = None) -> Verdict:
    """The doctor's verdict on the log at `path`; rules in `remarks_only` never warn (see diagnose)."""
    return verdict_of(diagnose(path, remarks_only=remarks_only))


def beside_healthy(path: Path, remarks_only: frozenset[str] | None = None) -> Verdict:
    """The doctor's verdict on the log at `path` where a healthy training of the same task is there to compare with."""
    env = path.name.partition(".")[0]
    references = [path.parent / f"{env}.recipe.{seed}" for seed in (0, 1)]
    known = next((each for each in references if each != path and each.is_dir()), None)
    return verdict_of(diagnose(path, remarks_only=remarks_only, reference=known))


def verdict_of(diagnosis: Diagnosis) -> Verdict:
    """A diagnosis as a verdict."""
    cards = diagnosis.cards
    said = tuple(
        Said(finding.code, finding.severity != INFO, tuple(suspect.cause for suspect in finding.suspects))
        for card in cards
        for finding in (card.finding, *card.symptoms)
    )
    if not diagnosis.grave:
        return Verdict(0, (), said)
    first = diagnosis.grave[0]
    causes = tuple(ranked.cause for ranked in first.causes)
    advice = tuple(
        Advice(ranked.cause) if ranked.change is None else Advice(ranked.cause, ranked.change.field, ranked.change.new)
        for ranked in first.causes
    )
    return Verdict(len(diagnosis.grave), causes, said, advice)


def first_seen(path: Path) -> float | None:
    """The share of the run after which the doctor would first have warned while it ran; None where never."""
    series = read_series(path)
    for part in PARTS:
        if diagnose(cut(series, part), live=True).grave:
            return part
    return 1.0 if diagnose(series).grave else None


def cut(series: Series, part: float) -> Series:
    """The first `part` of a run, as it stood then."""
    n = max(1, int(part * len(series)))
    step = series.steps[n - 1]
    episodes = series.episodes
    if episodes is not None:
        keep = episodes.steps <= step
        episodes = dataclasses.replace(
            episodes, steps=episodes.steps[keep], returns=episodes.returns[keep], lengths=episodes.lengths[keep]
        )
    columns = {tag: values[:n] for tag, values in series.columns.items()}
    nonfinite = {tag: at for tag, at in series.nonfinite.items() if at <= step}
    return dataclasses.replace(series, columns=columns, episodes=episodes, nonfinite=nonfinite)


class Band(NamedTuple):
    """A plain threshold on the last tenth of a curve, as learners' notes give it."""

    tag: str
    low: float
    high: float
    below: tuple[str, ...]  # the causes that a value under the band is taken for
    above: tuple[str, ...]


BANDS = (
    Band("train/approx_kl", 0.005, 0.05, ("lr_low",), ("lr_high", "clip_large")),
    Band("train/clip_fraction", 0.05, 0.5, ("lr_low",), ("lr_high",)),
    Band("train/explained_variance", 0.3, np.inf, ("critic_small", "critic_untrained"), ()),
)
STALL = ("more_budget", "lr_high", "lr_low")
"""What a return that rose by less than 5 % over the second half is taken for."""


def bands(path: Path) -> Verdict:
    """The verdict of the simple bands and alarms: each value outside its band is a warning."""
    series = read_series(path)
    said: list[Said] = []
    for band in BANDS:
        values = series.column(band.tag)
        value = median(values[-max(1, len(values) // 10) :])
        causes = band.below if value < band.low else band.above if value > band.high else ()
        if causes:
            said.append(Said(f"{band.tag} {'low' if value < band.low else 'high'}", True, causes))
    rewards = series.column("rollout/ep_rew_mean")
    rewards = rewards[np.isfinite(rewards)]
    if len(rewards) >= 4:
        half, end = median(rewards[len(rewards) // 2 :][:3]), median(rewards[-3:])
        if end - half < 0.05 * max(abs(half), 1e-9):
            said.append(Said("stall", True, STALL))
    return of_rules(said)


def of_rules(said: Sequence[Said]) -> Verdict:
    """The verdict of rules that do not know of each other: a warning for each, and the causes of all."""
    causes = (cause for each in said for cause in each.suspects)
    return Verdict(len(said), tuple(dict.fromkeys(causes)), tuple(said))


ZEN_CAUSES = {
    "LR_TOO_HIGH": ("lr_high",),
    "POLICY_COLLAPSE": ("lr_high", "ent_low"),
    "ADVANTAGE_NOT_NORMALIZED": ("adv_raw",),
    "DEAD_RUN": ("lr_high", "lr_low", "clip_small"),
    "CAPPED_PERFORMANCE": ("ent_high", "epochs_few", "lambda_low"),
}
"""The causes that zen-rl's own advice for each of its modes names."""


def zen(path: Path) -> Verdict:
    """The verdict of zen-rl on the run's TensorBoard log."""
    from zen.detect.rules import detect
    from zen.vlak import group, rank

    modes = [issue["mode"] for issue in group(rank(detect(scalars(path))))]
    return of_rules([Said(mode, True, ZEN_CAUSES[mode]) for mode in modes])


def scalars(path: Path) -> dict[str, list[tuple[int, float]]]:
    """The (step, value) pairs of each tag in the event files at `path`: what zen-rl's own, much slower reader gives."""
    table = read_events(sorted(path.glob(PATTERN)))
    return {
        tag: list(zip(column.steps.tolist(), column.values.tolist(), strict=True))
        for tag, column in table.scalars.items()
    }


def judges() -> dict[str, Callable[[Path], Verdict]]:
    """By name, all that can judge here: zen-rl only where it is installed."""
    found: dict[str, Callable[[Path], Verdict]] = {"doctor": doctor, "bands": bands}
    if importlib.util.find_spec("zen") is not None:
        found["zen-rl"] = zen
    return found
