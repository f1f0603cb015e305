"""Make the pictures of the documentation, docs/images/*, from real trainings.

    make pictures

One training of CartPole-v1 with its preset, the one that `make train` does: the live view as it was after two thirds
of it, and the curves that `upswing plot` draws of it. One training of Pendulum-v1 with a learning rate that is far too
high: what `upswing doctor` says about it. CartPole-v1 with 8, 64 and 512 environments, five seeds each: what `upswing
report` makes of them. Terminal pictures are made in English and in Chinese.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Group

from scripts.terminal import picture
from upswing import Agent, Hook, preset, train
from upswing.cli.settings import choose
from upswing.doctor.diagnose import diagnose
from upswing.doctor.hook import DoctorHook
from upswing.doctor.render.terminal import screen
from upswing.hooks import Record, RunInfo
from upswing.lab.compare import compare
from upswing.lab.report.page import write_report
from upswing.many import train_many
from upswing.view.figure import draw_runs
from upswing.view.frame import frame
from upswing.view.state import RunState
from upswing.view.words import WORDS

IMAGES = Path(__file__).parent.parent / "docs" / "images"
WIDTH, HEIGHT = 116, 30  # of the terminal, in cells
NARROW = 100
MOMENT = 2 / 3  # of the training
TOO_HOT = {"n_envs": 4, "n_steps": 256, "gamma": 0.9, "learning_rate": 0.03, "name": "too-hot"}
VARIED = {"total_timesteps": 60_000, "n_minibatches": 8, "batch_size": None, "out_dir": "varied"}


class Photographer(Hook):
    """Sees what the live view sees, and keeps its picture at MOMENT: one a language, under the language's name."""

    def __init__(self, title: str, notices: Sequence[str]) -> None:
        self.title = title
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
                self.pictures[lang] = picture(Group(*lines), WIDTH, self.title)


def healthy_run() -> Iterator[Path]:
    """Files of the live view and of the curves, while they are written."""
    chosen = choose("CartPole-v1", {}, {})
    photographer = Photographer("upswing train CartPole-v1", chosen.notices)
    result = train(chosen.config, [DoctorHook("en", "never"), photographer])
    yield draw_runs([result.run_dir], IMAGES / "curves.png")
    for lang, svg in photographer.pictures.items():
        yield written(f"live-view.{lang}.svg", svg)


def sick_run() -> Iterator[Path]:
    """Files of the doctor's diagnosis, while they are written."""
    chosen = choose("Pendulum-v1", TOO_HOT, {}, use_preset=False)
    result = train(chosen.config, [DoctorHook("en", "never")])
    diagnosis = diagnose(result.run_dir)
    for lang in WORDS:
        title = f"upswing doctor {result.run_dir}" + (f" --lang {lang}" if lang != "en" else "")
        yield written(f"doctor.{lang}.svg", picture(screen(diagnosis, lang, NARROW), NARROW, title))


def compared_runs() -> Iterator[Path]:
    """The picture of a report, where a Chromium is installed to take it."""
    browser = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))), None)
    if browser is None:
        print("The report's picture stays as it is: no Chromium is installed.")
        return
    settings = [{"n_envs": n, "seed": seed, "name": f"envs{n}-s{seed}"} for n in (8, 64, 512) for seed in range(5)]
    train_many([preset("CartPole-v1", **VARIED, **each) for each in settings])
    write_report(compare(["varied"]), "report.html", "en")
    yield photographed(browser, Path("report.html"), IMAGES / "report.png")


def photographed(browser: str, page: Path, target: Path) -> Path:
    """`target`, which now shows the top of `page`."""
    flags = ["--headless", "--no-sandbox", "--hide-scrollbars", "--window-size=1180,1560", f"--screenshot={target}"]
    subprocess.run([browser, *flags, page.resolve().as_uri()], check=True, capture_output=True)
    return target


def written(name: str, svg: str) -> Path:
    """The file in docs/images that now holds `svg`."""
    file = IMAGES / name
    file.write_text(svg, encoding="utf-8")
    return file


def main() -> None:
    """Train, and write the pictures."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for make in (healthy_run, sick_run, compared_runs):
            for file in make():
                print(f"Written: {file.relative_to(IMAGES.parent.parent)}")


if __name__ == "__main__":
    main()
