"""Which settings of a study failed to learn. Its definition is printed wherever the word is used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from upswing.lab.statistics import Interval, interval
from upswing.lab.study_record import FAILED, LEARNED, SUSPECTED

__all__ = ["FAILED", "LEARNED", "SEEDS", "SUSPECTED", "Verdict", "verdicts"]

SEEDS = 3  # fewer only raise a suspicion


class Verdict(NamedTuple):
    """What became of one setting."""

    state: str  # FAILED, SUSPECTED or LEARNED
    final: Interval  # interquartile mean over its seeds
    bar: float  # halfway between the untrained policy and the best setting


def verdicts(scores: Sequence[Sequence[float] | np.ndarray], untrained: float) -> list[Verdict]:
    """For each setting's final scores (success, else return; one a seed), whether it failed to learn.

    It failed where the 95 % interval of its interquartile mean over seeds lies below halfway between the score of the
    untrained policy and that of the best setting; with fewer than three seeds it is suspected instead. Scores that are
    NaN (a run that ended without any) count as untrained. Where not even the best setting rose above the untrained
    policy, there is nothing to be halfway to, and all of them failed.
    """
    known = [np.where(np.isfinite(each), each, untrained) for each in map(np.asarray, scores)]
    finals = [interval(each) for each in known]
    best = max((final.value for final in finals), default=untrained)
    bar = 0.5 * (untrained + best)
    found = []
    for each, final in zip(known, finals, strict=True):
        top = final.high if len(each) > 1 else final.value
        low = top < bar or best <= untrained
        found.append(Verdict((FAILED if len(each) >= SEEDS else SUSPECTED) if low else LEARNED, final, bar))
    return found
