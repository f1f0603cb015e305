"""Writing pictures to an mp4 or GIF file."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import closing
from ctypes.util import find_library
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from upswing.errors import StorageError, UserError

FPS = 30  # for environments that do not say theirs


def write_video(target: Path, pictures: Iterator[np.ndarray], fps: float) -> int:
    """How many `pictures` [H, W, 3] uint8 were written to `target`, whose ending says mp4 or GIF.

    The file appears when it is complete. Raises UserError where there is no picture, StorageError where the file
    cannot be written.
    """
    first = next(pictures, None)
    if first is None:
        raise UserError("There was nothing to record: no picture was drawn.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        n = _write(target, chain([first], pictures), fps)
    except OSError as error:
        raise StorageError(f"{target} cannot be written ({error.strerror or error}): choose another place.") from None
    return n


def _write(target: Path, pictures: Iterable[np.ndarray], fps: float) -> int:
    import imageio.v2 as imageio

    partial = target.with_name(f".{target.stem}.partial{target.suffix}")
    animated = target.suffix.lower() == ".gif"
    options: dict[str, Any] = {"duration": 1000 / fps, "loop": 0} if animated else {"fps": fps, "macro_block_size": 1}
    n = 0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of imageio's, about its own past and future
            with closing(imageio.get_writer(partial, mode="I", **options)) as writer:
                for picture in pictures:
                    writer.append_data(even_sided(picture))
                    n += 1
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    return n


def even_sided(picture: np.ndarray) -> np.ndarray:
    """`picture` with the last row and column repeated where that makes its sides even, which video needs."""
    height, width = picture.shape[:2]
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def frames_per_second(env: Any) -> float:
    """The pace at which an environment, given by its Gymnasium id, wants to be shown; FPS where it does not say."""
    import gymnasium
    from gymnasium.envs.registration import load_env_creator

    from upswing.envs.maniskill.tasks import FPS as MANISKILL_FPS
    from upswing.envs.maniskill.tasks import task_name

    try:
        if task_name(env):
            return MANISKILL_FPS
        entry = gymnasium.spec(env).entry_point
        creator = load_env_creator(entry) if isinstance(entry, str) else entry
        if "render_fps" in getattr(creator, "metadata", {}):
            return float(creator.metadata["render_fps"])  # type: ignore[union-attr]
        with closing(gymnasium.make(env)) as made:  # MuJoCo's environments know their pace once they are made
            return float(made.metadata.get("render_fps") or FPS)
    except Exception:  # whatever a third party's registration does, a video at the usual pace is better than none
        return FPS


def draw_without_display() -> None:
    """Tell the libraries that draw, before they are imported, that pictures are wanted and no window is."""
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    if sys.platform == "linux" and not os.environ.get("DISPLAY"):
        software = find_library("EGL") is None and find_library("OSMesa") is not None
        os.environ.setdefault("MUJOCO_GL", "osmesa" if software else "egl")
