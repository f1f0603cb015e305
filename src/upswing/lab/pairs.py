"""Two settings side by side: how far apart their scores are, and whether that may be called a difference."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from upswing.lab.gather import Gathered, Setting
from upswing.lab.statistics import (
    SINGLE,
    Interval,
    claimed,
    improvement,
    interval,
    iqm_difference,
    rank_test,
    seeds_needed,
)

HIGHER, LOWER, NO_DIFFERENCE, TOO_FEW = "higher", "lower", "no_difference", "too_few_seeds"


@dataclass(frozen=True)
class Pair:
    """A setting against the reference."""

    setting: str
    reference: str
    final: Interval  # interquartile means of the final scores
    reference_final: Interval
    difference: Interval  # setting less reference
    improvement: Interval  # the probability that a run of the setting scores higher
    p: float  # how often chance alone parts them as far
    n_seeds: int  # of the one that has fewer
    needed: int  # seeds with which a difference could be shown
    claim: str  # HIGHER, LOWER, NO_DIFFERENCE or TOO_FEW


def pair_of(gathered: Gathered, setting: Setting, reference: Setting, n_comparisons: int = 1) -> Pair:
    """`setting` against `reference`, as if this were the only one of `n_comparisons`."""
    ours, theirs = scores_of(gathered, setting), scores_of(gathered, reference)
    pair = Pair(
        setting.label,
        reference.label,
        interval(ours),
        interval(theirs),
        iqm_difference(ours, theirs),
        improvement(ours, theirs),
        rank_test(ours, theirs),
        min(len(ours), len(theirs)),
        seeds_needed(n_comparisons),
        TOO_FEW,
    )
    return decided(pair, claimed([pair.p])[0], too_few(len(ours), len(theirs)))


def pairs_of(gathered: Gathered) -> list[Pair]:
    """Every other setting against the reference; claims are corrected for their number."""
    reference = gathered.setting(gathered.reference)
    others = [setting for setting in gathered.settings if setting is not reference]
    found = [pair_of(gathered, other, reference, len(others)) for other in others]
    shown = claimed([pair.p for pair in found])
    few = [too_few(len(other.members), len(reference.members), len(others)) for other in others]
    return [decided(pair, is_shown, lacks) for pair, is_shown, lacks in zip(found, shown, few, strict=True)]


def decided(pair: Pair, shown: bool, lacks_seeds: bool) -> Pair:
    """`pair` with what may be claimed of it."""
    if shown:
        return replace(pair, claim=HIGHER if pair.improvement.value > 0.5 else LOWER)
    return replace(pair, claim=TOO_FEW if lacks_seeds else NO_DIFFERENCE)


def too_few(n: int, other: int, n_comparisons: int = 1) -> bool:
    """Whether `n` and `other` seeds could not show any difference, however large."""
    level = min(SINGLE, 0.05 / max(1, n_comparisons))
    return 2 / math.comb(n + other, n) > level


def scores_of(gathered: Gathered, setting: Setting) -> np.ndarray:
    """The final scores [N] of `setting`; a run without one counts as untrained."""
    scores = setting.scores(gathered.measure)
    return np.where(np.isfinite(scores), scores, gathered.untrained)
