"""R, F and E: what came of it: the return, the speed, and how much one run can prove."""

from __future__ import annotations

from typing import Any

import numpy as np

from upswing.doctor.case import Case
from upswing.doctor.findings import (
    INFO,
    OUTCOME,
    SPEED,
    WARN,
    Evidence,
    Finding,
    NotApplicable,
    NotChecked,
    Outcome,
    Passed,
    Suspect,
)
from upswing.doctor.returns import FALLEN, FLAT, PLATEAU, RISING, UNKNOWN
from upswing.doctor.rules.rule import Rule, found
from upswing.doctor.stats import median
from upswing.doctor.thresholds import limit, origin

RETURN, EVALUATION = "rollout/ep_rew_mean", "eval/mean_reward"


def stall(case: Case) -> Outcome:
    """R01: the return does not rise: it never did, or it stands."""
    returns = case.returns
    if returns.state == UNKNOWN:
        return NotChecked("R01", "few_episodes")
    if case.done < limit("live_share"):
        return NotChecked("R01", "too_early")
    if returns.solved and (case.live or not returns.short):
        return Passed("R01", (Evidence(RETURN, returns.final, ">", returns.solved_at, "goal"),))
    values: dict[str, Any] = {
        "start": returns.start,
        "final": returns.final,
        "best": returns.best,
        "goal": returns.solved_at,
        "evaluation": returns.evaluated,
    }
    if returns.solved:
        evidence = [Evidence(RETURN, returns.final, "<", returns.solved_at, "goal")]
        return found(case, "R01", INFO, 1.0, evidence, variant="training", **values)
    if returns.state == RISING:
        share = returns.share_of_goal
        if case.live or share is None:
            return Passed("R01", (Evidence("slope", returns.slope[0] * 1e5, ">", 0.0, "interval"),))
        least = _least_share(case)
        evidence = [Evidence("share_of_goal", share, "<", limit(least), origin(least))]
        short = case.reference is not None and share < limit(least)
        return found(case, "R01", WARN if short else INFO, 1.0, evidence, variant="rising", **values)
    if returns.state == FALLEN:
        return NotApplicable("R01", "see_R02")
    if returns.state == FLAT:
        moved = (returns.best - returns.start) / max(returns.noise, 1e-9)
        evidence = [Evidence("rise", moved, "<", limit("R01.noise"), origin("R01.noise"))]
        return found(case, "R01", WARN, 2.0, evidence, variant="flat", **values)
    share = returns.share_of_goal
    least = _least_share(case)
    far = share is not None and share < limit(least)
    evidence = [
        Evidence(
            "slope_per_run", returns.slope[1] * float(returns.x[-1]), "<", 0.05 * returns.range, origin("R01.gain")
        )
    ]
    if share is not None:
        evidence.append(Evidence("share_of_goal", share, "<" if far else ">", limit(least), origin(least)))
    return found(
        case,
        "R01",
        WARN if far else INFO,
        2.0 if far else 1.0,
        evidence,
        variant="far" if far else "plateau",
        **values,
    )


def _least_share(case: Case) -> str:
    """The threshold for how much of what is reachable a run should reach."""
    return "R01.share_of_goal" if case.reference is None else "R01.share_of_reference"


def collapse(case: Case) -> Outcome:
    """R02: the return had risen and lost much of it."""
    returns = case.returns
    if returns.state == UNKNOWN:
        return NotChecked("R02", "few_episodes")
    lost = (returns.best - returns.final) / max(returns.range, 1e-9)
    if returns.state != FALLEN:
        return Passed("R02", (Evidence("drawdown", lost, "<", limit("R02.share"), origin("R02.share")),))
    after = np.flatnonzero(
        (returns.x >= returns.best_step) & (returns.y < returns.best - 0.5 * (returns.best - returns.final))
    )
    onset = int(returns.x[after[0]]) if len(after) else int(returns.best_step)
    finding = found(
        case,
        "R02",
        INFO if returns.solved else WARN,
        lost / limit("R02.share"),
        [
            Evidence(
                "drawdown",
                lost,
                ">",
                limit("R02.share"),
                origin("R02.share"),
                (int(returns.best_step), int(returns.x[-1])),
            )
        ],
        demotable=False,
        best=returns.best,
        final=returns.final,
        best_step=int(returns.best_step),
        lost=lost,
    )
    return Finding(**{**finding.__dict__, "onset_step": onset})


