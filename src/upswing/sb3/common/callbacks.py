"""Callbacks with Stable-Baselines3's names, methods and attributes.

Override what you need in `BaseCallback`. What it costs:

    _on_step        is called after every step of all environments, which keeps a rollout from being compiled. One that
                    only says `return True` is never called. False ends the training at once.
    _on_epoch       is called after each pass over the batch (not in Stable-Baselines3); False ends the update's epochs.
    the others      cost nothing to speak of.

EvalCallback, CheckpointCallback and EveryNTimesteps know in advance which calls they wait for. Where no callback needs
every step, they are served after the rollout, in order and with the step count of each call, before the update: the
policy is the same during a whole rollout. If one of them ends the training, it ends with that rollout.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from upswing.engine.contract import EpochView
from upswing.sb3.common.base_callback import BaseCallback, CallbackList, ConvertCallback, EventCallback, Locals
from upswing.sb3.common.evaluation import evaluate_policy
from upswing.sb3.common.vec_env import as_vec_env
from upswing.sb3.foreign import sync_normalization, vec_normalize_of

__all__ = [
    "BaseCallback",
    "CallbackList",
    "CheckpointCallback",
    "ConvertCallback",
    "EvalCallback",
    "EventCallback",
    "EveryNTimesteps",
    "ProgressBarCallback",
    "StopEpochsOnKL",
    "StopTrainingOnMaxEpisodes",
    "StopTrainingOnNoModelImprovement",
    "StopTrainingOnRewardThreshold",
]


class EveryNTimesteps(EventCallback):
    """Calls `callback` every `n_steps` environment steps."""

    def __init__(self, n_steps: int, callback: BaseCallback):
        super().__init__(callback)
        self.n_steps = n_steps
        self.last_time_trigger = 0

    def idle_calls(self) -> float:
        """The calls until `n_steps` have passed."""
        missing = self.n_steps - (self.num_timesteps - self.last_time_trigger)
        return max(0, math.ceil(missing / self.model.n_envs) - 1)

    def _on_step(self) -> bool:
        if self.num_timesteps - self.last_time_trigger < self.n_steps:
            return True
        self.last_time_trigger = self.num_timesteps
        return self._on_event()


class CheckpointCallback(BaseCallback):
    """Saves the model to `save_path`/`name_prefix`_STEPS_steps.safetensors every `save_freq` calls of n_envs steps each.

    The file holds weights, optimiser and settings, so that training can go on from it. With save_vecnormalize a
    VecNormalize saves itself beside it. There is no replay buffer to save.
    """

    def __init__(
        self,
        save_freq: int,
        save_path: str,
        name_prefix: str = "rl_model",
        save_replay_buffer: bool = False,
        save_vecnormalize: bool = False,
        verbose: int = 0,
    ):
        super().__init__(verbose)
        self.save_freq, self.save_path, self.name_prefix = save_freq, save_path, name_prefix
        self.save_vecnormalize = save_vecnormalize

    def idle_calls(self) -> float:
        """The calls before the next multiple of save_freq."""
        return self.save_freq - self.n_calls % self.save_freq - 1

    def _init_callback(self) -> None:
        os.makedirs(self.save_path, exist_ok=True)

    def _on_step(self) -> bool:
        if self.n_calls % self.save_freq == 0:
            path = self.model.save(Path(self.save_path) / f"{self.name_prefix}_{self.num_timesteps}_steps")
            if self.verbose >= 2:
                print(f"Saving model checkpoint to {path}")
            normalizer = self.model.get_vec_normalize_env()
            if self.save_vecnormalize and normalizer is not None:
                normalizer.save(
                    str(Path(self.save_path) / f"{self.name_prefix}_vecnormalize_{self.num_timesteps}_steps.pkl")
                )
        return True


class EvalCallback(EventCallback):
    """Evaluates the model in `eval_env` every `eval_freq` calls of n_envs steps each; 0 or less: never.

    `best_model_save_path` gets best_model.safetensors, `log_path` evaluations.npz (timesteps, results, ep_lengths and,
    where the environment speaks of success, successes). Tags: eval/mean_reward, eval/mean_ep_length, eval/success_rate.
    """

    def __init__(
        self,
        eval_env: Any,
        callback_on_new_best: BaseCallback | None = None,
        callback_after_eval: BaseCallback | None = None,
        n_eval_episodes: int = 5,
        eval_freq: int = 10_000,
        log_path: str | None = None,
        best_model_save_path: str | None = None,
        deterministic: bool = True,
        render: bool = False,
        verbose: int = 1,
        warn: bool = True,
    ):
        super().__init__(callback_after_eval, verbose)
        self.callback_on_new_best = callback_on_new_best
        if callback_on_new_best is not None:
            callback_on_new_best.parent = self
        self.n_eval_episodes, self.eval_freq = n_eval_episodes, eval_freq
        self.best_mean_reward = self.last_mean_reward = -np.inf
        self.deterministic, self.render, self.warn = deterministic, render, warn
        self.eval_env = as_vec_env(eval_env)
        self.best_model_save_path = best_model_save_path
        self.log_path = None if log_path is None else os.path.join(log_path, "evaluations")
        self.evaluations_timesteps: list[int] = []
        self.evaluations_results: list[list[float]] = []
        self.evaluations_length: list[list[int]] = []
        self.evaluations_successes: list[list[bool]] = []
        self._is_success_buffer: list[bool] = []

    def children(self) -> Iterator[BaseCallback]:
        """The callbacks after an evaluation and on a new best."""
        return (child for child in (self.callback, self.callback_on_new_best) if child is not None)

    def idle_calls(self) -> float:
        """The calls before the next multiple of eval_freq."""
        return self.eval_freq - self.n_calls % self.eval_freq - 1 if self.eval_freq > 0 else math.inf

    def _init_callback(self) -> None:
        for folder in (self.best_model_save_path, self.log_path and os.path.dirname(self.log_path)):
            if folder:
                os.makedirs(folder, exist_ok=True)

    def _on_step(self) -> bool:
        if self.eval_freq <= 0 or self.n_calls % self.eval_freq != 0:
            return True
        returns, lengths = self._evaluate()
        mean = float(np.mean(returns))
        self.last_mean_reward = mean
        self._report(returns, lengths)
        go_on = True
        if mean > self.best_mean_reward:
            if self.verbose >= 1:
                print("New best mean reward!")
            if self.best_model_save_path is not None:
                self.model.save(Path(self.best_model_save_path) / "best_model")
            self.best_mean_reward = mean
            if self.callback_on_new_best is not None:
                go_on = self.callback_on_new_best.on_step()
        return bool(go_on and self._on_event())

    def _evaluate(self) -> tuple[list[float], list[int]]:
        self._is_success_buffer = []
        sync_normalization(vec_normalize_of(self.model.venv), vec_normalize_of(self.eval_env))
        returns, lengths = evaluate_policy(
            self.model,
            self.eval_env,
            n_eval_episodes=self.n_eval_episodes,
            deterministic=self.deterministic,
            render=self.render,
            return_episode_rewards=True,
            callback=self._log_success_callback,
        )
        if self.log_path is not None:
            self.evaluations_timesteps.append(self.num_timesteps)
            self.evaluations_results.append(returns)
            self.evaluations_length.append(lengths)
            more: dict[str, Any] = {}
            if self._is_success_buffer:
                self.evaluations_successes.append(self._is_success_buffer)
                more["successes"] = self.evaluations_successes
            timesteps, results, ep_lengths = (
                self.evaluations_timesteps,
                self.evaluations_results,
                self.evaluations_length,
            )
            np.savez(self.log_path, timesteps=timesteps, results=results, ep_lengths=ep_lengths, **more)
        return returns, lengths

    def _log_success_callback(self, locals_: Locals, globals_: Locals) -> None:
        if locals_["done"] and locals_["info"].get("is_success") is not None:
            self._is_success_buffer.append(bool(locals_["info"]["is_success"]))

    def _report(self, returns: list[float], lengths: list[int]) -> None:
        self.logger.record("eval/mean_reward", float(np.mean(returns)))
        self.logger.record("eval/mean_ep_length", float(np.mean(lengths)))
        if self.verbose >= 1:
            print(f"Eval num_timesteps={self.num_timesteps}, episode_reward={_spread(returns)}")
            print(f"Episode length: {_spread(lengths)}")
        if self._is_success_buffer:
            rate = float(np.mean(self._is_success_buffer))
            self.logger.record("eval/success_rate", rate)
            if self.verbose >= 1:
                print(f"Success rate: {100 * rate:.2f}%")
        self.logger.record("time/total_timesteps", self.num_timesteps, exclude="tensorboard")
        self.logger.dump(self.num_timesteps)


class StopTrainingOnRewardThreshold(BaseCallback):
    """Ends the training when the best mean return of the EvalCallback that calls it reaches `reward_threshold`."""

    def __init__(self, reward_threshold: float, verbose: int = 0):
        super().__init__(verbose)
        self.reward_threshold = reward_threshold

    def _on_step(self) -> bool:
        best = _evaluations(self).best_mean_reward
        if best < self.reward_threshold:
            return True
        if self.verbose >= 1:
            print(
                f"Stopping training because the mean reward {best:.2f} is above the threshold {self.reward_threshold}"
            )
        return False


class StopTrainingOnNoModelImprovement(BaseCallback):
    """Ends the training after more than `max_no_improvement_evals` evaluations in a row without a new best.

    The first `min_evals` evaluations do not count. For an EvalCallback's callback_after_eval.
    """

    def __init__(self, max_no_improvement_evals: int, min_evals: int = 0, verbose: int = 0):
        super().__init__(verbose)
        self.max_no_improvement_evals, self.min_evals = max_no_improvement_evals, min_evals
        self.last_best_mean_reward = -np.inf
        self.no_improvement_evals = 0

    def _on_step(self) -> bool:
        best = _evaluations(self).best_mean_reward
        if self.n_calls > self.min_evals:
            self.no_improvement_evals = 0 if best > self.last_best_mean_reward else self.no_improvement_evals + 1
        self.last_best_mean_reward = best
        if self.no_improvement_evals <= self.max_no_improvement_evals:
            return True
        if self.verbose >= 1:
            print(
                f"Stopping training because the last {self.no_improvement_evals} evaluations brought no new best model"
            )
        return False


class StopTrainingOnMaxEpisodes(BaseCallback):
    """Ends the training after `max_episodes` × n_envs episodes in all."""

    def __init__(self, max_episodes: int, verbose: int = 0):
        super().__init__(verbose)
        self.max_episodes = max_episodes
        self.n_episodes = 0

    def _on_step(self) -> bool:
        self.n_episodes += int(np.sum(self.locals["dones"]))
        if self.n_episodes < self.max_episodes * self.training_env.num_envs:
            return True
        if self.verbose >= 1:
            print(f"Stopping training after {self.num_timesteps} steps and {self.n_episodes} episodes")
        return False


class StopEpochsOnKL(BaseCallback):
    """Ends an update's epochs after a pass whose mean approximate KL exceeds `max_kl`; training goes on.

    `target_kl` of PPO does the same after each minibatch. `n_stops` counts the updates that were cut short.
    """

    def __init__(self, max_kl: float, verbose: int = 0):
        super().__init__(verbose)
        self.max_kl = max_kl
        self.n_stops = 0

    def _on_epoch(self, view: EpochView) -> bool:
        if view.approx_kl <= self.max_kl:
            return True
        self.n_stops += 1
        if self.verbose >= 1:
            print(f"Ending the epochs after {view.epoch + 1}: KL {view.approx_kl:.4f} exceeds {self.max_kl}")
        return False


class ProgressBarCallback(BaseCallback):
    """Shows how much of the budget is done, rollout by rollout. `close` it whatever ends the training."""

    bar: Any = None

    def close(self) -> None:
        """Take the bar off the screen's bottom. Safe to call twice."""
        if self.bar is not None:
            self.bar.stop()

    def _on_training_start(self) -> None:
        from rich.progress import Progress

        self.bar = Progress()
        self.bar.start()
        self.task = self.bar.add_task("Training", total=self.locals["total_timesteps"], completed=self.num_timesteps)

    def _on_rollout_end(self) -> None:
        self.bar.update(self.task, completed=self.num_timesteps)


def _evaluations(callback: BaseCallback) -> EvalCallback:
    parent: Any = callback.parent
    assert hasattr(parent, "best_mean_reward"), f"{type(callback).__name__} must be given to an EvalCallback"
    return parent


def _spread(values: Any) -> str:
    return f"{np.mean(values):.2f} +/- {np.std(values):.2f}"
