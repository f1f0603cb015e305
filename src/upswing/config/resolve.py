"""From the settings that were given to the numbers that follow from them, and to complaints about impossible ones."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from upswing.config.fields import ALIASES, FIELDS, SCHEDULED, WORDS, TrainConfig
from upswing.errors import ConfigError
from upswing.schedules import parse_schedule

DEFAULT_BATCH_SIZE = 64  # Stable-Baselines3's
NOT_RELOADABLE = "<not reloadable: "
"""What a text begins with that stands in a file for a Python object."""


@dataclass(frozen=True)
class Derived:
    """What follows from a TrainConfig by arithmetic alone."""

    pool: int  # transitions in a rollout: n_envs × n_steps
    batch_size: int
    n_minibatches: int  # the last may be smaller
    iterations: int
    total_timesteps: int  # what will really be taken: iterations × pool
    gradient_steps: int  # if no epoch is cut short by target_kl
    eval_freq: int  # 0: only at the end
    n_evaluations: int  # during training, the final one apart
    checkpoint_freq: int  # 0: only at the end


def derive(config: TrainConfig) -> Derived:
    """The quantities that follow from `config`: sizes, counts, intervals.

    The last, partial rollout is completed (rollout_rounding "up") or left out ("down"); at least one is taken.
    """
    pool = config.n_envs * config.n_steps
    if config.n_minibatches is not None:
        batch_size = max(1, pool // config.n_minibatches)
    else:
        batch_size = config.batch_size or DEFAULT_BATCH_SIZE
    n_minibatches = math.ceil(pool / batch_size)
    rollouts = config.total_timesteps / pool
    iterations = max(1, math.ceil(rollouts) if config.rollout_rounding == "up" else math.floor(rollouts))
    total = iterations * pool
    eval_freq = _every(config.eval_freq, config.total_timesteps, times=20)
    return Derived(
        pool=pool,
        batch_size=batch_size,
        n_minibatches=n_minibatches,
        iterations=iterations,
        total_timesteps=total,
        gradient_steps=iterations * config.n_epochs * n_minibatches,
        eval_freq=eval_freq,
        n_evaluations=_crossings(total, pool, eval_freq),
        checkpoint_freq=_every(config.checkpoint_freq, config.total_timesteps, times=10),
    )


def _every(given: int | None, total: int, times: int) -> int:
    return max(1, total // times) if given is None else given


def _crossings(total: int, pool: int, freq: int) -> int:
    """How many iterations cross a multiple of `freq`; several multiples inside one iteration count once."""
    return min(total // freq, total // pool) if freq else 0


def check(config: TrainConfig) -> TrainConfig:
    """`config` itself, with numbers in their declared types. Raises ConfigError at the first impossible value."""
    config = replace(config, **{name: coerce(name, getattr(config, name)) for name in FIELDS})
    if config.batch_size is not None and config.n_minibatches is not None:
        raise ConfigError(
            f"batch_size = {config.batch_size} and n_minibatches = {config.n_minibatches} are alternatives: set one of them."
        )
    if config.n_minibatches is not None and config.n_minibatches > config.n_envs * config.n_steps:
        raise ConfigError(
            f"n_minibatches = {config.n_minibatches} is more than the rollout's n_envs × n_steps = "
            f"{config.n_envs * config.n_steps} transitions: lower it."
        )
    if config.n_envs * config.n_steps == 1 and config.normalize_advantage:
        raise ConfigError(
            "n_envs × n_steps = 1 leaves nothing to normalise advantages with: raise n_steps, or set normalize_advantage to false."
        )
    for name in SCHEDULED:
        setting = getattr(config, name)
        if setting is not None and parse_schedule(setting, name, name == "learning_rate").lowest < 0:
            raise ConfigError(f"{name} = {setting!r} is or becomes negative: give values of at least 0.")
    if not re.fullmatch(r"auto|cpu|mps|xpu|cuda(:\d+)?", config.device):
        raise ConfigError(f"device = {config.device!r} is not known: choose auto, cpu, cuda or a numbered cuda:1.")
    if config.name is not None and not is_folder_name(config.name):
        raise ConfigError(f"name = {config.name!r} cannot be a folder's name: use letters, digits, dots, - and _.")
    return config


def is_folder_name(name: str) -> bool:
    """Whether `name` is safe as the name of one visible folder: no path, no markup, no wildcard, not too long."""
    return bool(re.fullmatch(r"[^\W.-][\w.+@=, -]{0,199}", name)) and not name.endswith((".", " "))


def warnings(config: TrainConfig) -> list[str]:
    """What is legal in `config` but probably not meant, a sentence each."""
    derived = derive(config)
    found = _batch_warnings(config, derived)
    for name, word in WORDS.items():
        value = derived.batch_size if name == "batch_size" else getattr(config, name)
        if name in SCHEDULED and value is not None:
            value = parse_schedule(value, name, name == "learning_rate").start
        if word.sane and isinstance(value, int | float) and not word.sane[0] <= value <= word.sane[1]:
            effect = word.low if value < word.sane[0] else word.high
            found.append(
                f"{name} = {value:g} is outside its usual range {word.sane[0]:g} to {word.sane[1]:g}. {effect}"
            )
    if config.early_stop_reward is not None and derived.n_evaluations == 0:
        found.append("early_stop_reward has no effect, since nothing is evaluated before the end: lower eval_freq.")
    if config.total_timesteps < derived.pool:
        found.append(
            f"total_timesteps {config.total_timesteps} is less than one rollout of n_envs × n_steps = {derived.pool} "
            f"transitions: one whole rollout is taken."
        )
    return found


def _batch_warnings(config: TrainConfig, derived: Derived) -> list[str]:
    rollout = f"the rollout of n_envs × n_steps = {derived.pool} transitions"
    rest = derived.pool % derived.batch_size
    if derived.batch_size > derived.pool:
        return [f"batch_size {derived.batch_size} exceeds {rollout}: each epoch is one gradient step on all of them."]
    if rest and config.n_minibatches is not None:
        return [
            f"n_minibatches {config.n_minibatches} does not divide {rollout}: each epoch has {derived.n_minibatches} "
            f"minibatches of {derived.batch_size}, the last of {rest}."
        ]
    if rest:
        return [
            f"batch_size {derived.batch_size} does not divide {rollout}: the last minibatch of each epoch holds only {rest}."
        ]
    return []


def canonical(name: str) -> str:
    """The field that `name` means: a field, with - or _, or an alias of CleanRL's or ManiSkill's. Raises ConfigError."""
    plain = name.strip().lstrip("-").replace("-", "_")
    if plain in FIELDS:
        return plain
    if plain in ALIASES:
        return ALIASES[plain]
    near = difflib.get_close_matches(plain, [*FIELDS, *ALIASES], n=1)
    hint = f"did you mean {near[0]}?" if near else "see upswing train --help for all of them."
    raise ConfigError(f"{name} is not a setting: {hint}")


def coerce(name: str, value: Any) -> Any:
    """`value` (a Python value, or a text from a flag) as field `name` wants it, inside its limits. Raises ConfigError."""
    kinds = str(FIELDS[name].type)
    if is_lost(value):
        raise ConfigError(f"{name} was a Python object, {value!r}, which no file can hold: set {name} again.")
    if value is None or (isinstance(value, str) and value.lower() == "none" and "None" in kinds):
        if "None" not in kinds:
            raise ConfigError(f"{name} needs a value: {WORDS[name].help}")
        return None
    if name in SCHEDULED:
        parse_schedule(value, name, name == "learning_rate")
        return _number_or_same(value)
    if kinds.startswith("dict"):
        value = _table(name, value)
    elif kinds.startswith("bool"):
        value = _boolean(name, value)
    elif kinds.startswith("int"):
        value = _integer(name, value)
    elif kinds.startswith("float"):
        value = _real(name, value)
    else:
        value = _text(name, value, may_be_code="type" in kinds)
    return _within_limits(name, value)


def is_lost(value: Any) -> bool:
    """Whether `value` is, or holds, the stand-in of a Python object that a file could not keep."""
    return any(text.startswith(NOT_RELOADABLE) for text in texts_in(value))


def texts_in(value: Any) -> Iterator[str]:
    """Every text in a setting, however deep in its tables and lists."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from texts_in(each)


