"""PPO with Stable-Baselines3's interface, trained by this project's engines."""

from __future__ import annotations

import math
import time
import warnings
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from upswing import training as loop
from upswing.agent import Agent
from upswing.config import TrainConfig, derive
from upswing.config import warnings as complaints
from upswing.engine.contract import Rollout
from upswing.engine.make import make_engine
from upswing.engine.normalizer import Normalizer
from upswing.envs.contract import Episode
from upswing.envs.spaces import encode_action_space, encode_space
from upswing.errors import ConfigError
from upswing.hooks import Hook, Record
from upswing.policies import POLICIES, load_policy_arrays, make_policy
from upswing.progress import Progress
from upswing.run.snapshot import Snapshot
from upswing.sb3 import model_file
from upswing.sb3.bridge import RolloutBuffer, StopTraining, hooks_for
from upswing.sb3.common.base_callback import as_callback
from upswing.sb3.common.callbacks import ProgressBarCallback
from upswing.sb3.common.logger import Logger, board_folder, record_iteration
from upswing.sb3.common.vec_env import VecEnv, VecNormalize, as_vec_env, check_spaces
from upswing.sb3.foreign import vec_normalize_of
from upswing.sb3.policy import Policy
from upswing.sb3.settings import LIVE, Settings, policy_name, refuse_buffers, usable_device
from upswing.seeds import spawn_seeds


