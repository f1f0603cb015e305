"""The engine for MLP policies on the CPU: rollouts and updates in compiled code, in the policy's own memory."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from upswing.compiled.blas import one_blas_thread
from upswing.compiled.compiler import prepare
from upswing.compiled.random import streams
from upswing.config import TrainConfig, derive
from upswing.cores import own_cores
from upswing.engine.contract import EpochView, Hyper, Rollout, StepView, UpdateStats
from upswing.engine.native import advantages as advantage_kernels
from upswing.engine.native import rollout as rollout_kernels
from upswing.engine.native import tables
from upswing.engine.native.buffers import PolicyBuffers
from upswing.engine.native.crew import WORTH_SHARING, Crew, operations
from upswing.engine.native.layout import GAUSSIAN, KIND, LOG_STD
from upswing.engine.native.moments import NativeMoments
from upswing.engine.native.race import ALONE, Race
from upswing.engine.native.steppers import Steppers
from upswing.engine.native.stepwise import Lane, act_row, same_in_parts, store_row
from upswing.engine.native.storage import RolloutStorage
from upswing.engine.native.support import why_not_compiled
from upswing.engine.native.update import run_epochs
from upswing.engine.normalizer import Normalizer
from upswing.engine.placed import place
from upswing.envs.contract import Episode, Step, VectorEnv
from upswing.envs.native.vector import NativeVectorEnv
from upswing.envs.state import restore_environments
from upswing.envs.workers import WorkerVectorEnv
from upswing.errors import TrainingDiverged
from upswing.policies import ActorCritic, load_policy_arrays, policy_arrays
from upswing.run.snapshot import Snapshot, pack, unpack

TOGETHER, ALTERNATING = range(2)  # ways in which environments in workers step
STRETCH = 16  # steps for which one is tried

UPDATING = (run_epochs, advantage_kernels.gae, advantage_kernels.summarize, rollout_kernels.value_once)
COLLECTING = (rollout_kernels.collect,)  # from compiled environments
STEP_BY_STEP = (act_row, store_row, rollout_kernels.observe_once)  # from all others
"""The kernels of the engine; none depends on the environment or on the sizes of the policy."""


@dataclass
class Tally:
    """What adds up while a rollout is collected step by step."""

    reward: float = 0.0
    env_s: float = 0.0
    episodes: list[Episode] = field(default_factory=list)


def _crew(buffers: PolicyBuffers, batch_size: int, threads: int | None) -> tuple[Crew, Race]:
    """The crew that updates a policy, and the race between its threads and one alone where nobody chose a number.

    A quick minibatch is left to one thread: what sharing it would save, runs side by side make better use of.
    """
    if threads is None:
        worth = operations(buffers.layout.layers, batch_size) >= WORTH_SHARING
        crew = Crew(buffers, batch_size, own_cores() if worth else 1)
        return crew, Race(2 if crew.threads > 1 else 1, tries=3)
    return Crew(buffers, batch_size, threads), Race(1)


def unsupported(policy: ActorCritic, env: VectorEnv, config: TrainConfig) -> str | None:
    """What about these keeps the native engine from training them, as the end of a sentence; None where it can."""
    if place(env) is not None:
        return "its environments live on a device, as tensors"
    if config.collect == "overlap":
        return "collect asks for overlap"
    if config.amp != "off":
        return "amp asks for mixed precision"
    return why_not_compiled(policy)


class NativeEngine:
    """Collects rollouts and updates the policy in compiled code. Keeps what the torch engine keeps, in the same form."""

    name = "native"

    def __init__(
        self, config: TrainConfig, env: VectorEnv, policy: ActorCritic, env_seeds: list[int] | None, seed: int
    ):
        self.config, self.env, self.policy = config, env, policy
        self.buffers = PolicyBuffers(policy)
        self.normalizer = Normalizer(config, env.observation_space, env.n_envs)
        self.moments = NativeMoments(self.normalizer, self.buffers.layout.n_obs)
        batch_size = min(derive(config).batch_size, config.n_steps * env.n_envs)
        self.crew, self.sharing = _crew(self.buffers, batch_size, config.threads)
        self.streams = streams(np.random.SeedSequence(seed).spawn(2))  # action sampling, minibatch order
        self.num_timesteps = 0
        self.storage = RolloutStorage(config.n_steps, env, self.buffers.layout)
        self.steppers = Steppers(env, config.threads) if isinstance(env, NativeVectorEnv) else None
        self._prepare()
        self.lane = self._lane(slice(0, env.n_envs))
        self.lanes = self._halves()  # of the environments, where they can step alternately
        self.race = Race(1 + bool(self.lanes))
        self.reset(env_seeds)

    def _lane(self, where: slice) -> Lane:
        return Lane(self.storage, self.buffers, self.moments, self.streams[0], where)

    def _halves(self) -> tuple[Lane, ...]:
        """Two lanes where one half of the environments can step while the policy serves the other without any change
        of what is learned: not where statistics must first have seen all of them."""
        env, config = self.env, self.config
        if (
            not isinstance(env, WorkerVectorEnv)
            or env.halves is None
            or config.normalize_obs
            or config.normalize_reward
        ):
            return ()
        lanes = tuple(self._lane(env.rows_of(half)) for half in env.halves)
        with one_blas_thread():
            return lanes if same_in_parts(self.lane, lanes) else ()

    def _prepare(self) -> None:
        """Compile, or load, what training needs, so that no rollout or update is held up by it."""
        prepare([*UPDATING, *(COLLECTING if self.steppers is not None else STEP_BY_STEP)])

    def reset(self, seeds: list[int] | None = None) -> None:
        """Begin new episodes in every environment; what was learned stays."""
        self._observe(self.env.reset(seeds), take=True)
        self.normalizer.discounted[:] = 0.0

    @property
    def obs(self) -> np.ndarray:
        """The observations [N, ...] that the next actions are for, as the policy sees them."""
        return self.storage.current.reshape(self.env.n_envs, *self._obs_shape)

    @property
    def _obs_shape(self) -> tuple[int, ...]:
        return self.env.observation_space.shape or ()

    def collect(self, on_step: Callable[[StepView], bool | None] | None = None) -> Rollout:
        """The next n_steps of every environment; see the contract.

        With a compiled environment this is one call, unless `on_step` wants to see every step: then, and with any
        other environment, it is a compiled call for the policy around each step.
        """
        start = time.perf_counter()
        self.buffers.check()
        self.moments.take()
        self.storage.clear()
        try:
            with one_blas_thread():
                if self.steppers is not None and on_step is None:
                    rollout = self._collect_compiled(self.steppers)
                else:
                    rollout = self._collect_stepwise(on_step)
                self._value(self.storage.current, self.storage.last_values)
        finally:
            self.moments.give_back()
        rollout.collect_s = time.perf_counter() - start
        rollout.env_s = min(rollout.env_s, rollout.collect_s)
        return rollout

    def _collect_compiled(self, steppers: Steppers) -> Rollout:
        n_transitions = self.config.n_steps * self.env.n_envs
        total, episodes, env_s = steppers.collect(self.buffers, self.streams[0], self.storage, self.moments)
        self.num_timesteps += n_transitions
        return self.storage.rollout(episodes, total / n_transitions, env_s)

    def _collect_stepwise(self, on_step: Callable[[StepView], bool | None] | None) -> Rollout:
        tally, t, n_steps = Tally(), 0, self.config.n_steps
        for lane in (self.lane, *self.lanes):
            lane.begin()
        while t < n_steps:
            may_alternate = bool(self.lanes) and on_step is None
            stop = min(n_steps, t + STRETCH) if may_alternate and self.race.left else n_steps
            start = time.perf_counter()
            if may_alternate and self.race.way == ALTERNATING:
                self._alternate(t, stop, tally)
            else:
                self._together(t, stop, tally, on_step)
            if may_alternate and self.race.left and self.race.note((time.perf_counter() - start) / (stop - t)):
                self._tell_of_race()
            t = stop
        return self.storage.rollout(tally.episodes, tally.reward / max(1, int(self.storage.valid.sum())), tally.env_s)

    def _together(self, start: int, stop: int, tally: Tally, on_step: Callable[[StepView], bool | None] | None) -> None:
        """Steps `start` to `stop`: the policy serves all environments, then all step."""
        lane = self.lane
        for t in range(start, stop):
            actions = lane.act(t, refresh=t == start)
            before = time.perf_counter()
            step = self.env.step(actions)
            tally.env_s += time.perf_counter() - before
            self._store(t, lane, step, tally)
            if step.final_obs is not None:
                self._value_endings(t, _flat(step.final_obs))
            if on_step is not None:
                self.moments.give_back()
                ended = step.terminated | step.truncated
                on_step(StepView(t, self.num_timesteps, step.rewards, ended, step.episodes, actions, step))

    def _alternate(self, start: int, stop: int, tally: Tally) -> None:
        """Steps `start` to `stop`: while one half of the environments steps, the policy serves the other.

        The halves are served in a fixed order, so the actions drawn are those of `_together`.
        """
        env = self.env
        assert isinstance(env, WorkerVectorEnv) and env.halves is not None
        turns = list(zip(self.lanes, env.halves, strict=True))
        for lane, half in turns:
            env.step_async(lane.act(start, refresh=lane is self.lanes[0]), half)
        for t in range(start, stop):
            endings: list[np.ndarray] = []
            for lane, half in turns:
                before = time.perf_counter()
                step = env.step_wait(half)
                tally.env_s += time.perf_counter() - before
                self._store(t, lane, step, tally)
                if step.final_obs is not None:
                    endings.append(_flat(step.final_obs))
                if t + 1 < stop:
                    env.step_async(lane.act(t + 1), half)
            if endings:
                self._value_endings(t, np.concatenate(endings))

    def _store(self, t: int, lane: Lane, step: Step, tally: Tally) -> None:
        """Store the outcome of a step of the environments of `lane` in row `t`."""
        tally.reward += lane.store(t, step)
        self.num_timesteps += lane.n_envs
        if step.episodes:
            tally.episodes += step.episodes

    def _tell_of_race(self) -> None:
        together, alternating = (f"{1e3 * seconds:.3g} ms" for seconds in self.race.best)
        how = "the policy serves one half of the environments while the other steps"
        if self.race.way != ALTERNATING:
            how = "all environments step at once"
        self.env.notices.append(  # type: ignore[attr-defined]
            f"Worker processes: {how}, because a step of all takes {alternating} in halves and {together} at once."
        )

    def _value_endings(self, t: int, final: np.ndarray) -> None:
        """Store the values of the true last observations `final` [K, n_obs] of the episodes that ended in step `t`."""
        found, moments, storage = np.empty(len(final), np.float32), self.moments, self.storage
        if moments.scales_obs:
            raw, final = final, np.empty_like(final)
            rollout_kernels.observe_once(*moments.obs, self.normalizer.clip_obs, False, raw, final)
        self._value(final, found)
        storage.final_values[t][storage.terminated[t] | storage.truncated[t]] = found

    def _observe(self, obs: Any, take: bool = False) -> None:
        """Make `obs` [N, ...] the current observations, scaled where that is wanted, after the moments took it in."""
        moments, flat = self.moments, _flat(obs)
        if not moments.scales_obs:
            self.storage.current[:] = flat
            return
        if take:
            moments.take()
        rollout_kernels.observe_once(*moments.obs, self.normalizer.clip_obs, True, flat, self.storage.current)
        if take:
            moments.give_back()

    def _value(self, x: np.ndarray, out: np.ndarray) -> None:
        rollout_kernels.value_once(*self.buffers.forward, x, out, False)

    def update(
        self, rollout: Rollout, hyper: Hyper, on_epoch: Callable[[EpochView], bool | None] | None = None
    ) -> UpdateStats:
        """The statistics of one PPO update on `rollout`; see the contract. Raises TrainingDiverged, with the last
        finite weights in place, where a loss or gradient is not finite."""
        start = time.perf_counter()
        self.buffers.check()
        batch, order, figures = self._batch(rollout)
        totals = np.zeros(tables.N_TOTALS)
        totals[tables.ADAM_STEPS] = self.buffers.steps
        with one_blas_thread():
            if on_epoch is None:
                self._run(batch, order, hyper, hyper.n_epochs, totals)
            else:
                self._run_watched(batch, order, hyper, totals, on_epoch)
        self.buffers.steps = int(totals[tables.ADAM_STEPS])
        if totals[tables.DIVERGED]:
            raise TrainingDiverged(
                "A loss or gradient became NaN or infinite, and the step was not taken: lower learning_rate, and look "
                "for NaN or huge values in the environment's observations and rewards."
            )
        stats = self._stats(totals, figures, start)
        if self.sharing.left and stats.gradient_steps:
            self.sharing.note(stats.update_s / stats.gradient_steps)
        return stats

    def _batch(self, rollout: Rollout) -> tuple[tuple[np.ndarray, ...], np.ndarray, np.ndarray]:
        """The transitions as kernels read them, the rows of the valid ones, and statistics of the rollout."""
        config, storage, n = self.config, self.storage, self.config.n_steps * self.env.n_envs
        advantage_kernels.gae(
            rollout.rewards, rollout.values, rollout.last_values, rollout.terminated, rollout.truncated,
            rollout.final_values, rollout.valid, config.gamma, config.gae_lambda, config.bootstrap_terminations,
            storage.advantages, storage.returns,
        )  # fmt: skip
        order = np.flatnonzero(rollout.valid)
        values, figures = rollout.values.reshape(n), np.zeros(tables.N_ROLLOUT_FIGURES)
        advantages, returns = storage.advantages.reshape(n), storage.returns.reshape(n)
        over_all = config.normalize_advantage and config.advantage_scope == "batch"
        advantage_kernels.summarize(advantages, returns, values, order, over_all, storage.scaled, figures)
        obs = np.ascontiguousarray(rollout.obs, np.float32).reshape(n, -1)
        actions = np.ascontiguousarray(rollout.actions, np.float32).reshape(n, -1)
        return (obs, actions, rollout.log_probs.reshape(n), values, storage.scaled, returns), order, figures

    def _run(
        self, batch: tuple[np.ndarray, ...], order: np.ndarray, hyper: Hyper, n_epochs: int, totals: np.ndarray
    ) -> None:
        alone = self.sharing.way == ALONE
        self.crew.run(batch, order, self.streams[1], n_epochs, self._settings(hyper), totals, alone)

    def _run_watched(
        self,
        batch: tuple[np.ndarray, ...],
        order: np.ndarray,
        hyper: Hyper,
        totals: np.ndarray,
        on_epoch: Callable[[EpochView], bool | None],
    ) -> None:
        """Run the epochs one by one; the numbers are the same."""
        for epoch in range(hyper.n_epochs):
            self._run(batch, order, hyper, 1, totals)
            if totals[tables.STOPPED] or totals[tables.DIVERGED]:
                return
            n = totals[tables.EPOCH_MINIBATCHES]
            view = EpochView(epoch, totals[tables.EPOCH_KL] / n, totals[tables.EPOCH_CLIPPED] / n)
            if on_epoch(view) is False:
                return

    def _settings(self, hyper: Hyper) -> np.ndarray:
        config = self.config
        settings = np.zeros(tables.N_SETTINGS)
        settings[tables.LEARNING_RATE] = hyper.learning_rate
        settings[tables.CLIP_RANGE] = hyper.clip_range
        settings[tables.CLIP_RANGE_VF] = math.inf if hyper.clip_range_vf is None else hyper.clip_range_vf
        settings[tables.ENT_COEF] = hyper.ent_coef
        settings[tables.VF_COEF] = config.vf_coef
        settings[tables.MAX_GRAD_NORM] = config.max_grad_norm
        settings[tables.TARGET_KL] = math.inf if hyper.target_kl is None else hyper.target_kl
        settings[tables.ADAM_EPS] = config.adam_eps
        settings[tables.NORMALIZE] = config.normalize_advantage and config.advantage_scope == "minibatch"
        return settings

    def _stats(self, totals: np.ndarray, figures: np.ndarray, start: float) -> UpdateStats:
        """The update's figures, aggregated as metrics.py states."""
        t = totals.tolist()
        minibatches, steps = max(1.0, t[tables.N_MINIBATCHES]), max(1.0, t[tables.N_STEPS])
        f = figures.tolist()
        spread, mean = f[tables.RETURN_STD], f[tables.RETURN_MEAN]
        return UpdateStats(
            policy_gradient_loss=t[tables.POLICY_LOSS] / minibatches,
            value_loss=t[tables.VALUE_LOSS] / minibatches,
            entropy_loss=t[tables.ENTROPY_LOSS] / minibatches,
            loss=t[tables.LOSS],
            approx_kl=t[tables.EPOCH_KL] / max(1.0, t[tables.EPOCH_MINIBATCHES]),
            kl_update=t[tables.KL] / minibatches,
            kl_max=t[tables.KL_MAX],
            clip_fraction=t[tables.CLIPPED] / minibatches,
            # as in ppo/losses.py: nothing is explained where returns are constant up to rounding
            explained_variance=(
                1.0 - (f[tables.RESIDUAL_STD] / spread) ** 2 if spread**2 > 1e-12 * (1.0 + mean**2) else None
            ),
            grad_norm=t[tables.NORM] / steps,
            grad_norm_max=t[tables.NORM_MAX],
            grad_clip_fraction=t[tables.N_CLIPPED_STEPS] / steps,
            ratio_error=t[tables.RATIO_ERROR],
            adv_mean=f[tables.ADV_MEAN],
            adv_std=f[tables.ADV_STD],
            return_mean=mean,
            return_std=spread,
            value_bias=f[tables.RESIDUAL_MEAN] / spread if spread > 1e-6 * (1.0 + abs(mean)) else None,
            std=self._std(),
            n_epochs_done=int(t[tables.N_EPOCHS]),
            gradient_steps=int(t[tables.N_STEPS]),
            kl_stopped=bool(t[tables.STOPPED]),
            update_s=time.perf_counter() - start,
        )

    def _std(self) -> float | None:
        layout = self.buffers.layout
        if layout.head[KIND] != GAUSSIAN:
            return None
        at = layout.head[LOG_STD]
        return float(np.exp(self.buffers.params[at : at + layout.n_actions]).mean())

    def snapshot(self, environments: bool = True) -> Snapshot:
        """Weights, statistics, optimiser, generators and, where wanted, environments and the next observation."""
        rest = {
            "environment": self.env.get_state() if environments else None,
            "obs": self.obs.copy(),
            "discounted": self.normalizer.discounted.copy(),
            "streams": self.streams.copy(),
        }
        packed, arrays = pack(rest, "native")
        return Snapshot(
            model=policy_arrays(self.policy) | self.normalizer.arrays(),
            optimizer=self.buffers.adam_arrays(),
            environment=arrays,
            state={"engine": packed, "num_timesteps": self.num_timesteps},
        )

    def restore(self, snapshot: Snapshot, environments: bool = True) -> list[str]:
        """Continue from `snapshot`, of this engine or the other one; see the contract."""
        load_policy_arrays(self.policy, snapshot.model)
        self.buffers.bind()
        self.normalizer.load(snapshot.model)
        self.buffers.load_adam(snapshot.optimizer)
        if not environments:
            return []
        self.num_timesteps = int(snapshot.state["num_timesteps"])
        rest: dict[str, Any] = unpack(snapshot.state["engine"], snapshot.environment)
        lost = []
        if "streams" in rest:
            self.streams[...] = rest["streams"]
        else:
            lost.append("The other engine's random generators could not be restored: new ones are used.")
        if afresh := restore_environments(self.env, rest["environment"]):
            lost.append(afresh)
        else:
            self.storage.current[:] = _flat(rest["obs"])
            self.normalizer.discounted[:] = rest["discounted"]
        return lost

    def close(self) -> None:
        """Close the environments, and end the threads."""
        self.env.close()
        self.crew.close()
        if self.steppers is not None:
            self.steppers.close()


def _flat(obs: Any) -> np.ndarray:
    """Observations [N, ...] as kernels read them, float32 [N, n_obs]; the same memory where that is possible."""
    return np.ascontiguousarray(obs, np.float32).reshape(len(obs), -1)
