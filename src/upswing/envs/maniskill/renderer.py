"""Whether SAPIEN can draw here, and what to do where it cannot.

Tasks describe what their objects look like while they are built, and those descriptions need a Vulkan driver even where
nothing is ever drawn. Without one, `without_renderer` puts inert objects in their place: the physics are the same.
"""

from __future__ import annotations

import sys
import warnings
from functools import cache
from typing import Any

from upswing.errors import ConfigError, EnvironmentFault

HOW_TO_DRAW = (
    "install one (Debian: mesa-vulkan-drivers 24.3 or newer, from backports; or NVIDIA's driver), see docs/maniskill.md"
)


class Inert:
    """Stands for a part of a picture that will never be drawn: takes any argument, keeps any attribute, knows any method."""

    def __init__(self, *arguments: Any, **named: Any):
        pass

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _leave_out


@cache
def can_draw() -> bool:
    """Whether SAPIEN finds a device to draw with; where it finds none, the stand-ins are in place afterwards."""
    sapien = import_sapien()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "Failed to find system libvulkan": SAPIEN brings its own loader
        try:
            sapien.render.RenderMaterial()
        except RuntimeError:
            without_renderer(sapien)
            return False
    return True


def import_sapien() -> Any:
    """The package sapien. Raises EnvironmentFault where a system library is missing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import sapien.render
        except ImportError as error:
            raise EnvironmentFault(
                f"ManiSkill's simulator cannot be loaded ({error}): install the system libraries it needs (Debian: "
                f"apt install libx11-6 libgl1 libegl1)."
            ) from error
    return sapien


def without_renderer(sapien: Any) -> None:
    """Replace SAPIEN's descriptions of materials by inert ones, and let builders of objects leave out what is seen."""
    from sapien.wrapper.actor_builder import ActorBuilder

    real = sapien.render.RenderMaterial
    for module in list(sys.modules.values()):  # some modules hold the name themselves
        if getattr(module, "__dict__", {}).get("RenderMaterial") is real:
            module.RenderMaterial = Inert  # type: ignore[attr-defined]
    sapien.render.RenderTexture2D = Inert
    for name in dir(ActorBuilder):
        if name.startswith("add_") and "visual" in name:
            setattr(ActorBuilder, name, _leave_out)


def _leave_out(builder: Any = None, *arguments: Any, **named: Any) -> Any:
    return builder


def require_renderer(task: str, what: str) -> None:
    """Raise ConfigError where `what` of `task` has to be drawn and cannot be."""
    if not can_draw():
        raise ConfigError(f"{what} of {task} needs a Vulkan driver, and there is none: {HOW_TO_DRAW}.")
