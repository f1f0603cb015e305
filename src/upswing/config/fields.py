"""Every hyperparameter, declared once: default, meaning, unit, sane range, and what too small and too large do.

The command line's flags and help, the TOML reader, the checks, the façade and the documentation all read this file.
Defaults are Stable-Baselines3's. `None` means "derived from the other settings", as each help text says.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from upswing.schedules import Setting


@dataclass(frozen=True)
class Word:
    """What is known about one hyperparameter beside its name, type and default."""

    group: str
    help: str
    unit: str = ""
    low: str = ""
    high: str = ""
    sane: tuple[float, float] | None = None  # outside it one is probably mistaken
    limits: tuple[float | None, float | None] | None = None  # outside it nothing works: an error
    choices: tuple[str, ...] | None = None
    aliases: tuple[str, ...] = ()  # further names: CleanRL's and ManiSkill's


def word(default: Any, group: str, help: str, **more: Any) -> Any:
    """A dataclass field that carries its Word."""
    metadata = {"word": Word(group, help, **more)}
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=metadata)
    return field(default=default, metadata=metadata)


WORLD, RUN, MIND, LEARNING, SCALING, EVALUATION, SAVING, MACHINE = (
    "Environment",
    "Run",
    "Policy",
    "Learning",
    "Normalisation",
    "Evaluation",
    "Saving",
    "Machine",
)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that decides a training, before anything is derived from it. Immutable; see `derive` and `check`."""

    # ── Environment ─────────────────────────────────────────────────────────────────────────────────────────────
    env: str | type | Callable[..., Any] = word(
        "CartPole-v1",
        WORLD,
        "Environment: a Gymnasium id, module:EnvId, or (in Python) a class or a function that makes one.",
        aliases=("env_id",),
    )
    env_kwargs: dict[str, Any] = word(
        {}, WORLD, "Keyword arguments for the environment, as key=value (repeat the flag) or as JSON."
    )
    n_envs: int = word(
        1,
        WORLD,
        "Environments that step side by side; a rollout holds n_envs × n_steps transitions.",
        unit="environments",
        low="Slow collection; one episode's luck dominates a rollout.",
        high="Fewer updates for the same total_timesteps; more memory.",
        sane=(1, 4096),
        limits=(1, None),
        aliases=("num_envs",),
    )
    vectorization: str = word(
        "auto",
        WORLD,
        "How environments are stepped: in this process, in worker processes, by both together (shared), by Gymnasium's "
        "vector environment, by EnvPool, compiled together with the policy (native), as tensors on the device that trains "
        "(device), or whichever measures fastest (auto).",
        choices=("auto", "serial", "workers", "shared", "gymnasium", "native", "envpool", "device"),
    )
    n_workers: int | None = word(
        None,
        WORLD,
        "Worker processes; by default one per core (one less where this process steps a share), at most one per environment.",
        unit="processes",
        limits=(1, None),
    )
    step_timeout_s: float = word(
        60.0,
        WORLD,
        "A worker that does not answer a step for this long is restarted.",
        unit="seconds",
        low="Slow but healthy environments are killed.",
        high="A hung environment stalls the run for long.",
        limits=(0, None),
    )
    max_worker_restarts: int = word(
        3, WORLD, "How often one worker may be restarted before the run stops with an error.", limits=(0, None)
    )
    action_masks: bool = word(
        True,
        WORLD,
        "Use the valid-action masks that an environment offers: an action_masks() method, or an 'action_mask' entry "
        "in its info or its Dict observation.",
    )

    # ── Run ─────────────────────────────────────────────────────────────────────────────────────────────────────
    out_dir: str = word("runs", RUN, "Parent folder of run folders.", aliases=("output_dir", "log_dir"))
    name: str | None = word(
        None, RUN, "Name of the run's folder; by default <env>-<time>-<seed>. Never overwritten.", aliases=("exp_name",)
    )
    checkpoint_path: str | None = word(
        None,
        RUN,
        "Start from these weights and normalisation statistics, with fresh counters and optimiser: a run folder, one "
        "of its checkpoints, or a saved model.",
        aliases=("checkpoint",),
    )
    seed: int = word(0, RUN, "Seed of everything random; the same seed gives the same run.", limits=(0, 2**32 - 1))
    total_timesteps: int = word(
        100_000,
        RUN,
        "The whole budget of environment steps, over all environments.",
        unit="steps",
        low="The policy has not finished learning.",
        high="Time spent after the curve is flat.",
        limits=(1, None),
    )
    rollout_rounding: str = word(
        "up",
        RUN,
        "Where total_timesteps is no whole number of rollouts: complete the last one (up, as Stable-Baselines3) or "
        "leave it out (down, as ManiSkill).",
        choices=("up", "down"),
    )

    # ── Policy ──────────────────────────────────────────────────────────────────────────────────────────────────
    policy: str | type = word(
        "MlpPolicy",
        MIND,
        "Policy: MlpPolicy, CnnPolicy, MultiInputPolicy, one of these with memory such as MlpLstmPolicy, FullyConvPolicy, "
        "or module:Class for one's own.",
    )
    policy_kwargs: dict[str, Any] = word(
        {},
        MIND,
        "Keyword arguments for the policy, as key=value or JSON: net_arch ([64, 64], or {pi: [...], vf: [...]}), "
        "activation_fn, log_std_init, ortho_init, share_trunk, squash_output.",
    )
    use_sde: bool = word(
        False, MIND, "Generalised state-dependent exploration for Box actions (Raffin et al. 2021, arXiv:2005.05719)."
    )
    sde_sample_freq: int = word(
        -1,
        MIND,
        "Draw new exploration noise every so many steps; -1 draws once per rollout. Only with use_sde.",
        unit="steps",
        limits=(-1, None),
    )

    # ── Learning ────────────────────────────────────────────────────────────────────────────────────────────────
    learning_rate: Setting = word(
        3e-4,
        LEARNING,
        "Adam's step size: a number, a schedule (linear:3e-4, cosine:…, piecewise:…), or adaptive:START on KL.",
        low="Learning crawls; approx_kl stays near zero.",
        high="The policy jumps: approx_kl and clip_fraction rise and the return collapses.",
        sane=(1e-5, 1e-2),
    )
    n_steps: int = word(
        2048,
        LEARNING,
        "Steps each environment takes in one rollout, before every update.",
        unit="steps",
        low="Fresh data, but noisy and short-sighted advantages; frequent updates.",
        high="Smooth advantages, but few updates for the same budget: slow to react.",
        sane=(4, 8192),
        limits=(1, None),
        aliases=("num_steps",),
    )
    batch_size: int | None = word(
        None,
        LEARNING,
        "Transitions in one minibatch, that is, in one gradient step; 64 unless n_minibatches is set.",
        unit="transitions",
        low="Noisy gradients, slow updates.",
        high="Few gradient steps for the same data.",
        sane=(16, 65536),
        limits=(1, None),
        aliases=("minibatch_size",),
    )
    n_minibatches: int | None = word(
        None,
        LEARNING,
        "Minibatches a rollout is split into: the alternative to batch_size, which is then derived.",
        unit="minibatches",
        low="Few gradient steps for the same data.",
        high="Small batches: noisy gradients.",
        limits=(1, None),
        aliases=("num_minibatches",),
    )
    n_epochs: int = word(
        10,
        LEARNING,
        "Passes over each rollout before it is thrown away.",
        unit="epochs",
        low="Samples are wasted: few gradient steps for the same experience.",
        high="The policy overfits to stale data; approx_kl and clip_fraction grow from epoch to epoch.",
        sane=(1, 30),
        limits=(1, None),
        aliases=("update_epochs",),
    )
    gamma: float = word(
        0.99,
        LEARNING,
        "Discount γ: a reward k steps ahead counts γ^k; the horizon is about 1/(1-γ) steps.",
        low="Short-sighted: delayed rewards go unseen.",
        high="Far-sighted, but values are large and noisy and learning is slow.",
        sane=(0.8, 0.9999),
        limits=(0, 1),
    )
    gae_lambda: float = word(
        0.95,
        LEARNING,
        "λ of generalised advantage estimation: 0 trusts the critic (one-step TD), 1 trusts the return (Monte Carlo).",
        low="Low variance, but the critic's errors become the policy's.",
        high="No bias, but the luck of whole episodes enters each advantage.",
        sane=(0.8, 1.0),
        limits=(0, 1),
    )
    clip_range: Setting = word(
        0.2,
        LEARNING,
        "ε: the objective ignores gains from moving an action's probability by more than a factor 1±ε. May be a schedule.",
        low="Timid steps.",
        high="Little protection against too large a step.",
        sane=(0.05, 0.4),
        aliases=("clip_coef",),
    )
    clip_range_vf: Setting | None = word(
        None,
        LEARNING,
        "Keep each new value within this distance of the old one; off by default. Depends on the scale of rewards.",
        low="The critic cannot follow the returns.",
        high="No effect.",
        sane=(0.1, 100.0),
    )
    normalize_advantage: bool = word(
        True,
        LEARNING,
        "Shift and scale advantages to mean 0 and standard deviation 1.",
        aliases=("norm_adv",),
    )
    advantage_scope: str = word(
        "minibatch",
        LEARNING,
        "Over what advantages are normalised: each minibatch (Stable-Baselines3, CleanRL) or the whole rollout (batch).",
        choices=("minibatch", "batch"),
    )
    bootstrap_terminations: bool = word(
        False,
        LEARNING,
        "Treat terminations like time limits, continuing the value beyond them. Wrong for most tasks; ManiSkill's own "
        "recipe does it, since success ends its episodes.",
    )
    ent_coef: Setting = word(
        0.0,
        LEARNING,
        "Weight of the entropy bonus, which rewards keeping several actions likely. May be a schedule.",
        low="The policy may settle early on a poor habit.",
        high="The policy stays random; σ of a continuous policy may run away.",
        sane=(0.0, 0.1),
    )
    vf_coef: float = word(
        0.5,
        LEARNING,
        "Weight of the value loss beside the policy loss.",
        low="A slow critic, hence noisy advantages.",
        high="With a shared trunk the critic crowds out the policy.",
        sane=(0.1, 1.0),
        limits=(0, None),
    )
    max_grad_norm: float = word(
        0.5,
        LEARNING,
        "Gradients are scaled down to this global L2 norm when they exceed it.",
        low="Every step is cut short (harmless under Adam, within reason).",
        high="No protection from a rare huge gradient.",
        sane=(0.1, 10),
        limits=(0, None),
    )
    target_kl: float | None = word(
        None,
        LEARNING,
        "Stop the epochs of an update as soon as a minibatch's KL exceeds 1.5 × this; off by default.",
        low="Updates stop almost at once; samples are wasted.",
        high="Never reached.",
        sane=(0.003, 0.1),
        limits=(0, None),
    )
    adam_eps: float = word(
        1e-5,
        LEARNING,
        "ε of Adam, which keeps steps finite where gradients are tiny.",
        low="Noise in tiny gradients is blown up to full steps.",
        high="Steps shrink towards those of plain gradient descent.",
        sane=(1e-8, 1e-3),
        limits=(0, None),
    )

    # ── Normalisation ───────────────────────────────────────────────────────────────────────────────────────────
    normalize_obs: bool = word(
        False, SCALING, "Scale each observation feature by its running mean and standard deviation."
    )
    normalize_reward: bool = word(
        False,
        SCALING,
        "Scale rewards by the running standard deviation of the discounted return. Reports stay raw.",
    )
    clip_obs: float = word(10.0, SCALING, "Normalised observations are clipped to ± this.", limits=(0, None))
    clip_reward: float = word(10.0, SCALING, "Normalised rewards are clipped to ± this.", limits=(0, None))

    # ── Evaluation ──────────────────────────────────────────────────────────────────────────────────────────────
    eval_freq: int | None = word(
        None,
        EVALUATION,
        "Evaluate every so many environment steps; by default twenty times over the run; 0 only at the end.",
        unit="steps",
        limits=(0, None),
    )
    n_eval_envs: int = word(
        10,
        EVALUATION,
        "Environments that evaluate side by side.",
        unit="environments",
        limits=(1, None),
        aliases=("num_eval_envs",),
    )
    n_eval_episodes: int = word(
        10,
        EVALUATION,
        "Episodes of one evaluation.",
        unit="episodes",
        low="The score is mostly luck.",
        high="Evaluations take longer than learning.",
        limits=(1, None),
    )
    eval_deterministic: bool = word(True, EVALUATION, "Evaluate the most likely action instead of a random draw.")
    early_stop_reward: float | None = word(
        None, EVALUATION, "Stop as soon as an evaluation's mean return reaches this."
    )
    stats_window_size: int = word(
        100,
        EVALUATION,
        "Episodes that rollout/ep_rew_mean and ep_len_mean are means over: the last so many.",
        unit="episodes",
        low="The curve shows the luck of single episodes.",
        high="The curve lags behind the policy.",
        limits=(1, None),
    )

    # ── Saving ──────────────────────────────────────────────────────────────────────────────────────────────────
    checkpoint_freq: int | None = word(
        None,
        SAVING,
        "Save every so many environment steps; by default ten times over the run; 0 only at the end.",
        unit="steps",
        limits=(0, None),
    )
    keep_checkpoints: int = word(3, SAVING, "How many checkpoints are kept, beside the best one.", limits=(1, None))

    # ── Machine ─────────────────────────────────────────────────────────────────────────────────────────────────
    device: str = word(
        "auto", MACHINE, "Where tensors live: cpu, cuda, cuda:1, or auto (the GPU for image observations)."
    )
    engine: str = word(
        "auto",
        MACHINE,
        "Which engine trains: native (compiled, MLP policies on the CPU), torch (everything), or auto.",
        choices=("auto", "torch", "native"),
    )
    collect: str = word(
        "sync",
        MACHINE,
        "Whether the next rollout is collected while the last one is learned from: sync (no), overlap (yes, one update "
        "stale, corrected by importance weights; torch engine), or auto, where measured times say that it pays.",
        choices=("sync", "overlap", "auto"),
    )
    amp: str = word(
        "off",
        MACHINE,
        "Mixed precision of the torch engine's networks: off, bf16, or fp16 with loss scaling. Weights and losses stay float32.",
        choices=("off", "bf16", "fp16"),
    )
    capture: str = word(
        "auto",
        MACHINE,
        "Whether the torch engine records gradient steps, and rollouts of environments on the device, as CUDA graphs and "
        "replays them: auto (on a GPU, where it can), on (or say why not; without a GPU the same functions are called), off.",
        choices=("auto", "on", "off"),
    )
    compile: bool = word(
        False,
        MACHINE,
        "Compile the torch engine's objective with torch.compile, which takes a minute and needs a C++ compiler.",
    )
    threads: int | None = word(
        None,
        MACHINE,
        "Threads for arithmetic; by default all cores for images, for vector observations one, or as many as measure faster "
        "where a minibatch is large or a compiled environment slow.",
        unit="threads",
        low="Large networks wait for one core.",
        high="Small networks spend their time handing work around.",
        limits=(1, None),
    )


FIELDS: dict[str, dataclasses.Field[Any]] = {f.name: f for f in dataclasses.fields(TrainConfig)}
WORDS: dict[str, Word] = {name: f.metadata["word"] for name, f in FIELDS.items()}
SCHEDULED = ("learning_rate", "clip_range", "clip_range_vf", "ent_coef")
ALIASES: dict[str, str] = {alias: name for name, w in WORDS.items() for alias in w.aliases}
