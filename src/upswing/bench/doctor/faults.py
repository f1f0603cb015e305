"""The faults of the benchmark: families with doses, what each is truly caused by, and in which half it counts."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from upswing.bench.doctor import programs, worlds
from upswing.bench.doctor.tasks import Task, half_of
from upswing.config import TrainConfig, derive
from upswing.doctor.remedies import rescaled, start_of
from upswing.envs.contract import VectorEnv
from upswing.hooks import Hook

if TYPE_CHECKING:
    import torch

Settings = Callable[[TrainConfig], Mapping[str, Any]]


@dataclass(frozen=True)
class Fault:
    """Something wrong with a training, and what a diagnosis should name."""

    family: str
    dose: str
    round: int  # see tasks.py
    causes: frozenset[str]  # keys of the doctor's causes; any of them is right
    settings: Settings | None = None  # a fault that the configuration shows
    world: Callable[[VectorEnv], worlds.World] | None = None  # one in the environment
    program: Callable[[], Hook] | None = None  # one in the trainer
    start: Callable[[torch.nn.Module], None] | None = None  # one in the first weights
    continuous_only: bool = False
    compiled_only: bool = False  # too dear elsewhere
    normalized_only: bool = False  # needs normalised observations
    speed: bool = False  # it costs time, not return

    @property
    def name(self) -> str:
        """family=dose."""
        return f"{self.family}={self.dose}"

    @property
    def half(self) -> str:
        """Tuning or reporting."""
        return half_of(self.round)

    @property
    def hidden(self) -> bool:
        """Whether it sits where no setting shows it: in the environment, in the trainer or in the first weights."""
        return self.settings is None or self.start is not None

    def suits(self, task: Task) -> bool:
        """Whether `task` can have this fault."""
        normalized = bool(task.config(0).normalize_obs)
        return (
            (task.continuous or not self.continuous_only)
            and (task.compiled or not self.compiled_only)
            and (normalized or not self.normalized_only)
        )


def _given(**settings: Any) -> Settings:
    return lambda config: settings


def _rate(factor: float) -> Settings:
    return lambda config: {"learning_rate": rescaled(config.learning_rate, factor)}


def _few_updates(iterations: int) -> Settings:
    """As many environments as leave `iterations` updates of the budget, minibatches growing with them."""

    def settings(config: TrainConfig) -> Mapping[str, Any]:
        shape = derive(config)
        pool = max(1, int(config.total_timesteps) // iterations)
        batch = max(1, pool // shape.n_minibatches)
        compiled = config.vectorization == "auto"
        size = {"n_envs": max(1, pool // config.n_steps)} if compiled else {"n_steps": max(1, pool // config.n_envs)}
        return {**size, "batch_size": batch, "n_minibatches": None}

    return settings


def _short_rollout(n_steps: int) -> Settings:
    return lambda config: {"n_steps": n_steps, "batch_size": min(derive(config).batch_size, n_steps * config.n_envs)}


def _log_std(value: float) -> Settings:
    return lambda config: {"policy_kwargs": {**config.policy_kwargs, "log_std_init": value}}


def _epochs(factor: int) -> Settings:
    return lambda config: {"n_epochs": factor * config.n_epochs}


def _entropy(factor: float, least: float) -> Settings:
    return lambda config: {"ent_coef": max(least, factor * float(config.ent_coef))}  # type: ignore[arg-type]


def _early_end(share: float) -> Settings:
    def settings(config: TrainConfig) -> Mapping[str, Any]:
        return {"learning_rate": f"piecewise:0={start_of(config.learning_rate):g},{share:g}=1e-8"}

    return settings


def _leap(factor: float) -> Settings:
    """The rate halves by the middle of the budget, then leaps, as when a resumed run restarts another schedule."""

    def settings(config: TrainConfig) -> Mapping[str, Any]:
        rate = start_of(config.learning_rate) or 0.0
        return {"learning_rate": f"piecewise:0={rate:g},0.5={rate / 2:g},0.501={factor * rate:g},1={factor * rate:g}"}

    return settings


def _whole_batch(config: TrainConfig) -> Mapping[str, Any]:
    return {"batch_size": derive(config).pool, "n_minibatches": None}


def _single_step(config: TrainConfig) -> Mapping[str, Any]:
    return {**_whole_batch(config), "n_epochs": 1}


def _activation(name: str) -> Settings:
    return lambda config: {"policy_kwargs": {**config.policy_kwargs, "activation_fn": name}}


def _network(widths: list[int]) -> Settings:
    return lambda config: {"policy_kwargs": {**config.policy_kwargs, "net_arch": widths}}


def _family(name: str, round_: int, causes: str, doses: Mapping[str, dict[str, Any]], **more: Any) -> list[Fault]:
    return [Fault(name, dose, round_, frozenset(causes.split()), **{**more, **how}) for dose, how in doses.items()]


def _world(kind: Callable[..., worlds.World], **how: Any) -> dict[str, Any]:
    return {"world": functools.partial(kind, **how)}


FAULTS: tuple[Fault, ...] = (
    # the first round
    *_family("lr_high", 1, "lr_high", {k: {"settings": _rate(f)} for k, f in (("x3", 3), ("x10", 10), ("x30", 30))}),
    *_family("gamma_low", 1, "gamma_low", {g: {"settings": _given(gamma=float(g))} for g in ("0.5", "0.8")}),
    *_family("ent_high", 1, "ent_high", {
        "x30": {"settings": _entropy(30, 0.1)}, "x300": {"settings": _entropy(300, 1.0)},
    }),
    *_family("reward_large", 1, "reward_large", {
        "x1e4": _world(worlds.ScaledRewards, factor=1e4), "x100": _world(worlds.ScaledRewards, factor=100.0),
    }),
    *_family("obs_unscaled", 1, "obs_scale", {
        "1000": _world(worlds.UnscaledObservations, widest=1e3), "1e5": _world(worlds.UnscaledObservations, widest=1e5),
    }),
    *_family("few_updates", 1, "few_updates batch_large", {
        "4": {"settings": _few_updates(4)}, "10": {"settings": _few_updates(10)},
    }),
    *_family("limits_as_ends", 1, "time_limit_as_end", {"all": {"program": programs.LimitsAsEnds}}),
    *_family("stale_log_probs", 1, "stale_log_prob", {
        "1": {"program": functools.partial(programs.StaleLogProbs, 1)},
        "4": {"program": functools.partial(programs.StaleLogProbs, 4)},
    }),
    *_family("clip_small", 1, "clip_small", {"0.005": {"settings": _given(clip_range=0.005)}}),
    *_family("lambda_low", 1, "lambda_low", {"0": {"settings": _given(gae_lambda=0.0)}}),
    *_family("std_large", 1, "std_large actions_unscaled", {"e^2.5": {"settings": _log_std(2.5)}}, continuous_only=True),
    *_family("slow_env", 1, "env_heavy", {"1ms": _world(worlds.SlowWorld, seconds=1e-3)}, speed=True, compiled_only=True),
    # the second round
    *_family("lr_low", 2, "lr_low", {"/30": {"settings": _rate(1 / 30)}, "/300": {"settings": _rate(1 / 300)}}),
    *_family("epochs_many", 2, "epochs_many", {"x8": {"settings": _epochs(8)}}),
    *_family("adv_raw", 2, "adv_raw", {"off": {"settings": _given(normalize_advantage=False)}}),
    *_family("ends_bootstrapped", 2, "ends_bootstrapped", {
        "setting": {"settings": _given(bootstrap_terminations=True)}, "hidden": {"program": programs.EndsAsLimits},
    }),
    *_family("reward_small", 2, "reward_small", {"x1e-4": _world(worlds.ScaledRewards, factor=1e-4)}),
    *_family("reward_outliers", 2, "reward_outliers reward_large", {
        "1000": _world(worlds.RareHugeRewards, size=1e3, share=0.01),
    }),
    *_family("rewards_shuffled", 2, "out_of_step", {"all": {"program": programs.ShuffledRewards}}),
    *_family("actions_misplaced", 2, "action_ignored out_of_step", {"all": _world(worlds.MisplacedActions)}),
    *_family("actions_unscaled", 2, "actions_unscaled std_large", {
        "0.02": _world(worlds.UnscaledActions, factor=0.02),
    }, continuous_only=True),
    *_family("critic_detached", 2, "critic_untrained", {
        "hidden": {"program": functools.partial(programs.LeftOut, programs.CRITIC)}, "vf_coef": {"settings": _given(vf_coef=0.0)},
    }),
    *_family("normalizer_frozen", 2, "normalizer_frozen obs_scale", {
        "first": {"program": functools.partial(programs.FrozenNormalizer, 1)},
    }, normalized_only=True),
    *_family("normalizer_moved", 2, "normalizer_moved stale_log_prob", {
        "x1.5": {"program": functools.partial(programs.NormalizerMoved, 1.5)},
    }),
    *_family("gamma_high", 2, "gamma_high", {"0.9999": {"settings": _given(gamma=0.9999)}}),
    *_family("rollout_short", 2, "rollout_short rollout_small batch_small", {"4": {"settings": _short_rollout(4)}}),
    *_family("ent_none", 2, "ent_low", {"0": {"settings": _given(ent_coef=0.0)}}),
    *_family("std_small", 2, "std_small", {"e^-5": {"settings": _log_std(-5.0)}}, continuous_only=True),
    *_family("target_kl_small", 2, "target_kl_small", {"1e-4": {"settings": _given(target_kl=1e-4)}}),
    *_family("clip_large", 2, "clip_large", {"2": {"settings": _given(clip_range=2.0)}}),
    *_family("critic_dominates", 2, "critic_dominates", {"100": {"settings": _given(vf_coef=100.0)}}),
    *_family("schedule_short", 2, "schedule_short lr_low", {"0.1": {"settings": _early_end(0.1)}}),
    *_family("slow_update", 2, "update_work batch_tiny device", {
        "20ms": {"program": functools.partial(programs.SlowUpdate, 0.02)},
    }, speed=True, compiled_only=True),
    # the third round
    *_family("obs_delayed", 3, "out_of_step", {
        k: _world(worlds.DelayedObservations, steps=int(k)) for k in ("1", "4")
    }),
    *_family("rewards_late", 3, "out_of_step", {"10": _world(worlds.LateRewards, steps=10)}),
    *_family("rewards_flipped", 3, "out_of_step", {
        "half": _world(worlds.FlippedRewards, share=0.5), "all": _world(worlds.FlippedRewards, share=1.0),
    }),
    *_family("reward_offset", 3, "reward_large", {"100": _world(worlds.ShiftedRewards, by=100.0)}),
    *_family("ends_unseen", 3, "ends_bootstrapped", {"all": {"program": programs.EndsUnseen}}),
    *_family("units_dead", 3, "units_dead", {"relu": {
        "settings": _activation("relu"), "start": functools.partial(programs.kill_units, bias=-10.0),
    }}),
    *_family("rate_ends", 3, "schedule_short lr_low", {"0.3": {"settings": _early_end(0.3)}}),
    *_family("minibatch_whole", 3, "batch_large", {"all": {"settings": _whole_batch}}),
    *_family("epochs_one", 3, "epochs_few", {"1": {"settings": _given(n_epochs=1)}}),
    *_family("adam_eps", 3, "eps_large", {"1": {"settings": _given(adam_eps=1.0)}}),
    *_family("grad_clip", 3, "grad_clip_small", {
        size: {"settings": _given(max_grad_norm=float(size))} for size in ("1e-3", "1e-5")
    }),
    *_family("value_clip", 3, "clip_vf_small", {"1e-3": {"settings": _given(clip_range_vf=1e-3)}}),
    *_family("net_tiny", 3, "net_small", {"1": {"settings": _network([1])}}),
    # the fourth round
    *_family("batch_tiny", 4, "batch_small batch_tiny", {"4": {"settings": _given(batch_size=4, n_minibatches=None)}}),
    *_family("gamma_one", 4, "gamma_high", {"1": {"settings": _given(gamma=1.0)}}),
    *_family("rate_leaps", 4, "resume_leap lr_high", {"x30": {"settings": _leap(30.0)}}),
    *_family("rewards_negated", 4, "out_of_step", {"all": {"program": programs.NegatedRewards}}),
    *_family("actor_left_out", 4, "not_in_optimiser", {
        "all": {"program": functools.partial(programs.LeftOut, programs.ACTOR)},
    }),
    *_family("data_stale", 4, "stale_log_prob", {"1": {"program": programs.StaleData}}),
    *_family("log_probs_wrong", 4, "stale_log_prob", {
        "0.5": {"program": functools.partial(programs.WrongLogProbs, 0.5)},
    }),
    *_family("obs_off_by_one", 4, "out_of_step stale_log_prob", {"1": {"program": programs.ObservationsOffByOne}}),
    *_family("actions_ignored", 4, "action_ignored out_of_step", {"0.8": _world(worlds.IgnoredActions, share=0.8)}),
    *_family("actions_late", 4, "out_of_step action_ignored", {"3": _world(worlds.LateActions, steps=3)}),
    # the fifth round
    *_family("update_once", 5, "epochs_few batch_large few_updates", {"1": {"settings": _single_step}}),
    *_family("rewards_constant", 5, "out_of_step sparse_reward", {"1": _world(worlds.ConstantRewards)}),
    *_family("rewards_at_end", 5, "sparse_reward out_of_step", {"sum": _world(worlds.RewardsAtEnd)}),
    *_family("rewards_swapped", 5, "out_of_step", {"all": _world(worlds.SwappedRewards)}),
    *_family("actions_weak", 5, "actions_unscaled action_ignored", {
        "0.05": _world(worlds.WeakActions, factor=0.05),
    }, continuous_only=True),
    *_family("obs_shuffled", 5, "out_of_step", {"features": _world(worlds.ShuffledFeatures)}),
    *_family("obs_frozen", 5, "out_of_step action_ignored", {"first": _world(worlds.FrozenObservations)}),
    *_family("values_swapped", 5, "out_of_step critic_untrained", {"all": {"program": programs.SwappedValues}}),
    # the sixth round
    *_family("clip_tiny", 6, "clip_small", {"1e-4": {"settings": _given(clip_range=1e-4)}}),
    *_family("rewards_noisy", 6, "reward_outliers reward_large out_of_step", {
        "10": _world(worlds.NoisyRewards, size=10.0),
    }),
    *_family("actions_held", 6, "action_ignored out_of_step", {"4": _world(worlds.HeldActions, steps=4)}),
    *_family("obs_cut", 6, "obs_scale out_of_step", {"0.1": _world(worlds.CutObservations, at=0.1)}),
)  # fmt: skip

BY_NAME = {fault.name: fault for fault in FAULTS}
