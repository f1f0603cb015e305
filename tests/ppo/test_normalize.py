"""Running moments against NumPy on everything at once."""

import numpy as np
import pytest

from upswing.ppo.normalize import Moments, merge, no_moments, scale_obs, scale_rewards


def test_merging_batches_equals_the_moments_of_all_values():
    rng = np.random.default_rng(0)
    values = rng.normal(5, 3, (100, 2))
    moments = Moments(np.zeros(2), np.zeros(2), 0.0)
    for batch in np.array_split(values, [1, 7, 40]):
        moments = merge(moments, batch)
    np.testing.assert_allclose(moments.mean, values.mean(axis=0))
    np.testing.assert_allclose(moments.var, values.var(axis=0))
    assert moments.weight == 100


def test_an_empty_batch_changes_nothing():
    moments = no_moments((3,))
    assert merge(moments, np.empty((0, 3))) is moments


def test_moments_equal_stable_baselines3s():
    running = pytest.importorskip("stable_baselines3.common.running_mean_std").RunningMeanStd(shape=(2,))
    moments, rng = no_moments((2,)), np.random.default_rng(1)
    for _ in range(5):
        batch = rng.normal(size=(8, 2))
        running.update(batch)
        moments = merge(moments, batch)
    np.testing.assert_allclose(moments.mean, running.mean)
    np.testing.assert_allclose(moments.var, running.var)


def test_scaling_clips_and_never_shifts_rewards():
    moments = Moments(np.array(10.0), np.array(4.0), 1.0)
    assert scale_obs(np.array([14.0, 1000.0]), moments, 5.0).tolist() == pytest.approx([2.0, 5.0])
    assert scale_rewards(np.array([4.0, -1000.0]), moments, 5.0).tolist() == pytest.approx([2.0, -5.0])
