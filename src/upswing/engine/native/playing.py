"""Whole episodes of a frozen policy in compiled environments, for evaluations."""

from __future__ import annotations

import numpy as np

from upswing.compiled.blas import one_blas_thread
from upswing.compiled.random import stream
from upswing.engine.native import rollout as kernels
from upswing.engine.native.buffers import NetworkBuffers
from upswing.engine.native.moments import NativeMoments
from upswing.engine.native.steppers import Steppers
from upswing.engine.native.storage import RolloutStorage
from upswing.engine.normalizer import Normalizer
from upswing.envs.contract import Episode, VectorEnv
from upswing.envs.native.vector import NativeVectorEnv
from upswing.policies import ActorCritic

STEPS_AT_ONCE = 64


def play_episodes(
    policy: ActorCritic,
    normalizer: Normalizer,
    env: VectorEnv,
    quota: list[int],
    seeds: list[int],
    deterministic: bool = True,
    seed: int = 0,
) -> list[Episode]:
    """The first quota[i] episodes of each environment i, begun afresh from `seeds`, in the order in which they ended.

    Ask `plays_compiled` whether this policy can be played in `env`. Neither it nor the normaliser changes. `seed` decides the draws
    where actions are not `deterministic`.
    """
    assert isinstance(env, NativeVectorEnv)
    network = NetworkBuffers(policy)
    storage = RolloutStorage(STEPS_AT_ONCE, env, network.layout)
    moments = NativeMoments(normalizer, network.layout.n_obs)
    moments.take()
    moments.scaling[kernels.SCALES_REWARDS] = 0.0
    moments.scaling[kernels.FROZEN], moments.scaling[kernels.DETERMINISTIC] = 1.0, deterministic
    steppers, draws, left = Steppers(env), stream(seed), list(quota)
    storage.current[:] = np.asarray(normalizer.scale(env.reset(seeds))).reshape(storage.current.shape)
    done: list[Episode] = []
    with one_blas_thread():
        while any(left):
            for episode in steppers.collect(network, draws, storage, moments).episodes:
                if left[episode.env]:
                    left[episode.env] -= 1
                    done.append(episode)
    return done
