"""Runs written without training: their settings, curves and final scores are as a test wants them."""

import json

import numpy as np

from upswing.config import TrainConfig, config_to_json, derive
from upswing.lab.study_record import DONE, Costs, RunRecord, StudyRecord, StudySetting, write_study


def make_run(folder, score, success=None, jitter=0.02, policy_loss=0.01, iterations=None, **settings):
    """A run in `folder` that rises from 10 to `score`, and its config."""
    settings = {"env": "CartPole-v1", "n_envs": 8, "n_steps": 32, "total_timesteps": 10240, **settings}
    config = TrainConfig(**settings)
    derived = derive(config)
    n = iterations or derived.iterations
    generator = np.random.default_rng(config.seed)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"schema": 1, "config": config_to_json(config), "versions": {"upswing": "0.1.0"}, "machine": {"cores": 2}}))  # fmt: skip
    with (folder / "metrics.jsonl").open("w") as file:
        for i in range(1, n + 1):
            share = min(1.0, 2.0 * i / n)
            steps = i * derived.pool
            row = {
                "time/iterations": i,
                "time/total_timesteps": steps,
                "time/elapsed_s": steps / 1000.0,
                "time/fps": 1000.0,
                "rollout/ep_rew_mean": 10 + (score - 10) * share,
                "rollout/ep_len_mean": 10 + (score - 10) * share,
                "train/policy_gradient_loss": -policy_loss * generator.random(),
                "train/value_loss": (50.0 / i) * (1 + jitter * generator.normal()),
                "train/approx_kl": 0.01 + 0.001 * generator.random(),
                "train/clip_fraction": 0.15,
                "train/explained_variance": 0.9,
                "train/entropy_loss": -0.6 + 0.2 * share,
                "train/gradient_steps": i * derived.gradient_steps // derived.iterations,
            }
            if i == n or i % max(1, n // 5) == 0:
                row |= {"eval/mean_reward": score * share, "eval/reward": share, "eval/success_once": success}
            file.write(json.dumps(row) + "\n")
    return config


def make_setting(folder, scores, **settings):
    """Runs in `folder`, one for each of `scores`, seeds 0, 1, …"""
    for seed, score in enumerate(scores):
        make_run(folder / f"s{seed}", score, seed=seed, **settings)
    return folder


def make_study(folder, points, reference):
    """A study in `folder` of `points`: label -> (scores, settings, control_of)."""
    settings, runs = [], []
    for label, (scores, given, control) in points.items():
        for seed, score in enumerate(scores):
            name = f"{label.replace(' ', '')}-seed{seed}"
            config = make_run(folder / name, score, seed=seed, **given)
            costs = Costs(wall_time_s=2.0, train_time_s=1.0)
            runs.append(RunRecord(label, given, seed, name, DONE, score, untrained_reward=9.0, costs=costs))
        settings.append(StudySetting(label, given, vars(derive(config)), config_to_json(config), control))
    seeds = list(range(max(len(scores) for scores, *_ in points.values())))
    write_study(folder, StudyRecord("CartPole-v1", ["n_envs"], settings, seeds, reference, runs))
    return folder
