"""Published recipes by environment: plain data, each with its source and the return it is known to reach.

The numbers are those of RL-Zoo (DLR-RM/rl-baselines3-zoo), file hyperparams/ppo.yml at commit 22e3ff2 (MuJoCo and walkers: 208b6fd), except
where a preset names another source; what a recipe leaves out is Stable-Baselines3's default, which is also Upswing's. RL-Zoo's `normalize: true` scales observations
and rewards. Expected returns are from its benchmark.md: one training each, deterministic policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from upswing.config import TrainConfig, canonical, coerce
from upswing.errors import ConfigError

ALTERNATIVES = ("batch_size", "n_minibatches")  # whoever sets one means to replace the other
RL_ZOO = "RL-Zoo, hyperparams/ppo.yml"
MANISKILL = "ManiSkill, examples/baselines/ppo/examples.sh"


@dataclass(frozen=True)
class Preset:
    """A recipe for one environment: settings that replace the defaults."""

    settings: Mapping[str, Any]  # TrainConfig fields, env among them
    source: str
    expected: float | None  # mean return of the final, deterministic policy; None where none is published
    expected_from: str
    note: str = ""

    @property
    def total_timesteps(self) -> int:
        """The recipe's budget, in environment steps."""
        return self.settings["total_timesteps"]


def _zoo(
    env: str, expected: float, steps: int, *, entry: str = "", expected_from: str = "", note: str = "", **settings: Any
) -> Preset:
    benchmark = expected_from or f"RL-Zoo, benchmark.md, {entry or env}"
    source = f"{RL_ZOO}, entry {entry or env}"
    return Preset({"env": env, "total_timesteps": steps, **settings}, source, expected, benchmark, note)


_LUNAR: dict[str, Any] = {
    "n_envs": 16,
    "n_steps": 1024,
    "batch_size": 64,
    "gae_lambda": 0.98,
    "gamma": 0.999,
    "n_epochs": 4,
    "ent_coef": 0.01,
}

_MANISKILL: dict[str, Any] = {  # what all of ManiSkill's recipes for ppo.py share
    "gamma": 0.8,
    "gae_lambda": 0.9,
    "n_epochs": 8,
    "learning_rate": 3e-4,
    "target_kl": 0.1 / 1.5,  # ManiSkill stops at the target itself, Stable-Baselines3 at 1.5 times it
    "bootstrap_terminations": True,
    "rollout_rounding": "down",
    "policy_kwargs": {"net_arch": [256, 256, 256], "log_std_init": -0.5},
}


_FULLY_CONV = {  # best mean scores of Vinyals et al. 2017 (arXiv:1708.04782)
    "MoveToBeacon": 26,
    "CollectMineralShards": 103,
    "FindAndDefeatZerglings": 45,
    "DefeatRoaches": 100,
    "DefeatZerglingsAndBanelings": 62,
    "CollectMineralsAndGas": 3978,
    "BuildMarines": 3,
}


def _mini_game(name: str, published: int) -> Preset:
    settings = {"policy": "FullyConvPolicy", "n_envs": 3, "n_steps": 64, "batch_size": 64, "n_epochs": 4}
    settings |= {"learning_rate": 5e-4, "ent_coef": 1e-3, "gamma": 0.95, "n_eval_envs": 1, "n_eval_episodes": 10}
    return Preset(
        {"env": name, "env_kwargs": {"step_mul": 8}, "total_timesteps": 1_000_000, "eval_freq": 100_000, **settings},
        "Upswing, a first guess; see docs/starcraft.md",
        None,
        f"not measured; Vinyals et al. 2017 publish {published} for their agent FullyConv",
        "Each environment is a game of its own, with about a gigabyte of memory.",
    )


def _maniskill(task: str, steps: int, expected: float | None, expected_from: str, **sizes: Any) -> Preset:
    """A recipe for one or two cores, with ManiSkill's settings at a size that they can afford."""
    settings = {**_MANISKILL, "n_envs": 32, "n_steps": 32, "n_minibatches": 8, **sizes}
    return Preset(
        {"env": task, "total_timesteps": steps, "env_kwargs": {"sim_backend": "physx_cpu"}, **settings},
        f"{MANISKILL}, sized for a CPU",
        expected,
        expected_from,
        f"For a GPU take --preset {task}-gpu, which is ManiSkill's own recipe.",
    )


