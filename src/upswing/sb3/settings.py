"""The settings of a model: from the keywords of Stable-Baselines3's PPO to a TrainConfig, and what changes on the way."""

from __future__ import annotations

import warnings
from typing import Any

import torch

from upswing.config import SCHEDULED, TrainConfig, check, coerce
from upswing.errors import ConfigError
from upswing.sb3.foreign import POLICY_NAMES
from upswing.schedules import parse_schedule

LIVE = ("learning_rate", "clip_range", "clip_range_vf", "ent_coef", "n_epochs", "target_kl")
"""Settings that the next update takes as they stand on the model at the end of its rollout."""

FIXED = (
    *("n_steps", "batch_size", "gamma", "gae_lambda", "normalize_advantage", "vf_coef", "max_grad_norm"),
    *("use_sde", "sde_sample_freq", "stats_window_size", "policy_kwargs"),
)
"""Settings that hold for a whole call of learn."""

NORMALIZATION = ("normalize_obs", "normalize_reward", "clip_obs", "clip_reward")
"""Settings that a VecNormalize stands for."""

_ADAM_EPS = 1e-8  # torch's own, which Stable-Baselines3 takes where optimizer_kwargs are given without eps


class Settings:
    """A model's settings as they were given to it, or as they were assigned to its attributes since.

    As in Stable-Baselines3, `clip_range`, `clip_range_vf` and `lr_schedule` are functions of the remaining progress.
    """

    def __init__(self, model: Any):
        self._model = model
        self._shown: dict[str, tuple[Any, Any]] = {}  # what an attribute shows for a setting, and the setting itself

    def show_schedules(self) -> None:
        """Put schedules in the place of the numbers that they were given as. Raises ConfigError."""
        model = self._model
        model.lr_schedule = parse_schedule(model.learning_rate, "learning_rate", allow_adaptive=True)
        self._shown = {"lr_schedule": (model.lr_schedule, None)}
        for name in ("clip_range", "clip_range_vf"):
            given = getattr(model, name)
            shown = None if given is None else parse_schedule(given, name)
            self._shown[name] = (shown, given)
            setattr(model, name, shown)

    def now(self, name: str) -> Any:
        """The setting `name` as it stands."""
        model = self._model
        if name == "learning_rate" and model.lr_schedule is not self._shown["lr_schedule"][0]:
            return model.lr_schedule
        current = getattr(model, name)
        shown, given = self._shown.get(name, (None, current))
        return given if current is shown else current

    def all(self) -> dict[str, Any]:
        """Every setting by its name, as it stands."""
        return {name: self.now(name) for name in (*FIXED, *LIVE)}

    def changes(self, before: dict[str, Any], remaining: float) -> dict[str, Any]:
        """Numbers of the settings that were assigned since they were as `before`, at this remaining progress.

        Raises ConfigError for a value that is impossible, and for a setting that must not change now.
        """
        changed: dict[str, Any] = {}
        for name, value in self.all().items():
            if value is before[name] or value == before[name]:
                continue
            if name in FIXED:
                raise ConfigError(
                    f"{name} cannot change while learn runs: set it before, or between two calls of learn."
                )
            value = coerce(name, value)
            scheduled = name in SCHEDULED and value is not None
            changed[name] = parse_schedule(value, name)(remaining) if scheduled else value
        return changed

    def config(self, policy: Any, env: str, n_envs: int, seed: int, device: str) -> TrainConfig:
        """The checked configuration: no preset, nothing written, action masks left alone. Raises ConfigError."""
        settings = self.all() | self._model.normalization | _optimizer(self._model.policy_kwargs or {})
        names = {"env": env, "n_envs": n_envs, "seed": seed, "device": device, "policy": policy_name(policy)}
        return check(TrainConfig(**names, **settings, action_masks=False, eval_freq=0, checkpoint_freq=0))


def policy_name(policy: Any) -> Any:
    """`policy` as a configuration names it: Stable-Baselines3's own classes by our names, others as they are."""
    if isinstance(policy, type) and policy.__module__.startswith("stable_baselines3."):
        return POLICY_NAMES.get(policy.__name__, policy)
    return policy


def _optimizer(policy_kwargs: dict[str, Any]) -> dict[str, Any]:
    """policy_kwargs without Adam's ε, and adam_eps where it is given. Any other optimiser is refused further on."""
    rest = dict(policy_kwargs)
    if rest.get("optimizer_class") is torch.optim.Adam:
        del rest["optimizer_class"]
    given = rest.get("optimizer_kwargs")
    if given is None or "optimizer_class" in rest or set(given) - {"eps"}:
        return {"policy_kwargs": rest}
    del rest["optimizer_kwargs"]
    return {"policy_kwargs": rest, "adam_eps": given.get("eps", _ADAM_EPS)}


def usable_device(device: Any) -> str:
    """`device` by its name; the CPU, with a warning, for a GPU that torch cannot use, where Stable-Baselines3 says nothing."""
    name = str(device)
    if not name.startswith("cuda") or torch.cuda.is_available():
        return name
    warnings.warn(
        f"device = {name!r} needs a GPU that torch can use: the CPU is used instead.", UserWarning, stacklevel=3
    )
    return "cpu"


def refuse_buffers(rollout_buffer_class: Any, rollout_buffer_kwargs: Any) -> None:
    """Nothing; raises ConfigError where either is given."""
    if rollout_buffer_class is not None or rollout_buffer_kwargs:
        raise ConfigError(
            "rollout_buffer_class and rollout_buffer_kwargs have no counterpart, since the engine keeps the rollout "
            "itself: leave them out, and read model.rollout_buffer in _on_rollout_end."
        )
