"""The figures of a benchmark: shares with their intervals, and what each rule got right."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from upswing.bench.doctor.corpus import Run
from upswing.bench.doctor.verdicts import Verdict

Z = 1.959964  # 97.5 % of a normal distribution lie below


class Share(NamedTuple):
    """`hits` out of `n`, with a 95 % interval."""

    hits: int
    n: int

    @property
    def value(self) -> float:
        """The share; NaN of nothing."""
        return self.hits / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's score interval. Source: Wilson 1927, "Probable inference, the law of succession"."""
        if not self.n:
            return math.nan, math.nan
        p, n = self.value, self.n
        middle = p + Z**2 / (2 * n)
        half = Z * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
        scale = 1 + Z**2 / n
        return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def share(flags: Iterable[bool]) -> Share:
    """How many of `flags` are true."""
    known = [bool(flag) for flag in flags]
    return Share(sum(known), len(known))


@dataclass(frozen=True)
class Judged:
    """A training, whether it was harmed, and what was said about it."""

    run: Run
    harmed: bool
    verdict: Verdict
    failed: bool = False  # a healthy recipe that did not learn: neither healthy nor faulty
    worse: bool = False  # significantly, if only by a little: a warning is no false alarm then

    @property
    def causes(self) -> frozenset[str]:
        """What is truly wrong; nothing where no harm was done."""
        return self.run.fault.causes if self.harmed and self.run.fault is not None else frozenset()


class Headline(NamedTuple):
    """What the benchmark is judged by."""

    healthy_runs: int
    false_warnings: float  # per healthy run
    false_interval: tuple[float, float]
    spoke_falsely: Share  # healthy runs with any warning
    harmless: float  # false warnings per run with a fault that did no harm
    n_harmless: int
    recall: Share
    top1: Share
    top3: Share


def headline(judged: Sequence[Judged]) -> Headline:
    """The figures of `judged`; runs of a healthy recipe that failed to learn are left out."""
    kept = [each for each in judged if not each.failed]
    healthy = [each for each in kept if each.run.fault is None]
    harmless = [each for each in kept if each.run.fault is not None and not (each.harmed or each.worse)]
    harmed = [each for each in kept if each.harmed]
    counts = [each.verdict.warnings for each in healthy]
    return Headline(
        len(healthy),
        float(np.mean(counts)) if counts else math.nan,
        mean_interval(counts),
        share(count > 0 for count in counts),
        float(np.mean([each.verdict.warnings for each in harmless])) if harmless else math.nan,
        len(harmless),
        share(each.verdict.warnings > 0 for each in harmed),
        share(named(each, 1) for each in harmed),
        share(named(each, 3) for each in harmed),
    )


def named(each: Judged, first: int) -> bool:
    """Whether a true cause is among the `first` causes of the first card."""
    return bool(each.causes & set(each.verdict.causes[:first]))


def mean_interval(values: Sequence[float], seed: int = 0, draws: int = 2000) -> tuple[float, float]:
    """A 95 % interval of the mean, by drawing runs with replacement. Source: Efron 1979, "Bootstrap methods"."""
    if not len(values):
        return math.nan, math.nan
    rng = np.random.default_rng(seed)
    means = np.asarray(values, float)[rng.integers(0, len(values), (draws, len(values)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


class RuleFigures(NamedTuple):
    """How often a rule was right when it warned, and how many of the faults it is made for it found."""

    precision: Share  # the run was worse for a fault
    blamed: Share  # the run was harmed by a cause that the finding suspects
    recall: Share


def rule_figures(judged: Sequence[Judged]) -> dict[str, RuleFigures]:
    """By code, for every rule that warned or should have.

    A warning is right where a fault made the return significantly worse, be it by little. What a rule about bugs claims is so whether the bug has done
    harm yet or not: it is right where the fault is a cause that it suspects. A rule is made for a fault where it suspects
    a true cause of it most: with at least 0.9 of its own highest weight.
    """
    from upswing.doctor.findings import BUG
    from upswing.doctor.rules import BY_CODE

    kept = [each for each in judged if not each.failed]
    found = {}
    for code, rule in BY_CODE.items():
        warned = [(each, set(suspects)) for each in kept if (suspects := each.verdict.warned(code)) is not None]
        if rule.family == BUG:
            right = [each.run.fault is not None and bool(each.run.fault.causes & known) for each, known in warned]
        else:
            right = [each.harmed or each.worse for each, _ in warned]
        meant = [each for each in kept if each.harmed and each.causes & made_for(code)]
        recall = share(each.verdict.mentions(code) for each in meant)
        if warned or meant:
            found[code] = RuleFigures(share(right), share(bool(each.causes & known) for each, known in warned), recall)
    return found


def made_for(code: str) -> frozenset[str]:
    """The causes that a rule suspects most."""
    from upswing.doctor.suspicions import TABLE

    tables = [weights for key, weights in TABLE.items() if key.partition(":")[0] == code]
    return frozenset(
        cause for weights in tables for cause, weight in weights.items() if weight >= 0.9 * max(weights.values())
    )


def as_json(figures: RuleFigures) -> dict[str, Any]:
    """A rule's figures as JSON values."""
    return {
        name: None if not part.n else {
            "value": round(part.value, 3), "low": round(part.interval[0], 3), "high": round(part.interval[1], 3),
            "n": part.n,
        }
        for name, part in figures._asdict().items()
    }  # fmt: skip
