"""The scores behind docs/returns.md: kept for whole trainings, and only for them."""

import os
import signal
import threading
import time

import pytest

from scripts import returns


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(returns, "RESULTS", tmp_path)
    monkeypatch.setattr(returns, "EPISODES", 2)
    return tmp_path


def goal(steps):
    return returns.Goal("CartPole-v1", steps, 500.0, "nothing")


def test_a_score_is_kept_and_not_trained_again(results):
    score = returns.train_one((goal(2048), 3))
    assert (score.env, score.seed, score.total_timesteps) == ("CartPole-v1", 3, 2048) and score.mean > 0
    assert (results / "CartPole-v1-2048-3.json").exists()
    assert len(list((results / "runs").iterdir())) == 1
    assert returns.train_one((goal(2048), 3)) == score
    assert len(list((results / "runs").iterdir())) == 1
    assert "| CartPole-v1 | 2,048 |" in returns.row(goal(2048), [score])


def test_a_training_that_a_signal_stops_has_no_score(results, capsys):
    threading.Thread(target=terminate_once_it_trains, args=(results,)).start()
    assert returns.train_one((goal(100_000_000), 0)) is None
    assert not list(results.glob("*.json"))
    assert "CartPole-v1 seed 0: stopped by SIGTERM at " in capsys.readouterr().out


def terminate_once_it_trains(folder):
    """SIGTERM to this process as soon as a run in `folder` has recorded something."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if any(file.stat().st_size for file in folder.glob("runs/*/metrics.jsonl")):
            os.kill(os.getpid(), signal.SIGTERM)
            return
        time.sleep(0.02)
