"""A judge held to a limit of false warnings: with those of its rules alone that notice most without passing it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

from upswing.bench.doctor.figures import Judged, headline
from upswing.bench.doctor.tasks import TUNING
from upswing.bench.doctor.verdicts import of_rules

LIMIT = 0.1  # false warnings per healthy run


def within_limit(judged: Sequence[Judged], limit: float = LIMIT) -> list[Judged]:
    """`judged` by the rules that notice most harmed runs of the tuning half with at most `limit` false warnings per
    healthy run there. All sets of rules are tried; of equal ones, the first of the largest."""
    codes = sorted({said.code for each in judged for said in each.verdict.said})
    tuning = [each for each in judged if each.run.half == TUNING]
    kept: frozenset[str] = frozenset()
    most = -1
    for n in range(len(codes), -1, -1):
        for chosen in map(frozenset, itertools.combinations(codes, n)):
            of = headline([only(each, chosen) for each in tuning])
            if of.recall.hits > most and not of.false_warnings > limit:
                kept, most = chosen, of.recall.hits
    return [only(each, kept) for each in judged]


def only(judged: Judged, codes: frozenset[str]) -> Judged:
    """A run as the rules `codes` judge it."""
    said = tuple(each for each in judged.verdict.said if each.code in codes)
    return dataclasses.replace(judged, verdict=of_rules(said))
