"""The command line as a function, and a training that only notes what it was asked to do."""

import sys
import types
from dataclasses import dataclass

import pytest

from upswing.cli import run
from upswing.hooks import Result


@dataclass
class Said:
    """What a command line ended with."""

    code: int
    out: str
    err: str


@pytest.fixture
def upswing(capsys):
    """Run a command line in this process: upswing("train", "CartPole-v1")."""

    def call(*args):
        capsys.readouterr()
        code = run([str(arg) for arg in args])
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return call


@pytest.fixture
def asked(monkeypatch):
    """What the training was asked to do: the calls of train and resume, which train nothing here."""
    calls = []
    result = Result("runs/x-1", 2048, 1234.5, 21.5, None, 1.5, float("nan"), 1)

    def train(config, hooks=(), *, trusted=True):
        calls.append({"config": config, "hooks": hooks, "trusted": trusted})
        for hook in hooks:
            hook.on_end(result)
        return result

    def resume(run_dir, hooks=(), *, total_timesteps=None, engine=None, trusted=True):
        asked = {"run_dir": run_dir, "total_timesteps": total_timesteps, "engine": engine, "trusted": trusted}
        calls.append(asked)
        return result

    module = types.ModuleType("upswing.training")
    module.train, module.resume = train, resume
    monkeypatch.setitem(sys.modules, "upswing.training", module)
    return calls
