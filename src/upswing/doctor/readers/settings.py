"""Settings of other frameworks, as far as they can be told in our words. Nothing is imported or evaluated."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from upswing.config import FIELDS, canonical, coerce
from upswing.errors import ConfigError

_SIZE_LIMIT = 2**22  # bytes of a description; weights are never read


def understood(given: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the `given` settings that are ours under some name, as their fields want them; others are left out."""
    settings: dict[str, Any] = {}
    for name, value in given.items():
        try:
            field = canonical(name)
            settings[field] = coerce(field, value)
        except ConfigError:
            continue
    return settings


def markdown_table(text: str) -> dict[str, str]:
    """The rows of a two-column Markdown table, as CleanRL writes its arguments."""
    rows = re.findall(r"^\|([^|\n]+)\|([^|\n]*)\|\s*$", text, flags=re.MULTILINE)
    return {name.strip(): value.strip() for name, value in rows if not set(name.strip()) <= set("-:")}


_SB3_FIELDS = (
    *("n_envs", "n_steps", "batch_size", "n_epochs", "gamma", "gae_lambda", "ent_coef", "vf_coef", "max_grad_norm"),
    *("target_kl", "normalize_advantage", "learning_rate", "use_sde", "sde_sample_freq", "seed"),
)


def sb3_archive(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings in a Stable-Baselines3 model's description, and what it says of its environment; {} where unreadable.

    Only the JSON text is read: the pickled objects inside it are left alone.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo("data").file_size > _SIZE_LIMIT:
                return {}, {}
            data = json.loads(archive.read("data"))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return {}, {}
    if not isinstance(data, dict) or "clip_range" not in data:  # not a PPO
        return {}, {}
    plain = {name: data[name] for name in _SB3_FIELDS if isinstance(data.get(name), int | float | bool)}
    if isinstance(data.get("_total_timesteps"), int) and data["_total_timesteps"] > 0:
        plain["total_timesteps"] = data["_total_timesteps"]
    return understood(plain), _action_space(data.get("action_space"))


def _action_space(space: Any) -> dict[str, Any]:
    if not isinstance(space, dict):
        return {}
    text = str(space.get(":type:", ""))
    if "Discrete" in text and str(space.get("n", "")).isdigit():
        return {"n_actions": int(space["n"])}
    return {"continuous": True} if "Box" in text else {}


_YAML_LINE = re.compile(r"^\s*([A-Za-z_]\w*):\s*([-+.\w]+)\s*$", flags=re.MULTILINE)


def yaml_numbers(path: Path) -> dict[str, str]:
    """The plain `name: value` lines of a YAML file, whatever they are nested in; the first of a name counts."""
    try:
        text = path.read_text("utf-8", "replace")[:_SIZE_LIMIT]
    except OSError:
        return {}
    found: dict[str, str] = {}
    for name, value in _YAML_LINE.findall(text):
        found.setdefault(name, value)
    return found


def known_fields(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `settings` that are fields of a TrainConfig, unchanged."""
    return {name: value for name, value in settings.items() if name in FIELDS}
