"""S and L: what the settings imply by arithmetic alone. Asked before a run starts, and again when it is explained."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from upswing.config import WORDS
from upswing.doctor.case import Case
from upswing.doctor.findings import (
    ERROR,
    INFO,
    OPTIMISATION,
    SETUP,
    WARN,
    Evidence,
    NotApplicable,
    NotChecked,
    Outcome,
    Passed,
)
from upswing.doctor.returns import PLATEAU
from upswing.doctor.rules.policy import clip_scale, limit_acted
from upswing.doctor.rules.rule import Rule, found
from upswing.doctor.shape import first_number, schedule_of, shape_of
from upswing.doctor.stats import median
from upswing.doctor.suspicions import suspects
from upswing.doctor.thresholds import limit, origin

RATE = "train/learning_rate"
ODD_SETTINGS = (
    "learning_rate", "batch_size", "n_epochs", "gae_lambda", "clip_range", "clip_range_vf", "ent_coef", "vf_coef",
    "max_grad_norm", "target_kl", "adam_eps",
)  # fmt: skip
"""What S04 looks at. γ and the sizes of rollouts depend on the task: T02 and S01 judge them."""


def too_few_updates(case: Case) -> Outcome:
    """S01: the budget buys too few updates, or too few gradient steps for the learning rate."""
    shape = shape_of(case.series)
    if shape.iterations is None:
        return NotChecked("S01", "setting_unknown", ("n_envs", "n_steps", "total_timesteps"))
    values: dict[str, Any] = {
        "iterations": shape.iterations,
        "gradient_steps": shape.gradient_steps,
        "travel": shape.travel,
    }
    counted = Evidence("iterations", shape.iterations, "<", limit("S01.iterations"), origin("S01.iterations"))
    if shape.iterations <= 1:
        return found(case, "S01", ERROR, 20.0, [counted], variant="one", demotable=False, **values)
    travel = shape.travel
    moved = [] if travel is None else [Evidence("travel", travel, "<", limit("S01.travel"), origin("S01.travel"))]
    if shape.iterations < limit("S01.iterations"):
        excess = limit("S01.iterations") / shape.iterations
        evidence = [counted, *(moved if travel is not None and travel < limit("S01.travel") else [])]
        return found(case, "S01", WARN, excess, evidence, variant="iterations", **values)
    if travel is not None and travel < limit("S01.travel"):
        return found(case, "S01", WARN, limit("S01.travel") / max(travel, 1e-12), moved, variant="travel", **values)
    return Passed("S01", (counted._replace(relation=">"),))


def ragged_batch(case: Case) -> Outcome:
    """S02: minibatches do not fill the rollout evenly."""
    shape = shape_of(case.series)
    if shape.pool is None or shape.batch_size is None or case.series.source.axis != "steps":
        return NotChecked("S02", "setting_unknown", ("batch_size", "n_envs", "n_steps"))
    pool, batch = round(shape.pool), shape.batch_size
    rest = pool % batch
    values: dict[str, Any] = {"batch_size": batch, "pool": pool, "rest": rest}
    if batch > pool:
        evidence = [Evidence("batch_size", batch, ">", pool, "derived")]
        return found(case, "S02", INFO, 1.0, evidence, variant="over", **values)
    if rest == 0:
        return Passed("S02")
    severity = WARN if rest < limit("S02.rest") * batch else INFO
    evidence = [Evidence("last_minibatch", rest, "<", batch, "derived")]
    return found(case, "S02", severity, batch / rest, evidence, variant="ragged", **values)


def noisy_plateau(case: Case) -> Outcome:
    """S03: the return stands although updates look healthy: perhaps each sees too little data."""
    kl = case.now("train/approx_kl")
    if case.returns.state != PLATEAU or case.returns.solved:
        return Passed("S03")
    scale = float(clip_scale(case)[-1]) if case.n else 1.0
    if not limit("P02.low") * scale <= kl <= limit("P01.warn") * scale:
        return Passed("S03")
    noise = case.returns.noise / max(case.returns.range, 1e-9)
    if not noise > limit("S03.noise"):
        return Passed("S03")
    return found(
        case,
        "S03",
        INFO,
        noise / limit("S03.noise"),
        [Evidence("return_noise", noise, ">", limit("S03.noise"), origin("S03.noise"))],
        noise=noise,
    )


def odd_setting(case: Case) -> Outcome:
    """S04: a setting several times beyond the range that recipes keep to."""
    factor, beyond, seen = limit("S04.factor"), [], False
    for name in ODD_SETTINGS:
        setting = shape_of(case.series).batch_size if name == "batch_size" else case.series.setting(name)
        value, (low, high) = first_number(setting, name), WORDS[name].sane or (0.0, np.inf)
        seen |= value is not None
        if value is None or case.series.is_off(name) or (name == "target_kl" and limit_acted(case) is False):
            continue
        below, above = low / max(value, 1e-30), value / high
        if max(below, above) > factor:
            beyond.append((max(below, above), "low" if below > above else "high", name, value, low, high))
    if not beyond:
        return Passed("S04") if seen else NotChecked("S04", "setting_unknown", ODD_SETTINGS)
    excess, side, name, value, low, high = max(beyond)
    bound, relation = (low / factor, "<") if side == "low" else (high * factor, ">")
    evidence = [Evidence(name, value, relation, bound, origin("S04.factor"))]
    told: dict[str, Any] = {"name": name, "value": value, "low": low, "high": high}
    finding = found(case, "S04", WARN, excess / factor, evidence, variant=side, demotable=False, **told)
    return dataclasses.replace(finding, suspects=suspects("S04", f"{name}.{side}"))


def blind_evaluation(case: Case) -> Outcome:
    """S05: too few evaluations to draw a curve through, or none of a trained policy."""
    if case.n and case.series.source.name != "upswing":
        return _evaluations_logged(case)
    count, untrained = planned_evaluations(case)
    if count is None:
        return NotChecked("S05", "setting_unknown", ("eval_freq",))
    freq, total = case.series.setting("eval_freq"), shape_of(case.series).total
    if freq == 0:
        return found(
            case,
            "S05",
            INFO,
            1.0,
            [Evidence("eval_freq", 0, "=", None, "setting")],
            variant="off",
        )
    if count >= limit("S05.evaluations"):
        return Passed(
            "S05", (Evidence("evaluations", count, ">", limit("S05.evaluations"), origin("S05.evaluations")),)
        )
    evidence = [Evidence("evaluations", count, "<", limit("S05.evaluations"), origin("S05.evaluations"))]
    variant = "untrained" if untrained else "few"
    return found(
        case,
        "S05",
        WARN,
        limit("S05.evaluations") / max(1, count),
        evidence,
        variant=variant,
        demotable=False,
        count=count,
        freq=freq,
        total=total,
    )


def planned_evaluations(case: Case) -> tuple[int | None, bool]:
    """How many evaluations the settings plan, the final one included, and whether none but it sees a trained policy."""
    shape = shape_of(case.series)
    freq = case.series.setting("eval_freq")
    if shape.iterations is None or shape.pool is None:
        return None, False
    total = shape.iterations * shape.pool
    if freq is None:
        freq = max(1, int(case.series.setting("total_timesteps", total)) // 20)
    during = int(min(total // freq, shape.iterations)) if freq else 0
    ends_on_one = freq > 0 and during > 0 and total % freq < shape.pool
    return during + (0 if ends_on_one else 1), during == 0


def _evaluations_logged(case: Case) -> Outcome:
    """S05 for another framework's log: the evaluations that are in it."""
    scores = case.series.column("eval/mean_reward")
    steps = np.array(case.series.environment.get("eval_steps") or case.series.steps[np.isfinite(scores)])
    if not len(steps):
        return NotApplicable("S05", "no_evaluations")
    shape = shape_of(case.series)
    done = float(case.series.steps[-1]) / shape.total if shape.total else 1.0
    count = len(steps) / max(done, 1e-9)
    if count >= limit("S05.evaluations"):
        return Passed("S05")
    first_update = shape.pool if shape.pool is not None else float(case.series.steps[0])
    untrained = bool((steps < first_update).all())
    evidence = [Evidence("evaluations", len(steps), "<", limit("S05.evaluations"), origin("S05.evaluations"))]
    variant = "untrained" if untrained else "few"
    return found(
        case,
        "S05",
        WARN,
        limit("S05.evaluations") / max(1, count),
        evidence,
        variant=variant,
        demotable=False,
        count=len(steps),
        freq=case.series.setting("eval_freq"),
        total=shape.total,
    )


