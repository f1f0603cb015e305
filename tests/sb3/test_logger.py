"""What is recorded, shown and written."""

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from upswing import PPO
from upswing.sb3 import Logger
from upswing.sb3.common.logger import board_folder, table


def test_a_table():
    text = table(
        {"train/loss": 0.123456, "rollout/ep_rew_mean": np.float32(21.5), "alone": 3, "train/n": 10, "x/y": "t" * 50}
    )
    lines = [line.strip("|").split("|") for line in text.splitlines()[1:-1]]
    assert [(key.strip(), value.strip()) for key, value in lines] == [
        ("alone", "3"),
        ("rollout/", ""),
        ("ep_rew_mean", "21.5"),
        ("train/", ""),
        ("loss", "0.123"),
        ("n", "10"),
        ("x/", ""),
        ("y", "t" * 33 + "..."),
    ]
    assert len({len(line) for line in text.splitlines()}) == 1, "every line is equally long"


def test_recording(capsys):
    logger = Logger(verbose=1)
    logger.record("a/last", 1.0)
    logger.record("a/last", 2.0)
    logger.record_mean("a/mean", 1.0)
    logger.record_mean("a/mean", 4.0)
    logger.record_mean("a/mean", None)
    logger.record("a/hidden", 5.0, exclude=("stdout", "csv"))
    assert logger.name_to_value["a/mean"] == 2.5
    logger.dump(3)
    shown = capsys.readouterr().out
    assert "last" in shown and "2.5" in shown and "hidden" not in shown
    assert logger.name_to_value["a/last"] == 2.0, "still readable after it was written"
    assert logger.name_to_value["nothing"] == 0.0
    logger.record_mean("a/mean", 8.0)
    assert logger.name_to_value["a/mean"] == 8.0, "a new mean"
    logger.dump(4)
    assert "last" not in capsys.readouterr().out
    logger.info("a line")
    assert capsys.readouterr().out == "a line\n"
    Logger(verbose=0).info("nothing")
    Logger(verbose=0).dump()
    assert capsys.readouterr().out == ""


def test_tensorboard_takes_many_kinds(tmp_path):
    figures = pytest.importorskip("matplotlib.figure")

    class Figure:
        def __init__(self, figure):
            self.figure, self.close = figure, True

    logger = Logger(folder=tmp_path / "run")
    logger.record("n/number", 3)
    logger.record("n/array", np.arange(5.0))
    logger.record("n/text", "hello", exclude="stdout")
    logger.record("n/none", None)
    logger.record("n/figure", Figure(figures.Figure()), exclude=("stdout", "log"))
    logger.record("n/kept_out", 1, exclude="tensorboard")
    logger.dump(7)
    logger.close()
    events = EventAccumulator(str(tmp_path / "run")).Reload()
    tags = events.Tags()
    assert tags["scalars"] == ["n/number"] and tags["images"] == ["n/figure"] and tags["histograms"] == ["n/array"]
    assert [(event.step, event.value) for event in events.Scalars("n/number")] == [(7, 3.0)]
    assert any("n/text" in tag for tag in tags["tensors"])


def test_folders_are_counted(tmp_path):
    (tmp_path / "PPO_2").mkdir()
    (tmp_path / "PPO_x").mkdir()
    (tmp_path / "PPO_10_old").mkdir()
    assert board_folder(str(tmp_path), "PPO", fresh=True).name == "PPO_3"
    assert board_folder(str(tmp_path), "PPO", fresh=False).name == "PPO_2"
    assert board_folder(str(tmp_path / "new"), "PPO", fresh=False).name == "PPO_1"


def test_a_call_of_learn_that_goes_on_writes_to_the_same_folder(tmp_path):
    model = PPO(
        "MlpPolicy", "CartPole-v1", tensorboard_log=str(tmp_path), n_steps=32, batch_size=32, n_epochs=1, seed=0
    )
    model.learn(64)
    model.learn(64, reset_num_timesteps=False)
    assert model.logger.get_dir() == str(tmp_path / "PPO_1")
    model.learn(64, tb_log_name="other", log_interval=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["PPO_1", "other_1"]
    steps = [event.step for event in EventAccumulator(str(tmp_path / "PPO_1")).Reload().Scalars("train/approx_kl")]
    assert steps == [32, 64, 96, 128]
    assert [e.step for e in EventAccumulator(str(tmp_path / "other_1")).Reload().Scalars("time/fps")] == [64]
    model.learn(32, log_interval=None)
    assert not (tmp_path / "PPO_2").exists(), "nothing was logged"
