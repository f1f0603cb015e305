"""Make the pictures of the documentation, docs/images/*, from a real training.

    make pictures

One training of CartPole-v1 with its preset, the one that `make train` does: the live view as it was after two thirds
of it, in English and in Chinese, and the curves that `upswing plot` draws of it.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

from scripts.terminal import picture
from upswing import Agent, Hook, train
from upswing.cli.settings import choose
from upswing.hooks import Record, RunInfo
from upswing.view.figure import draw_runs
from upswing.view.frame import frame
from upswing.view.state import RunState
from upswing.view.words import WORDS

ENV = "CartPole-v1"
IMAGES = Path(__file__).parent.parent / "docs" / "images"
WIDTH, HEIGHT = 116, 30  # of the terminal, in cells
MOMENT = 2 / 3  # of the training


class Photographer(Hook):
    """Sees what the live view sees, and keeps its picture at MOMENT: one a language, under the language's name."""

    def __init__(self, notices: Sequence[str]) -> None:
        self.states = {lang: RunState(notices) for lang in WORDS}
        self.pictures: dict[str, str] = {}

    def on_start(self, info: RunInfo) -> None:
        """Take in what is known at the start."""
        for state in self.states.values():
            state.start(info)

    def on_iteration(self, record: Record, agent: Agent) -> None:
        """Take in one iteration, and the picture when its moment has come."""
        for lang, state in self.states.items():
            state.add(record)
            if state.share >= MOMENT and lang not in self.pictures:
                lines = frame(state, WORDS[lang], WIDTH, HEIGHT)
                self.pictures[lang] = picture(lines, WIDTH, f"upswing train {ENV}")


def main() -> None:
    """Train, and write the pictures."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    chosen = choose(ENV, {}, {})
    photographer = Photographer(chosen.notices)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        result = train(chosen.config, [photographer])
        files = [draw_runs([result.run_dir], IMAGES / "curves.png")]
    for lang, svg in photographer.pictures.items():
        files.append(IMAGES / f"live-view.{lang}.svg")
        files[-1].write_text(svg, encoding="utf-8")
    print("Written:", *(file.relative_to(IMAGES.parent.parent) for file in files))


if __name__ == "__main__":
    main()
