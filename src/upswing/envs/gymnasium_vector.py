"""Vector environments made with Gymnasium, whichever way they reset, brought to this project's contract.

    NEXT_STEP   the step after an end ignores the action and only resets: that row is not valid
    SAME_STEP   the observation is already the next episode's; the true last one is info["final_obs"]
                (formerly info["final_observation"])
    DISABLED    the ended rows are reset here

The rows cannot be reset one by one from outside (except when DISABLED), so a NaN is an error and not a quarantine.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from upswing.envs.contract import ACTION_MASK, Observation, Step
from upswing.envs.episodes import UNKNOWN, Tallies
from upswing.envs.masks import ENTRY, INFO, METHOD, find_source, has_entry, plan
from upswing.envs.rows import copy, parts_of, select
from upswing.envs.spaces import OBS, clip_to_space, count_choices, encode_action_space, encode_leaf, pick
from upswing.envs.state import get_env_state, saved_environments, set_env_state
from upswing.envs.writers import finite_rows, without_numbers
from upswing.errors import ConfigError, EnvironmentFault, StorageError, UserError

FINAL_KEYS = ("final_obs", "final_observation")
CLOSE_TIMEOUT_S = 5.0


class GymnasiumVectorEnv:
    """A `gymnasium.vector.VectorEnv` under this project's contract (`contract.VectorEnv`).

    `autoreset_mode` overrides the one that the environment's metadata names. `step_timeout_s` guards Gymnasium's
    worker processes (AsyncVectorEnv); 0 waits for ever.
    """

    def __init__(
        self,
        envs: gymnasium.vector.VectorEnv,
        action_masks: bool = True,
        step_timeout_s: float = 60.0,
        autoreset_mode: AutoresetMode | str | None = None,
    ):
        self.envs = envs
        self.n_envs = envs.num_envs
        self.mode = _mode(envs, autoreset_mode)
        self.notices: list[str] = []
        self.env_action_space = envs.single_action_space
        space = envs.single_observation_space
        source = _find_source(envs, action_masks)
        self.plan = plan(space, self.env_action_space, source)
        self.observation_space, self.action_space = self.plan.space, encode_action_space(self.env_action_space)
        self.description = f"{self.n_envs} environment{'s' * (self.n_envs > 1)} in {type(envs.unwrapped).__name__}"
        self._is_dict = isinstance(space, gymnasium.spaces.Dict)
        self._asynchronous = isinstance(envs, AsyncVectorEnv)  # not wrapped: its step can be given a time limit
        self._timeout_s = step_timeout_s or None
        self._tallies = Tallies(self.n_envs)
        self._resetting = np.zeros(self.n_envs, bool)  # NEXT_STEP: rows whose next step only resets them
        self._steps, self._closed = 0, False
        self._obs: Any = None  # the last observations given
        self._info: dict[str, Any] = {}  # of the last step

    def reset(self, seeds: Sequence[int] | None = None) -> Observation:
        """First observations [N, ...] of new episodes. Environments that take one seed get the first."""
        seed = None if seeds is None else self._seed([int(s) for s in seeds])
        obs, info = self._call("reset", lambda: self.envs.reset(seed=seed))
        self._tallies.clear()
        self._resetting[:] = False
        self._obs = self._encode(obs, info)
        return self._obs

    def step(self, actions: np.ndarray) -> Step:
        """The outcome of `actions` [N] or [N, A]. Raises EnvironmentFault where an environment fails."""
        self._steps += 1
        actions = clip_to_space(actions, self.env_action_space)
        obs, rewards, terminated, truncated, info = self._call("step", lambda: self._step(actions))
        self._info = info
        stepped = ~self._resetting
        terminated, truncated = (_array(end).astype(bool).reshape(-1) & stepped for end in (terminated, truncated))
        rewards, ended = np.where(stepped, _array(rewards).reshape(-1), 0.0), terminated | truncated
        self._tallies.add(rewards, stepped, self._success(info, ended))
        obs = self._encode(obs, info)
        if self.mode is not AutoresetMode.SAME_STEP:  # some environments end because of such a number
            obs = without_numbers(obs, terminated)
        final, obs = self._final(obs, info, terminated, ended)
        self._check_finite(obs, rewards)
        whole = self._whole(ended, truncated, info)
        episodes = self._tallies.finish(np.flatnonzero(whole))
        if self.mode is AutoresetMode.NEXT_STEP:
            self._resetting = whole
        self._obs, valid = obs, None if stepped.all() else stepped
        return Step(obs, self._learned(rewards).astype(np.float32), terminated, truncated, final, episodes, valid)

    def _seed(self, seeds: list[int]) -> Any:
        """`seeds` as the environments want them."""
        return seeds if isinstance(self.envs.unwrapped, SyncVectorEnv | AsyncVectorEnv) else seeds[0]

    def _whole(self, ended: np.ndarray, truncated: np.ndarray, info: dict[str, Any]) -> np.ndarray:
        """Bool [N]: the rows that are reset and whose episodes are reported, among those that `ended`."""
        return ended

    def _learned(self, rewards: np.ndarray) -> np.ndarray:
        """Rewards [N] to learn from, where they differ from those to report."""
        return rewards

    def _step(self, actions: np.ndarray) -> Any:
        if not self._asynchronous:
            return self.envs.step(actions)
        self.envs.step_async(actions)  # type: ignore[attr-defined]
        return self.envs.step_wait(timeout=self._timeout_s)  # type: ignore[attr-defined]

    def _final(
        self, obs: Observation, info: dict[str, Any], terminated: np.ndarray, ended: np.ndarray
    ) -> tuple[Observation | None, Observation]:
        """The true last observations of the ended rows, and the observations [N, ...] to go on from."""
        if not ended.any():
            return None, obs
        rows = np.flatnonzero(ended)
        if self.mode is AutoresetMode.SAME_STEP:
            final = without_numbers(self._final_from_info(info, rows), terminated[rows])
            self._check_finite(final, np.zeros(len(rows)), rows)
            return final, obs
        final = select(obs, rows)
        self._check_finite(final, np.zeros(len(rows)), rows)
        if self.mode is AutoresetMode.DISABLED:
            fresh, info = self._call("reset", lambda: self.envs.reset(options={"reset_mask": ended.copy()}))
            replacement = self._encode(fresh, info)
            obs = copy(obs)
            for target, source in zip(parts_of(obs), parts_of(replacement), strict=True):
                target[rows] = source[rows]
        return final, obs

    def _final_from_info(self, info: dict[str, Any], rows: np.ndarray) -> Observation:
        key = next((key for key in FINAL_KEYS if key in info), None)
        if key is None:
            raise EnvironmentFault(
                f"Environment {rows[0]} ended an episode, and {type(self.envs.unwrapped).__name__} resets in the same "
                f"step without giving info['final_obs']: without it a time limit cannot be told from a failure."
            )
        final = info[key]
        parts = {leaf.name: encode_leaf(leaf.space, _rows_of(final, leaf.path, rows)) for leaf in self.plan.leaves}
        return self._joined(parts, np.ones((len(rows), sum(self.plan.choices)), bool))

    def _joined(self, parts: dict[str, np.ndarray], mask: np.ndarray) -> Observation:
        """Encoded arrays as the observation space has them, with the mask if there is one."""
        if self.plan.source is None:
            return parts if self._is_dict else parts[""]
        named = parts if self._is_dict else {OBS: parts[""]}
        return {**named, ACTION_MASK: mask}

    def _encode(self, obs: Any, info: dict[str, Any]) -> Observation:
        try:
            parts = {
                leaf.name: _checked(encode_leaf(leaf.space, _array(pick(obs, leaf.path))), leaf.name, self)
                for leaf in self.plan.leaves
            }
            return self._joined(parts, self._mask(obs, info) if self.plan.source else np.empty(0))
        except (ValueError, KeyError, TypeError) as error:
            said = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise EnvironmentFault(f"{type(self.envs.unwrapped).__name__} broke its contract: {said}.") from error

    def _mask(self, obs: Any, info: dict[str, Any]) -> np.ndarray:
        if self.plan.source == ENTRY:
            given = obs[ACTION_MASK]
        elif self.plan.source == METHOD:
            given = np.stack(_call_each(self.envs, "action_masks"))
        else:
            given = info[ACTION_MASK]
        mask = _array(given).astype(bool).reshape(self.n_envs, -1)
        if self.plan.source == INFO and f"_{ACTION_MASK}" in info:  # rows that did not speak keep theirs
            silent = ~_array(info[f"_{ACTION_MASK}"]).astype(bool)
            mask[silent] = True if self._obs is None else self._obs[ACTION_MASK][silent]
        heads = np.add.reduceat(mask, np.cumsum((0, *self.plan.choices[:-1])), axis=1)
        empty = np.flatnonzero(~(heads > 0).all(axis=1))
        if len(empty):
            raise EnvironmentFault(
                f"Environment {empty[0]} broke its contract: the action mask leaves no valid action."
            )
        return mask

    def _success(self, info: dict[str, Any], ended: np.ndarray) -> np.ndarray:
        """Success codes [N]; those of ended rows come from info["final_info"] where there is one."""
        codes = np.full(self.n_envs, UNKNOWN, np.int8)
        _read_success(info, codes, np.ones(self.n_envs, bool))
        final = info.get("final_info")
        if self.mode is AutoresetMode.SAME_STEP and ended.any():
            codes[ended] = UNKNOWN
            if isinstance(final, dict):
                _read_success(final, codes, ended)
        return codes

    def _check_finite(self, obs: Observation, rewards: np.ndarray, rows: np.ndarray | None = None) -> None:
        bad = np.flatnonzero(~(finite_rows(obs) & np.isfinite(rewards)))
        if len(bad):
            raise EnvironmentFault(
                f"Environment {bad[0] if rows is None else rows[bad[0]]} returned a NaN or infinite number in step {self._steps}: "
                f"look for a division by zero, or set vectorization to serial or workers, which drop such episodes."
            )

    def _call(self, what: str, call: Any) -> Any:
        try:
            return call()
        except UserError:
            raise
        except Exception as error:
            said = f"{type(error).__name__}: {error}".removesuffix(": ")
            if isinstance(error, EOFError | BrokenPipeError | ConnectionError):
                said = "one of its worker processes died"
            elif "Timeout" in type(error).__name__:
                said = f"one of its worker processes did not answer for {self._timeout_s:g} s"
            self._end_processes()
            raise EnvironmentFault(f"{type(self.envs.unwrapped).__name__} failed in {what}: {said}.") from error

    @property
    def infos(self) -> list[dict[str, Any]]:
        """Each environment's info of the last step; where that ended an episode, the one of its end."""
        last = [_info_of(self._info, i) for i in range(self.n_envs)]
        return [info.get("final_info", info) for info in last]

    def get_state(self) -> dict[str, Any] | None:
        """What is needed to continue exactly, or None where it cannot be had: only SyncVectorEnv gives it."""
        envs = self.envs
        if type(envs) is not SyncVectorEnv:
            return None
        states = [get_env_state(env) for env in envs.envs]
        if any(state is None for state in states):
            return None
        tallies = {name: getattr(self._tallies, name).copy() for name in ("ret", "length", "once", "at_end")}
        return {"environments": states, "tallies": tallies, "resetting": self._resetting.copy(), "obs": copy(self._obs)}

    def set_state(self, state: dict[str, Any]) -> Observation:
        """The current observations [N, ...] after restoring what `get_state` gave."""
        envs: Any = self.envs
        states = saved_environments(state, self.n_envs)
        if "tallies" not in state or type(envs) is not SyncVectorEnv:
            raise StorageError(
                "The saved state is not one of Gymnasium's SyncVectorEnv: resume with the same vectorization."
            )
        envs.reset()
        for env, sub in zip(envs.envs, states, strict=True):
            set_env_state(env, sub)
        for name, value in state["tallies"].items():
            getattr(self._tallies, name)[:] = value
        self._resetting = state["resetting"].astype(bool)
        envs._autoreset_envs = self._resetting.copy()
        self._obs = copy(state["obs"])
        return self._obs

    def render(self) -> np.ndarray | None:
        """The first environment's picture [H, W, 3] uint8, or None."""
        if self.envs.render_mode != "rgb_array":
            return None
        pictures: Any = self.envs.render()
        return None if pictures is None else np.asarray(pictures[0], np.uint8)

    def close(self) -> None:
        """Close the vector environment. Safe to call twice."""
        if not self._closed:
            self._closed = True
            watchdog = threading.Timer(CLOSE_TIMEOUT_S, self._kill_processes)  # Gymnasium waits for ever
            watchdog.start()
            with contextlib.suppress(Exception):
                self.envs.close()
            watchdog.cancel()

    def _end_processes(self) -> None:
        """After a failure: Gymnasium's own close would wait for dead or hung workers for ever."""
        base: Any = self.envs.unwrapped
        if isinstance(base, AsyncVectorEnv):
            self._closed = base.closed = True
            self._kill_processes()
            for process, pipe in zip(base.processes, base.parent_pipes, strict=True):
                process.join(CLOSE_TIMEOUT_S)
                if pipe is not None:  # Gymnasium has closed those of environments that raised
                    pipe.close()

    def _kill_processes(self) -> None:
        for process in getattr(self.envs.unwrapped, "processes", []):
            process.kill()


