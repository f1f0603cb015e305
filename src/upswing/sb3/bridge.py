"""How callbacks take part in the training loop: they become its hooks."""

from __future__ import annotations

import time
import warnings
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from upswing.agent import Agent
from upswing.engine.contract import EpochView, Rollout, StepView
from upswing.envs.native import NativeVectorEnv
from upswing.envs.spaces import clip_to_space
from upswing.hooks import Hook, Record, RunInfo
from upswing.ppo.advantages import gae
from upswing.sb3.common.base_callback import BaseCallback, epochwise, idle_calls, skip_calls, stepwise

if TYPE_CHECKING:
    from upswing.sb3.ppo import PPO


class StopTraining(Exception):
    """A callback has returned False: `learn` ends at once."""


def hooks_for(model: PPO, callback: Any, learn_locals: dict[str, Any]) -> list[Hook]:
    """The hooks that serve `callback`: one that is called every step only where it needs that, likewise every epoch."""
    kind = StepwiseHook if stepwise(callback) else CallbackHook
    hooks: list[Hook] = [kind(model, callback, learn_locals)]
    asking = epochwise(callback)
    return [*hooks, EpochHook(asking)] if asking else hooks


class CallbackHook(Hook):
    """Calls a callback where the loop stands; its on_step after the rollout, for the calls that it waits for."""

    def __init__(self, model: PPO, callback: Any, learn_locals: dict[str, Any]):
        self.model, self.callback, self.learn_locals = model, callback, learn_locals

    def on_start(self, info: RunInfo) -> None:
        """Tell the callback that training, and its first rollout, begin."""
        self.callback.on_training_start(self.learn_locals, globals())
        if self._goes_on():
            self.callback.on_rollout_start()

    def on_notice(self, sentence: str) -> None:
        """Warn of what happened to the environments."""
        warnings.warn(sentence, UserWarning, stacklevel=2)

    def on_rollout(self, rollout: Rollout, num_timesteps: int) -> None:
        """Show the callback the rollout, and take over the settings that it changed."""
        model = self.model
        model.note_rollout(rollout)
        self._catch_up(rollout, num_timesteps)
        model.num_timesteps = num_timesteps
        self.callback.update_locals(self._locals_of_rollout())
        self.callback.on_rollout_end()
        model.take_over_changes()

    def on_iteration(self, record: Record, agent: Agent) -> None:
        """Log, and tell the callback that the next rollout begins."""
        self.model.log_iteration(record)
        if self._goes_on():
            self.callback.on_rollout_start()

    def _locals_of_rollout(self) -> dict[str, Any]:
        model, buffer = self.model, self.model.rollout_buffer
        assert buffer is not None
        last = {"rewards": buffer.rewards[-1].copy(), "dones": buffer.dones[-1]}
        return {
            "rollout_buffer": buffer,
            "n_steps": model.n_steps,
            "n_rollout_steps": model.n_steps,
            "env": model.env,
            **last,
        }

    def _catch_up(self, rollout: Rollout, num_timesteps: int) -> None:
        """The calls of this rollout's steps: those that do nothing are only counted."""
        model = self.model
        model.remember(rollout.episodes)
        left, at = model.n_steps, num_timesteps - model.n_steps * model.n_envs
        while left:
            idle = int(min(idle_calls(self.callback) or 0, left))
            left, at = left - idle, at + idle * model.n_envs
            if idle:
                skip_calls(self.callback, idle, at)
            if left:
                left, at = left - 1, at + model.n_envs
                model.num_timesteps = at
                if not self.callback.on_step():
                    raise StopTraining

    def _goes_on(self) -> bool:
        training = self.model.training
        assert training is not None
        return training.progress.iteration < training.derived.iterations


