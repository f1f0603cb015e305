"""The doctor beside a training: it speaks when something changes, costs next to nothing, and harms nobody."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from doctor.made import POOL, flat, healthy
from upswing.config import TrainConfig, derive
from upswing.doctor.growing import MOST_EPISODES, GrowingSeries
from upswing.doctor.hook import CREDIT_S, SHARE_OF_TIME, DoctorHook
from upswing.doctor.observe import dormant_share, observation_figures, observed, rows_of, saturation
from upswing.engine.contract import Rollout
from upswing.envs.contract import Episode
from upswing.errors import ConfigError
from upswing.hooks import Hook, HookCalls, RunInfo
from upswing.run.records import RecordWriter, read_records

N = 60
CONFIG = TrainConfig(env="made-up", n_envs=4, n_steps=128, total_timesteps=N * POOL)
TOO_FAST = {"approx_kl": 0.3, "clip_fraction": 0.6} | flat()


class Listener(Hook):
    """Hears what every hook hears."""

    def __init__(self):
        self.heard = []

    def on_notice(self, sentence):
        self.heard.append(sentence)


def rollout(t=8, n=4, d=3, episodes=()):
    """A rollout of well-scaled observations."""
    random = np.random.default_rng(0)
    empty = np.zeros((t, n))
    return Rollout(
        obs=random.normal(size=(t, n, d)).astype(np.float32),
        actions=np.zeros((t, n)), log_probs=empty, values=empty, rewards=empty, terminated=empty, truncated=empty,
        final_values=empty, last_values=np.zeros(n), valid=empty, episodes=list(episodes),
    )  # fmt: skip


def info(run_dir="", config=CONFIG, start=0):
    """What a training says when it starts."""
    return RunInfo(str(run_dir), config, derive(config), "native", "4 environments", "cpu", 100, (), start)


def watched(series, hook, run_dir="", pace=10.0, clock=None, start=0):
    """Run the records of `series` past `hook`, `pace` seconds of the clock an iteration; what was heard and asked."""
    listener = Listener()
    calls = HookCalls([hook, listener])
    calls.on_start(info(run_dir, start=start))
    requests = []
    for row in range(len(series)):
        record = {tag: float(v[row]) if np.isfinite(v[row]) else None for tag, v in series.columns.items()}
        score = float(series.columns["rollout/iteration_rew_mean"][row])
        ended = [Episode(env, score, 20 + 7 * row % 31 + env, None, None) for env in range(4)]
        calls.on_rollout(rollout(episodes=ended), int(record["time/total_timesteps"]))
        requests.append(calls.on_iteration(record, SimpleNamespace(policy=None)))
        if clock is not None:
            clock.now += pace
    return listener.heard, requests


class Clock:
    """A clock that stands still unless told."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_a_healthy_training_is_left_in_peace(tmp_path):
    clock = Clock()
    heard, requests = watched(healthy(n=N), DoctorHook(clock=clock), tmp_path, clock=clock)
    assert heard == []
    assert not any(request.stop or request.checkpoint or request.changes for request in requests)
    assert not (tmp_path / "findings.jsonl").exists()


def test_a_fault_is_told_once_with_what_to_change_and_written_down(tmp_path):
    clock = Clock()
    hook = DoctorHook(clock=clock)
    heard, _ = watched(healthy(n=N, **TOO_FAST), hook, tmp_path, clock=clock)
    assert [sentence for sentence in heard if "P01" in sentence] == [heard[0]]
    assert heard[0].startswith("ERROR P01") or heard[0].startswith("WARNING P01")
    assert "learning_rate 0.0003 → " in heard[0]
    told = read_records(tmp_path / "findings.jsonl")
    assert (told[0]["event"], told[0]["code"]) == ("began", "P01")
    assert told[0]["total_timesteps"] < 0.35 * N * POOL
    assert told[0]["changes"][0]["field"] == "learning_rate"


