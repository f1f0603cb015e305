"""From flags, a file and a preset to one TrainConfig, and what the user should be told about it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from upswing.cli.borrowed import apply_borrowed
from upswing.cli.options import MANY
from upswing.config import TrainConfig, check, coerce, derive, read_config, refuse_code
from upswing.errors import ConfigError
from upswing.presets import PRESETS, Layers

PRESET, FILE, FLAGS = "preset", "file", "flags"


@dataclass(frozen=True)
class Chosen:
    """A configuration, and sentences about how it came about."""

    config: TrainConfig
    notices: list[str]


def choose(
    env: str | None,
    flags: Mapping[str, Any],
    borrowed: Mapping[str, str],
    *,
    file: str | None = None,
    preset: str | None = None,
    use_preset: bool = True,
    trust_code: bool = False,
) -> Chosen:
    """The configuration that defaults, a preset, a file and flags make together, each over the ones before.

    `flags` are the settings given as text, by field; `borrowed` other tools' flags. Raises ConfigError.
    """
    given = {name: parse(name, value) for name, value in flags.items()}
    if env is not None:
        if given.get("env", env) != env:
            raise ConfigError(f"Two environments are given, {env} and --env {given['env']}: leave out one of them.")
        given["env"] = env
    from_file = read_config(file) if file is not None else {}
    if file is not None and not trust_code:
        refuse_code({name: value for name, value in from_file.items() if name not in given or name in MANY}, file)
    chosen_env = given.get("env", from_file.get("env"))
    if chosen_env is None:
        raise ConfigError("An environment is needed, such as upswing train CartPole-v1; upswing envs lists them.")
    recipe = _recipe(chosen_env, preset, use_preset)
    layers = Layers()
    if recipe is not None:
        recipe_settings = dict(PRESETS[recipe].settings)
        del recipe_settings["env"]  # the recipe may be meant for another environment
        layers = layers.over(recipe_settings, PRESET)
    layers = layers.over(from_file, FILE).over(given, FLAGS)
    settings, told = apply_borrowed(dict(borrowed), layers.settings)
    config = check(TrainConfig(**settings))
    return Chosen(config, [*_about_recipe(recipe, layers), *told, *_about_eval_freq(config, layers)])


def _recipe(env: Any, preset: str | None, use_preset: bool) -> str | None:
    """The name of the preset to use, None for none."""
    if preset is not None:
        if preset not in PRESETS:
            raise ConfigError(f"There is no preset for {preset}: choose one of {', '.join(PRESETS)}.")
        return preset
    return next((name for name in PRESETS if use_preset and env in (name, name.rpartition("-v")[0])), None)


def _about_recipe(recipe: str | None, layers: Layers) -> list[str]:
    """That a preset is in force, where it comes from, and which of its settings were replaced."""
    if recipe is None or PRESET not in layers.origin.values():
        return []
    preset = PRESETS[recipe]
    replaced = [name for name in preset.settings if layers.origin.get(name) in (FILE, FLAGS) and name != "env"]
    yours = f" Replaced by you: {', '.join(replaced)}." if replaced else ""
    origin = preset.source.partition(",")[0]
    expected = "" if preset.expected is None else f", expected return {preset.expected:g}"
    return [f"Preset {recipe} ({origin}{expected}); --no-preset declines it.{yours}"]


def _about_eval_freq(config: TrainConfig, layers: Layers) -> list[str]:
    """A hint for those who are used to counting evaluations in iterations."""
    pool = derive(config).pool
    if layers.origin.get("eval_freq") != FLAGS or not config.eval_freq or config.eval_freq >= pool:
        return []
    return [
        f"eval_freq = {config.eval_freq} environment steps is less than one rollout of {pool}: every iteration is "
        f"followed by an evaluation; --eval-freq-iterations counts iterations, as ManiSkill does."
    ]


def parse(name: str, value: Any) -> Any:
    """The value of field `name` as its flag gave it. Raises ConfigError."""
    if name in MANY:
        return keywords(name, value)
    return coerce(name, value)


def keywords(name: str, texts: Sequence[str]) -> dict[str, Any]:
    """Keyword arguments from key=value texts or JSON tables; values are JSON, True, False or None, else text."""
    result: dict[str, Any] = {}
    for text in texts:
        if text.lstrip().startswith("{"):
            try:
                result |= json.loads(text)
            except json.JSONDecodeError as error:
                raise ConfigError(f"{name} = {text!r} is not valid JSON ({error.msg} at {error.pos}).") from None
            continue
        key, equals, value = text.partition("=")
        if not equals or not key.strip().isidentifier():
            raise ConfigError(f"{name} = {text!r} is not a keyword argument: write key=value, or JSON in quotes.")
        result[key.strip()] = literal(value)
    return coerce(name, result)


def literal(text: str) -> Any:
    """`text` as JSON, or as Python's True, False or None; text that is neither stays text."""
    words = {"True": True, "False": False, "None": None}
    if text in words:
        return words[text]
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
