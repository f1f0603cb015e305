"""The benchmark for a GPU, its measuring code on the CPU at a tiny size; the figures mean nothing here."""

import dataclasses

import numpy as np
import pytest
import torch

from upswing.bench.gpu import __main__ as bench
from upswing.bench.gpu.contestants import CONTESTANTS, Images, plain
from upswing.bench.gpu.measure import Measured, measure
from upswing.bench.gpu.page import page
from upswing.bench.gpu.plain_loop import PlainLoop
from upswing.bench.recipes import Recipe
from upswing.envs.device import make_device_env
from upswing.errors import ConfigError, MissingExtra

CPU = torch.device("cpu")
TINY = {"size": 32, "megabytes": 1}
COMPILED = [name for name in CONTESTANTS if "compile" in name]


def tiny(recipe):
    return dataclasses.replace(recipe, n_envs=8, n_steps=4, batch_size=16, net_arch=(8,))


def test_every_contestant_is_measured_in_turns_and_stands_on_the_page(monkeypatch):
    """Compiling takes a minute for each; compiled contestants are therefore made with torch.compile's identity here."""
    monkeypatch.setattr(torch, "compile", lambda function, **how: function)
    chosen = [(tiny(recipe), dict(CONTESTANTS)) for recipe in bench.vector_recipes()[::4]]
    assert [recipe.env for recipe, _ in chosen] == ["CartPole-v1", "Pendulum-v1", "PushBlock-v0"]
    found, limits = bench.run(CPU, chosen, rounds=2, seconds=0.0, **TINY)
    assert [m.contestant for m in found] == 3 * list(CONTESTANTS) and not any(m.missing for m in found)
    for m in found:
        assert len(m.collect_s) == len(m.update_s) == 2 and (m.speeds() < m.speeds(learner_only=True)).all()
        assert m.busy is None and m.memory_mb is None
    assert min(limits.values()) > 0
    text = page("CPU", found, limits, 2)
    rows = [line for line in text.splitlines() if line.startswith(("| cartpole", "| pendulum", "| pushblock"))]
    assert len(rows) == len(found) and sum("×" in row.split("|")[5] for row in rows) == 3 * (len(CONTESTANTS) - 1)


def test_images_are_updated_from_one_rollout():
    recipe = dataclasses.replace(bench.IMAGES, n_envs=2, n_steps=4, batch_size=4, n_epochs=1)
    (m,) = measure(recipe, {"Upswing": lambda r, d: Images(r, d, capture="on")}, CPU, 1, 0.0, lambda line: None)
    assert m.update_s[0] > 0 and "steps/s" in page(
        "CPU", [m], dict.fromkeys(("matmul_float32", "matmul_bf16", "copy", "launch"), 1.0), 1
    )


def test_the_plain_loop_learns():
    """It is a fair rival only if it works: the mean return of CartPole rises from about 20 to above 100 in 60 updates."""
    recipe = Recipe("", "CartPole-v1", 16, 64, 256, 10, 0, 0, learning_rate=1e-3)
    torch.manual_seed(0)
    loop = PlainLoop(recipe, make_device_env("CartPole-v1", {}, 16, CPU))
    for _ in range(30):
        rollout = loop.collect()
        figures = loop.update(rollout)
    ended = rollout[5].sum().item()
    assert 16 * 64 / max(1, ended) > 100
    assert 0 < figures["entropy"] < 0.7 and figures["kl"] > -1e-3


def test_what_is_missing_is_said(monkeypatch, capsys):
    def fails(recipe, device):
        raise MissingExtra("stable-baselines3", "bench", "Measuring Stable-Baselines3")

    recipe = tiny(bench.vector_recipes()[0])
    found = measure(recipe, {"Stable-Baselines3": fails, "plain": plain}, CPU, 1, 0.0, lambda line: None)
    assert "not measured: Measuring" in page(
        "CPU", found, dict.fromkeys(("matmul_float32", "matmul_bf16", "copy", "launch"), 1.0), 1
    )
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="torch finds none here"):
        bench.require_gpu()
    monkeypatch.setattr("sys.argv", ["bench"])
    assert bench.main() == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_speeds_by_hand():
    recipe = Recipe("", "CartPole-v1", 10, 10, 10, 1, 0, 0)
    m = Measured(recipe, "", [0.5, 0.25], [0.5, 0.25])
    np.testing.assert_allclose(m.speeds(), [100, 200])
    np.testing.assert_allclose(m.speeds(learner_only=True), [200, 400])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU here")
def test_on_a_gpu_it_runs_whole():
    device = bench.require_gpu()
    found, limits = bench.run(device, [(bench.vector_recipes()[0], dict(CONTESTANTS))], rounds=1, seconds=0.5)
    assert not any(m.missing for m in found) and limits["matmul_bf16"] > limits["matmul_float32"]