def proxy_gap(case: Case) -> Outcome:
    """R03: evaluations score far below the episodes of training."""
    scores, level = case.series.column(EVALUATION), case.series.column(RETURN)
    at = np.flatnonzero(np.isfinite(scores))
    level = _carried(level)
    at = at[np.isfinite(level[at])]
    if len(at) < 3:
        return NotChecked("R03", "few_evaluations")
    recent = at[-3:]
    height = max(case.returns.range, 4.0 * case.returns.noise, 1e-9)
    gaps = (level[recent] - scores[recent]) / height
    gap = median(gaps)
    if not (gap > limit("R03.gap") and (gaps > 0.5 * limit("R03.gap")).all()):
        return Passed("R03", (Evidence("eval_gap", gap, "<", limit("R03.gap"), origin("R03.gap")),))
    return found(
        case,
        "R03",
        WARN,
        gap / limit("R03.gap"),
        [
            Evidence(
                "eval_gap",
                gap,
                ">",
                limit("R03.gap"),
                origin("R03.gap"),
                (case.step(int(recent[0])), case.step(int(recent[-1]))),
            )
        ],
        demotable=False,
        train=float(level[recent[-1]]),
        evaluation=float(median(scores[recent])),
    )


def _carried(values: np.ndarray) -> np.ndarray:
    """`values` with each gap filled by what came before it."""
    at = np.where(np.isfinite(values), np.arange(len(values)), 0)
    return values[np.maximum.accumulate(at)] if len(values) else values


