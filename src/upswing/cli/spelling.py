"""From what a user typed to this command line's own spelling: --num_envs=8 becomes --n-envs=8."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence

from upswing.cli.borrowed import BORROWED
from upswing.cli.options import is_switch
from upswing.config import ALIASES, FIELDS, WORDS, canonical
from upswing.errors import ConfigError

TRUTHS = ("true", "false", "yes", "no", "on", "off", "1", "0")


def spelled(args: Sequence[str], own: Collection[str]) -> list[str]:
    """`args` with each setting's flag as --name=value. Flags in `own` are the command's and stay as they are.

    Dashes and underscores are the same; aliases become the setting they name; a switch may stand alone, be negated
    by --no-, or take true or false. Raises ConfigError for an unknown flag, and for one that lacks its value.
    """
    result: list[str] = []
    rest = list(args)
    while rest:
        token = rest.pop(0)
        if token == "--":
            return [*result, token, *rest]
        if not token.startswith("--"):
            result.append(token)
            continue
        typed, equals, value = token.partition("=")
        flag = "--" + typed[2:].replace("_", "-")
        if flag in own:
            result.append(flag + equals + value)
            continue
        name, switch, negated = _resolve(typed, own)
        if negated:
            value = _negation(typed, value if equals else None)
        elif switch and not equals:
            value = rest.pop(0) if rest and rest[0].lower() in TRUTHS else "true"
        elif not equals:
            value = _next_value(typed, name, rest)
        result.append(f"--{name.replace('_', '-')}={value}")
    return result


def _resolve(typed: str, own: Collection[str]) -> tuple[str, bool, bool]:
    """The setting or borrowed flag that `typed` names, whether it is a switch, and whether --no- negates it."""
    plain = typed[2:].replace("-", "_")
    for name, negated in ((plain, False), (plain.removeprefix("no_"), plain.startswith("no_"))):
        if name in BORROWED and (BORROWED[name].switch or not negated):
            return name, BORROWED[name].switch, negated
        known = name in FIELDS or name in ALIASES
        if known and (not negated or is_switch(canonical(name))):
            return canonical(name), is_switch(canonical(name)), negated
    raise _unknown(typed, own)


def _negation(typed: str, value: str | None) -> str:
    if value is not None:
        raise ConfigError(f"{typed} takes no value: leave out ={value}.")
    return "false"


def _next_value(typed: str, name: str, rest: list[str]) -> str:
    if not rest or rest[0].startswith("--"):
        meaning = WORDS[name].help if name in WORDS else BORROWED[name].help
        raise ConfigError(f"{typed} needs a value: {meaning}")
    return rest.pop(0)


def _unknown(typed: str, own: Collection[str]) -> ConfigError:
    hint = f"did you mean {near}?" if (near := _nearest(typed, own)) else "see upswing train --help for all flags."
    return ConfigError(f"{typed} is not a flag of upswing train: {hint}")


def _nearest(typed: str, own: Collection[str]) -> str | None:
    """The flag that `typed` is probably meant for: by its initials (--lr), or by its letters."""
    plain = typed.lstrip("-").replace("_", "-").lower()
    flags = [name.replace("_", "-") for name in (*FIELDS, *ALIASES, *BORROWED)]
    by_initials = [flag for flag in flags if "".join(part[0] for part in flag.split("-")) == plain]
    near = by_initials or difflib.get_close_matches(plain, [*flags, *(flag.lstrip("-") for flag in own)], n=1)
    return f"--{near[0]}" if near else None