class StepwiseHook(CallbackHook):
    """Calls a callback after every step, with the step in its locals, and says after an iteration what that costs."""

    spent_s = 0.0
    calls = 0

    def on_step(self, view: StepView) -> None:
        """Call the callback's on_step. Raises StopTraining where it returns False."""
        start = time.perf_counter()
        model = self.model
        model.num_timesteps = view.num_timesteps
        self.callback.update_locals(self._locals(view))
        go_on = self.callback.on_step()
        model.remember(view.episodes)
        self.spent_s += time.perf_counter() - start
        self.calls += 1
        if not go_on:
            raise StopTraining

    def on_iteration(self, record: Record, agent: Agent) -> None:
        """Say once what the calls cost."""
        if self.calls == self.model.n_steps and self.model.verbose >= 1:
            self._say_what_it_costs(float(record["time/collect_s"] or 0.0))
        super().on_iteration(record, agent)

    def _say_what_it_costs(self, collect_s: float) -> None:
        env = self.model.venv
        names = ", ".join(type(callback).__name__ for callback in stepwise(self.callback))
        share = min(1.0, self.spent_s / max(1e-9, collect_s))
        compiled = env is not None and isinstance(env.vector_env, NativeVectorEnv)
        print(
            f"{names}: called after every step, {1e6 * self.spent_s / self.calls:.0f} µs a call, {100 * share:.0f} % of this "
            f"rollout's time{'; without it the rollout would be one compiled call' if compiled else ''}."
        )

    def _catch_up(self, rollout: Rollout, num_timesteps: int) -> None:
        """Nothing: every call was made in time."""

    def _locals(self, view: StepView) -> dict[str, Any]:
        env, step = self.model.venv, view.outcome
        assert env is not None and step is not None
        return {
            "self": self.model,
            "env": env.source,
            "callback": self.callback,
            "n_steps": view.step,
            "n_rollout_steps": self.model.n_steps,
            "actions": np.array(view.actions),
            "clipped_actions": clip_to_space(np.asarray(view.actions), env.action_space),
            "new_obs": env.decode(step.obs),
            "rewards": np.array(view.rewards),
            "dones": np.array(view.dones),
            "infos": env.infos(step),
        }


class EpochHook(Hook):
    """Lets callbacks end the epochs of an update."""

    def __init__(self, callbacks: list[BaseCallback]):
        self.callbacks = callbacks

    def on_epoch(self, view: EpochView) -> bool:
        """Whether to go on with this update's epochs; every callback sees every epoch."""
        answers = [callback.on_epoch(view) for callback in self.callbacks]
        return all(answers)


class RolloutBuffer:
    """A rollout as arrays [n_steps, n_envs, ...] under Stable-Baselines3's names. Good until the next rollout begins.

    Observations are as the policy saw them and rewards as it learns from them, without the value of a truncated
    episode's last observation, which is accounted for in `advantages` and `returns`.
    """

    full = True

    def __init__(self, rollout: Rollout, starts: np.ndarray, gamma: float, gae_lambda: float):
        self._rollout, self._starts = rollout, starts
        self.gamma, self.gae_lambda = gamma, gae_lambda
        self.buffer_size, self.n_envs = (int(n) for n in np.shape(rollout.rewards)[:2])
        self.pos = self.buffer_size

    @property
    def observations(self) -> Any:
        """[n_steps, n_envs, ...], or a dict of such."""
        obs = self._rollout.obs
        return {key: _array(part) for key, part in obs.items()} if isinstance(obs, dict) else _array(obs)

    @property
    def actions(self) -> np.ndarray:
        """As sampled, before any clipping."""
        return _array(self._rollout.actions)

    @property
    def rewards(self) -> np.ndarray:
        """[n_steps, n_envs]."""
        return _array(self._rollout.rewards)

    @property
    def values(self) -> np.ndarray:
        """[n_steps, n_envs]: the critic's, before the update."""
        return _array(self._rollout.values)

    @property
    def log_probs(self) -> np.ndarray:
        """[n_steps, n_envs]."""
        return _array(self._rollout.log_probs)

    @property
    def episode_starts(self) -> np.ndarray:
        """[n_steps, n_envs] bool: whether the observation is an episode's first."""
        return np.concatenate([self._starts[None], self.dones[:-1]])

    @property
    def dones(self) -> np.ndarray:
        """[n_steps, n_envs] bool: whether the step ended an episode."""
        return _array(self._rollout.terminated) | _array(self._rollout.truncated)

    @property
    def advantages(self) -> np.ndarray:
        """[n_steps, n_envs], not normalised."""
        return self._estimates[0]

    @property
    def returns(self) -> np.ndarray:
        """[n_steps, n_envs]: what the critic learns."""
        return self._estimates[1]

    @cached_property
    def _estimates(self) -> tuple[np.ndarray, np.ndarray]:
        r = self._rollout
        ended = (r.terminated, r.truncated, r.final_values)
        fields: Any = [torch.as_tensor(_array(each)) for each in (r.rewards, r.values, r.last_values, *ended)]
        advantages, returns = gae(*fields, self.gamma, self.gae_lambda)  # type: ignore[call-arg]
        return advantages.numpy(), returns.numpy()


def _array(values: Any) -> np.ndarray:
    return values.detach().cpu().numpy() if hasattr(values, "detach") else np.asarray(values)
