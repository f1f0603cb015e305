"""Micro-benchmarks of what a training on the native engine consists of: make bench-micro.

One thread for arithmetic. Times are pytest-benchmark's; nothing is asserted about them.
"""

import numpy as np
import pytest

from upswing.bench.minibatches import Minibatches
from upswing.compiled.blas import one_blas_thread
from upswing.config import TrainConfig
from upswing.engine.native.advantages import gae
from upswing.training import prepare


@pytest.mark.parametrize("net_arch", [(64, 64), (256, 256)], ids=str)
@pytest.mark.parametrize("batch_size", [64, 256, 1024])
def test_minibatch_steps(benchmark, batch_size, net_arch):
    """One pass over 2048 transitions: 32, 8 or 2 minibatch steps of separate actor and critic."""
    minibatches = Minibatches(batch_size, net_arch)
    benchmark.extra_info["minibatches"] = minibatches.steps
    with one_blas_thread():
        benchmark(minibatches.epoch)


@pytest.mark.parametrize("shape", [(2048, 1), (128, 64)], ids=str)
def test_gae(benchmark, shape):
    """Advantages and returns of a rollout in which every hundredth step ends an episode."""
    rng = np.random.default_rng(0)
    rewards, values, final_values = (rng.standard_normal(shape).astype(np.float32) for _ in range(3))
    terminated, truncated = rng.random(shape) < 0.005, rng.random(shape) < 0.005
    last, out = np.zeros(shape[1], np.float32), (np.empty(shape, np.float32), np.empty(shape, np.float32))
    valid = np.ones(shape, bool)
    benchmark(gae, rewards, values, last, terminated, truncated, final_values, valid, 0.99, 0.95, False, *out)


@pytest.mark.parametrize(("env", "n_envs", "n_steps"), [
    ("CartPole-v1", 1, 2048),
    ("CartPole-v1", 64, 32),
    ("Pendulum-v1", 4, 512),
])  # fmt: skip
def test_native_rollout(benchmark, env, n_envs, n_steps):
    """A rollout of 2048 steps: policy, compiled environment, values."""
    engine = prepare(TrainConfig(env=env, n_envs=n_envs, n_steps=n_steps, batch_size=64)).engine
    benchmark(engine.collect)
    engine.close()