def _maniskill_gpu(task: str, steps: int, every: int, **sizes: Any) -> Preset:
    """ManiSkill's own recipe; it evaluates 8 episodes after `every` iterations."""
    settings = {**_MANISKILL, "n_minibatches": 32, "n_eval_envs": 8, "n_eval_episodes": 8, **sizes}
    return Preset(
        {
            "env": task,
            "total_timesteps": steps,
            "env_kwargs": {"sim_backend": "physx_cuda"},
            "device": "cuda",
            "eval_freq": every * sizes["n_envs"] * sizes["n_steps"],
            **settings,
        },
        MANISKILL,
        None,
        "ManiSkill publishes curves of success only",
    )


_ATARI: dict[str, Any] = {
    # what Stable-Baselines3's AtariWrapper does; ALE's own default repeats an action with probability 0.25
    "env_kwargs": {"repeat_action_probability": 0.0, "episodic_life": True},
    "policy": "CnnPolicy",
    "n_envs": 8,
    "n_steps": 128,
    "n_epochs": 4,
    "batch_size": 256,
    "learning_rate": "linear:0.00025",
    "clip_range": "linear:0.1",
    "vf_coef": 0.5,
    "ent_coef": 0.01,
    "eval_deterministic": False,  # as RL-Zoo: the most likely action alone can be stuck for good in a game without chance
}

_WIDE: dict[str, Any] = {  # the networks of RL-Zoo's tuned MuJoCo recipes
    "log_std_init": -2,
    "ortho_init": False,
    "activation_fn": "relu",
    "net_arch": {"pi": [256, 256], "vf": [256, 256]},
}

_CLEANRL: dict[str, Any] = {  # it halves its value loss, hence vf_coef; its clipping of values is left out
    "normalize_obs": True,
    "normalize_reward": True,
    "n_envs": 1,
    "n_steps": 2048,
    "n_minibatches": 32,
    "n_epochs": 10,
    "learning_rate": "linear:0.0003",
    "vf_coef": 0.25,
}