def test_what_ends_is_told_too(tmp_path):
    clock = Clock()
    part = lambda old: np.where((np.arange(N) > 15) & (np.arange(N) < 30), 0.5, old)  # noqa: E731
    heard, _ = watched(healthy(n=N, approx_kl=part, **flat()), DoctorHook(clock=clock), tmp_path, clock=clock)
    about = [sentence for sentence in heard if "P01" in sentence]
    assert len(about) == 2
    assert about[1] == "P01 (Updates too large) is over."
    assert [r["event"] for r in read_records(tmp_path / "findings.jsonl") if r["code"] == "P01"] == ["began", "ended"]


def test_it_speaks_chinese():
    clock = Clock()
    heard, _ = watched(healthy(n=N, **TOO_FAST), DoctorHook("zh", clock=clock), clock=clock)
    assert "每次更新把策略推得太远" in heard[0]


def test_the_set_up_is_judged_before_the_first_iteration(tmp_path):
    config = TrainConfig(env="made-up", gamma=0.5)
    listener, hook = Listener(), DoctorHook()
    calls = HookCalls([hook, listener])
    calls.on_start(info(tmp_path, config))
    assert read_records(tmp_path / "findings.jsonl")[0]["code"] == "T02"
    calls.on_rollout(rollout(), 512)
    calls.on_iteration({"time/total_timesteps": 512.0}, SimpleNamespace(policy=None))
    assert listener.heard[0].startswith("WARNING T02")


def test_early_iterations_prove_nothing():
    clock = Clock()
    series = healthy(n=5, explained_variance=-0.5, approx_kl=1e-4, entropy_loss=-0.69, **flat())
    heard, _ = watched(series, DoctorHook(clock=clock), clock=clock)
    assert heard == []


def test_stop_on_error_asks_for_a_stop_and_a_checkpoint():
    clock = Clock()
    _, requests = watched(healthy(n=N, ratio_error=0.3), DoctorHook(stop_on="error", clock=clock), clock=clock)
    stops = [request for request in requests if request.stop]
    assert stops[0].checkpoint
    assert "B02" in stops[0].stop
    clock = Clock()
    _, requests = watched(healthy(n=N, approx_kl=0.07, **flat()), DoctorHook(stop_on="error", clock=clock), clock=clock)
    assert not any(request.stop for request in requests)
    clock = Clock()
    _, requests = watched(healthy(n=N, approx_kl=0.07, **flat()), DoctorHook(stop_on="warn", clock=clock), clock=clock)
    assert any(request.stop for request in requests)
    with pytest.raises(ConfigError, match="choose one of never, warn, error"):
        DoctorHook(stop_on="sometimes")


def test_looking_is_paid_for_by_the_clock():
    clock, looks = Clock(), []

    class Slow(DoctorHook):
        def _judge(self, live=True):
            looks.append(clock.now)
            clock.now += 0.1

    watched(healthy(n=400), Slow(clock=clock), pace=1.0, clock=clock)
    assert len(looks) >= 4
    assert np.diff(looks)[1:].min() >= 0.9 * 0.1 / SHARE_OF_TIME
    assert 0.1 * (len(looks) - 1) <= CREDIT_S + SHARE_OF_TIME * clock.now


def test_between_looks_an_iteration_costs_a_list_append():
    clock = Clock()
    hook = DoctorHook(clock=clock)
    watched(healthy(n=N), hook, pace=1e-6, clock=clock)
    assert hook.diagnosis is None or len(hook.diagnosis.series) <= 1
    assert len(hook.growing) == N


def test_a_doctor_who_stumbles_says_so_and_is_silent():
    clock = Clock()

    class Broken(DoctorHook):
        def _compare(self, diagnosis):
            raise RuntimeError("oh")

    heard, requests = watched(healthy(n=N), Broken(clock=clock), clock=clock)
    assert len(heard) == 1
    assert "RuntimeError: oh" in heard[0]
    assert not any(request.stop for request in requests)