def _mode(envs: gymnasium.vector.VectorEnv, given: AutoresetMode | str | None) -> AutoresetMode:
    named = given if given is not None else envs.metadata.get("autoreset_mode")
    try:
        return AutoresetMode(named)
    except ValueError:
        raise ConfigError(
            f"{type(envs.unwrapped).__name__} does not say how it resets: set its metadata['autoreset_mode'] to one of "
            f"gymnasium.vector.AutoresetMode."
        ) from None


def _find_source(envs: gymnasium.vector.VectorEnv, wanted: bool) -> str | None:
    if not wanted or has_entry(envs.single_observation_space):
        return ENTRY if wanted else None
    if count_choices(envs.single_action_space) == 0:
        return None
    base = envs.unwrapped
    if isinstance(base, SyncVectorEnv):
        return find_source(base.envs[0], wanted)
    _, info = envs.reset()
    return INFO if ACTION_MASK in info else None


def _call_each(envs: Any, name: str) -> Any:
    return envs.unwrapped.call(name)


def _array(value: Any) -> np.ndarray:
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)


def _info_of(info: dict[str, Any], i: int) -> dict[str, Any]:
    """What `info`, arrays of all environments with masks of who spoke, holds of environment `i`."""
    spoken = [key for key in info if f"_{key}" in info and info[f"_{key}"][i] and key not in FINAL_KEYS]
    return {key: _info_of(info[key], i) if isinstance(info[key], dict) else info[key][i] for key in spoken}


def _rows_of(final: Any, path: tuple[str, ...], rows: np.ndarray) -> np.ndarray:
    """The part at `path` of the ended rows: of an array or list of one observation a row, of a batch, or of a dict.

    In an array of its own: what an info holds may be the environment's state itself.
    """
    if isinstance(final, dict):
        final, path = pick(final, path), ()
    if hasattr(final, "detach"):
        final = _array(final)
    return np.stack([_array(pick(final[i], path)) for i in rows])


def _checked(array: np.ndarray, name: str, env: GymnasiumVectorEnv) -> np.ndarray:
    space = env.observation_space
    named: Any = space[name or OBS] if isinstance(space, gymnasium.spaces.Dict) else space
    if array.shape != (env.n_envs, *named.shape):
        raise ValueError(
            f"its {name or 'observation'} has shape {array.shape}, where its space says {(env.n_envs, *named.shape)}"
        )
    return array


def _read_success(info: dict[str, Any], codes: np.ndarray, rows: np.ndarray) -> None:
    key = "success" if "success" in info else "is_success"
    if key in info:
        speaking = rows & _array(info.get(f"_{key}", rows)).astype(bool)
        codes[speaking] = _array(info[key]).astype(bool)[speaking]
