"""upswing doctor and upswing plan on the command line: what they print, and what they exit with."""

import json
from pathlib import Path

import pytest

DATA = Path(__file__).parents[1] / "data"
LEARNS, TOO_FAST = DATA / "sb3_learns", DATA / "sb3_too_fast"


def test_exit_codes_tell_how_grave_it_is(upswing):
    assert upswing("doctor", LEARNS).code == 0
    assert upswing("doctor", TOO_FAST).code == 10
    assert upswing("doctor", DATA / "cleanrl_too_fast").code == 20


def test_json_is_the_last_line(upswing):
    said = upswing("doctor", TOO_FAST, "--json")
    told = json.loads(said.out.splitlines()[-1])
    assert told["findings"][0]["changes"][0]["field"] == "learning_rate"
    assert told["exit_code"] == said.code == 10


def test_chinese_html_and_json_together(upswing, tmp_path):
    said = upswing("doctor", TOO_FAST, "--lang", "zh", "--html", tmp_path / "a.html", "--json")
    assert "学习率太高" in json.loads(said.out)["findings"][0]["causes"][0]["text"]
    assert "学习率太高" in (tmp_path / "a.html").read_text("utf-8")


def test_what_cannot_be_read_exits_with_1(upswing, tmp_path):
    for path in (tmp_path, tmp_path / "nothing"):
        said = upswing("doctor", path)
        assert said.code == 1
        assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    "args",
    [
        ("--map", "approx_kl=kl"),
        ("--map", "kl"),
        ("--set", "gamma"),
        ("--set", "gamma=two"),
        ("--set", "gama=0.9"),
        ("--ignore", "P99"),
        ("--lang", "fr"),
    ],
)
def test_wrong_usage_exits_with_2(upswing, args):
    said = upswing("doctor", LEARNS, *args)
    assert said.code == 2
    assert said.err.count("\n") == 1


def test_a_csv_with_mapped_columns(upswing, tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("frames,kl,score\n" + "\n".join(f"{k},0.4,{20 + k % 3}" for k in range(1, 60)))
    said = upswing(
        "doctor", log, "--map", "total_timesteps=frames,approx_kl=kl", "--map", "ep_rew_mean=score", "--json"
    )
    assert said.code == 20
    assert json.loads(said.out)["findings"][0]["code"] == "P01"


def test_settings_and_silenced_rules(upswing):
    said = upswing("doctor", TOO_FAST, "--set", "gamma=0.5", "--ignore", "p07,R02", "--json")
    told = json.loads(said.out)["findings"]
    assert "T02" in {finding["code"] for finding in told}
    assert {"P07", "R02"}.isdisjoint({finding["code"] for finding in told})


def test_a_reference_is_a_run_or_a_return(upswing, tmp_path):
    assert upswing("doctor", LEARNS, "--reference", "1e6").code == 10
    assert upswing("doctor", LEARNS, "--reference", LEARNS).code == 0
    beside = json.loads(upswing("doctor", TOO_FAST, "--reference", LEARNS, "--json").out)
    assert beside["findings"][0]["causes"][0]["cause"] == "lr_high"
    for no_return in ("nan", "inf"):
        refused = upswing("doctor", LEARNS, "--reference", no_return)
        assert refused.code == 1 and "give a finite number" in refused.err
    missing = upswing("doctor", LEARNS, "--reference", tmp_path / "nothing")
    assert missing.code == 1 and missing.err.count("\n") == 1


def test_a_plan_of_the_users_own_case(upswing):
    said = upswing(
        "plan", "PushCube-v1", "--num-envs", 2048, "--num_steps", 50, "--num-minibatches", 32, "--update-epochs", 4,
        "--total-timesteps", 2_000_000, "--eval-freq-iterations", 25, "--no-measure", "--json",
    )  # fmt: skip
    told = json.loads(said.out.splitlines()[-1])
    assert said.code == 10
    assert (told["iterations"], told["gradient_steps"], told["evaluations"]) == (19, 2432, 1)
    assert [finding["code"] for finding in told["findings"]] == ["S01", "S05"]


def test_a_plan_without_objections(upswing):
    said = upswing("plan", "CartPole-v1", "--no-measure", "--lang", "en")
    assert said.code == 0
    assert "No objection" in said.out
    assert "Preset CartPole-v1" in said.out


def test_a_plan_says_what_could_not_be_measured(upswing):
    said = upswing("plan", "NoSuchThing-v9")
    assert said.code in (0, 10)
    assert "not measured" in said.out


def test_help_names_every_exit_code(upswing):
    assert "10" in upswing("doctor", "--help").out
    assert "--measure" in upswing("plan", "--help").out
    assert "--stop-on" in upswing("train", "--help").out


def test_training_is_watched_unless_declined(upswing, asked):
    from upswing.doctor.hook import DoctorHook

    assert upswing("train", "CartPole-v1", "--json").code == 0
    assert upswing("train", "CartPole-v1", "--no-doctor", "--json").code == 0
    assert upswing("train", "CartPole-v1", "--stop-on", "error", "--json").code == 0
    assert upswing("train", "CartPole-v1", "--autopilot", "--json").code == 0
    assert [type(hook).__name__ for hook in asked[-1]["hooks"]][:2] == ["DoctorHook", "Autopilot"]
    hooks = [[type(hook) is DoctorHook for hook in call["hooks"]].count(True) for call in asked]
    assert hooks == [1, 0, 1, 1]
    assert upswing("train", "CartPole-v1", "--stop-on", "maybe").code == 2
    assert upswing("train", "CartPole-v1", "--no-doctor", "--stop-on", "error").code == 2
    assert "--autopilot needs the doctor" in upswing("train", "CartPole-v1", "--no-doctor", "--autopilot").err
