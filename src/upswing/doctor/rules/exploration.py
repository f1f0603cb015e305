"""P07 to P10: how much the policy still explores, and whether its actions reach the environment."""

from __future__ import annotations

import math

import numpy as np

from upswing.doctor.case import Case
from upswing.doctor.findings import INFO, OPTIMISATION, WARN, Evidence, NotApplicable, NotChecked, Outcome, Passed
from upswing.doctor.returns import FLAT, PLATEAU
from upswing.doctor.rules.rule import Rule, found, measured, share_true
from upswing.doctor.shape import budget
from upswing.doctor.stats import median, smooth, theil_sen
from upswing.doctor.thresholds import limit, origin

ENTROPY, STD = "train/entropy_loss", "train/std"
NEEDLESS = "needless"


def relative_entropy(case: Case) -> tuple[np.ndarray, float] | None:
    """The entropy [U] as a share of its maximum, and that maximum; None for continuous actions."""
    if case.discrete is False:
        return None
    entropy = -case.series.column(ENTROPY)
    first = entropy[np.isfinite(entropy)][: max(1, min(3, case.n))]
    n_actions = case.series.environment.get("n_actions")
    if n_actions:
        highest = math.log(n_actions)
    elif len(first):
        highest = float(first.max())  # a fresh policy is nearly uniform
    else:
        return None
    return (entropy / highest, highest) if highest > 0 else None


def entropy_collapse(case: Case) -> Outcome:
    """P07: the policy stopped exploring early, before it had found something good."""
    early = case.series.steps <= 0.3 * budget(case.series)
    relative = relative_entropy(case)
    if relative is None:
        return _std_collapse(case, early)
    values, _ = relative
    seen = np.isfinite(values)
    low = seen & (values < limit("P07.entropy"))
    window = case.width
    hit = low & (smooth(low.astype(float), window) >= 0.7) & (np.arange(case.n) >= window - 1)
    stretch = case.held("P07", low, seen, past=None)
    if stretch is None or (not (hit & early).any() and not case.failed):
        return Passed("P07", (Evidence(ENTROPY, -case.now(ENTROPY), ">", None, None),))
    if case.returns.solved or not case.stuck:
        return Passed("P07")
    value = median(values[stretch.onset : stretch.end + 1])
    return found(
        case,
        "P07",
        WARN if case.failed else INFO,
        limit("P07.entropy") / max(value, 1e-9),
        [
            Evidence(
                "relative_entropy",
                value,
                "<",
                limit("P07.entropy"),
                origin("P07.entropy"),
                (case.step(stretch.onset), case.step(stretch.end)),
            )
        ],
        stretch,
        share=value,
    )


def _std_collapse(case: Case, early: np.ndarray) -> Outcome:
    std = case.series.column(STD)
    seen = np.isfinite(std)
    if not seen.any():
        return NotChecked("P07", "not_logged", (STD,))
    start = float(std[seen][0])
    low = seen & (std < limit("P07.std") * start)
    if not low.any() or not (case.failed or case.returns.state == FLAT):
        return Passed("P07")
    onset = int(np.flatnonzero(low)[0])
    value = float(std[seen][-1])
    if value > limit("P07.std") * start:
        return Passed("P07")
    return found(
        case,
        "P07",
        WARN if early[onset] else INFO,
        limit("P07.std") * start / max(value, 1e-12),
        [Evidence(STD, value, "<", limit("P07.std") * start, origin("P07.std"))],
        variant="std",
        std=value,
        start=start,
    )


def entropy_stuck(case: Case) -> Outcome:
    """P08: the policy is still as random as at the start, and the return does not rise."""
    relative = relative_entropy(case)
    if relative is None:
        return NotApplicable("P08", "continuous")
    if needless := _needless(case, "P08"):
        return needless
    values, _ = relative
    later = case.series.steps > 0.3 * budget(case.series)
    seen = np.isfinite(values) & later
    stuck = not case.rising and not case.returns.solved
    if not (stuck and seen.any() and share_true(values > limit("P08.entropy"), seen) > 0.7):
        return _random_to_the_end(case, values) or Passed("P08")
    value = median(values[seen])
    return found(
        case,
        "P08",
        WARN,
        (1.0 - limit("P08.entropy")) / max(1.0 - value, 1e-6),
        [Evidence("relative_entropy", value, ">", limit("P08.entropy"), origin("P08.entropy"))],
        share=value,
    )