def learning_rate_schedule(case: Case) -> Outcome:
    """L01: the learning rate is practically 0 long before the end, or leaps up in the middle."""
    setting = case.series.setting("learning_rate")
    if isinstance(setting, str) and setting.startswith("adaptive"):
        return NotApplicable("L01", "rate_adaptive")
    rate = case.series.column(RATE)
    seen = np.isfinite(rate)
    if seen.sum() >= 3:
        return _logged_schedule(case, rate, seen)
    if schedule_of(setting, "learning_rate") is None:
        return NotChecked("L01", "setting_unknown", ("learning_rate",))
    return _dead_rate(case, dead_share(case)) or Passed("L01")


def dead_share(case: Case) -> float:
    """The share of the budget for which the learning rate is under 1 % of its largest: as logged, else as planned."""
    setting, rate = case.series.setting("learning_rate"), case.series.column(RATE)
    if isinstance(setting, str) and setting.startswith("adaptive"):
        return 0.0
    seen = np.isfinite(rate)
    if seen.sum() >= 3:
        low = case.series.steps[seen][rate[seen] < 0.01 * rate[seen].max()]
        total = shape_of(case.series).total
        return float(1.0 - low[0] / total) if len(low) and total else 0.0
    schedule = schedule_of(setting, "learning_rate") if setting is not None else None
    if schedule is None:
        return 0.0
    values = np.array([schedule(remaining) for remaining in np.linspace(1.0, 0.0, 201)])
    return float((values < 0.01 * values.max()).mean()) if values.max() > 0 else 1.0


