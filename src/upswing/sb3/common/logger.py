"""What `self.logger` is in a callback: values are recorded under tags, then written to a table and to TensorBoard."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

WIDTH = 36  # of keys and values in the table

Exclude = str | Iterable[str] | None


class Logger:
    """Collects values by tag; `dump` writes them to every output and forgets them.

    `exclude` names the outputs that do not get a value: "stdout", "tensorboard". TensorBoard takes numbers, texts,
    arrays (as histograms) and Stable-Baselines3's Figure, Image and Video; the table numbers and texts.
    """

    def __init__(self, verbose: int = 0, folder: Path | None = None):
        self.verbose = verbose
        self.folder = folder
        self._values: dict[str, Any] = {}
        self._excluded: dict[str, frozenset[str]] = {}
        self._counts: dict[str, int] = {}
        self._dumped: dict[str, Any] = {}
        self._board: Any = None  # torch's SummaryWriter, made at the first dump

    @property
    def name_to_value(self) -> dict[str, Any]:
        """What is recorded, and under tags that are not, what was last written; 0.0 for others."""
        return defaultdict(float, self._dumped | self._values)

    def record(self, key: str, value: Any, exclude: Exclude = None) -> None:
        """Keep `value` under `key` for the next dump; the last one counts."""
        self._values[key] = value
        self._excluded[key] = frozenset([exclude] if isinstance(exclude, str) else exclude or ())

    def record_mean(self, key: str, value: float | None, exclude: Exclude = None) -> None:
        """Keep the mean of all values given under `key` for the next dump."""
        if value is None:
            return
        n = self._counts.get(key, 0) + 1
        self._counts[key] = n
        before = self._values.get(key, 0.0) if n > 1 else 0.0
        self.record(key, before + (value - before) / n, exclude)

    def dump(self, step: int = 0) -> None:
        """Write what is recorded, at `step`, and forget it."""
        shown = {key: value for key, value in self._values.items() if self._goes_to("stdout", key)}
        if self.verbose >= 1 and shown:
            print(table(shown), flush=True)
        if self.folder is not None:
            self._write_board({k: v for k, v in self._values.items() if self._goes_to("tensorboard", k)}, step)
        self._dumped |= self._values
        for kept in (self._values, self._excluded, self._counts):
            kept.clear()

    def log(self, *args: Any, level: int = 20) -> None:
        """Print a line, if this logger prints anything."""
        if self.verbose >= 1:
            print(*args)

    info = debug = warn = error = log

    def get_dir(self) -> str | None:
        """The folder of TensorBoard's files, or None."""
        return None if self.folder is None else str(self.folder)

    dir = property(get_dir)

    def close(self) -> None:
        """Close the files."""
        if self._board is not None:
            self._board.close()
            self._board = None

    def _goes_to(self, output: str, key: str) -> bool:
        return output not in self._excluded.get(key, ())

    def _write_board(self, values: Mapping[str, Any], step: int) -> None:
        if self._board is None:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(self.folder))
        for key, value in values.items():
            _add(self._board, key, value, step)
        self._board.flush()


def _add(board: Any, key: str, value: Any, step: int) -> None:
    """Write one value in the way that fits its kind."""
    if value is None:
        return
    if isinstance(value, str):
        board.add_text(key, value, step)
    elif hasattr(value, "figure"):
        board.add_figure(key, value.figure, step, close=getattr(value, "close", True))
    elif hasattr(value, "frames"):
        board.add_video(key, value.frames, step, value.fps)
    elif hasattr(value, "image"):
        board.add_image(key, value.image, step, dataformats=getattr(value, "dataformats", "HWC"))
    elif hasattr(value, "hparam_dict"):
        rows = "\n".join(f"|{name}|{setting}|" for name, setting in value.hparam_dict.items())
        board.add_text("hparams", f"|setting|value|\n|-|-|\n{rows}", step)
    elif np.ndim(value) > 0:
        board.add_histogram(key, np.asarray(value), step)
    else:
        board.add_scalar(key, float(value), step)


TABLE = frozenset(
    [
        *(f"rollout/{name}" for name in ("ep_len_mean", "ep_rew_mean", "success_rate")),
        *(f"time/{name}" for name in ("fps", "iterations", "time_elapsed", "total_timesteps")),
        *(f"train/{name}" for name in ("approx_kl", "clip_fraction", "clip_range", "clip_range_vf", "entropy_loss")),
        *(f"train/{name}" for name in ("explained_variance", "learning_rate", "loss", "n_updates")),
        *(f"train/{name}" for name in ("policy_gradient_loss", "std", "value_loss")),
    ]
)
"""Tags that Stable-Baselines3 prints; the others only go to TensorBoard."""


def record_iteration(logger: Any, record: dict[str, Any]) -> None:
    """Record an iteration's metrics. time/fps is, as in Stable-Baselines3, the mean since `learn` began."""
    elapsed = {"time/time_elapsed": int(record["time/elapsed_s"]), "time/fps": int(record["time/fps_mean"])}
    for tag, value in (record | elapsed).items():
        if value is not None:
            logger.record(tag, value, exclude=None if tag in TABLE else "stdout")


def table(values: Mapping[str, Any]) -> str:
    """`values` by tag as a table, in which tags with the same beginning (rollout/, time/, train/) stand together."""
    rows: list[tuple[str, str]] = []
    room = ""
    for key in sorted(values):
        before, slash, after = key.partition("/")
        if slash and before != room:
            room = before
            rows.append((_cut(f"{room}/"), ""))
        name = f"   {after}" if slash else key
        rows.append((_cut(name), _cut(_text(values[key]))))
    left, right = (max(len(row[i]) for row in rows) for i in (0, 1))
    line = "-" * (left + right + 7)
    return "\n".join([line, *(f"| {key:<{left}} | {value:<{right}} |" for key, value in rows), line])


def _text(value: Any) -> str:
    return f"{value:<8.3g}" if isinstance(value, float | np.floating) else str(value)


def _cut(text: str) -> str:
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 3]}..."


def board_folder(parent: str, name: str, fresh: bool) -> Path:
    """`parent`/`name`_N: a number that is not taken yet, or (not `fresh`) the last one."""
    folder = Path(parent)
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    matches = [re.fullmatch(rf"{re.escape(name)}_(\d+)", each) for each in names]
    last = max((int(match[1]) for match in matches if match), default=0)
    return folder / f"{name}_{last + 1 if fresh or last == 0 else last}"