def _random_to_the_end(case: Case, values: np.ndarray) -> Outcome | None:
    """A finding where a run that is over still acts nearly at random, and had stopped to become less so."""
    known = values[np.isfinite(values)]
    if case.live or case.returns.solved or len(known) < 40:
        return None
    before, end = median(known[len(known) // 2 : 3 * len(known) // 4]), median(known[3 * len(known) // 4 :])
    if not (end > limit("P08.end") and before - end < limit("P08.still")):
        return None
    evidence = [Evidence("relative_entropy", end, ">", limit("P08.end"), origin("P08.end"))]
    return found(case, "P08", WARN, 1.5, evidence, variant="end", demotable=False, share=end)


def _needless(case: Case, code: str) -> Outcome | None:
    """A finding where evaluations solve the task, but the random policy of training is far from it."""
    share = case.returns.share_in_training
    if share is None or share >= limit("P08.needless"):
        return None
    evidence = [Evidence("share_of_goal", share, "<", limit("P08.needless"), origin("P08.needless"))]
    training, evaluation = case.returns.final, case.returns.evaluated
    return found(case, code, WARN, 2.0, evidence, variant=NEEDLESS, training=training, evaluation=evaluation)


def std_growing(case: Case) -> Outcome:
    """P09: a continuous policy becomes ever more random, and the return does not rise."""
    std = case.series.column(STD)
    if case.discrete is True:
        return NotApplicable("P09", "discrete")
    if needless := _needless(case, "P09"):
        return needless
    seen = np.isfinite(std) & (std > 0)
    if seen.sum() < 5:
        return NotChecked("P09", "not_logged", (STD,))
    logs = np.log(std[seen])
    x = np.linspace(0.0, 1.0, len(logs))
    thin = np.linspace(0, len(logs) - 1, min(60, len(logs))).astype(int)
    growth = math.exp(theil_sen(x[thin], logs[thin]))
    ratio = float(math.exp(median(logs[-case.width :]) - logs[0]))
    if min(growth, ratio) < limit("P09.growth") or case.rising or case.returns.solved:
        return Passed(
            "P09",
            (
                Evidence(
                    STD, float(std[seen][-1]), "<", limit("P09.growth") * float(std[seen][0]), origin("P09.growth")
                ),
            ),
        )
    if case.returns.state == PLATEAU and not case.failed and ratio < 2 * limit("P09.growth"):
        return Passed("P09")
    return found(
        case,
        "P09",
        WARN,
        ratio / limit("P09.growth"),
        [Evidence(STD, float(std[seen][-1]), ">", limit("P09.growth") * float(std[seen][0]), origin("P09.growth"))],
        start=float(std[seen][0]),
        end=float(std[seen][-1]),
    )


def action_saturated(case: Case) -> Outcome:
    """P10: many executed actions lie at the bounds of the action space."""
    tag = "rollout/action_saturation"
    values = case.series.column(tag)
    stretch = case.held_sparsely(values > limit("P10.share"), np.isfinite(values))
    if stretch is None:
        return Passed("P10", (measured(case, tag, "P10.share", "<"),))
    value = case.value_at(tag, stretch)
    return found(
        case,
        "P10",
        WARN if case.failed else INFO,  # the best actions of a task may lie at its bounds
        value / limit("P10.share"),
        [measured(case, tag, "P10.share", ">", stretch)],
        stretch,
        share=value,
    )


RULES = (
    Rule("P07", OPTIMISATION, entropy_collapse, (ENTROPY,), least=8),
    Rule("P08", OPTIMISATION, entropy_stuck, (ENTROPY,), least=8),
    Rule("P09", OPTIMISATION, std_growing),
    Rule("P10", OPTIMISATION, action_saturated, ("rollout/action_saturation",)),
)
