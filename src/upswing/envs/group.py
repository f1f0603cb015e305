"""Environments that one process steps, one after the other: what stepping in process and in workers have in common."""

from __future__ import annotations

import contextlib
import math
import os
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np

from upswing.envs.contract import ACTION_MASK
from upswing.envs.episodes import Tally
from upswing.envs.masks import INFO, METHOD, Plan, find_source, plan
from upswing.envs.rows import Rows, copy, parts_of, select
from upswing.envs.shortcut import shorten
from upswing.envs.spaces import clipper, encode_action_space
from upswing.envs.state import get_env_state, set_env_state
from upswing.envs.writers import BadValue, finite_check, finite_rows, float_views, mask_writer, observation_writer
from upswing.errors import ConfigError, EnvironmentFault, UserError

Factory = Callable[[], gymnasium.Env]

MAX_QUARANTINES = 10
"""How many episodes in a row an environment may lose to NaN or infinite values before that is an error."""

LARGEST = float(np.finfo(np.float32).max)

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class EnvironmentCrash(EnvironmentFault):
    """An environment raised an exception: a fresh one may do better."""


class Group:
    """K environments that write into rows. An episode that ends is followed by a reset in the same step.

    An episode in which a number is not finite is quarantined: its row becomes not valid, truncated, with reward 0 and
    the next episode's first observation, no episode is reported, and the environment is reset. `notices` says so.
    """

    def __init__(self, factories: Sequence[Factory], first: int = 0, action_masks: bool = True):
        self.first = first  # index of the first environment, for messages
        self.envs: list[gymnasium.Env] = []
        self.notices: list[str] = []
        self.current: Any = [0]  # [0] holds the environment at work; a worker puts shared memory here
        with self._guarded("when it was made"):
            for i, factory in enumerate(factories):
                self.current[0] = i
                self.envs.append(_checked_env(factory(), self.envs))
            env = self.envs[0]
            self.env_action_space = env.action_space
        with self._guarded("in reset"):
            self.current[0] = 0
            source = find_source(env, action_masks)
        self.plan: Plan = plan(env.observation_space, env.action_space, source)
        self._check_same_spaces()
        self.observation_space: gymnasium.Space = self.plan.space
        self.action_space = encode_action_space(self.env_action_space)
        self.tallies = [Tally() for _ in self.envs]
        self.infos: list[dict[str, Any]] = [{} for _ in self.envs]  # of the last step
        self.quarantines = [0] * len(self.envs)

    def attach(self, rows: Rows, current: Any = None) -> None:
        """Write into `rows` from now on, and the index of the environment at work into `current[0]`."""
        self.rows = rows
        self.current = self.current if current is None else current
        space = self.envs[0].observation_space
        self._write = observation_writer(space, self.plan, rows.obs, final=False)
        self._write_final = observation_writer(space, self.plan, rows.final_obs, final=True)
        for env in self.envs:
            shorten(env)
        self._steps = [env.step for env in self.envs]
        # Gymnasium's own environments check a Python int three times faster; others may expect NumPy's, as it samples.
        own = all(type(env.unwrapped).__module__.startswith("gymnasium.envs.") for env in self.envs)
        self._plain_choices = own and isinstance(self.env_action_space, gymnasium.spaces.Discrete)
        self._clip = clipper(self.env_action_space)
        self._all_finite = finite_check(float_views(rows.obs))
        self._final_floats = [float_views(select(rows.final_obs, slice(i, i + 1))) for i in range(len(self.envs))]
        self._masks: list[Callable[[], Any]] = []
        if self.plan.source in (METHOD, INFO):
            assert isinstance(rows.obs, dict) and isinstance(rows.final_obs, dict)
            self._write_mask = mask_writer(self.plan, rows.obs[ACTION_MASK])
            rows.final_obs[ACTION_MASK][:] = True
        if self.plan.source == METHOD:
            self._masks = [env.get_wrapper_attr("action_masks") for env in self.envs]
        self._dirty = True

    def reset(self, seeds: Sequence[int | None] | None = None) -> None:
        """Begin new episodes everywhere."""
        self._clean()
        with self._guarded("in reset"):
            for i in range(len(self.envs)):
                self._reset(i, None if seeds is None else seeds[i])
        self._refuse_non_finite_reset(range(len(self.envs)))
        self._dirty = True  # the parent of a worker may mark the rows of a restart

    def step(self, actions: np.ndarray) -> tuple[bool, bool]:
        """Step every environment; whether any episode ended, and whether any row is not valid. See `Rows`."""
        if self._dirty:
            self._clean()
        rewards, current, steps, tallies, write = (
            self.rows.rewards,
            self.current,
            self._steps,
            self.tallies,
            self._write,
        )
        infos = self.infos
        bad: list[int] = []  # those with a reward or last observation that is not finite
        masked = self.plan.source in (METHOD, INFO)
        try:
            for i, action in enumerate(self._for_envs(actions)):
                current[0] = i
                obs, reward, terminated, truncated, info = steps[i](action)
                infos[i] = info
                rewards[i] = reward = float(reward)
                tally = tallies[i]
                tally.ret += reward
                tally.length += 1
                if info:
                    tally.note(info)
                if not -LARGEST < reward < LARGEST:
                    bad.append(i)
                if terminated or truncated:
                    self._dirty = True
                    if not self._end(i, obs, bool(terminated), bool(truncated)):
                        bad.append(i)
                else:
                    write(i, obs)
                    if masked:
                        self._mask(i, info)
        except Exception as error:
            raise self._crash(error, "in step") from error
        if bad or not self._all_finite():
            self._quarantine(bad)
            return True, True
        return self._dirty, False

    def _for_envs(self, actions: np.ndarray) -> Any:
        actions = self._clip(actions)
        if self._plain_choices:
            return actions.tolist()
        scalar_box = actions.ndim == 1 and isinstance(self.env_action_space, gymnasium.spaces.Box)
        return map(np.asarray, actions) if scalar_box else actions

    def _clean(self) -> None:
        self.rows.terminated[:] = False
        self.rows.truncated[:] = False
        self.rows.valid[:] = True
        self._dirty = False

    def _reset(self, i: int, seed: int | None = None) -> None:
        self.current[0] = i
        obs, info = self.envs[i].reset(seed=seed)
        self.tallies[i].clear()
        self._write(i, obs)
        if self.plan.source in (METHOD, INFO):
            self._mask(i, info)

    def _mask(self, i: int, info: dict[str, Any]) -> None:
        if self._masks:
            self._write_mask(i, self._masks[i]())
        elif ACTION_MASK not in info:
            raise BadValue(f"its info holds no {ACTION_MASK!r} any more")
        else:
            self._write_mask(i, info[ACTION_MASK])

    def _end(self, i: int, obs: Any, terminated: bool, truncated: bool) -> bool:
        """Note the end of an episode and begin the next; False where its true last observation is needed and bad."""
        rows, tally = self.rows, self.tallies[i]
        rows.terminated[i], rows.truncated[i] = terminated, truncated
        rows.ret[i], rows.length[i], rows.once[i], rows.at_end[i] = tally.ret, tally.length, tally.once, tally.at_end
        self._write_final(i, obs)
        sound = all(np.isfinite(view).all() for view in self._final_floats[i])
        if not sound and terminated:  # ended because of it: the observation's value is 0, whatever it holds
            for view in self._final_floats[i]:
                np.nan_to_num(view, copy=False, posinf=0.0, neginf=0.0)
            sound = True
        if sound and math.isfinite(tally.ret):
            self.quarantines[i] = 0
        self._reset(i)
        return sound

    def _quarantine(self, bad: list[int]) -> None:
        rows = self.rows
        lost = sorted({*bad, *np.flatnonzero(~(finite_rows(rows.obs) & np.isfinite(rows.rewards))).tolist()})
        for i in lost:
            what = f"Environment {self.first + i} returned a NaN or infinite number"
            ended = rows.terminated[i] or rows.truncated[i]
            step = f"step {rows.length[i] if ended else self.tallies[i].length} of an episode"
            self.quarantines[i] += 1
            if self.quarantines[i] > MAX_QUARANTINES:
                raise EnvironmentFault(
                    f"{what} in {step}, as in its last {MAX_QUARANTINES} episodes: look for a division by zero or an "
                    f"unstable simulation."
                )
            with self._guarded("in reset"):
                self._reset(i)
            rows.rewards[i] = 0.0
            rows.terminated[i], rows.truncated[i], rows.valid[i] = False, True, False
            self.notices.append(f"{what} in {step}: that episode was dropped.")
        self._refuse_non_finite_reset(lost)
        for target, source in zip(parts_of(rows.final_obs), parts_of(rows.obs), strict=True):
            target[lost] = source[lost]
        self._dirty = True

    def _refuse_non_finite_reset(self, which: Sequence[int]) -> None:
        finite = finite_rows(self.rows.obs)
        for i in which:
            if not finite[i]:
                raise EnvironmentFault(
                    f"Environment {self.first + i} returned a NaN or infinite number from reset: every episode must "
                    f"begin with finite observations."
                )

    @contextlib.contextmanager
    def _guarded(self, where: str) -> Any:
        try:
            yield
        except Exception as error:
            raise self._crash(error, where) from error

    def _crash(self, error: Exception, where: str) -> UserError:
        """What to tell the user of `error`, which an environment raised or caused."""
        if isinstance(error, UserError):
            return error
        index = self.first + int(self.current[0])
        if isinstance(error, BadValue):
            return EnvironmentFault(f"Environment {index} broke its contract {where}: {error}.")
        frame = traceback.extract_tb(error.__traceback__)[-1]
        said = f"{type(error).__name__}: {error}"
        if frame.filename.startswith(_PACKAGE) and not frame.filename.endswith("probes.py"):
            return EnvironmentFault(
                f"Environment {index} broke its contract {where}: reset must return (observation, info), step must "
                f"return (observation, reward, terminated, truncated, info) ({said})."
            )
        place = f"{os.path.basename(frame.filename)}, line {frame.lineno}"
        return EnvironmentCrash(f"Environment {index} raised {said} {where} ({place}).")

    def _check_same_spaces(self) -> None:
        first = self.envs[0]
        for i, env in enumerate(self.envs):
            same = plan(env.observation_space, env.action_space, self.plan.source)
            if shapes(same.space) != shapes(self.plan.space) or env.action_space != first.action_space:
                raise ConfigError(
                    f"Environment {self.first + i} has other spaces than environment {self.first}: environments that "
                    f"step side by side need the same shapes."
                )

    def get_state(self) -> list[dict[str, Any]] | None:
        """What each environment needs to continue exactly, or None where one of them cannot say."""
        states = [get_env_state(env) for env in self.envs]
        if any(state is None for state in states):
            return None
        return [
            {
                "env": state,
                "tally": self.tallies[i].get_state(),
                "quarantines": self.quarantines[i],
                "obs": copy(select(self.rows.obs, slice(i, i + 1))),
            }
            for i, state in enumerate(states)
        ]

    def set_state(self, states: list[dict[str, Any]]) -> None:
        """Continue from what `get_state` gave."""
        self._clean()
        for i, (env, state) in enumerate(zip(self.envs, states, strict=True)):
            env.reset()  # wrappers that insist on a reset before the first step have had one
            set_env_state(env, state["env"])
            self.tallies[i].set_state(state["tally"])
            self.quarantines[i] = int(state["quarantines"])
            for target, source in zip(parts_of(self.rows.obs), parts_of(state["obs"]), strict=True):
                target[i] = source[0]

    def render(self) -> np.ndarray | None:
        """The first environment's picture, or None where it makes none."""
        env = self.envs[0]
        if env.render_mode != "rgb_array":
            return None
        with self._guarded("in render"):
            picture = env.render()
        return None if picture is None else np.asarray(picture, np.uint8)

    def close(self) -> None:
        """Close every environment, whatever it says to that."""
        for env in self.envs:
            with contextlib.suppress(Exception):
                env.close()
        self.envs = []


def _checked_env(env: Any, others: list[gymnasium.Env]) -> gymnasium.Env:
    if not isinstance(env, gymnasium.Env):
        raise ConfigError(
            f"an environment must be a gymnasium.Env, and this one is a {type(env).__module__}.{type(env).__name__}: "
            f"derive it from gymnasium.Env."
        )
    if any(env is other for other in others):
        raise ConfigError(
            "the same environment was returned twice: a function that makes environments must make new ones."
        )
    return env


def shapes(space: gymnasium.Space) -> list[Any]:
    """Names, shapes and dtypes of an encoded observation space, without its bounds."""
    parts = space.spaces if isinstance(space, gymnasium.spaces.Dict) else {"": space}
    return [(key, part.shape, str(part.dtype)) for key, part in parts.items()]
