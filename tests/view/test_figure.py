"""The picture of runs: what is drawn, in which files, and what cannot be."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest

from upswing.cli import run as upswing
from upswing.errors import StorageError
from upswing.view import figure
from upswing.view.figure import PANELS, draw_runs


@pytest.fixture
def make_run(tmp_path):
    """A run's folder with `n` iterations of records, an evaluation at every second one."""

    def make(name, n=4, slope=1.0):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        with (folder / "metrics.jsonl").open("w") as file:
            for i in range(1, n + 1):
                record = {tag: slope * i for tag, _ in PANELS} | {"time/total_timesteps": 1000 * i}
                record["eval/mean_reward"] = 10.0 * i if i % 2 == 0 else None
                file.write(json.dumps(record) + "\n")
        return folder

    return make


@pytest.fixture
def drawn(monkeypatch):
    """The figure that was drawn last, which is otherwise closed."""
    monkeypatch.setattr(plt, "close", lambda figure: None)
    yield plt.gcf
    monkeypatch.undo()
    plt.close("all")


def test_each_panel_has_a_curve_for_each_run(make_run, drawn, tmp_path):
    draw_runs([make_run("a"), make_run("b", slope=2.0)], tmp_path / "x.png")
    axes = drawn().axes
    assert [axis.get_title(loc="left") for axis in axes] == [title for _, title in PANELS]
    for axis in axes:
        curves = [line for line in axis.lines if line.get_linestyle() == "-"]
        assert [curve.get_label() for curve in curves] == ["a", "b"]
        assert np.array_equal(curves[0].get_xdata(), [1000, 2000, 3000, 4000])
        assert np.array_equal(curves[1].get_ydata(), [2, 4, 6, 8])
    assert [text.get_text() for text in drawn().legends[0].get_texts()] == ["a", "b"]


def test_evaluations_are_dots_in_the_panel_of_the_return(make_run, drawn, tmp_path):
    draw_runs([make_run("a")], tmp_path / "x.png")
    dots = [[line for line in axis.lines if line.get_marker() == "o"] for axis in drawn().axes]
    assert [len(each) for each in dots] == [1, 0, 0, 0, 0, 0]
    seen = np.isfinite(dots[0][0].get_ydata())
    assert np.array_equal(dots[0][0].get_xdata()[seen], [2000, 4000])
    assert drawn().axes[0].get_title(loc="right") == "● evaluations"


def test_steps_are_written_short():
    assert [figure._thousands(x) for x in (0, 500, 20_000, 1_500_000)] == ["0", "500", "20k", "1.5M"]


@pytest.mark.parametrize(("ending", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_the_command_writes_pictures(make_run, tmp_path, capsys, ending, begins):
    target = tmp_path / f"curves.{ending}"
    assert upswing(["plot", str(make_run("a")), str(make_run("b")), "-o", str(target)]) == 0
    assert target.read_bytes().startswith(begins)
    assert str(target) in capsys.readouterr().out


def test_without_an_output_the_picture_lies_in_the_run(make_run, capsys):
    folder = make_run("a")
    assert upswing(["plot", str(folder)]) == 0
    assert (folder / "curves.png").is_file()


def test_a_run_without_records_is_a_sentence(make_run, tmp_path):
    with pytest.raises(StorageError, match="no records yet"):
        draw_runs([make_run("empty", n=0)], tmp_path / "x.png")
