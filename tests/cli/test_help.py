import os
import re
import subprocess
import sys

import pytest

from upswing import errors
from upswing.cli.borrowed import BORROWED
from upswing.cli.options import facts
from upswing.config import FIELDS, WORDS

HEAVY = ("torch", "gymnasium", "numba", "numpy", "scipy", "matplotlib", "imageio", "pygame")
COMMANDS = ("train", "resume", "eval", "watch", "record", "plot", "envs", "presets", "info", "selftest")


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setattr("rich_click.rich_click.WIDTH", 110)


@pytest.mark.parametrize(
    "args", [["--help"], ["train", "--help"], ["presets"], ["train", "CartPole-v1", "--n-env", "3"]]
)
def test_help_and_complaints_import_nothing_heavy(args):
    code = (
        "import sys; from upswing.cli import run; run(sys.argv[1:]);"
        f"found = [m for m in {HEAVY} if m in sys.modules]; assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code, *args], check=True, capture_output=True)


def test_the_group_names_every_command_and_exit_code(upswing):
    for said in (upswing("--help"), upswing()):
        assert said.code == 0
        for command in COMMANDS:
            assert re.search(rf"│ {command} +\w", said.out)
        codes = {kind.exit_code for kind in errors.UserError.__subclasses__()} | {
            0,
            errors.INTERRUPTED,
            errors.TERMINATED,
        }
        for code in codes:
            assert re.search(rf"│ +{code}  ", said.out), code


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(upswing, command):
    for flag in ("--help", "-h"):
        said = upswing(command, flag)
        assert said.code == 0
        assert f"upswing {command}" in said.out


def test_train_help_has_every_hyperparameter_in_its_group(upswing):
    text = upswing("train", "--help").out
    panels = {title.strip(): body for title, body in re.findall(r"╭─ ([^─]+)─+╮\n(.*?)╰", text, re.S)}
    for name, word in WORDS.items():
        if name == "env":
            continue
        body = " ".join(re.sub(r"│", " ", panels[word.group]).split())
        assert name.replace("_", "-") in body
        for part in (*word.aliases, word.unit):
            assert part.replace("_", "-") in body or part in body
    for name, flag in BORROWED.items():
        written = re.search(rf"--(\[no-\])?{name.replace('_', '-')}\b", text)
        assert bool(written) == flag.shown, name


def test_a_hyperparameter_is_explained(upswing):
    text = " ".join(re.sub(r"│", " ", upswing("train", "--help").out).split())
    assert "--n-envs N" in text
    assert "also --num-envs" in text
    assert "default 1 · environments · usually 1 to 4096" in text
    assert "too low: Slow collection" in text
    assert "--[no-]use-sde" in text


@pytest.mark.parametrize("name", FIELDS)
def test_facts_are_a_short_line(name):
    assert "\n" not in facts(name)
    assert "none" not in facts(name)


def test_python_m_upswing_is_the_same():
    done = subprocess.run(
        [sys.executable, "-m", "upswing", "--version"], capture_output=True, text=True, check=True, env=os.environ
    )
    assert re.fullmatch(r"upswing \S+\n", done.stdout)


def test_a_closed_pipe_is_no_error():
    command = f"{sys.executable} -m upswing train --help | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