def _logged_schedule(case: Case, rate: np.ndarray, seen: np.ndarray) -> Outcome:
    values, steps = rate[seen], case.series.steps[seen]
    finding = _dead_rate(case, dead_share(case))
    if finding is not None:
        return finding
    leaps = values[1:] / np.maximum(values[:-1], 1e-30)
    leap = int(np.argmax(leaps)) if len(leaps) else 0
    if len(leaps) and leaps[leap] > limit("L01.leap") and values[0] > values[leap] and leap > 2:
        evidence = [
            Evidence(RATE, float(values[leap + 1]), ">", float(limit("L01.leap") * values[leap]), origin("L01.leap"))
        ]
        return found(
            case,
            "L01",
            WARN,
            2.0,
            evidence,
            variant="leap",
            step=int(steps[leap + 1]),
            before=float(values[leap]),
            after=float(values[leap + 1]),
        )
    return Passed("L01")


def _dead_rate(case: Case, dead: float) -> Outcome | None:
    """A finding where the learning rate is under 1 % of its start for the share `dead` of the budget."""
    if dead <= limit("L01.dead"):
        return None
    evidence = [Evidence("dead_share", dead, ">", limit("L01.dead"), origin("L01.dead"))]
    return found(
        case,
        "L01",
        WARN,
        dead / limit("L01.dead"),
        evidence,
        variant="dead",
        demotable=False,
        share=dead,
        median=median(case.series.column(RATE)),
    )


RULES = (
    Rule("S01", SETUP, too_few_updates, setup=True),
    Rule("S02", SETUP, ragged_batch, setup=True),
    Rule("S04", SETUP, odd_setting, setup=True),
    Rule("S05", SETUP, blind_evaluation, setup=True),
    Rule("L01", SETUP, learning_rate_schedule, setup=True),
    Rule("S03", OPTIMISATION, noisy_plateau, ("train/approx_kl",), least=20),
)
