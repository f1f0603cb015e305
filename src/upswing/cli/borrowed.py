"""Flags of CleanRL's and ManiSkill's PPO scripts that are more than another name for a setting.

Each is applied to the settings after all layers have been laid over each other, and may leave a sentence for the user.
Plain renames (--num-envs, --clip-coef, …) are aliases in config/fields.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from upswing.config import FIELDS, coerce
from upswing.errors import ConfigError

Settings = dict[str, Any]
Apply = Callable[[str, Settings], str | None]


@dataclass(frozen=True)
class Borrowed:
    """A flag of another tool: its help, and what it does to the settings; what it returns is told to the user."""

    help: str
    apply: Apply
    switch: bool = False  # true or false, may stand alone
    shown: bool = False  # worth a line in --help


def apply_borrowed(given: dict[str, str], settings: Settings) -> tuple[Settings, list[str]]:
    """The settings after all `given` borrowed flags, and what to tell the user. Raises ConfigError."""
    settings, told = dict(settings), []
    for name, flag in BORROWED.items():
        if name in given:
            told.append(flag.apply(given[name], settings))
    return settings, [sentence for sentence in told if sentence]


def _default(settings: Settings, name: str) -> Any:
    return settings.get(name, FIELDS[name].default)


def _true(name: str, value: str) -> bool:
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    if value.lower() not in words:
        raise ConfigError(f"--{name} = {value!r} is neither true nor false: write one of the two.")
    return words[value.lower()]


def _anneal_lr(value: str, settings: Settings) -> str | None:
    rate = _default(settings, "learning_rate")
    if _true("anneal-lr", value):
        if isinstance(rate, float):
            settings["learning_rate"] = f"linear:{rate:g}"
    elif isinstance(rate, str) and rate.startswith(("linear:", "lin_")):
        settings["learning_rate"] = float(rate.replace("lin_", "linear:").split(":")[1])
    return None


def _clip_vloss(value: str, settings: Settings) -> str | None:
    settings["clip_range_vf"] = _default(settings, "clip_range") if _true("clip-vloss", value) else None
    return None


def _cuda(value: str, settings: Settings) -> str | None:
    settings["device"] = "cuda" if _true("cuda", value) else "cpu"
    return None


def _torch_deterministic(value: str, settings: Settings) -> str | None:
    _true("torch-deterministic", value)
    return "--torch-deterministic changes nothing: on one machine, the same seed always gives the same run on the CPU."


def _eval_freq_iterations(value: str, settings: Settings) -> str | None:
    iterations = coerce("eval_freq", value)
    pool = coerce("n_envs", _default(settings, "n_envs")) * coerce("n_steps", _default(settings, "n_steps"))
    settings["eval_freq"] = (iterations or 0) * pool
    return f"Evaluations every {iterations} iterations are eval_freq = {settings['eval_freq']} environment steps."


def _control_mode(value: str, settings: Settings) -> str | None:
    settings["env_kwargs"] = {**settings.get("env_kwargs", {}), "control_mode": value}
    return None


def _num_iterations(value: str, settings: Settings) -> str | None:
    iterations = coerce("n_steps", value)
    pool = coerce("n_envs", _default(settings, "n_envs")) * coerce("n_steps", _default(settings, "n_steps"))
    settings["total_timesteps"] = iterations * pool
    return f"{iterations} iterations are total_timesteps = {settings['total_timesteps']}."


def _says(sentence: str) -> Apply:
    """A flag that changes nothing here, and the reason."""
    return lambda value, settings: sentence


def _quietly(value: str, settings: Settings) -> None:
    """A flag that asks for what happens anyway."""


def _only(name: str, harmless: str, sentence: str) -> Apply:
    """A flag of which only the value `harmless` has a counterpart."""

    def apply(value: str, settings: Settings) -> str | None:
        if value.lower() not in (harmless, f"{harmless}.0"):
            raise ConfigError(f"--{name} {value} has no counterpart here: {sentence}")
        return None

    return apply


_TENSORBOARD = "Weights & Biases is not written to: the run folder holds TensorBoard files and metrics.jsonl."

BORROWED: dict[str, Borrowed] = {
    "anneal_lr": Borrowed("Let the learning rate fall to 0 in a straight line.", _anneal_lr, switch=True, shown=True),
    "clip_vloss": Borrowed(
        "Clip values by clip_range: clip_range_vf = clip_range.", _clip_vloss, switch=True, shown=True
    ),
    "cuda": Borrowed("Train on the GPU (--no-cuda: on the CPU).", _cuda, switch=True, shown=True),
    "eval_freq_iterations": Borrowed(
        "ManiSkill's eval_freq, which counts iterations; --eval-freq always counts environment steps.",
        _eval_freq_iterations,
        shown=True,
    ),
    "num_iterations": Borrowed("The budget in iterations instead of total_timesteps.", _num_iterations, shown=True),
    "control_mode": Borrowed("The same as --env-kwargs control_mode=….", _control_mode, shown=True),
    "torch_deterministic": Borrowed("Accepted; runs repeat anyway.", _torch_deterministic, switch=True, shown=True),
    "num_eval_steps": Borrowed(
        "Accepted.",
        _says("--num-eval-steps changes nothing: evaluations play whole episodes, --n-eval-episodes of them."),
    ),
    "save_model": Borrowed("Accepted.", _quietly, switch=True),
    "capture_video": Borrowed(
        "Accepted.", _says("--capture-video changes nothing: upswing record RUN makes a video afterwards."), switch=True
    ),
    "save_train_video_freq": Borrowed(
        "Accepted.", _says("--save-train-video-freq changes nothing: upswing record RUN makes a video afterwards.")
    ),
    "save_trajectory": Borrowed(
        "Accepted.", _only("save-trajectory", "false", "trajectories are not kept."), switch=True
    ),
    "track": Borrowed("Accepted.", _says(_TENSORBOARD), switch=True),
    "wandb_project_name": Borrowed("Accepted.", _says(_TENSORBOARD)),
    "wandb_entity": Borrowed("Accepted.", _says(_TENSORBOARD)),
    "wandb_group": Borrowed("Accepted.", _says(_TENSORBOARD)),
    "upload_model": Borrowed(
        "Accepted.", _only("upload-model", "false", "models stay in the run folder."), switch=True
    ),
    "hf_entity": Borrowed("Accepted.", _only("hf-entity", "", "models stay in the run folder.")),
    "evaluate": Borrowed("Accepted.", _only("evaluate", "false", "use upswing eval RUN."), switch=True),
    "finite_horizon_gae": Borrowed(
        "Accepted.", _only("finite-horizon-gae", "false", "advantages are the generalised ones."), switch=True
    ),
    "reward_scale": Borrowed("Accepted.", _only("reward-scale", "1", "use --normalize-reward.")),
}
"""By name, in the order in which they are applied."""
