"""One of two processes that update a policy together: run by test_group.py with torchrun's environment variables."""

import sys

import numpy as np
import torch

from scripted import ScriptedEnv, script
from torch_engines import HYPER, engine_for, weights
from upswing.engine.group import joined_group
from upswing.envs.contract import Step

CASES = {
    "plain": {},
    "scaled": {"normalize_obs": True, "normalize_reward": True, "clip_range_vf": 0.2},
    "uneven": {"batch_size": 21},  # shares of 11 and 10, and a last minibatch of one row, for one of the two
    "over_all": {"advantage_scope": "batch", "amp": "bf16"},
    "stopped": {"target_kl": 1e-7},
}


def part_of(env, group):
    """`env`'s script for this process's half of its environments."""
    n = env.n_envs // group.size
    mine = slice(group.rank * n, (group.rank + 1) * n)
    return ScriptedEnv([_cut(step, mine) for step in env.steps], env.first_obs[mine])


def _cut(step, mine):
    ended = np.flatnonzero(step.terminated | step.truncated)
    here = [k for k, row in enumerate(ended) if mine.start <= row < mine.stop]
    episodes = [e._replace(env=e.env - mine.start) for e in step.episodes if mine.start <= e.env < mine.stop]
    return Step(
        step.obs[mine],
        step.rewards[mine],
        step.terminated[mine],
        step.truncated[mine],
        step.final_obs[here] if here else None,
        episodes,
    )


def main(folder):
    torch.set_num_threads(1)
    group = joined_group("cpu")
    for name, settings in CASES.items():
        settings = {"batch_size": 16, "n_envs": 4} | settings
        target = settings.pop("target_kl", None)
        engine = engine_for(part_of(script(16, 4, seed=3), group), group=group, **settings)
        before = weights(engine)
        rollout = engine.collect()
        arrays = {key: getattr(rollout, key).numpy() for key in ROLLOUT}
        views = []
        watching = {"on_epoch": lambda view, views=views: views.append(view)} if group.leads else {}
        stats = engine.update(rollout, HYPER._replace(target_kl=target), **watching)
        figures = {f"stats.{key}": np.array(value, float) for key, value in stats._asdict().items()}
        moments = engine.normalizer.arrays()
        episodes = np.array([[e.env, e.ret, e.length] for e in rollout.episodes])
        np.savez(
            f"{folder}/{name}-{group.rank}.npz",
            **arrays, **figures, **moments,
            before=before, after=weights(engine), episodes=episodes, views=np.array(views),
            raw=rollout.raw_reward_mean, num_timesteps=engine.num_timesteps,
        )  # fmt: skip


ROLLOUT = (
    "obs",
    "actions",
    "log_probs",
    "values",
    "rewards",
    "terminated",
    "truncated",
    "final_values",
    "last_values",
    "valid",
)

if __name__ == "__main__":
    main(sys.argv[1])
