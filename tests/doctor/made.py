"""Runs made of numbers: what a healthy training looks like, and each fault as a change of a few columns."""

import dataclasses
import math

import numpy as np

from upswing.config import TrainConfig
from upswing.doctor.series import STEP, Episodes, Series, Source

POOL = 512
SETTINGS = {field.name: getattr(TrainConfig(), field.name) for field in dataclasses.fields(TrainConfig)} | {
    "env": "made-up",
    "n_envs": 4,
    "n_steps": 128,
    "batch_size": 64,
    "n_epochs": 10,
    "n_minibatches": None,
}


def healthy(n=120, seed=0, *, settings=None, episodes=None, environment=None, source="upswing", **columns):
    """A series of `n` iterations in which all is well and the return rises, with `columns` (a tag's last part, or a tag) replaced or removed.

    A replacement is a number, an array, a function of the healthy column, or None to leave the tag out.
    """
    made = healthy_columns(n, np.random.default_rng(seed))
    for name, value in columns.items():
        tag = next((tag for tag in made if name in (tag, tag.split("/")[1])), name)
        if value is None:
            made.pop(tag, None)
            continue
        made[tag] = np.broadcast_to(np.asarray(value(made[tag]) if callable(value) else value, float), (n,)).copy()
    config = {**SETTINGS, "total_timesteps": n * POOL, **(settings or {})}
    known = {"n_actions": 2, **(environment or {})}
    known = {name: value for name, value in known.items() if value is not None}
    return Series(Source(source), made, config=config, episodes=episodes, environment=known, name="made")


def healthy_columns(n, random):
    """Columns as our own trainer logs them, of a run that learns a little beyond its middle."""
    t = np.linspace(0.0, 1.0, n)
    noise = lambda size: random.normal(0.0, size, n)  # noqa: E731
    learned = 1.0 / (1.0 + np.exp(-6.0 * (t - 0.65)))
    variance = (4.0 + 20.0 * learned) ** 2
    explained = np.clip(0.85 - 0.9 * np.exp(-10 * t) + noise(0.02), -0.5, 0.99)
    evaluated = np.where(np.arange(n) % max(1, n // 20) == 0, 20 + 200 * learned + noise(5), np.nan)
    return {
        STEP: POOL * np.arange(1.0, n + 1),
        "time/iterations": np.arange(1.0, n + 1),
        "time/fps": 10_000 + noise(200),
        "time/collect_s": 0.02 + np.abs(noise(0.001)),
        "time/env_s": 0.01 + np.abs(noise(0.001)),
        "time/update_s": 0.03 + np.abs(noise(0.001)),
        "rollout/ep_rew_mean": 20 + 200 * learned + noise(2),
        "rollout/iteration_rew_mean": 20 + 200 * learned + noise(6),
        "rollout/iteration_episodes": np.full(n, 8.0),
        "rollout/ep_len_mean": 20 + 200 * learned + noise(2),
        "rollout/truncated_fraction": np.zeros(n),
        "train/approx_kl": 0.008 * np.exp(noise(0.2)),
        "train/kl_update": 0.006 * np.exp(noise(0.2)),
        "train/kl_max": 0.02 * np.exp(noise(0.2)),
        "train/clip_fraction": np.clip(0.09 + noise(0.01), 0, 1),
        "train/clip_range": np.full(n, 0.2),
        "train/entropy_loss": -(math.log(2) * (1 - 0.5 * t) + noise(0.005)),
        "train/explained_variance": explained,
        "train/value_loss": variance * (1 - explained) * np.exp(noise(0.1)),
        "train/policy_gradient_loss": -0.01 + noise(0.001),
        "train/loss": 1.0 + np.abs(noise(0.1)),
        "train/learning_rate": np.full(n, 3e-4),
        "train/n_updates": 10.0 * np.arange(1, n + 1),
        "train/n_epochs_done": np.full(n, 10.0),
        "train/kl_stopped": np.zeros(n),
        "train/grad_norm": 0.5 * np.exp(noise(0.1)),
        "train/grad_norm_max": 1.0 * np.exp(noise(0.1)),
        "train/ratio_error": np.full(n, 2e-7),
        "train/adv_mean": noise(0.05),
        "train/adv_std": np.ones(n),
        "train/return_mean": 5 + 20 * learned,
        "train/return_std": np.sqrt(variance),
        "train/value_bias": noise(0.05),
        "eval/mean_reward": evaluated,
    }


def flat(value=20.0, spread=2.0, seed=1):
    """Columns of a return that never rises."""
    noise = lambda old: value + np.random.default_rng(seed).normal(0, spread, len(old))  # noqa: E731
    return {"ep_rew_mean": noise, "iteration_rew_mean": noise, "eval/mean_reward": None}


def plateau(at=60.0):
    """Columns of a return that rises early and then stands."""
    curve = lambda old: 20 + (at - 20) * (1 - np.exp(-np.arange(len(old)) / 4.0)) + np.sin(np.arange(len(old)) * 1.7)  # noqa: E731
    return {"ep_rew_mean": curve, "iteration_rew_mean": curve, "eval/mean_reward": None}


def continuous(**std):
    """A series with continuous actions."""
    return {"environment": {"n_actions": None, "continuous": True}, "train/std": 1.0} | std


def episodes(returns, lengths, every=64):
    """Raw episodes, one each `every` steps."""
    n = len(returns)
    return Episodes(
        every * np.arange(1.0, n + 1), np.asarray(returns, float), np.broadcast_to(np.asarray(lengths, float), n)
    )
