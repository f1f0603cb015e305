"""A folder that PySC2 takes for an installation of StarCraft II, with the stand-in in the place of the game."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import upswing
from scripts.starcraft.rules import RADIUS

ROOT = Path(__file__).parents[2]


def install(folder: str | Path) -> Path:
    """The folder to set SC2PATH to, `folder`, with the stand-in's program and its maps (which say nothing) in it."""
    home = Path(folder).resolve()
    program = home / "Versions" / "Base99999" / "SC2_x64"
    for part in (program.parent, home / "Maps" / "mini_games", home / "orders", home / "starts"):
        part.mkdir(parents=True, exist_ok=True)
    path = shlex.quote(f"{ROOT}:{Path(upswing.__file__).parents[1]}")
    program.write_text(
        f'#!/bin/sh\nPYTHONPATH={path} exec {shlex.quote(sys.executable)} -m scripts.starcraft.server "$@"\n'
    )
    program.chmod(0o755)
    for name in RADIUS:
        (home / "Maps" / "mini_games" / f"{name}.SC2Map").write_text("This is no map: the stand-in knows its rules.\n")
    return home
