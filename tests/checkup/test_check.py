"""upswing check finds each thing in a world made to have it, and nothing in a sound one."""

from __future__ import annotations

import re
import time

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from upswing.checkup.findings import ERROR, SEVERITY, Finding
from upswing.checkup.look import check
from upswing.checkup.texts import EN, SAME, ZH, measured_line, sentence
from upswing.cli import run
from upswing.errors import ConfigError


class Sound(gymnasium.Env):
    """A walk on a line: nothing to mend. Each subclass breaks one thing."""

    observation_space = spaces.Box(-2.0, 2.0, (2,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
    scale = 1.0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.x = 0, self.np_random.uniform(-1.0, 1.0)
        return self.seen(), {}

    def step(self, action):
        self.t += 1
        self.x = float(np.clip(self.x + 0.1 * action[0] + self.np_random.normal(0.0, 0.01), -1.9, 1.9))
        return self.seen(), -abs(self.x) * self.scale, abs(self.x) > 1.5, self.t == 20, {}

    def seen(self):
        return np.array([self.x, self.t / 20], np.float32)

    def get_state(self):
        return {"t": self.t, "x": self.x}

    def set_state(self, state):
        self.t, self.x = state["t"], state["x"]


class SeedIgnored(Sound):
    def reset(self, *, seed=None, options=None):
        return super().reset()


class OwnDice(Sound):
    dice = np.random.default_rng()

    def step(self, action):
        return super().step(action + self.dice.normal(0.0, 0.5, 1))


class Shared(Sound):
    """A default argument that all instances share."""

    def __init__(self, heard=[0]):  # noqa: B006, it is the mistake that is meant
        self.heard = heard

    def reset(self, *, seed=None, options=None):
        self.heard[0] = 0
        return super().reset(seed=seed)

    def step(self, action):
        self.heard[0] += 1
        return super().step(action * self.heard[0] / 50)


class Outside(Sound):
    observation_space = spaces.Box(-0.1, 0.1, (2,), np.float32)


class Endless(Sound):
    def step(self, action):
        obs, reward, *_ = super().step(action)
        return obs, reward, False, False, {}


class Clock(Sound):
    def step(self, action):
        obs, reward, *_ = super().step(action)
        return obs, reward, self.t == 20, False, {}


class ResetsItself(Sound):
    def reset(self, *, seed=None, options=None):
        if seed is None and getattr(self, "fresh", None) is not None:
            first, self.fresh = self.fresh, None
            return first, {}
        return super().reset(seed=seed)

    def step(self, action):
        obs, reward, terminated, truncated, info = super().step(action)
        if terminated or truncated:
            self.fresh = None
            self.fresh = obs = self.reset()[0]
        return obs, reward, terminated, truncated, info


class Large(Sound):
    scale = 50.0


class Huge(Sound):
    scale = 5000.0


class Small(Sound):
    scale = 1e-5


class Nothing(Sound):
    scale = 0.0


class Wide(Sound):
    observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float64)

    def seen(self):
        return np.array([50.0 * self.x, 300.0 * self.t / 20, 7.0])


class Strong(Sound):
    action_space = spaces.Box(-100.0, 100.0, (1,), np.float32)


class Unbounded(Sound):
    action_space = spaces.Box(-np.inf, np.inf, (1,), np.float32)


class SameStart(Sound):
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x = 0.0
        return self.seen(), {}


class Reused(Sound):
    def seen(self):
        self.kept = getattr(self, "kept", np.zeros(2, np.float32))
        self.kept[:] = self.x, self.t / 20
        return self.kept


class Slow(Sound):
    def step(self, action):
        time.sleep(0.002)
        return super().step(action)


class NoState(Sound):
    get_state = set_state = None


class NaN(Sound):
    def seen(self):
        return np.array([np.nan if self.t == 3 else 0.1, self.t / 20], np.float32)


class Tupled(Sound):
    observation_space = spaces.Tuple([spaces.Discrete(2), spaces.Discrete(2)])


class Texted(Sound):
    action_space = spaces.Text(3)


class OtherShape(Sound):
    def seen(self):
        return np.zeros(3, np.float32)


class Four(Sound):
    def step(self, action):
        return super().step(action)[:4]


class Broken(Sound):
    def __init__(self):
        raise RuntimeError("no licence")


CASES = {
    "seed_ignored": SeedIgnored,
    "not_deterministic": OwnDice,
    "shared_state": Shared,
    "outside_bounds": Outside,
    "no_end": Endless,
    "time_limit_terminated": Clock,
    "resets_itself": ResetsItself,
    "reward_large": Large,
    "reward_huge": Huge,
    "reward_small": Small,
    "reward_constant": Nothing,
    "observation_huge": Wide,
    "observation_constant": Wide,
    "float64": Wide,
    "action_range": Strong,
    "action_unbounded": Unbounded,
    "same_start": SameStart,
    "reused_array": Reused,
    "slow": Slow,
    "no_state": NoState,
    "not_finite": NaN,
    "observation_space": Tupled,
    "action_space": Texted,
    "contract": OtherShape,
    "cannot_be_made": Broken,
}


def names(env, **options):
    return {finding.name for finding in check(env, steps=200, **options).findings}


def test_a_sound_environment_needs_nothing():
    report = check(Sound, steps=300)
    assert report.findings == []
    assert report.exit_code == 0
    assert report.measured["steps"] == 300 and report.measured["episodes"] >= 15


@pytest.mark.parametrize("name", CASES)
def test_each_mistake_is_found(name):
    assert name in names(CASES[name])


@pytest.mark.parametrize("name", ["seed_ignored", "not_deterministic", "shared_state", "time_limit_terminated"])
def test_it_is_found_alone(name):
    found = names(CASES[name])
    assert {other for other in found if SEVERITY[other] == "warn"} == {name}


def test_a_function_that_cannot_travel():
    lock = __import__("threading").Lock()

    def made():
        assert lock
        return Sound()

    assert names(made) == {"not_picklable"}


def test_every_broken_contract_is_an_error_in_one_sentence():
    for env in (OtherShape, Four, Broken, NaN, Tupled, Texted):
        report = check(env)
        (finding,) = report.findings
        assert (finding.severity, report.exit_code, report.measured) == (ERROR, 20, {})
        assert sentence(finding, "en").endswith(".") and "\n" not in sentence(finding, "en")


def test_known_environments_are_fit_for_training():
    for env in ("CartPole-v1", "Acrobot-v1"):
        assert check(env, steps=300).exit_code == 0


def test_an_unknown_name_is_an_error_of_usage():
    with pytest.raises(ConfigError, match="not known"):
        check("Nowhere-v0")


def test_every_finding_has_its_sentence_in_both_languages():
    fields = re.compile(r"\{(\w+)")
    for name in SEVERITY:
        name = SAME.get(name, name)
        assert set(fields.findall(EN[name])) == set(fields.findall(ZH[name])), name
    assert set(CASES) | {"not_picklable", "observation_large"} == set(SEVERITY)
    report = check(Sound, steps=50)
    assert "50" in measured_line(report.measured, "zh")
    assert sentence(Finding("no_end", {"steps": 5}), "zh").startswith("5 步里")


def test_the_command(capsys, tmp_path, monkeypatch):
    import json

    assert run(["check", "CartPole-v1", "--steps", "100", "--lang", "zh"]) == 0
    assert "没有要改的" in capsys.readouterr().out
    assert run(["check", "CartPole-v1", "--steps", "100", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["env"], told["findings"], told["steps"]) == ("CartPole-v1", [], 100)
    assert run(["check", "HalfCheetah-v5", "--steps", "20", "--strict"]) == 10
    assert run(["check", "Blackjack-v1"]) == 20
    assert "gymnasium.wrappers.FlattenObservation" in " ".join(capsys.readouterr().out.split())
    assert run(["check", "Nowhere-v0"]) == 2
    assert run(["check", "CartPole-v1", "--env-kwargs", "colour=red"]) == 20