def _within_limits(name: str, value: Any) -> Any:
    word = WORDS[name]
    if word.choices and value not in word.choices:
        raise ConfigError(f"{name} = {value!r} is not known: choose one of {', '.join(word.choices)}.")
    low, high = word.limits or (None, None)
    if (low is not None and value < low) or (high is not None and value > high):
        allowed = f"at least {low}" if high is None else f"between {low} and {high}"
        raise ConfigError(f"{name} = {value} is impossible: give a value of {allowed}.")
    return value


def _table(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ConfigError(
            f"{name} = {value!r} is not a table of settings: write key=value or JSON such as '{{\"key\": 1}}'."
        )
    return dict(value)


def _text(name: str, value: Any, may_be_code: bool) -> Any:
    if isinstance(value, str) and value.strip():
        return value
    if may_be_code and callable(value):
        return value
    raise ConfigError(f"{name} = {value!r} is not a text: {WORDS[name].help}")


def _number_or_same(value: Any) -> Any:
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


def _boolean(name: str, value: Any) -> bool:
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    if isinstance(value, bool):
        return value
    if str(value).lower() in words:
        return words[str(value).lower()]
    raise ConfigError(f"{name} = {value!r} is neither true nor false: write one of the two.")


def _integer(name: str, value: Any) -> int:
    number = _real(name, value, "a whole number")
    if not number.is_integer():
        raise ConfigError(f"{name} = {value} is not a whole number: write one, such as {max(1, round(number))}.")
    return int(number)


def _real(name: str, value: Any, kind: str = "a number") -> float:
    try:
        if isinstance(value, bool):
            raise ValueError
        number = float(value)  # also reads 1e6 and 1_000_000
    except (TypeError, ValueError):
        raise ConfigError(f"{name} = {value!r} is not {kind}: {WORDS[name].help}") from None
    if not math.isfinite(number):
        raise ConfigError(f"{name} = {value!r} is not a finite number: {WORDS[name].help}")
    return number
