"""The guided labs: texts complete in both languages, arithmetic as told, and one lab from question to last line."""

import json
import re
import shlex
import string

import numpy as np
import pytest
from rich.text import Text

from cli.conftest import upswing  # noqa: F401  the fixture that runs a command line
from upswing.config import derive
from upswing.errors import ConfigError
from upswing.lab import guided
from upswing.lab.design import matched
from upswing.lab.guided import FACTS, LABS, facts_of, guide, jitter, lab_called, lab_points
from upswing.lab.guided_view import GAP, _fitting, _widths
from upswing.lab.study_record import read_study
from upswing.lab.study_words import WORDS

KEYS = {"title", "idea", "question", "found", "even", "why", "next"}
KNOWN = {"label", "score", "iterations", "gradient_steps", "batch", "pool", "evaluations", "wall", "jitter", *FACTS}
ISSUE = "num_envs num_steps total_timesteps clip_range gae_lambda gamma ent_coef learning_rate batch_size n_epochs"


def fields(text):
    return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name)


def test_the_labs_are_those_that_were_promised():
    assert set(LABS) == {*ISSUE.split(), "slow_update"}


@pytest.mark.parametrize("name", [*LABS, "words"])
def test_both_languages_say_the_same_with_the_same_numbers(name):
    english, chinese = guide("en")[name], guide("zh")[name]
    assert english.keys() == chinese.keys() and (name == "words" or set(english) == KEYS)
    for key, text in english.items():
        if isinstance(text, str):
            assert set(fields(text)) == set(fields(chinese[key])), key
            assert text.strip() and re.search("[\u4e00-\u9fff]", chinese[key]), key
    assert set(guide("en")["words"]["facts"]) == set(guide("zh")["words"]["facts"]) <= KNOWN


def test_every_word_of_a_study_is_in_both_languages():
    assert WORDS["en"].keys() == WORDS["zh"].keys()
    for key, text in WORDS["en"].items():
        assert set(fields(text)) == set(fields(WORDS["zh"][key])), key


@pytest.mark.parametrize("name", LABS)
def test_texts_name_only_what_is_known(name):
    lab = LABS[name]
    for key in ("found", "even", "why"):
        for field in fields(guide("en")[name][key]):
            whose, _, fact = field.partition(".")
            assert (whose in ("first", "last", "best", "worst") and fact in KNOWN) or field == "failed"
    assert set(lab.shows) <= set(guide("en")["words"]["facts"])
    points = lab_points(lab)
    assert len(points) == len(lab.vary[1]) and (lab.reference is None or lab.reference in lab.vary[1])
    assert lab.seeds >= 3  # fewer give no verdict


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("name", LABS)
def test_every_suggested_command_exists(name, lang):
    from upswing.cli.app import app

    commands = [
        m for line in guide(lang)[name]["next"] for m in re.findall(r"upswing [a-z]+[^\u4e00-\u9fff（，。]*", line)
    ]
    assert commands
    for command in commands:
        words = shlex.split(re.sub(r" (shows it|\(rule).*", "", command))[1:]
        assert words[0] in app.commands
        if words[0] == "lab":
            assert words[1] in LABS
        elif words[0] == "study":
            app.commands["study"].make_context("study", words[1:])


def test_num_envs_has_the_arithmetic_that_its_text_tells():
    lab = LABS["num_envs"]
    points = {p.values["n_envs"]: p for p in lab_points(lab)}
    assert [derive(points[n].config).iterations for n in (256, 512, 1280, 2048)] == [30, 15, 6, 4]
    controls = matched(list(points.values()), points[256].label, lab.match)
    control = next(c for c in controls if c.control_of == points[2048].label)
    assert derive(control.config).gradient_steps == derive(points[256].config).gradient_steps == 3840


def test_unknown_labs_are_refused():
    with pytest.raises(ConfigError, match="choose one of num_envs"):
        lab_called("magic")


def test_jitter_is_the_spread_around_the_trend():
    rng = np.random.default_rng(0)
    trend = np.linspace(10.0, 5.0, 4000)
    assert jitter(trend) < 1e-3
    assert jitter(trend + rng.normal(0.0, 0.5, 4000)) == pytest.approx(0.5 / 6.25, rel=0.1)
    assert np.isnan(jitter(np.ones(8))) and np.isnan(jitter(np.array([])))


@pytest.fixture
def tiny(monkeypatch):
    """num_envs at a toy's size: 4 and 32 environments."""
    small = {"total_timesteps": 6400, "eval_freq": 1600, "n_eval_episodes": 2, "checkpoint_freq": 0, "n_minibatches": 4}
    lab = guided.Lab(
        "PushBlock-v0", ("n_envs", (4, 64)), small, "worst", ("batch", "jitter"), None, "gradient_steps", (64,)
    )
    monkeypatch.setitem(guided.LABS, "num_envs", lab)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_lab_from_question_to_last_line(tmp_path, monkeypatch, upswing, tiny, lang):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    said = upswing("lab", "num_envs", "--predict", 2, "--json", "--lang", lang)
    assert said.code == 0, said.err
    result = json.loads(said.out.splitlines()[-1])
    assert len(result["runs"]) == 9 and result["match"] == "gradient_steps"
    texts = guide(lang)
    assert texts["num_envs"]["question"] in said.err.replace("\n", "") and texts["words"]["next"] in said.err
    assert "n_envs=64 [matched]" in said.err and (
        "You predicted n_envs=64" in said.err or "你预测的是 n_envs=64" in said.err
    )
    assert "…" not in said.err  # no head and no number is cut
    study = read_study(result["study_dir"])
    facts = facts_of(study, "n_envs=4", result["study_dir"])
    assert (facts.iterations, facts.gradient_steps) == ("64", "1,024")
    curves = guided.curves(study, result["study_dir"], "train/gradient_steps")
    assert curves["n_envs=64 [matched]"][-1][0] == 1024 and curves["n_envs=64"][-1][0] == 64


@pytest.mark.parametrize("width", [44, 60, 80, 120])
def test_a_table_leaves_out_what_would_be_cut(width):
    rows = {"setting": ["setting", "n_envs=2048 [matched]"], "score": ["success", "0.8667"], "verdict": ["verdict", "failed"],
            "iterations": ["iterations", "30"], "gradient_steps": ["gradient steps", "12,800"],
            "evaluations": ["evaluations", "10"], "wall": ["wall clock", "0.8 s"]}  # fmt: skip
    columns = {name: [Text(cell) for cell in cells] for name, cells in rows.items()}
    shown = _fitting(columns, width)
    widths = _widths(columns, shown, width)
    assert sum(widths.values()) + GAP * len(shown) <= width
    assert widths["setting"] >= len("n_envs=2048") and widths.get("wall", 5) >= len("clock")
    assert set(rows) - set(shown) <= {"evaluations", "wall", "iterations"} and (len(shown) < len(rows)) == (width < 70)


def test_the_list_names_every_lab(upswing):  # noqa: F811
    said = upswing("lab", "list")
    assert said.code == 0 and all(name in said.out for name in LABS)
    assert "没有" in upswing("lab", "list", "--lang", "zh").out or "哪个" in upswing("lab", "--lang", "zh").out


def test_a_wrong_prediction_or_lab_is_one_sentence(upswing):  # noqa: F811
    assert "give 1 to 4" in upswing("lab", "num_envs", "--predict", 9).err
    assert "There is no lab" in upswing("lab", "magic").err
