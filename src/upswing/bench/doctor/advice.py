"""What becomes of a harmed training when the first card's advice is followed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from upswing.bench.doctor.corpus import Run
from upswing.bench.doctor.evaluate import Outcomes, finals, first_return
from upswing.bench.doctor.figures import Judged, Share, share
from upswing.bench.doctor.training import with_changes

DEAREST = 4  # times the budget that following an advice may cost
IMPROVED, RECOVERED = 0.05, 0.5
"""Improved: better by 5 % of what the healthy recipe gains. Recovered: by half of what was lost."""


def followed(each: Judged) -> Run | None:
    """The training of `each` with the first card's advice; None where there is none that could be followed.

    Causes are gone through in their order, as a reader would. One that no setting mends is looked for in the program or
    environment: where it is the true one, the fault is found and taken away, otherwise the next cause has its turn. The
    first exact change is made, and nothing else. A budget over four times the old is not paid: the next cause follows.
    """
    run = each.run
    for cause, field, value in each.verdict.advice:
        if field == "total_timesteps" and value > DEAREST * run.config().total_timesteps:
            continue
        if field is not None:
            changed = with_changes(run, {field: value})
            return dataclasses.replace(changed, variant=run.variant)
        hidden = run.fault is not None and run.fault.hidden
        if hidden and cause in each.causes:
            return dataclasses.replace(run, mended=True)
    return None


class Remedied(NamedTuple):
    """What following the advice did."""

    improved: Share
    recovered: Share
    advised: Share  # harmed trainings whose first card had something to follow


def remedied(judged: Sequence[Judged], outcomes: Outcomes, after: Mapping[Run, Mapping[str, Any] | None]) -> Remedied:
    """How often the advice helped, over all harmed trainings: one without advice, or that fails with it, was not helped."""
    gains = [gain(each, outcomes, after) for each in judged if each.harmed]
    return Remedied(
        share(each is not None and each[0] > IMPROVED for each in gains),
        share(each is not None and each[1] > RECOVERED for each in gains),
        share(each is not None for each in gains),
    )


def gain(each: Judged, outcomes: Outcomes, after: Mapping[Run, Mapping[str, Any] | None]) -> tuple[float, float] | None:
    """How much better the training became: as a share of what the healthy recipe gains, and of what was lost."""
    run = followed(each)
    new, old = after.get(run) if run is not None else None, outcomes[each.run]
    if new is None or old is None or new["final"] is None or old["final"] is None:
        return None
    healthy = finals(outcomes, each.run.env, "recipe")
    top = sum(healthy) / len(healthy)
    better = new["final"] - old["final"]
    return better / (top - first_return(outcomes, each.run.env)), better / max(top - old["final"], 1e-9)