def recent_returns(case: Case) -> np.ndarray:
    """The returns of the last quarter: of single episodes where they are known, else means of iterations."""
    episodes = case.series.episodes
    if episodes is not None and len(episodes.returns) >= 20:
        return episodes.returns[-max(20, len(episodes.returns) // 4) :]
    tag = "rollout/iteration_rew_mean" if case.series.has("rollout/iteration_rew_mean") else RETURN
    values = case.series.column(tag)
    values = values[np.isfinite(values)]
    return values[-max(5, len(values) // 4) :]


def same_returns(case: Case) -> float:
    """The share of recent returns that equal their median; NaN where there are fewer than five."""
    recent = recent_returns(case)
    if len(recent) < 5:
        return float("nan")
    usual = median(recent)
    return float((np.abs(recent - usual) <= 1e-9 * max(1.0, abs(usual))).mean())


def capped(case: Case) -> bool:
    """Whether half of the recent episodes have the same, highest return: most likely there is no more to reach."""
    recent = recent_returns(case)
    return len(recent) >= 5 and same_returns(case) >= 0.5 and median(recent) >= float(np.nanmax(recent)) - 1e-9


def no_signal(case: Case) -> Outcome:
    """R04: nearly all episodes end with the same return: there is nothing to learn from."""
    same = same_returns(case)
    if not np.isfinite(same):
        return NotChecked("R04", "few_episodes")
    if same < limit("R04.share"):
        return Passed("R04", (Evidence("same_return", same, "<", limit("R04.share"), origin("R04.share")),))
    if case.returns.solved:
        return NotApplicable("R04", "solved")
    rose = case.returns.state in (PLATEAU, RISING)
    return found(
        case,
        "R04",
        INFO if rose else WARN,
        2.0,
        [Evidence("same_return", same, ">", limit("R04.share"), origin("R04.share"))],
        variant="constant" if rose else "never",
        value=median(recent_returns(case)),
    )


def slow_update(case: Case) -> Outcome:
    """F01: the update takes most of the time, or the run has become much slower than it was."""
    collect, update = case.series.column("time/collect_s"), case.series.column("time/update_s")
    if not (np.isfinite(collect).any() and np.isfinite(update).any()):
        return _suspected_slow(case)
    share = median((update / (collect + update))[case.warm :])
    seconds = median(update[case.warm :])
    slowing = _slowing(case)
    if slowing is not None:
        return slowing
    if not share > limit("F01.share"):
        return Passed("F01", (Evidence("update_share", share, "<", limit("F01.share"), origin("F01.share")),))
    return found(
        case,
        "F01",
        WARN if seconds > limit("F01.seconds") else INFO,
        share / limit("F01.share"),
        [
            Evidence("update_share", share, ">", limit("F01.share"), origin("F01.share")),
            Evidence("time/update_s", seconds, "", None, None),
        ],
        variant="share",
        share=share,
        seconds=seconds,
    )


def _slowing(case: Case) -> Outcome | None:
    """A finding where the speed has fallen under half of what it was, and for long."""
    fps = case.series.column("time/fps")[max(1, case.n // 20) :]
    if np.isfinite(fps).sum() < 30:
        return None
    before, after = median(fps[: len(fps) // 3]), median(fps[-len(fps) // 4 :])
    if not after < limit("F01.slowing") * before:
        return None
    evidence = [Evidence("time/fps", after, "<", limit("F01.slowing") * before, origin("F01.slowing"))]
    return found(
        case,
        "F01",
        INFO,
        before / after / 2,
        evidence,
        variant="slowing",
        before=before,
        after=after,
    )


def _suspected_slow(case: Case) -> Outcome:
    """F01 for a log without the split of time: a low speed is all it can show."""
    fps = case.now("time/fps_mean") if case.series.has("time/fps_mean") else case.now("time/fps")
    if not np.isfinite(fps):
        return NotChecked("F01", "not_logged", ("time/update_s",))
    if fps > limit("F01.fps"):
        return NotChecked("F01", "no_split", ("time/update_s", "time/collect_s"))
    evidence = [Evidence("time/fps_mean", fps, "<", limit("F01.fps"), origin("F01.fps"))]
    return found(
        case,
        "F01",
        INFO,
        limit("F01.fps") / max(fps, 1e-3),
        evidence,
        variant="suspected",
        fps=fps,
    )


def slow_environment(case: Case) -> Outcome:
    """F02: the environments take most of the time."""
    env, collect, update = (case.series.column(f"time/{part}_s") for part in ("env", "collect", "update"))
    share = median((env / (collect + update))[case.warm :])
    if not share > limit("F02.share"):
        return Passed("F02", (Evidence("env_share", share, "<", limit("F02.share"), origin("F02.share")),))
    evidence = [Evidence("env_share", share, ">", limit("F02.share"), origin("F02.share"))]
    return found(case, "F02", INFO, share / limit("F02.share"), evidence, share=share)


def underpowered(case: Case) -> Outcome:
    """E01: asked of comparisons; one run compares nothing."""
    return NotApplicable("E01", "one_run")


RULES = (
    Rule("R01", OUTCOME, stall, ("rollout/ep_rew_mean|rollout/iteration_rew_mean",), least=5),
    Rule("R02", OUTCOME, collapse, ("rollout/ep_rew_mean|rollout/iteration_rew_mean",), least=5),
    Rule("R03", OUTCOME, proxy_gap, (EVALUATION, RETURN)),
    Rule("R04", OUTCOME, no_signal, ("rollout/ep_rew_mean|rollout/iteration_rew_mean",), least=5),
    Rule("F01", SPEED, slow_update),
    Rule("F02", SPEED, slow_environment, ("time/env_s", "time/collect_s", "time/update_s")),
    Rule("E01", SPEED, underpowered, least=0),
)

__all__ = ["RULES", "Suspect"]
