"""Settings in files: a TOML file that a user writes, and the config.json that every run leaves behind.

Nothing in a file is imported or evaluated here. Two kinds of value stay texts for the caller to judge:

    module:Class, module:EnvId            `code_names` lists them; whoever imports them asks the user first (--trust-code)
    <not reloadable: function f of m>     stood for a Python object; `check` refuses it unless it is set again
"""

from __future__ import annotations

import json
import math
import os
import textwrap
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from upswing.config.fields import FIELDS, WORDS, TrainConfig
from upswing.config.resolve import NOT_RELOADABLE, canonical, coerce, is_lost, texts_in
from upswing.errors import ConfigError

RUN_CONFIG = "config.json"
_SIZE_LIMIT = 2**20  # bytes


def config_to_json(config: TrainConfig) -> dict[str, Any]:
    """Every setting as JSON holds it. A policy class becomes module:Class; what cannot be read back says so."""
    return {name: _to_json(getattr(config, name), name) for name in FIELDS}


def read_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The settings in a TOML file, a JSON file, or a run (its folder or config.json), by field name and checked.

    Only what the file sets is in it. A run's own name is left out: a run that is repeated gets a folder of its own.
    Raises ConfigError, naming the file, the key and the value.
    """
    file = Path(path).expanduser()
    if file.is_dir():
        file = file / RUN_CONFIG
    content = _parse(file, _read(file))
    run = content.get("config")
    if isinstance(run, dict) and file.suffix.lower() == ".json":
        content = {key: value for key, value in run.items() if key != "name"}
    settings: dict[str, Any] = {}
    for key, value in content.items():
        name, value = _setting(file, key, value)
        if name in settings:
            raise ConfigError(f"{file}: {key} sets {name} a second time: keep one of them.")
        settings[name] = value
    return settings


def code_names(settings: Mapping[str, Any]) -> list[str]:
    """The settings that would import a module, as texts such as "policy = my_code:Net"."""
    asked = ("env", "policy", "policy_kwargs")
    texts = ((name, text) for name in asked for text in texts_in(settings.get(name)))
    return [
        f"{name} = {text}" for name, text in texts if ":" in text and not is_lost(text) and not text.startswith("sc2:")
    ]


def refuse_code(settings: Mapping[str, Any], source: str | os.PathLike[str]) -> None:
    """Raise ConfigError where `settings`, read from `source`, would import a module."""
    code = code_names(settings)
    if code:
        raise ConfigError(
            f"{os.fspath(source)} names code to import ({', '.join(code)}): add --trust-code if you trust where it "
            f"comes from."
        )


def write_toml(config: TrainConfig, path: str | os.PathLike[str]) -> Path:
    """The new TOML file that holds every setting of `config`, each with its help. Raises ConfigError where it exists."""
    import tomli_w

    target = Path(path).expanduser()
    values = {name: value for name, value in config_to_json(config).items() if value is not None}
    try:
        text = "\n\n".join(_toml_lines(name, values, tomli_w.dumps) for name in FIELDS) + "\n"
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{target} cannot hold these settings as TOML ({error}): use JSON for them.") from None
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{target} exists already and is not overwritten: choose another name.") from None
    except OSError as error:
        raise ConfigError(f"{target} cannot be written ({error.strerror}): choose another place.") from None
    return target


def _to_json(value: Any, name: str = "") -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, Mapping):
        return {str(key): _to_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json(each) for each in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):
        return _to_json(value.tolist())
    if isinstance(value, type) and value.__module__.startswith("torch.nn."):
        return f"nn.{value.__name__}"  # the policies know activations by these names
    if name == "policy" and isinstance(value, type) and value.__module__ != "__main__" and _is_global(value):
        return f"{value.__module__}:{value.__name__}"
    return f"{NOT_RELOADABLE}{_describe(value)}>"


def _is_global(value: type) -> bool:
    return value.__qualname__ == value.__name__


def _describe(value: Any) -> str:
    if isinstance(value, type):
        return f"class {value.__qualname__} of {value.__module__}"
    if callable(value) and hasattr(value, "__qualname__"):
        return f"function {value.__qualname__.replace('<', '').replace('>', '')} of {value.__module__}"
    if isinstance(value, float):
        return str(value)
    return f"{type(value).__qualname__} of {type(value).__module__}"


def _read(file: Path) -> str:
    if not file.is_file():
        raise ConfigError(f"{file} does not exist or is not a file: give a TOML file, or a run.")
    try:
        with file.open("rb") as handle:
            data = handle.read(_SIZE_LIMIT + 1)
    except OSError as error:
        raise ConfigError(f"{file} cannot be read ({error.strerror}): check its permissions.") from None
    if len(data) > _SIZE_LIMIT:
        raise ConfigError(f"{file} is larger than 1 MiB, which no settings need: check the path.")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ConfigError(f"{file} is not text in UTF-8: save it as such.") from None


def _parse(file: Path, text: str) -> dict[str, Any]:
    kind = file.suffix.lower()
    if kind not in (".toml", ".json"):
        raise ConfigError(f"{file} is neither TOML nor JSON: write the settings as key = value in a .toml file.")
    try:
        content = tomllib.loads(text) if kind == ".toml" else json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error).rstrip(".")
        raise ConfigError(f"{file} is not valid {kind[1:].upper()}: {reason}; mend it.") from None
    if not isinstance(content, dict):
        raise ConfigError(f'{file} holds no settings: write an object such as {{"n_envs": 8}}.')
    return content


def _setting(file: Path, key: str, value: Any) -> tuple[str, Any]:
    """The field that `key` means and `value` as that field wants it; a Python object's stand-in stays as it is."""
    try:
        name = canonical(key)
        return name, value if is_lost(value) else coerce(name, value)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None


def _toml_lines(name: str, values: dict[str, Any], dumps: Any) -> str:
    """One setting with its help as a comment; in a comment itself where it has no value that could be read back."""
    word = WORDS[name]
    unit = f" [{word.unit}]" if word.unit else ""
    about = textwrap.wrap(word.help + unit, 100, initial_indent="# ", subsequent_indent="# ")
    if name not in values:
        return "\n".join([*about, f"# {name} ="])
    value = values[name]
    line = f"{name} = {_inline(value, dumps)}"
    return "\n".join([*about, f"# {line}" if is_lost(value) else line])


def _inline(value: Any, dumps: Any) -> str:
    """`value` as TOML on one line, tables included."""
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(
                f"{json.dumps(key, ensure_ascii=False)} = {_inline(each, dumps)}" for key, each in value.items()
            )
            + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(_inline(each, dumps) for each in value) + "]"
    return dumps({"x": value}).removeprefix("x = ").rstrip("\n")
