"""Profiles: the split adds up, the slow part is named, predictions follow from the model, changes are really run."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from upswing.cli import run as command
from upswing.config import TrainConfig
from upswing.lab import speed
from upswing.lab.speed import Gain, Split, candidates, measured

CONFIG = TrainConfig(env="CartPole-v1", n_envs=4, n_steps=128, batch_size=8, n_epochs=40)
SLOW = Split(0.1, 0.1, 0.0, 10.0, "native")


@pytest.fixture
def upswing(capsys, monkeypatch):
    """Run a command line in this process, with short measurements."""
    monkeypatch.setattr(speed, "ROUND_S", 0.01)

    def call(*args):
        capsys.readouterr()
        code = command([str(arg) for arg in args])
        return SimpleNamespace(code=code, out=capsys.readouterr().out)

    return call


def test_the_slow_part_is_named():
    assert SLOW.codes == ("F01",)
    assert Split(8.0, 1.0, 0.5, 0.5, "torch").codes == ("F02",)
    assert Split(1.0, 1.0, 0.5, 0.5, "torch").codes == ()


def test_predictions_by_hand(monkeypatch):
    """512 transitions, 64 minibatches of 8, 40 epochs in 10 s: 10 / 2560 s a step. All 512 in one take 0.006 s."""
    monkeypatch.setattr(speed, "measured", lambda config, trusted=True: Split(0.1, 0.1, 0.0, 0.006, "native"))
    step = 10 / 2560
    each = (0.006 - step) / (512 - 8)
    overhead = step - 8 * each
    found = {tuple(sorted(changes)): predicted for changes, predicted in candidates(CONFIG, SLOW)}
    assert found[("n_epochs",)] == pytest.approx(0.2 + 10.0 / 4)
    assert found[("batch_size", "n_minibatches")] == pytest.approx(0.2 + 40 * (8 * overhead + 512 * each))
    assert found[("batch_size", "n_epochs", "n_minibatches")] == pytest.approx(0.2 + 10 * (8 * overhead + 512 * each))
    assert candidates(CONFIG, Split(1.0, 1.0, 0.5, 0.5, "native")) == []


def test_environments_get_workers(monkeypatch):
    monkeypatch.setattr(speed.os, "cpu_count", lambda: 2)
    ways = candidates(replace(CONFIG, vectorization="serial"), Split(8.0, 1.0, 0.5, 0.5, "torch"))
    assert ways == [({"vectorization": "workers"}, 6.0), ({"vectorization": "auto"}, None)]


@pytest.mark.parametrize("engine", ["native", "torch"])
def test_a_measurement_has_every_part(monkeypatch, engine):
    monkeypatch.setattr(speed, "ROUND_S", 0.01)
    split = measured(replace(CONFIG, engine=engine))
    assert split.engine == engine
    assert min(split.env, split.policy, split.steps) > 0 and split.advantages >= 0
    assert split.gpu_memory_mb is None
    twice = measured(replace(CONFIG, engine=engine, n_epochs=4000))
    assert twice.steps > 10 * split.steps, "scaled up, not waited for"


def test_the_user_s_case_is_recognised_and_mended(upswing):
    args = ("CartPole-v1", "--no-preset", "--engine", "torch", "--n-envs", 4, "--n-steps", 128, "--batch-size", 8)
    said = upswing("profile", *args, "--n-epochs", 100, "--json")
    told = json.loads(said.out.splitlines()[-1])
    assert said.code == 10 and told["findings"] == ["F01"]
    assert told["options"][0]["changes"] == {"engine": "auto"} and told["options"][0]["engine"] == "native"
    last = told["options"][-1]
    assert last["changes"] == {"engine": "auto", "batch_size": 64, "n_epochs": 10}
    assert last["predicted_s"] > 0 and last["speedup"] > 10
    assert (last["gradient_steps"], last["uses_of_a_sample"]) == (80, 10)
    shown = upswing("profile", *args, "--n-epochs", 100, "--lang", "zh")
    assert "F01 更新太慢" in shown.out and "n_epochs 100 → 10" in shown.out


def test_a_foreign_log_is_only_suspected(upswing, tmp_path):
    rows = ["time/total_timesteps,time/fps,time/iterations,rollout/ep_rew_mean,train/approx_kl"]
    rows += [f"{2048 * k},{fps},{k},{20 + k},0.01" for k, fps in enumerate([40.0] * 30, 1)]
    (tmp_path / "progress.csv").write_text("\n".join(rows) + "\n")
    said = upswing("profile", tmp_path, "--json")
    told = json.loads(said.out.splitlines()[-1])
    assert told["suspected"] == ["F01"] and told["measured"] is False
    assert told["said"][0].startswith("Suspected, not measured")
    (tmp_path / "progress.csv").write_text("\n".join(rows).replace(",40.0,", ",4000.0,") + "\n")
    fine = upswing("profile", tmp_path)
    assert fine.code == 0 and "does not say where the time goes" in " ".join(fine.out.split())


def test_mixed_precision_is_judged_by_every_round(upswing):
    assert Gain(1.3, 1.1, 1.5).helps and not Gain(1.3, 0.9, 1.5).helps
    args = ("CartPole-v1", "--no-preset", "--n-envs", 4, "--n-steps", 128, "--batch-size", 128, "--n-epochs", 1)
    told = json.loads(upswing("profile", *args, "--engine", "torch", "--json").out.splitlines()[-1])
    gain = told["bf16"]
    assert 0 < gain["low"] <= gain["factor"] <= gain["high"] and gain["helps"] == (gain["low"] > 1)
    said = " ".join(upswing("profile", *args, "--engine", "torch").out.split())
    assert "Mixed precision" in said and "with --amp bf16 gradient steps are" in said
    assert "混合精度不适用" in upswing("profile", *args, "--lang", "zh").out
