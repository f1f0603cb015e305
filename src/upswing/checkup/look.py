"""The look itself: makes an environment, plays it, and notes what a training would stumble over."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from upswing.checkup.findings import GRAVITY, Finding, Report
from upswing.checkup.play import Played, play, side_by_side, trace
from upswing.envs.group import Factory, Group
from upswing.envs.registry import env_name, make_factory
from upswing.envs.rows import new_rows
from upswing.envs.spaces import encode_action_space, has_images, leaves
from upswing.envs.state import get_env_state
from upswing.envs.workers import pickled
from upswing.errors import ConfigError, UserError

BUDGET_S = 5.0  # for the long play; simulators take milliseconds a step
SHORT = 30  # steps of a comparison
SAME_ENDS = 3  # episodes of exactly one length that make one think of a time limit
LARGE, HUGE, SMALL = 10.0, 100.0, 1e-3  # of rewards and observed features, where about 1 is right
SLOW_S = 1e-3  # a step longer than this is worth a worker process


def check(env: Any, env_kwargs: dict[str, Any] | None = None, steps: int = 2000, seed: int = 0) -> Report:
    """What is to be mended in the environment `env`, after `steps` random steps. Raises UserError for an unknown name."""
    make, name = make_factory(env, env_kwargs), env_name(env)
    measured: dict[str, Any] = {}
    findings = list(_broken(make))
    if not findings:
        found, measured = _examined(make, steps, seed)
        findings += found
    return Report(name, sorted(findings, key=lambda finding: -GRAVITY[finding.severity]), measured)


def _broken(make: Factory) -> Iterator[Finding]:
    """Why no training could begin: spaces, shapes, dtypes and return values that break the contract."""
    try:
        env = make()
    except UserError as error:
        yield Finding("cannot_be_made", {"said": str(error)})
        return
    except Exception as error:
        yield Finding("cannot_be_made", {"said": f"{type(error).__name__}: {error}."})
        return
    with contextlib.closing(env):
        if not isinstance(env, gymnasium.Env):
            yield Finding("contract", {"said": f"It is a {type(env).__name__} and no gymnasium.Env."})
            return
        for kind, space, usable in (
            ("observation_space", env.observation_space, leaves),
            ("action_space", env.action_space, encode_action_space),
        ):
            try:
                usable(space)
            except ConfigError as error:
                yield Finding(kind, {"said": str(error)})
                return
    yield from _contract(make)


def _contract(make: Factory) -> Iterator[Finding]:
    """The first thing that Upswing's own stepping refuses, in its words."""
    group = None
    try:
        group = Group([make])
        group.attach(new_rows(group.observation_space, group.action_space, 1))
        group.reset([0])
        rng = np.random.default_rng(0)
        for _ in range(SHORT):
            _, lost = group.step(_batch(group, rng))
            if lost:
                yield Finding("not_finite", {"said": group.notices[0].partition(":")[0].replace("Environment 0", "It")})
                return
    except UserError as error:
        yield Finding("contract", {"said": str(error)})
    finally:
        if group is not None:
            group.close()


def _batch(group: Group, rng: np.random.Generator) -> np.ndarray:
    from upswing.envs.make import random_actions  # brings every way to step

    return random_actions(group.action_space, group.rows.obs, 1, rng)


def _examined(make: Factory, steps: int, seed: int) -> tuple[list[Finding], dict[str, Any]]:
    """Findings of an environment that can be trained, and what was measured."""
    env = make()
    with contextlib.closing(env):
        played = play(env, steps, seed, BUDGET_S)
        step_s = played.seconds / len(played.rewards)
        findings = [*_seeds(env, make, seed), *_ends(env, played), *_numbers(env, played), *_actions(env.action_space)]
        if played.reused:
            findings.append(Finding("reused_array"))
        if get_env_state(env) is None:
            findings.append(Finding("no_state"))
        measured = {
            "steps": len(played.rewards),
            "steps_per_second": 1.0 / step_s,
            "episodes": len(played.lengths),
            "episode_length": float(np.mean(played.lengths)) if played.lengths else None,
            "reward_mean": float(np.mean(played.rewards)),
            "reward_std": float(np.std(played.rewards)),
            "observation_space": " ".join(str(env.observation_space).split()),
            "action_space": " ".join(str(env.action_space).split()),
        }
    if step_s > SLOW_S:
        findings.append(Finding("slow", {"ms": 1000 * step_s, "rate": 1.0 / step_s}))
    try:
        pickled([make])
    except ConfigError:
        findings.append(Finding("not_picklable"))
    return findings, measured


