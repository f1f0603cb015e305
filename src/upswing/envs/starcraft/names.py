"""What may be named without PySC2: its mini-games, and any map with the prefix `sc2:`."""

from __future__ import annotations

PACKAGE, PREFIX = "pysc2", "sc2:"
INSTALL = "pip install --no-deps pysc2==4.0.0"
"""Beside the extra: what PySC2 itself asks for would replace pygame-ce by an older pygame (docs/starcraft.md)."""

MINI_GAMES = (
    "BuildMarines",
    "CollectMineralShards",
    "CollectMineralsAndGas",
    "DefeatRoaches",
    "DefeatZerglingsAndBanelings",
    "FindAndDefeatZerglings",
    "MoveToBeacon",
)

MINI_GAME_FUNCTIONS = (
    *("no_op", "move_camera", "select_point", "select_rect", "select_control_group", "select_idle_worker"),
    *("select_army", "Attack_screen", "Attack_minimap", "Move_screen", "Move_minimap", "Smart_screen"),
    *("HoldPosition_quick", "Stop_quick", "Harvest_Gather_screen", "Harvest_Return_quick", "Rally_Workers_screen"),
    *("Build_Barracks_screen", "Build_CommandCenter_screen", "Build_Refinery_screen", "Build_SupplyDepot_screen"),
    *("Train_Marine_quick", "Train_SCV_quick"),
)
"""23 functions, enough for all mini-games: select, move and fight; gather, build and train."""


def map_name(env: object) -> str | None:
    """The map that `env` names, or None where it is no StarCraft II environment."""
    if not isinstance(env, str):
        return None
    return env.removeprefix(PREFIX) if env.startswith(PREFIX) else (env if env in MINI_GAMES else None)
