"""Environments that do what a test tells them, in this process or in a worker."""

from __future__ import annotations

import copy
import os
import signal
import time

import gymnasium
import numpy as np
from gymnasium import spaces


class Counting(gymnasium.Env):
    """Observations [tag, episode, step], where the tag is the seed. Episodes last 2 to 4 steps, by the tag.

    The reward is step + action. Even episodes are terminated, odd ones truncated. `success` is told at step 2 only.
    """

    def __init__(self, success: bool = False, render_mode: str | None = None):
        self.observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float32)
        self.action_space = spaces.Discrete(3)
        self.success, self.render_mode = success, render_mode
        self.tag, self.episode, self.t = 0, 0, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.tag, self.episode = seed, -1
        self.episode, self.t = self.episode + 1, 0
        return self.seen(), {}

    def step(self, action):
        self.t += 1
        over = self.t == 2 + self.tag % 3
        info = {"success": self.t == 2} if self.success else {}
        return self.seen(), float(self.t + action), over and self.episode % 2 == 0, over and self.episode % 2 == 1, info

    def seen(self):
        return np.array([self.tag, self.episode, self.t], np.float32)

    def render(self):
        return np.full((4, 6, 3), self.t, np.uint8)


def expected(tag: int, actions: list[int]) -> list[dict]:
    """What Counting does from reset(seed=tag): a dict a step, in the contract's same-step terms."""
    told, episode, t, ret = [], 0, 0, 0.0
    for action in actions:
        t += 1
        ret += t + action
        over = t == 2 + tag % 3
        row = {"reward": t + action, "terminated": over and episode % 2 == 0, "truncated": over and episode % 2 == 1}
        row["final"] = [tag, episode, t] if over else None
        row["episode"] = (ret, t) if over else None
        if over:
            episode, t, ret = episode + 1, 0, 0.0
        row["obs"] = [tag, episode, t]
        told.append(row)
    return told


class Faulty(Counting):
    """A Counting whose episodes end after 50 steps, and to which `fault` happens at step `at` of an episode.

    With `marker` (a path) it happens once only, to whoever creates that file first; with `tag`, only to that seed.
    """

    def __init__(self, fault: str = "", at: int = 2, marker: str | None = None, tag: int | None = None):
        super().__init__()
        self.fault, self.at, self.marker, self.only = fault, at, marker, tag
        self.happens("make")

    def reset(self, *, seed=None, options=None):
        obs, info = super().reset(seed=seed)
        if self.happens("reset"):
            obs[0] = np.nan
        return obs, info

    def step(self, action):
        self.t += 1
        obs, reward = self.seen(), 1.0
        terminated, truncated = False, self.t == 50
        if self.t == self.at and self.happens("step"):
            obs, reward, terminated, truncated = self.spoiled(obs, reward)
        return obs, reward, terminated, truncated, {}

    def spoiled(self, obs, reward):
        fault, over = self.fault, (False, False)
        if "obs" in fault:
            obs[1] = np.nan
        if "reward" in fault:
            reward = float("inf")
        if "shape" in fault:
            obs = obs[:2]
        if "dtype" in fault:
            obs = obs.astype(complex)
        if "terminated" in fault:
            over = (True, False)
        if "truncated" in fault:
            over = (False, True)
        return obs, reward, *over

    def close(self):
        self.happens("close")

    def happens(self, where: str) -> bool:
        """Whether the fault is due here; what can be done about it at once is done."""
        if not self.fault.startswith(where) or (self.only is not None and self.tag != self.only):
            return False
        if self.marker is not None:
            try:
                os.close(os.open(self.marker, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return False
        if "raise" in self.fault:
            raise ZeroDivisionError("the pole is gone")
        if "hang" in self.fault:
            time.sleep(1000)
        if "kill" in self.fault:
            os.kill(os.getpid(), signal.SIGKILL)
        if "segv" in self.fault:
            os.kill(os.getpid(), signal.SIGSEGV)
        if "exit" in self.fault:
            os._exit(7)
        return True


class Spaced(gymnasium.Env):
    """Any spaces; observations are drawn from them, and actions that are not in theirs are refused."""

    def __init__(self, observation_space, action_space, length: int = 4):
        self.observation_space, self.action_space = copy.deepcopy(observation_space), action_space
        self.length = length

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.t = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        assert self.action_space.contains(action), f"{action!r} is not in {self.action_space}"
        self.t += 1
        return self.observation_space.sample(), 1.0, False, self.t == self.length, {}


class Masked(Counting):
    """A Counting with actions that are valid only now and then, told in one of the three ways. Refuses others."""

    def __init__(self, how: str, multi: bool = False):
        super().__init__()
        self.how = how
        self.action_space = spaces.MultiDiscrete([3, 2]) if multi else spaces.Discrete(3)
        self.n = 5 if multi else 3
        if how == "entry":
            self.observation_space = spaces.Dict(
                {"seen": self.observation_space, "action_mask": spaces.MultiBinary(self.n)}
            )
        if how == "method":
            self.action_masks = self.mask

    def mask(self):
        mask = np.zeros(self.n, np.int8)
        mask[self.t % 3] = 1
        mask[3:] = 1
        return mask

    def told(self, obs):
        if self.how == "entry":
            return {"seen": obs, "action_mask": self.mask()}
        return obs

    def info(self):
        return {"action_mask": self.mask()} if self.how == "info" else {}

    def reset(self, *, seed=None, options=None):
        obs, _ = super().reset(seed=seed)
        return self.told(obs), self.info()

    def step(self, action):
        assert self.mask()[np.ravel(action)[0]], "an action that the mask forbids"
        obs, reward, terminated, truncated, _ = super().step(int(np.ravel(action)[0]))
        return self.told(obs), reward, terminated, truncated, self.info()
