"""upswing tune: the space is the usual ranges, the search can be resumed, the winner is measured on fresh seeds."""

import json
import math
import re
import string
import sys

import pytest
from rich.console import Console

from cli.conftest import upswing  # noqa: F401  the fixture that runs a command line
from upswing import TrainConfig
from upswing.config import WORDS, read_config
from upswing.errors import ConfigError, MissingExtra, UserError
from upswing.hooks import Result
from upswing.lab import tuning
from upswing.lab.texts.tune_words import EN, TUNE_WORDS, ZH
from upswing.lab.tuning import PRUNED, SEARCHED, NoWatcher, new_tune, run_tune, space, values_of, with_values
from upswing.lab.tuning_screen import print_tuned

BASE = {"n_envs": 4, "n_steps": 32, "n_epochs": 2, "total_timesteps": 1280, "n_eval_episodes": 2, "eval_freq": 256}


def test_the_space_is_the_usual_ranges():
    config = TrainConfig(n_envs=8, total_timesteps=100_000)
    ranges = space(config)
    assert set(ranges) == set(SEARCHED)
    assert (ranges["learning_rate"].low, ranges["learning_rate"].high) == WORDS["learning_rate"].sane
    assert ranges["learning_rate"].log and not ranges["clip_range"].whole and ranges["n_epochs"].whole
    assert ranges["n_steps"].high == 1250  # a tenth of the budget
    assert ranges["gamma"].from_one and ranges["gamma"].high == pytest.approx(0.2)
    assert ranges["ent_coef"].low > 0
    for name, value in values_of(config, ranges).items():
        assert ranges[name].low <= value <= ranges[name].high
    with pytest.raises(ConfigError, match="no usual range"):
        space(config, ["normalize_obs"])


def test_a_minibatch_is_at_most_a_rollout_and_replaces_the_number_of_minibatches():
    config = with_values(TrainConfig(n_envs=4, n_steps=64, n_minibatches=4), {"batch_size": 4096, "n_steps": 16})
    assert (config.batch_size, config.n_minibatches) == (64, None)


def result(**changes):
    given = {"run_dir": "", "total_timesteps": 1, "steps_per_second": 1.0, "mean_reward": 5.0, "best_mean_reward": 5.0}
    return Result(**{**given, "train_time_s": 1.0, "wall_time_s": 1.0, "iterations": 1, **changes})


@pytest.mark.parametrize(("results", "state"), [
    ([result(), result(mean_reward=7.0)], ("complete", 6.0)),
    ([result(stopped="the doctor found B01 (x)")], ("pruned", 5.0)),
    ([result(stopped=PRUNED)], ("pruned", 5.0)),
    ([result(), UserError("diverged")], ("fail", None)),
    ([result(mean_reward=math.nan)], ("fail", None)),
    ([result(stopped="SIGINT", exit_code=130)], ("interrupted", None)),
])  # fmt: skip
def test_how_a_trial_ends(results, state):
    assert tuning._verdict(results) == state


def test_optuna_is_an_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtra, match=r"upswing\[sweep\]"):
        new_tune(tmp_path / "t", TrainConfig(), ["gamma"])
    assert not (tmp_path / "t").exists()


def test_a_search_is_resumed_where_it_was(tmp_path):
    optuna = pytest.importorskip("optuna")
    folder, told = tmp_path / "t", []
    new_tune(folder, TrainConfig(**BASE), ["gamma", "learning_rate"])
    watcher = NoWatcher()
    watcher.on_trial = lambda *trial: told.append(trial)
    first = run_tune(folder, 2, n_jobs=2, n_fresh=0, watcher=watcher)
    assert [trial[0] for trial in sorted(told)] == [0, 1] and [trial[3] for trial in told] == [1, 2] and not first.fresh
    study = optuna.load_study(study_name="tune", storage=f"sqlite:///{folder / 'tune.db'}")
    assert study.trials[0].params["gamma"] == pytest.approx(0.01)  # where the search began: 1 - 0.99
    study.ask({"gamma": optuna.distributions.FloatDistribution(1e-4, 0.2, log=True)})  # as if killed in a trial
    second = run_tune(folder, 4, n_jobs=2, n_fresh=2)
    assert second.n_failed == 1 and second.n_complete + second.n_pruned == 3
    assert len(second.fresh) == len(second.baseline) == 2 and second.best_score >= first.best_score
    best = read_config(folder / "best.toml")
    assert best["gamma"] == pytest.approx(second.values["gamma"]) and best["n_steps"] == 32


def test_every_sentence_is_in_both_languages():
    assert EN.keys() == ZH.keys()
    for key, text in EN.items():
        assert fields(text) == fields(ZH[key]), key


def fields(text):
    return {(name, form) for _, name, form, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_command_ends_with_the_best(tmp_path, monkeypatch, upswing, lang):  # noqa: F811
    pytest.importorskip("optuna")
    monkeypatch.chdir(tmp_path)
    flags = [part for name, value in BASE.items() for part in (f"--{name.replace('_', '-')}", value)]
    asked = ["--trials", 2, "--search", "gamma", "--fresh-seeds", 2, "--json", "--lang", lang]
    said = upswing("tune", "CartPole-v1", "--no-preset", *flags, *asked)
    assert said.code == 0, said.err
    found = json.loads(said.out.splitlines()[-1])
    assert set(found["values"]) == {"gamma"} and len(found["fresh"]) == 2 and "upswing train --config" in said.err
    for key in ("best_settings", "baseline", "measuring"):
        assert TUNE_WORDS[lang][key].format(n=2) in re.sub(r" ?\n", " " if lang == "en" else "", said.err)
    if lang == "en":
        assert "leave out the environment" in upswing("tune", "CartPole-v1", "--resume", found["folder"]).err
        assert "is not a search" in upswing("tune", "--resume", "nowhere").err


def test_a_search_without_a_finished_trial_says_so(capsys):
    tuned = tuning.Tuned("runs/t", None, None, {}, {}, [], [], 0, 1, 2, True)
    for lang, words in TUNE_WORDS.items():
        print_tuned(tuned, Console(width=200), lang)
        said = capsys.readouterr().out
        assert words["none"] in said and words["interrupted"].format(folder="runs/t") in said