def _seeds(env: gymnasium.Env, make: Factory, seed: int) -> Iterator[Finding]:
    first = trace(env, SHORT, seed)
    if not np.array_equal(first[0], trace(env, 0, seed)[0], equal_nan=True):
        yield Finding("seed_ignored")
        return
    if not _same(first, trace(env, SHORT, seed)):
        yield Finding("not_deterministic")
        return
    other = make()
    with contextlib.closing(other):
        if not _same(first, trace(other, SHORT, seed)):
            yield Finding("not_deterministic")
            return
    if not _same(first, side_by_side(make, SHORT, seed)):
        yield Finding("shared_state")
    if all(np.array_equal(first[0], trace(env, 0, seed + i)[0]) for i in (1, 2, 3)):
        yield Finding("same_start")


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and bool(np.allclose(one, other, rtol=1e-6, atol=1e-9, equal_nan=True))


def _ends(env: gymnasium.Env, played: Played) -> Iterator[Finding]:
    lengths = played.lengths
    if not lengths:
        if env.spec is None or env.spec.max_episode_steps is None:
            yield Finding("no_end", {"steps": len(played.rewards)})
        return
    same = len(lengths) >= SAME_ENDS and len(set(lengths)) == 1 and lengths[0] > 1
    if same and all(played.terminated) and not any(played.truncated):
        yield Finding("time_limit_terminated", {"length": lengths[0], "episodes": len(lengths)})
    varied = len({row.tobytes() for row in played.obs}) > 1
    if all(played.resumed) and len(lengths) >= 2 and lengths[0] > 1 and varied:
        yield Finding("resets_itself")


def _numbers(env: gymnasium.Env, played: Played) -> Iterator[Finding]:
    rewards = np.array(played.rewards)
    largest, spread = float(np.abs(rewards).max()), float(rewards.std())
    all_alike = len(set(played.lengths)) == 1  # otherwise a constant reward counts how long an episode lasts
    if spread == 0.0 and (largest == 0.0 or all_alike):
        yield Finding("reward_constant", {"reward": float(rewards[0]), "steps": len(rewards)})
    elif largest > LARGE:
        yield Finding("reward_huge" if largest > HUGE else "reward_large", {"largest": largest})
    elif largest < SMALL:
        yield Finding("reward_small", {"largest": largest})
    if played.outside:
        yield Finding("outside_bounds", {"where": played.outside})
    if isinstance(env.observation_space, spaces.Box) and env.observation_space.dtype == np.float64:
        yield Finding("float64")
    if not isinstance(env.observation_space, spaces.Box) or has_images(env.observation_space):
        return
    obs = np.stack(played.obs)
    size = np.abs(obs).max(axis=0)
    if size.max() > LARGE:
        name = "observation_huge" if size.max() > HUGE else "observation_large"
        yield Finding(name, {"feature": int(size.argmax()), "largest": float(size.max())})
    still = np.flatnonzero(obs.std(axis=0) == 0.0)
    if len(still) and len(obs) > 1:
        yield Finding("observation_constant", {"features": len(still), "of": obs.shape[1], "first": int(still[0])})


def _actions(space: gymnasium.Space) -> Iterator[Finding]:
    if not isinstance(space, spaces.Box):
        return
    if not space.is_bounded():
        yield Finding("action_unbounded")
    elif float(np.max(np.abs([space.low, space.high]))) > 2.0 or float(np.max(space.high - space.low)) < 0.5:
        yield Finding("action_range", {"low": float(space.low.min()), "high": float(space.high.max())})
