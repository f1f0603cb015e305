"""Command-line options made from the declared hyperparameters, and how help shows them."""

from __future__ import annotations

import dataclasses
from typing import Any

import rich_click as click
from rich.text import Text

from upswing.config import FIELDS, SCHEDULED, WORDS

DIM = "color(244)"  # a grey that is readable on black and on white

_HELP: dict[str, Any] = {
    "text_markup": "rich",
    "options_table_column_types": ["opt_all_metavar", "help"],
    "show_arguments": False,
    "options_table_help_sections": ["help", "default"],
    "style_option": "cyan",
    "style_command": "bold cyan",
    "style_switch": "cyan",
    "style_metavar": DIM,
    "style_options_panel_border": DIM,
    "style_commands_panel_border": DIM,
    "style_options_panel_box": "ROUNDED",
    "style_commands_panel_box": "ROUNDED",
    "max_width": 110,
}

CONTEXT: dict[str, Any] = {"help_option_names": ["-h", "--help"], "rich_help_config": _HELP}
"""What every command's context begins with: how help is asked for, and how it looks."""

MANY = ("env_kwargs", "policy_kwargs")  # given as key=value, several times


class FieldOption(click.RichOption):
    """The option of one hyperparameter: help, unit, default, and what too low and too high do, from its Word."""

    def __init__(self, field: str):
        self.field = field
        flag = "--" + field.replace("_", "-")
        super().__init__(
            [flag, field],
            type=str,
            default=None,
            multiple=field in MANY,
            metavar=metavar(field),
            panel=WORDS[field].group,
        )

    def get_rich_table_row(self, ctx: click.RichContext, formatter: Any, panel: Any = None) -> list[Any]:
        """Two cells: how it is written, and what it means."""
        word = WORDS[self.field]
        flag = self.opts[0].replace("--", "--[no-]", 1) if is_switch(self.field) else self.opts[0]
        name = Text.assemble((flag, "cyan"), " ", (self.metavar or "", DIM), no_wrap=True)
        for alias in word.aliases:
            name.append(f"\nalso --{alias.replace('_', '-')}", DIM)
        text = Text.assemble(word.help)
        known = facts(self.field)
        text.append(f"\n{known}" if known else "", DIM)
        for label, effect in (("too low", word.low), ("too high", word.high)):
            if effect:
                text.append(f"\n{label}: ", f"{DIM} italic").append(effect, DIM)
        return [name, text]


def facts(field: str) -> str:
    """Choices, default, unit and usual range of a hyperparameter in one line; empty where there is nothing to say."""
    word, default = WORDS[field], default_text(field)
    parts = [
        f"one of {', '.join(word.choices)}" if word.choices else "",
        f"default {default}" if default != "none" else "",
        word.unit,
        f"usually {word.sane[0]:g} to {word.sane[1]:g}" if word.sane else "",
    ]
    return " · ".join(part for part in parts if part)


def default_text(field: str) -> str:
    """The default of a hyperparameter as it would be written on the command line."""
    declared = FIELDS[field]
    if declared.default is dataclasses.MISSING:
        return "none"
    return written(declared.default)


def written(value: Any) -> str:
    """A setting as text: 0.0003, true, net_arch=[64, 64], none where it is unset."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return " ".join(f"{key}={inner}" for key, inner in value.items()) or "none"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, type) or callable(value):
        return getattr(value, "__qualname__", str(value))
    return str(value)


def metavar(field: str) -> str:
    """What stands for the value of a hyperparameter in help."""
    kind = str(FIELDS[field].type)
    if is_switch(field):
        return ""
    if WORDS[field].choices:
        return "CHOICE"
    if field in SCHEDULED:
        return "SCHEDULE"
    if field in MANY:
        return "KEY=VALUE"
    if kind.startswith("int"):
        return "N"
    if kind.startswith("float"):
        return "X"
    return {"env": "ID", "policy": "NAME", "out_dir": "FOLDER", "checkpoint_path": "PATH"}.get(field, "TEXT")


def is_switch(field: str) -> bool:
    """Whether a hyperparameter is either true or false, so that its flag may stand alone."""
    return str(FIELDS[field].type).startswith("bool")


def field_options() -> list[FieldOption]:
    """One option for each hyperparameter; env is left to the command's argument."""
    return [FieldOption(name) for name in FIELDS if name != "env"]