def test_a_resumed_run_is_judged_from_its_beginning(tmp_path):
    series = healthy(n=N)
    writer = RecordWriter(tmp_path / "metrics.jsonl")
    for row in range(40):
        writer.write({tag: values[row] for tag, values in series.columns.items()})
    writer.close()
    clock = Clock()
    hook = DoctorHook(clock=clock)
    rest = healthy(n=3)
    rest.columns["time/total_timesteps"] += 40 * POOL
    watched(rest, hook, tmp_path, clock=clock, start=40 * POOL)
    assert len(hook.diagnosis.series) == 43


def test_what_it_sees_goes_into_the_record():
    clock = Clock()
    _, requests = watched(healthy(n=N), DoctorHook(clock=clock), clock=clock)
    seen = [request.metrics for request in requests if request.metrics]
    assert seen
    assert 0.5 < seen[0]["rollout/obs_std_max"] < 2


def test_observations_actions_and_units_are_measured():
    random = np.random.default_rng(0)
    obs = np.stack([random.normal(0, 1, 256), random.normal(500, 50, 256)], axis=1)
    figures = observation_figures(obs, None)
    assert figures["rollout/obs_std_max"] == pytest.approx(50, rel=0.1)
    assert figures["rollout/obs_offset"] == pytest.approx(10, rel=0.1)
    assert observation_figures(np.full((4, 1), 10.0), 10.0)["rollout/obs_clipped"] == 1.0
    low, high = np.array([-1.0, -np.inf]), np.array([1.0, np.inf])
    assert saturation(np.array([[1.0, 9.0], [0.5, 9.0], [-3.0, 9.0], [0.0, 9.0]]), low, high) == {
        "rollout/action_saturation": 0.5
    }


def test_dormant_units_are_found_in_a_real_network():
    torch = pytest.importorskip("torch")
    gymnasium = pytest.importorskip("gymnasium")
    from upswing.policies.networks import MlpPolicy

    box = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float32)
    policy = MlpPolicy(box, gymnasium.spaces.Box(-1, 1, (2,), np.float32))
    obs = np.random.default_rng(0).normal(size=(256, 3))
    assert dormant_share(policy, obs) == 0.0
    with torch.no_grad():
        policy.pi[0].weight[:32] = 0.0
    assert dormant_share(policy, obs) == pytest.approx(32 / 128)
    figures = observed(rollout(d=3), policy, None)
    assert {"rollout/obs_std_max", "train/dormant_units"} <= figures.keys()


def test_a_sample_is_taken_from_tensors_and_arrays_alike():
    torch = pytest.importorskip("torch")
    values = np.arange(600.0).reshape(100, 3, 2)
    np.testing.assert_array_equal(rows_of(values), rows_of(torch.as_tensor(values)))
    assert len(rows_of(values)) == 256


def test_a_growing_series_keeps_every_record_and_thins_old_episodes():
    growing = GrowingSeries()
    for k in range(1, 301):
        growing.add({"time/total_timesteps": k, "a": None if k % 2 else k, **({"late": 1.0} if k > 200 else {})})
        if k % 100 == 0:
            columns = growing.columns()
    assert columns["time/total_timesteps"].tolist() == list(range(1, 301))
    assert np.isnan(columns["a"][0])
    assert columns["a"][1] == 2
    assert np.isnan(columns["late"][:200]).all()
    growing.add_episodes(1, [Episode(0, float(k), 1, None, None) for k in range(MOST_EPISODES + 100)])
    kept = growing.episodes()
    assert len(kept.returns) < MOST_EPISODES
    assert kept.returns[-1] == MOST_EPISODES + 99


def test_a_real_training_is_watched(tmp_path):
    pytest.importorskip("torch")
    from upswing.training import train

    config = TrainConfig(
        env="CartPole-v1", out_dir=str(tmp_path), name="x", n_envs=4, n_steps=32, total_timesteps=512, learning_rate=1e-9,
        eval_freq=0, engine="torch", vectorization="serial", threads=1, n_eval_episodes=1,
    )  # fmt: skip
    listener = Listener()
    train(config, [DoctorHook(), listener])
    told = [json.loads(line) for line in (tmp_path / "x" / "findings.jsonl").read_text().splitlines()]
    assert told[0]["code"] == "S04"
    assert listener.heard[0].startswith("WARNING S04")
