"""The names of ManiSkill's tasks, which are known before the package is imported, for that takes seconds.

Those of mani_skill 3.0.1 that can be learned from state observations; a module of one's own may register further ones.
"""

from __future__ import annotations

from typing import Any

PACKAGE = "mani_skill"
FPS = 20.0
"""Steps a second of simulated time, in most tasks."""
REGISTERS = "mani_skill.envs"
"""The module whose import registers the tasks."""

_TABLETOP = (
    *("LiftPegUpright", "PegInsertionSide", "PickCube", "PickCubeSO100", "PickCubeWidowXAI", "PickClutterYCB"),
    *("PickSingleYCB", "PlaceSphere", "PlugCharger", "PokeCube", "PullCube", "PullCubeTool", "PushCube", "PushT"),
    *("RollBall", "StackCube", "StackPyramid", "TwoRobotPickCube", "TwoRobotStackCube", "TurnFaucet"),
    *("AssemblingKits", "DrawSVG", "DrawTriangle", "TableTopFreeDraw", "InsertFlower", "SO100GraspCube"),
)
_CONTROL = (
    *("MS-AntRun", "MS-AntWalk", "MS-CartpoleBalance", "MS-CartpoleSwingUp", "MS-HopperHop", "MS-HopperStand"),
    *("MS-HumanoidRun", "MS-HumanoidStand", "MS-HumanoidWalk"),
)
_HANDS = (
    *(f"RotateSingleObjectInHandLevel{level}" for level in range(4)),
    *(f"RotateValveLevel{level}" for level in range(5)),
    *(f"TriFingerRotateCubeLevel{level}" for level in range(5)),
)
_BODIES = (
    *("AnymalC-Reach", "AnymalC-Spin", "OpenCabinetDoor", "OpenCabinetDrawer", "UnitreeGo2-Reach", "UnitreeG1Stand"),
    *("UnitreeG1PlaceAppleInBowl", "UnitreeG1TransportBox", "UnitreeH1Stand"),
)
TASKS = tuple(f"{name}-v1" for name in (*_TABLETOP, *_CONTROL, *_HANDS, *_BODIES))


def task_name(env: str) -> str | None:
    """The task that `env` names, with or without its version, or None."""
    return next((name for name in (env, f"{env}-v1") if name in TASKS), None)


def may_be_task(env: Any) -> bool:
    """Whether `env` could name a task: one that is known here, or an id in a module that may register some."""
    return not isinstance(env, str) or ":" in env or task_name(env) is not None


def is_task(spec: Any) -> bool:
    """Whether Gymnasium's specification `spec` is of a ManiSkill task."""
    module = getattr(getattr(spec.entry_point, "func", None), "__module__", "")
    return module.partition(".")[0] == PACKAGE
