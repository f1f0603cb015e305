"""The normaliser's statistics in the form kernels work on, and back."""

from __future__ import annotations

import numpy as np

from upswing.engine.native.rollout import CLIP_OBS, CLIP_REWARD, GAMMA, N_SCALING, SCALES_OBS, SCALES_REWARDS
from upswing.engine.normalizer import Normalizer
from upswing.ppo.normalize import Moments

Triple = tuple[np.ndarray, np.ndarray, np.ndarray]


class NativeMoments:
    """Copies of a Normalizer's moments as float64 arrays: mean, variance and weight. Taken before they are worked on,
    given back after."""

    def __init__(self, normalizer: Normalizer, n_obs: int):
        self.normalizer = normalizer
        self.scales_obs, self.scales_rewards = "" in normalizer.obs, normalizer.returns is not None
        self.obs: Triple = np.zeros(n_obs), np.ones(n_obs), np.zeros(1)
        self.returns: Triple = np.zeros(1), np.ones(1), np.zeros(1)
        self.discounted = np.zeros_like(normalizer.discounted)
        self.scaling = np.zeros(N_SCALING)

    def take(self) -> None:
        """Copy the normaliser's statistics here."""
        normalizer = self.normalizer
        if self.scales_obs:
            _take(normalizer.obs[""], self.obs)
        if normalizer.returns is not None:
            _take(normalizer.returns, self.returns)
        self.discounted[:] = normalizer.discounted
        self.scaling[GAMMA], self.scaling[CLIP_OBS] = normalizer.gamma, normalizer.clip_obs
        self.scaling[CLIP_REWARD] = normalizer.clip_reward
        self.scaling[SCALES_OBS], self.scaling[SCALES_REWARDS] = self.scales_obs, self.scales_rewards

    def give_back(self) -> None:
        """Copy the statistics to the normaliser."""
        normalizer = self.normalizer
        if self.scales_obs:
            normalizer.obs[""] = _moments(self.obs, normalizer.obs[""].mean.shape)
        if normalizer.returns is not None:
            normalizer.returns = _moments(self.returns, np.shape(normalizer.returns.mean))
        normalizer.discounted[:] = self.discounted


def _take(moments: Moments, arrays: Triple) -> None:
    for array, value in zip(arrays, moments, strict=True):
        array[:] = np.asarray(value).reshape(-1)


def _moments(arrays: Triple, shape: tuple[int, ...]) -> Moments:
    mean, var, count = arrays
    return Moments(mean.reshape(shape).copy(), var.reshape(shape).copy(), float(count[0]))