PRESETS: dict[str, Preset] = {
    "CartPole-v1": _zoo(
        "CartPole-v1",
        500.0,
        100_000,
        n_envs=8,
        n_steps=32,
        batch_size=256,
        gae_lambda=0.8,
        gamma=0.98,
        n_epochs=20,
        learning_rate="linear:0.001",
        clip_range="linear:0.2",
    ),
    "Acrobot-v1": _zoo(
        "Acrobot-v1",
        -73.5,
        1_000_000,
        normalize_obs=True,
        normalize_reward=True,
        n_envs=16,
        n_steps=256,
        gae_lambda=0.94,
        gamma=0.99,
        n_epochs=4,
    ),
    "Pendulum-v1": _zoo(
        "Pendulum-v1",
        -172.2,
        100_000,
        n_envs=4,
        n_steps=1024,
        gae_lambda=0.95,
        gamma=0.9,
        n_epochs=10,
        learning_rate=1e-3,
        clip_range=0.2,
        use_sde=True,
        sde_sample_freq=4,
    ),
    "MountainCar-v0": _zoo(
        "MountainCar-v0",
        -110.4,
        1_000_000,
        normalize_obs=True,
        normalize_reward=True,
        n_envs=16,
        n_steps=16,
        gae_lambda=0.98,
        gamma=0.99,
        n_epochs=4,
    ),
    "MountainCarContinuous-v0": _zoo(
        "MountainCarContinuous-v0",
        88.3,
        20_000,
        note="The published batch_size of 256 exceeds the rollout of 8, so that each epoch is one gradient step.",
        normalize_obs=True,
        normalize_reward=True,
        n_envs=1,
        n_steps=8,
        batch_size=256,
        gamma=0.9999,
        learning_rate=7.77e-5,
        ent_coef=0.00429,
        clip_range=0.1,
        n_epochs=10,
        gae_lambda=0.9,
        max_grad_norm=5.0,
        vf_coef=0.19,
        use_sde=True,
        policy_kwargs={"log_std_init": -3.29, "ortho_init": False},
    ),
    "PushBlock-v0": Preset(
        {
            "env": "PushBlock-v0",
            "total_timesteps": 320_000,
            "n_envs": 256,
            "n_steps": 25,
            "n_minibatches": 32,
            "n_epochs": 4,
            "gamma": 0.8,
            "gae_lambda": 0.9,
            "learning_rate": 2e-3,
            "policy_kwargs": {"net_arch": [32, 32]},
        },
        "Upswing, docs/lab.md; the shape of ManiSkill's PushCube recipe",
        41.5,
        "Upswing, 5 seeds",
        "Solved where the block reaches the goal in 95 % of the episodes.",
    ),
    "LunarLander-v3": _zoo(
        "LunarLander-v3", 242.1, 1_000_000, expected_from="RL-Zoo, benchmark.md, LunarLander-v2", **_LUNAR
    ),
    "LunarLanderContinuous-v3": _zoo(
        "LunarLanderContinuous-v3",
        270.9,
        1_000_000,
        expected_from="RL-Zoo, benchmark.md, LunarLanderContinuous-v2",
        **_LUNAR,
    ),
    "InvertedPendulum-v5": Preset(
        {"env": "InvertedPendulum-v5", "total_timesteps": 1_000_000, **_CLEANRL},
        "CleanRL, ppo_continuous_action.py",
        963.0,
        "CleanRL, documentation of ppo_continuous_action, 3 seeds (v4, training returns)",
        "RL-Zoo's recipe for this task reaches 1000 early and was seen to collapse later.",
    ),
    "BipedalWalker-v3": _zoo(
        "BipedalWalker-v3",
        287.9,
        5_000_000,
        normalize_obs=True,
        normalize_reward=True,
        n_envs=32,
        n_steps=2048,
        batch_size=64,
        gae_lambda=0.95,
        gamma=0.999,
        n_epochs=10,
        learning_rate=3e-4,
        clip_range=0.18,
    ),
    "Swimmer-v5": _zoo(
        "Swimmer-v5",
        281.6,
        1_000_000,
        entry="Swimmer-v4",
        expected_from="RL-Zoo, benchmark.md, Swimmer-v3",
        normalize_obs=True,
        normalize_reward=True,
        n_envs=4,
        n_steps=1024,
        batch_size=256,
        gamma=0.9999,
        learning_rate=6e-4,
        gae_lambda=0.98,
    ),
    "Ant-v5": Preset(
        {
            "env": "Ant-v5",
            "total_timesteps": 1_000_000,
            "normalize_obs": True,
            "normalize_reward": True,
            "n_envs": 64,
            "n_steps": 32,
            "batch_size": 64,
            "n_epochs": 10,
            "gamma": 0.99,
            "gae_lambda": 0.95,
            "learning_rate": "linear:0.0003",
            "vf_coef": 0.25,
            "policy_kwargs": {"log_std_init": -0.5},
        },
        "Tianshou, examples/mujoco, mujoco_ppo.py",
        1327.2,
        "RL-Zoo, benchmark.md, Ant-v3",
        "Tianshou publishes 3258 ± 1079 on v3, the best of each of 10 trainings up to 1M steps. Its recomputed advantages are "
        "left out. RL-Zoo's recipe (Stable-Baselines3's defaults) stood at 384 after 600k steps of v5, see docs/log.md.",
    ),
    "HalfCheetah-v5": _zoo(
        "HalfCheetah-v5",
        5819.1,
        1_000_000,
        entry="HalfCheetah-v4",
        expected_from="RL-Zoo, benchmark.md, HalfCheetah-v3",
        normalize_obs=True,
        normalize_reward=True,
        n_envs=1,
        n_steps=512,
        batch_size=64,
        gamma=0.98,
        learning_rate=2.0633e-5,
        ent_coef=0.000401762,
        clip_range=0.1,
        n_epochs=20,
        gae_lambda=0.92,
        max_grad_norm=0.8,
        vf_coef=0.58096,
        policy_kwargs=_WIDE,
    ),
    "Hopper-v5": Preset(
        {"env": "Hopper-v5", "total_timesteps": 1_000_000, **_CLEANRL},
        "CleanRL, ppo_continuous_action.py",
        2382.9,
        "CleanRL, documentation of ppo_continuous_action, 3 seeds (v4, training returns)",
        "RL-Zoo's recipe, with a published 2410 on v3, learned to stand still for 1015, see docs/log.md.",
    ),
    "Walker2d-v5": _zoo(
        "Walker2d-v5",
        3478.8,
        1_000_000,
        entry="Walker2d-v4",
        expected_from="RL-Zoo, benchmark.md, Walker2d-v3",
        normalize_obs=True,
        normalize_reward=True,
        n_envs=1,
        n_steps=512,
        batch_size=32,
        gamma=0.99,
        learning_rate=5.05041e-5,
        ent_coef=0.000585045,
        clip_range=0.1,
        n_epochs=20,
        gae_lambda=0.95,
        max_grad_norm=1.0,
        vf_coef=0.871923,
    ),
    "ALE/Pong-v5": _zoo(
        "ALE/Pong-v5",
        21.0,
        10_000_000,
        entry="atari",
        expected_from="RL-Zoo, benchmark.md, PongNoFrameskip-v4",
        **_ATARI,
    ),
    "ALE/Breakout-v5": _zoo(
        "ALE/Breakout-v5",
        398.0,
        10_000_000,
        entry="atari",
        expected_from="RL-Zoo, benchmark.md, BreakoutNoFrameskip-v4",
        **_ATARI,
    ),
    "ALE/RoadRunner-v5": Preset(
        {
            "env": "ALE/RoadRunner-v5",
            "total_timesteps": 150_000,
            **_ATARI,
            "env_kwargs": {**_ATARI["env_kwargs"], "img_height": 42, "img_width": 42},
            "learning_rate": "linear:0.001",
            "clip_range": 0.15,
        },
        "Upswing",
        None,
        "not published for this budget",
        "A game that two cores learn in minutes: pictures of half the usual width and height, and a short budget.",
    ),
    "PushCube-v1": _maniskill(
        "PushCube-v1", 150_000, 36.5, "measured with this preset after 105k steps, seed 0, see docs/log.md"
    ),
    "PickCube-v1": _maniskill("PickCube-v1", 2_000_000, None, "not measured", n_envs=64, n_steps=50),
    **{name: _mini_game(name, score) for name, score in _FULLY_CONV.items()},
    "PushCube-v1-gpu": _maniskill_gpu("PushCube-v1", 2_000_000, 10, n_envs=2048, n_steps=20),
    "PickCube-v1-gpu": _maniskill_gpu("PickCube-v1", 10_000_000, 25, n_envs=1024, n_steps=50),
}