class PPO:
    """An agent that learns by PPO. Keywords, methods and attributes are Stable-Baselines3's.

    `env` is an id, a Gymnasium Env or VectorEnv, what make_vec_env returns, or a vector environment of
    Stable-Baselines3. No preset is applied, and nothing is written unless tensorboard_log, a callback or `save` asks.
    A callback may set learning_rate, clip_range, clip_range_vf, ent_coef, n_epochs and target_kl on the model: the next
    update takes them. Differences from Stable-Baselines3:

    - schedules count the steps before a rollout, so that the last update does not have a learning rate of 0;
    - the printed table shows the update of its own iteration, not of the one before;
    - models are saved as .safetensors; its pickled .zip is refused.
    """

    policy_aliases = POLICIES

    def __init__(
        self,
        policy: Any,
        env: Any,
        learning_rate: Any = 3e-4,
        n_steps: int = 2048,
        batch_size: int = 64,
        n_epochs: int = 10,
        gamma: float = 0.99,
        gae_lambda: float = 0.95,
        clip_range: Any = 0.2,
        clip_range_vf: Any = None,
        normalize_advantage: bool = True,
        ent_coef: Any = 0.0,
        vf_coef: float = 0.5,
        max_grad_norm: float = 0.5,
        use_sde: bool = False,
        sde_sample_freq: int = -1,
        rollout_buffer_class: Any = None,
        rollout_buffer_kwargs: dict[str, Any] | None = None,
        target_kl: float | None = None,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: Any = "auto",
        _init_setup_model: bool = True,
    ):
        refuse_buffers(rollout_buffer_class, rollout_buffer_kwargs)
        self.policy_class = policy_name(policy)
        self.learning_rate, self.clip_range, self.clip_range_vf = learning_rate, clip_range, clip_range_vf
        self.n_steps, self.batch_size, self.n_epochs = n_steps, batch_size, n_epochs
        self.gamma, self.gae_lambda, self.normalize_advantage = gamma, gae_lambda, normalize_advantage
        self.ent_coef, self.vf_coef, self.max_grad_norm = ent_coef, vf_coef, max_grad_norm
        self.use_sde, self.sde_sample_freq, self.target_kl = use_sde, sde_sample_freq, target_kl
        self.stats_window_size, self.policy_kwargs = stats_window_size, dict(policy_kwargs or {})
        self.tensorboard_log, self.verbose = tensorboard_log, verbose
        self._asked_device = usable_device(device)
        self._take_seed(seed)

        self.policy = Policy(self)
        self.venv: VecEnv | None = None if env is None else as_vec_env(env)
        if self.venv is not None:
            self.observation_space, self.action_space = self.venv.observation_space, self.venv.action_space
        self.normalization = getattr(self.venv, "normalization", {})  # what a VecNormalize asks for
        self.training: loop.Training | None = None  # None without an environment
        self.rollout_buffer: RolloutBuffer | None = None
        self.num_timesteps = 0
        self.ep_info_buffer: deque[dict[str, Any]] = deque(maxlen=stats_window_size)
        self.ep_success_buffer: deque[bool] = deque(maxlen=stats_window_size)
        self._total_timesteps = 0
        self.settings = Settings(self)
        self._lost: dict[str, Any] = {}  # what stands in for Python functions that a file could not hold
        self._learned: Snapshot | None = None  # read from a file, for the engine that an environment will need
        self._progress = Progress()
        self._first_seeds: list[int] | None = None
        self._logger: Any = Logger()
        self._custom_logger = False
        if _init_setup_model:
            self._setup_model()

    def _take_seed(self, seed: int | None) -> None:
        """Without a seed one is drawn from torch's generator, so that torch.manual_seed makes a script repeatable."""
        self.seed = seed
        self._seed = int(torch.randint(2**31, ())) if seed is None else seed

    def _setup_model(self) -> None:
        """Make the policy, and with an environment the engine."""
        self.settings.show_schedules()
        config = self._config()
        if self.venv is None:
            self._loose = self._agent_without_env(config)
            return
        self._build(self._learned)
        self._comment(config)

    def _comment(self, config: TrainConfig) -> None:
        """Warn of uneven batches, as Stable-Baselines3 does; with verbose, say what else is odd, and what trains."""
        derived = derive(config)
        sentences = complaints(replace(config, total_timesteps=derived.pool))
        uneven = derived.pool % derived.batch_size > 0  # which the first sentence is about
        if uneven:
            warnings.warn(sentences.pop(0), UserWarning, stacklevel=4)
        if self.verbose >= 1 and self.training is not None and self.venv is not None:
            what = self.training.engine.name, self.venv.vector_env.description
            said = *sentences, *self.training.notices, f"Using {self.device} device, the {what[0]} engine, {what[1]}"
            print(*said, sep="\n")

    @property
    def agent(self) -> Agent:
        """The policy with what scales its observations."""
        return self.training.agent if self.training else self._loose

    @property
    def device(self) -> torch.device:
        """Where the policy's parameters are."""
        return self.agent.device

    @property
    def n_envs(self) -> int:
        """Environments that step side by side."""
        return self.venv.num_envs if self.venv else 1

    @property
    def logger(self) -> Any:
        """Where callbacks record values; new with each call of learn, unless set_logger gave one."""
        return self._logger

    def set_logger(self, logger: Any) -> None:
        """Use `logger`, anything with record and dump, from now on."""
        self._logger, self._custom_logger = logger, True

    def get_env(self) -> Any:
        """The environments that it learns from: a VecEnv, or Stable-Baselines3's own; None where it has none."""
        return self.venv.source if self.venv else None

    env = property(get_env)

    def get_vec_normalize_env(self) -> Any:
        """The VecNormalize around the environments, Stable-Baselines3's or ours, or None."""
        return self.venv if isinstance(self.venv, VecNormalize) else vec_normalize_of(self.venv)

    @property
    def _n_updates(self) -> int:
        return self.training.progress.n_updates if self.training else self._progress.n_updates

    @property
    def _current_progress_remaining(self) -> float:
        done = self.training.progress.num_timesteps if self.training else 0
        return max(0.0, 1.0 - done / max(1, self._total_timesteps))

    def _config(self) -> TrainConfig:
        name = self.venv.name if self.venv else "environment"
        return self.settings.config(self.policy_class, name, self.n_envs, self._seed, self._asked_device)

    def learn(
        self,
        total_timesteps: int,
        callback: Any = None,
        log_interval: int | None = 1,
        tb_log_name: str = "PPO",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> Self:
        """This model, after at least `total_timesteps` more environment steps: the last rollout is completed.

        `callback` is a callback, a function of (locals, globals), a Hook of this project, or a list of these. Every
        `log_interval` iterations the metrics are logged. With reset_num_timesteps=False counters and episodes go on
        where they stopped, and the budget is added to the steps already taken.
        """
        training = self._begin(math.ceil(total_timesteps), reset_num_timesteps, tb_log_name)
        self._log_interval = log_interval
        parts = list(callback) if isinstance(callback, list | tuple) else [callback]
        hooks = [part for part in parts if isinstance(part, Hook)]
        bar = ProgressBarCallback()
        bars = [bar] if progress_bar else []
        everyone = as_callback([part for part in (*parts, *bars) if part is not None and part not in hooks])
        everyone.init_callback(self)
        learn_locals = {"self": self, "total_timesteps": self._total_timesteps, "callback": everyone}
        learn_locals |= {"log_interval": log_interval, "tb_log_name": tb_log_name, "progress_bar": progress_bar}
        learn_locals |= {"reset_num_timesteps": reset_num_timesteps}
        try:
            loop.learn(training, [*hooks_for(self, everyone, learn_locals), *hooks])
        except StopTraining:
            pass
        finally:
            bar.close()
            if not self._custom_logger:
                self._logger.close()
            self.num_timesteps = training.engine.num_timesteps
            training.progress = replace(training.progress, num_timesteps=self.num_timesteps, changes={})
        everyone.on_training_end()
        return self

    def _begin(self, total_timesteps: int, fresh: bool, log_name: str) -> loop.Training:
        """The training, ready for a call of learn."""
        training = self._ready()
        assert self.venv is not None
        start = 0 if fresh else self.num_timesteps
        total = total_timesteps + start
        config = replace(training.config, total_timesteps=max(1, total))
        left = math.ceil(max(0, total_timesteps) / (config.n_envs * config.n_steps))
        training.config, training.derived = config, replace(derive(config), iterations=left)
        before = training.progress
        training.progress = Progress(
            num_timesteps=start,
            n_updates=before.n_updates,
            gradient_steps=before.gradient_steps,
            learning_rate=before.learning_rate,
            recent=() if fresh else before.recent,
        )
        training.begun_at, training.started = training.progress, time.perf_counter()
        training.engine.num_timesteps = self.num_timesteps = start
        if fresh or self.venv.owner is not training.engine:
            training.engine.reset(self._first_seeds)
            self._first_seeds, self.venv.owner = None, training.engine
            self._last_dones = np.ones(self.n_envs, bool)
        if fresh:
            self.ep_info_buffer = deque(maxlen=self.stats_window_size)
            self.ep_success_buffer = deque(maxlen=self.stats_window_size)
        self._total_timesteps, self._begun_with = total, self.settings.all()
        if not self._custom_logger:
            self._new_logger(log_name, fresh)
        return training

    def _new_logger(self, name: str, fresh: bool) -> None:
        self._logger.close()
        folder = board_folder(self.tensorboard_log, name, fresh) if self.tensorboard_log else None
        self._logger = Logger(self.verbose, folder)
        if folder and self.verbose >= 1:
            print(f"Logging to {folder}")

    def take_over_changes(self) -> None:
        """Let the coming update use the settings as they stand. Raises ConfigError for one that must not change."""
        assert self.training is not None
        changes = self.settings.changes(self._begun_with, self._current_progress_remaining)
        self.training.progress = replace(self.training.progress, changes=changes)

    def remember(self, episodes: list[Episode]) -> None:
        """Add finished episodes to ep_info_buffer and ep_success_buffer."""
        assert self.venv is not None
        for episode in episodes:
            self.ep_info_buffer.append(self.venv.episode_info(episode.ret, episode.length))
            if episode.success_at_end is not None:
                self.ep_success_buffer.append(episode.success_at_end)

    def note_rollout(self, rollout: Rollout) -> None:
        """Show `rollout` as rollout_buffer."""
        self.rollout_buffer = RolloutBuffer(rollout, self._last_dones, self.gamma, self.gae_lambda)
        self._last_dones = self.rollout_buffer.dones[-1].copy()

    def log_iteration(self, record: Record) -> None:
        """Record an iteration's metrics, and write them where it is time to."""
        record_iteration(self._logger, record)
        if self._log_interval and int(record["time/iterations"] or 0) % self._log_interval == 0:
            self.dump_logs()

    def dump_logs(self, iteration: int = 0) -> None:
        """Write what the logger holds."""
        self._logger.dump(step=self.num_timesteps)

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, Any]:
        """Actions for one observation or a batch of them, and the state after it; see Policy.predict."""
        return self.policy.predict(observation, state, episode_start, deterministic)

    def set_env(self, env: Any, force_reset: bool = True) -> None:
        """Learn from `env` from now on, beginning with new episodes. The number of environments may differ.

        Raises ConfigError where its spaces are others.
        """
        venv = as_vec_env(env)
        check_spaces(venv, self.observation_space, self.action_space)
        learned = self._snapshot()
        self.venv = venv
        self._build(learned)

    def set_random_seed(self, seed: int | None = None) -> None:
        """Start everything random anew from `seed`, with new episodes; None changes nothing."""
        if seed is None:
            return
        self._take_seed(seed)
        if self.venv is not None:
            self._build(model_file.bare(self._snapshot()))

    def _ready(self) -> loop.Training:
        """The training, built anew where a setting has changed that an engine cannot change."""
        if self.venv is None:
            raise ConfigError(
                "This model has no environment to learn from: give it one, PPO.load(path, env) or set_env(env)."
            )
        lost = [name for name, stand_in in self._lost.items() if self.settings.now(name) is stand_in]
        if not getattr(self.venv, "training", True):
            raise ConfigError("VecNormalize.training is False, but learning goes with its statistics: set it to True.")
        if lost:
            raise ConfigError(
                f"{lost[0]} was a Python function, which no file can hold: hand it over again, "
                f"PPO.load(path, env, {lost[0]}=...)."
            )
        config = self._config()
        assert self.training is not None
        same = {name: getattr(config, name) for name in (*LIVE, "total_timesteps")}
        if replace(self.training.config, **same) != config:
            self._build(self._snapshot())
        else:
            self.training.config = config
        return self.training

    def _build(self, learned: Snapshot | None) -> None:
        """Make the engine for the environment and the settings; it goes on from what was `learned`."""
        assert self.venv is not None
        config = self._config()
        seeds = spawn_seeds(self._seed, self.n_envs)
        own = self.venv.take_seeds()  # without a seed of the model the environments keep theirs
        self._first_seeds = own if self.seed is None else seeds.envs
        engine, notices = make_engine(config, seeds._replace(envs=self._first_seeds), self.venv.vector_env)
        if learned is not None:
            engine.restore(learned)
        progress = self.training.progress if self.training else self._progress
        agent = Agent(engine.policy, engine.normalizer, self._seed)
        self.training = loop.Training(config, derive(config), engine, agent, notices, time.perf_counter())
        self.training.progress = progress
        if isinstance(self.venv, VecNormalize):
            self.venv.normalizer = engine.normalizer

    def _agent_without_env(self, config: TrainConfig) -> Agent:
        if not hasattr(self, "observation_space"):
            raise ConfigError("PPO needs an environment: give an id, or an environment made with Gymnasium.")
        observation_space = encode_space(self.observation_space)
        policy = make_policy(config, observation_space, encode_action_space(self.action_space), self._seed)
        if config.device != "auto":
            policy.to(config.device)
        normalizer = Normalizer(config, observation_space, 1)
        if self._learned is not None:
            load_policy_arrays(policy, self._learned.model)
            normalizer.load(self._learned.model)
        return Agent(policy, normalizer, self._seed)

    def get_parameters(self) -> dict[str, dict[str, Any]]:
        """{"policy": the policy's state_dict}."""
        return {"policy": dict(self.policy.state_dict())}

    def set_parameters(self, load_path_or_dict: Any, exact_match: bool = True, device: Any = "auto") -> None:
        """Copy weights into the policy: from a file that `save` wrote, or from what get_parameters gives, also
        Stable-Baselines3's. The optimiser stays as it is. With exact_match=False names may be missing or unknown."""
        if not isinstance(load_path_or_dict, Mapping):
            saved = model_file.read(load_path_or_dict)[0].model
            load_policy_arrays(self.policy.module, saved)
            self.agent.normalizer.load(saved)
            return
        if "policy" not in load_path_or_dict:
            raise ConfigError("set_parameters needs a dict with the key 'policy', as get_parameters returns it.")
        self.policy.load_state_dict(load_path_or_dict["policy"], strict=exact_match)

    def save(self, path: Any, exclude: Any = None, include: Any = None) -> Path | None:
        """The file that now holds weights, optimiser, settings and counters: `path`, with .safetensors added.

        Python functions among the settings (schedules) cannot be saved: hand them to `load` again. Raises StorageError.
        """
        counters = {"num_timesteps": self.num_timesteps, "n_updates": self._n_updates}
        spaces_of = [model_file.space_to_json(space) for space in (self.observation_space, self.action_space)]
        rest = {
            "seed": self.seed,
            "verbose": self.verbose,
            "tensorboard_log": self.tensorboard_log and str(self.tensorboard_log),
        }
        return model_file.write(path, self._snapshot(), self._config(), {**counters, "spaces": spaces_of, "rest": rest})

    @classmethod
    def load(
        cls,
        path: Any,
        env: Any = None,
        device: Any = "auto",
        custom_objects: dict[str, Any] | None = None,
        print_system_info: bool = False,
        force_reset: bool = True,
        **kwargs: Any,
    ) -> Self:
        """The model that `save` wrote to `path`; further keywords, and custom_objects, replace its settings.

        Without `env` it can act, be evaluated and be saved. Raises StorageError where the file is damaged, another
        kind of file, or one of Stable-Baselines3's, and ConfigError where a setting does not fit.
        """
        learned, metadata = model_file.read(path)
        saved = model_file.unpack(metadata, path, {**(custom_objects or {}), **kwargs})
        model = cls(saved.policy, env, device=device, _init_setup_model=False, **saved.settings)
        if env is None:
            model.observation_space, model.action_space = saved.observation_space, saved.action_space
        else:
            check_spaces(model.venv, saved.observation_space, saved.action_space)
        model.num_timesteps = learned.state["num_timesteps"]
        model._learned, model.normalization = learned, saved.normalization
        model._progress = Progress(num_timesteps=model.num_timesteps, n_updates=saved.n_updates)
        model._setup_model()
        model._lost = {name: model.settings.now(name) for name in saved.lost}
        return model

    def _snapshot(self) -> Snapshot:
        """What was learned, without the environments."""
        if self.training is not None:
            return self.training.engine.snapshot(environments=False)
        assert self._learned is not None
        current = {name: array.detach().cpu().numpy() for name, array in self.policy.state_dict().items()}
        return replace(self._learned, model=self._learned.model | current)
