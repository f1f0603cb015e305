import json
import re

import pytest

from upswing.cli import run
from upswing.cli.app import app
from upswing.config import TrainConfig
from upswing.errors import ConfigError
from upswing.explain import explain, language, page, topics
from upswing.explain.pages import Equation, Flow
from upswing.run.directory import write_config


@pytest.fixture
def say(capsys, monkeypatch):
    """Run `upswing explain` in this process; returns its code and what it printed."""
    for variable in ("UPSWING_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(variable, raising=False)

    def call(*args):
        code = run(["explain", *map(str, args)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_a_page(say):
    code, out, err = say("clip_range")
    assert (code, err) == (0, "")
    assert out.startswith("clip_range  clip range ε")
    assert "◄── clip_range" in out
    assert "\x1b" not in out


def test_a_topic_of_several_words(say):
    assert say("discount", "factor")[1].startswith("gamma")


def test_the_list(say):
    code, out, _ = say()
    assert code == 0
    assert all(topic in out for topic in topics())


@pytest.mark.parametrize(
    ("variables", "flag", "chinese"),
    [
        ({}, (), False),
        ({"LANG": "zh_CN.UTF-8"}, (), True),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "en_US.UTF-8"}, (), False),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_TW"}, (), True),
        ({"LANG": "zh_CN.UTF-8", "UPSWING_LANG": "en"}, (), False),
        ({"LANG": "C", "UPSWING_LANG": "zh"}, (), True),
        ({"UPSWING_LANG": "zh"}, ("--lang", "en"), False),
        ({}, ("--lang", "zh"), True),
        ({"LANG": "de_DE.UTF-8"}, (), False),
    ],
)
def test_the_language(say, monkeypatch, variables, flag, chinese):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert ("是什么" in say("gamma", *flag)[1]) is chinese
    assert (language(flag[1] if flag else None) == "zh") is chinese


def test_a_run_s_numbers(say, tmp_path):
    write_config(tmp_path, TrainConfig(gamma=0.9, n_envs=4, n_steps=16))
    code, out, _ = say("gamma", "--run", tmp_path, "--lang", "zh")
    assert code == 0
    assert "在这次训练中" in out
    assert re.search(r"视野 1 / \(1 - γ\) +10\.0", out)


def test_mistakes_are_one_sentence(say, tmp_path):
    for args, code, told in [
        (("gama",), 2, "did you mean gamma"),
        (("gamma", "--lang", "fr"), 2, "'fr' is not spoken here"),
        (("--run", tmp_path), 2, "name a topic too"),
        (("gamma", "--run", tmp_path), 4, "is not a run"),
        (("gamma", "--nonsense"), 2, "--nonsense"),
    ]:
        got, out, err = say(*args)
        assert (got, out, err.count("\n")) == (code, "", 1), args
        assert told in err
    with pytest.raises(ConfigError, match="not a form of output"):
        explain("gamma", output="pdf")


def test_json_and_markdown(say):
    code, out, _ = say("P01", "--json", "--lang", "zh")
    values = json.loads(out)
    assert (code, out.count("\n")) == (0, 1)
    assert (values["name"], values["lang"]) == ("KL-HIGH", "zh")
    assert "每次更新" in out  # readable, not escaped
    assert json.loads(say("--json")[1]).keys() == set(topics())
    assert say("P01", "--markdown")[1].startswith("# `P01` KL-HIGH")
    assert say("--markdown")[1].count("\n") == len(topics())


def test_commands_that_pages_mention_exist():
    mentioned = set()
    for topic in topics():
        for lang in ("en", "zh"):
            for part in page(topic, lang).parts:
                mentioned |= set(re.findall(r"upswing ([a-z]+)", _everything(part.body)))
    assert {"eval", "watch", "resume"} <= mentioned
    assert mentioned <= set(app.commands)


def _everything(body):
    if isinstance(body, str):
        return body
    if isinstance(body, Flow | Equation):
        return str(body)
    return " ".join(_everything(row) for row in body)