@dataclass(frozen=True)
class Layers:
    """Settings after several layers were laid over each other, and which layer each came from."""

    settings: dict[str, Any] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)

    def over(self, upper: Mapping[str, Any], name: str) -> Layers:
        """These settings with those of `upper` on top. Keyword arguments are merged key by key."""
        settings, origin = dict(self.settings), dict(self.origin)
        for this, other in (ALTERNATIVES, ALTERNATIVES[::-1]):
            if upper.get(this) is not None and upper.get(other) is None:
                settings.pop(other, None)
                origin.pop(other, None)
        for key, value in upper.items():
            if key in ("env_kwargs", "policy_kwargs") and key in settings:
                value = {**settings[key], **value}
            settings[key], origin[key] = value, name
        return Layers(settings, origin)


def preset(env_id: str, **overrides: Any) -> TrainConfig:
    """The configuration of the recipe for `env_id`, with `overrides` on top. Raises ConfigError where there is none."""
    if env_id not in PRESETS:
        raise ConfigError(f"There is no preset for {env_id}: choose one of {', '.join(PRESETS)}.")
    given = {canonical(name): value for name, value in overrides.items()}
    given = {name: coerce(name, value) for name, value in given.items()}
    return TrainConfig(**Layers(dict(PRESETS[env_id].settings)).over(given, "overrides").settings)
