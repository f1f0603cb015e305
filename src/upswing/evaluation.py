"""What a frozen policy scores: returns, lengths and success over whole episodes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from upswing.agent import Agent
from upswing.config import TrainConfig, check, read_config, refuse_code
from upswing.engine.device_normalizer import make_normalizer
from upswing.engine.native.support import plays_compiled
from upswing.envs.contract import Episode, VectorEnv, new_episodes
from upswing.envs.make import make_vector_env
from upswing.errors import UserError
from upswing.policies import forget, load_policy_arrays, make_policy
from upswing.progress import share
from upswing.run.directory import find_run
from upswing.run.model_file import load_model
from upswing.seeds import later_seeds, spawn_seeds


@dataclass(frozen=True)
class Evaluation:
    """Raw returns of a frozen policy, and what they come to; None where the environment does not speak of success."""

    mean_reward: float
    std_reward: float
    n_episodes: int
    success_once: float | None
    success_at_end: float | None
    mean_ep_length: float
    mean_step_reward: float  # mean over the episodes of return / length
    returns: list[float]
    lengths: list[int]
    seconds: float = 0.0  # how long it took
    checkpoint: str | None = None


class Frame(NamedTuple):
    """One moment of a played episode."""

    picture: np.ndarray | None  # [H, W, 3] uint8, None when the environment opened a window itself
    episode: int
    step: int
    ret: float  # return so far


def evaluate(agent: Agent, env: VectorEnv, n_episodes: int, seeds: list[int], deterministic: bool = True) -> Evaluation:
    """The policy's score over `n_episodes` whole episodes, begun afresh from `seeds` [n_envs].

    Each environment contributes a fixed number of episodes: taking whichever finish first would favour short ones.
    """
    start = time.perf_counter()
    quota = [(n_episodes + i) // env.n_envs for i in range(env.n_envs)]
    if plays_compiled(agent.policy, env):
        from upswing.engine.native.playing import play_episodes

        done = play_episodes(agent.policy, agent.normalizer.on_host(), env, quota, seeds, deterministic, seeds[0])
    else:
        done = _played(agent, env, quota, seeds, deterministic)
    return replace(summarize(done), seconds=time.perf_counter() - start)


def _played(agent: Agent, env: VectorEnv, quota: list[int], seeds: list[int], deterministic: bool) -> list[Episode]:
    """The first quota[i] episodes of each environment i, step by step."""
    done: list[Episode] = []
    obs, state = env.reset(seeds), agent.policy.initial_state(env.n_envs)
    while any(quota):
        actions, state = agent.step(obs, state, deterministic)
        step = env.step(actions)
        obs, state = step.obs, forget(state, new_episodes(step))
        for episode in step.episodes:
            if quota[episode.env]:
                quota[episode.env] -= 1
                done.append(episode)
    return done


def summarize(episodes: list[Episode]) -> Evaluation:
    """What `episodes` come to."""
    returns, lengths = [e.ret for e in episodes], [e.length for e in episodes]
    return Evaluation(
        mean_reward=float(np.mean(returns)),
        std_reward=float(np.std(returns)),
        n_episodes=len(episodes),
        success_once=share([e.success_once for e in episodes]),
        success_at_end=share([e.success_at_end for e in episodes]),
        mean_ep_length=float(np.mean(lengths)),
        mean_step_reward=float(np.mean(np.divide(returns, lengths))),
        returns=[float(r) for r in returns],
        lengths=[int(n) for n in lengths],
    )


def load_config(run: str | os.PathLike[str], *, trusted: bool = True) -> TrainConfig:
    """The configuration of the run at `run`. Code that it names (`module:Class`) is refused unless `trusted`."""
    settings = read_config(run)
    if not trusted:
        refuse_code(settings, run)
    return check(TrainConfig(**settings))


def load_agent(
    path: str | Path, which: str | int | None = None, *, trusted: bool = True, seed: int = 0
) -> tuple[Agent, TrainConfig, str]:
    """The policy of run `path`, its configuration, and the checkpoint's name.

    `which` is "best", "latest" or a step; None takes the best if there is one, else the latest.
    """
    run = find_run(path)
    config = load_config(run, trusted=trusted)
    arrays, metadata = load_model(run, "preferred" if which is None else which)
    env = make_vector_env(config, 1, trusted=trusted, evaluation=True)
    policy = make_policy(config, env.observation_space, env.action_space, 0, trusted=trusted)
    normalizer = make_normalizer(config, env)
    env.close()
    load_policy_arrays(policy, arrays)
    normalizer.load(arrays)
    return Agent(policy, normalizer, seed), config, str(metadata.get("step", ""))


def evaluate_run(
    path: str | Path,
    *,
    which: str | int | None = None,
    n_episodes: int = 100,
    n_envs: int = 10,
    deterministic: bool | None = None,
    seed: int = 0,
    trusted: bool = True,
) -> Evaluation:
    """The score of a checkpoint of run `path` over `n_episodes` episodes; see `load_agent` for `which`.

    `deterministic` takes the most likely action; by default as the run itself evaluates (`eval_deterministic`).
    """
    agent, config, name = load_agent(path, which, trusted=trusted, seed=seed)
    n_envs = max(1, min(n_envs, n_episodes))
    env = make_vector_env(config, n_envs, trusted=trusted, evaluation=True)
    try:
        seeds = later_seeds(spawn_seeds(seed, 1).evaluation, 0, n_envs)
        likely = config.eval_deterministic if deterministic is None else deterministic
        return replace(evaluate(agent, env, n_episodes, seeds, likely), checkpoint=name)
    finally:
        env.close()


def play(
    path: str | Path,
    *,
    which: str | int | None = None,
    n_episodes: int = 3,
    seed: int = 0,
    deterministic: bool | None = None,
    render_mode: str = "rgb_array",
    trusted: bool = True,
) -> Iterator[Frame]:
    """Moment after moment of the policy playing `n_episodes` episodes; for pictures ("rgb_array") or a window ("human").

    `deterministic` as in `evaluate_run`. Raises UserError where the environment cannot be drawn that way.
    """
    agent, config, _ = load_agent(path, which, trusted=trusted, seed=seed)
    env = make_vector_env(config, 1, trusted=trusted, evaluation=True, render_mode=render_mode)
    try:
        likely = config.eval_deterministic if deterministic is None else deterministic
        yield from _frames(agent, env, n_episodes, seed, likely, render_mode)
    finally:
        env.close()


def _frames(
    agent: Agent, env: VectorEnv, n_episodes: int, seed: int, deterministic: bool, render_mode: str
) -> Iterator[Frame]:
    obs, episode, step_in_episode, ret = env.reset([seed]), 0, 0, 0.0
    state = agent.policy.initial_state(1)
    while episode < n_episodes:
        picture: Any = env.render()
        if picture is None and render_mode == "rgb_array":
            raise UserError("This environment gives no pictures: it does not support render_mode rgb_array.")
        yield Frame(picture, episode, step_in_episode, ret)
        actions, state = agent.step(obs, state, deterministic)
        step = env.step(actions)
        state = forget(state, new_episodes(step))
        obs, ret, step_in_episode = step.obs, ret + float(step.rewards[0]), step_in_episode + 1
        if step.terminated[0] or step.truncated[0]:
            episode, step_in_episode, ret = episode + 1, 0, 0.0
