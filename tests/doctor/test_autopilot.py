"""The autopilot: one remedy at a time, after a checkpoint, judged by its mechanism, taken back where it does not work."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from doctor.made import POOL, flat, healthy
from doctor.test_hook import CONFIG, Clock, Listener, N, info, rollout
from upswing.config import TrainConfig
from upswing.doctor.autopilot import LATEST, PAUSE, SOONEST, Autopilot, flag, in_flight
from upswing.doctor.findings import Change
from upswing.doctor.hook import DoctorHook
from upswing.doctor.mechanisms import MECHANISMS, RETURN, movement, values_of
from upswing.doctor.rules import BY_CODE
from upswing.hooks import HookCalls
from upswing.run.records import RecordWriter, read_records

TOO_FAST = {"approx_kl": 0.3, "clip_fraction": 0.6} | flat()


def flown(series, run_dir, *, answer=None, lang="en", config=CONFIG, doctor=None, start=0, changes=None, skip=0):
    """Run `series` past doctor and autopilot. `answer(row, record, settings)` changes a record by the settings in force."""
    clock = Clock()
    doctor = doctor or DoctorHook(lang, clock=clock)
    pilot, listener = Autopilot(doctor), Listener()
    calls = HookCalls([doctor, pilot, listener])
    told = info(run_dir, config, start)
    settings = dict(changes or {})
    calls.on_start(SimpleNamespace(**{**vars(told), "changes": settings}))
    writer = RecordWriter(run_dir / "metrics.jsonl")
    requests = []
    for row in range(skip, len(series)):
        record = {tag: float(v[row]) if np.isfinite(v[row]) else None for tag, v in series.columns.items()}
        if answer is not None:
            answer(row, record, settings)
        calls.on_rollout(rollout(), int(record["time/total_timesteps"]))
        request = calls.on_iteration(record, SimpleNamespace(policy=None))
        writer.write(record)
        settings |= request.changes
        requests.append(request)
        clock.now += 10.0
    writer.close()
    return listener.heard, requests, pilot


def obeys(row, record, settings):
    """A KL that falls with the learning rate."""
    if settings:
        record["train/approx_kl"] = record["train/approx_kl"] * 0.1
        record["train/clip_fraction"] = 0.1


def pilots(told):
    return [sentence for sentence in told if "Autopilot" in sentence]


def test_a_remedy_is_applied_after_a_checkpoint_and_stays_when_it_works(tmp_path):
    heard, requests, _ = flown(healthy(n=N, **TOO_FAST), tmp_path, answer=obeys)
    saved = next(row for row, request in enumerate(requests) if request.checkpoint)
    assert requests[saved].keep and not requests[saved].changes
    assert requests[saved + 1].changes == {"learning_rate": pytest.approx(7.5e-5)}
    assert sum(bool(request.changes) for request in requests) == 1
    said = pilots(heard)
    assert said[0].startswith("Autopilot: learning_rate 0.0003 → 7.5e-05, because of P01")
    assert "approx_kl falls from 0.3" in said[0]
    assert said[1].startswith("Autopilot: learning_rate stays at 7.5e-05")
    events = [r for r in read_records(tmp_path / "findings.jsonl") if r["event"] in ("changed", "kept")]
    assert [(e["event"], e["code"], e["field"]) for e in events] == [
        ("changed", "P01", "learning_rate"), ("kept", "P01", "learning_rate"),
    ]  # fmt: skip
    assert events[0]["checkpoint"] == (saved + 1) * POOL
    assert events[1]["iteration"] - events[0]["iteration"] == SOONEST


def test_a_remedy_that_does_not_work_is_taken_back_and_the_next_one_tried(tmp_path):
    config = TrainConfig(env="made-up", n_envs=4, n_steps=128, n_epochs=40, total_timesteps=3 * N * POOL)
    series = healthy(n=3 * N, settings={"n_epochs": 40}, **{"approx_kl": 0.3, "clip_fraction": 0.6} | flat())
    heard, requests, pilot = flown(series, tmp_path, config=config)
    changed = [(row, dict(request.changes)) for row, request in enumerate(requests) if request.changes]
    fields = [next(iter(change)) for _, change in changed]
    assert fields[0] == fields[1]
    first, back = changed[0], changed[1]
    assert back[0] - first[0] == LATEST
    assert back[1][fields[0]] == getattr(config, fields[0])
    assert changed[2][0] - back[0] >= PAUSE
    assert {"learning_rate", "n_epochs"} <= set(fields)
    assert len(fields) == 2 * len(set(fields)), "each is tried once and taken back"
    assert all(request.return_to is None for request in requests), "what merely did nothing costs no learning"
    assert any("is back at" in sentence for sentence in heard)
    assert ("P01", "learning_rate") in pilot.returned


def test_one_at_a_time(tmp_path):
    _, requests, _ = flown(healthy(n=N, **TOO_FAST), tmp_path)
    assert all(len(request.changes) <= 1 for request in requests)


def test_harm_takes_the_weights_back(tmp_path):
    def falls(row, record, settings):
        if settings:
            record["train/approx_kl"] *= 0.1
            record["rollout/iteration_rew_mean"] = -500.0

    heard, requests, _ = flown(healthy(n=N, **TOO_FAST), tmp_path, answer=falls)
    saved = next(row for row, request in enumerate(requests) if request.checkpoint)
    back = next(request for request in requests if request.return_to is not None)
    assert back.return_to == (saved + 1) * POOL
    assert back.changes == {"learning_rate": 3e-4}
    assert any("the return fell to −500" in sentence for sentence in heard)


def test_nothing_is_touched_in_a_healthy_run(tmp_path):
    heard, requests, _ = flown(healthy(n=N), tmp_path)
    assert heard == []
    assert not any(request.changes or request.checkpoint for request in requests)


def test_what_needs_a_new_run_is_advised_with_the_command_once(tmp_path):
    columns = {"explained_variance": -0.4} | flat()
    series = healthy(n=2 * N, settings={"normalize_reward": False}, return_mean=5000.0, return_std=4000.0, **columns)
    heard, _requests, _ = flown(series, tmp_path)
    advice = [s for s in heard if "a new run would help" in s]
    assert len(advice) == len(set(advice)) >= 1
    assert any(f"upswing train --config {tmp_path} --normalize-reward" in sentence for sentence in advice)


def test_it_speaks_chinese(tmp_path):
    heard, _, _ = flown(healthy(n=N, **TOO_FAST), tmp_path, answer=obeys, lang="zh")
    said = [sentence for sentence in heard if sentence.startswith("自动调参")]
    assert "预期：approx_kl 从 0.3000 开始下降" in said[0]
    assert "与预期一致" in said[1]


def test_a_resumed_run_goes_on_with_its_attempt(tmp_path):
    series = healthy(n=N, **TOO_FAST)
    whole = tmp_path / "whole"
    parts = tmp_path / "parts"
    whole.mkdir(), parts.mkdir()
    _, requests, _ = flown(series, whole)
    began = next(row for row, request in enumerate(requests) if request.changes)
    cut = began + 7
    half = healthy(n=N, **TOO_FAST)
    for tag in half.columns:
        half.columns[tag] = half.columns[tag][:cut]
    _, first, _ = flown(half, parts)
    changes = {name: value for request in first for name, value in request.changes.items()}
    _, second, pilot = flown(series, parts, start=cut * POOL, changes=changes, skip=cut)
    after = [dict(request.changes) for request in requests[cut:]]
    assert [dict(request.changes) for request in second][: LATEST + 1] == after[: LATEST + 1]
    kinds = [e["event"] for e in read_records(parts / "findings.jsonl") if e["event"] in ("changed", "returned")]
    assert kinds[:2] == ["changed", "returned"]
    assert pilot.returned


@pytest.mark.parametrize(
    ("field", "old", "new", "step"),
    [
        ("learning_rate", 0.01, 0.001, 0.0025),
        ("learning_rate", 0.01, 0.004, 0.004),
        ("learning_rate", 0.01, 0.009, 0.005),
        ("learning_rate", 1e-5, 3e-4, 2e-5),
        ("learning_rate", "linear:0.03", "linear:0.009", "linear:0.009"),
        ("learning_rate", "cosine:0.01:0.001", "cosine:0.0001:1e-5", "cosine:0.0025:0.00025"),
        ("learning_rate", "piecewise:0=0.01,0.5=0.001", "piecewise:0=0.005,0.5=0.0005", "piecewise:0=0.005,0.5=0.0005"),
        ("learning_rate", "adaptive:0.01", "adaptive:0.005", None),
        ("ent_coef", 0.1, 0.01, 0.025),
        ("ent_coef", 0.01, 0.02, 0.02),
        ("ent_coef", 0.0, 0.01, 0.01),
        ("n_epochs", 80, 10, 40),
        ("n_epochs", 1, 2, 2),
        ("clip_range", 0.9, 0.2, 0.2),
        ("target_kl", 0.001, 0.03, 0.03),
    ],
)
def test_steps_in_flight_are_small(field, old, new, step):
    change = in_flight(Change(field, old, new, True))
    assert (change.new if change else None) == step


def test_flags_say_what_to_type():
    assert flag(Change("batch_size", 64, 256)) == "--batch-size 256"
    assert flag(Change("normalize_obs", False, True)) == "--normalize-obs"
    assert flag(Change("bootstrap_terminations", True, False)) == "--no-bootstrap-terminations"
    assert flag(Change("gamma", 0.5, 0.99)) == "--gamma 0.99"
    net = flag(Change("policy_kwargs.net_arch", [64], {"pi": [64], "vf": [256, 256]}))
    assert net == '--policy-kwargs \'net_arch={"pi": [64], "vf": [256, 256]}\''


def test_movement_by_hand():
    mechanism = MECHANISMS["P01"]
    before, after = np.array([1.0, 1.0, 1.0, 1.0]), np.array([0.8, 0.8])
    assert movement(mechanism, before, after) == (1.0, 0.8, True)
    assert not movement(mechanism, before, np.array([0.95])).as_predicted, "a tenth is the least"
    assert not movement(mechanism, before, np.array([1.5])).as_predicted, "the wrong way"
    noisy = np.array([0.0, 2.0, 0.0, 2.0])  # spread 1.4826: standard error sqrt(pi/2 * 2 * 1.4826^2 / 4) = 1.314
    assert not movement(mechanism, noisy, noisy - 2.6).as_predicted
    assert movement(mechanism, noisy, noisy - 2.7).as_predicted
    assert not movement(mechanism, np.array([]), after).as_predicted


def test_every_mechanism_reads_a_real_record():
    assert set(MECHANISMS) <= set(BY_CODE)
    series = healthy(n=5)
    rows = [{tag: float(v[row]) for tag, v in series.columns.items()} for row in range(5)]
    rows = [
        {"train/std": 1.0, "rollout/action_saturation": 0.1, "train/dormant_units": 0.1, "rollout/obs_std_max": 1.0}
        | row
        for row in rows
    ]
    for code, mechanism in {**MECHANISMS, "R01": RETURN}.items():
        assert len(values_of(mechanism, rows)) == 5, code
        assert len(values_of(mechanism, [{}])) == 0, code


def test_a_real_training_is_steered_and_resumes_as_if_it_had_not_stopped(tmp_path):
    """The changes of a hook live in the checkpoint: N + N updates are 2N updates, schedules and epochs included."""
    pytest.importorskip("torch")
    from upswing.hooks import Hook, Request
    from upswing.training import resume, train

    class Steers(Hook):
        def __init__(self, stop=None):
            self.stop = stop

        def on_iteration(self, record, agent):
            n = record["time/iterations"]
            changes = {3: {"learning_rate": "linear:0.0005"}, 4: {"n_epochs": 2, "ent_coef": 0.01}}.get(n, {})
            return Request(
                changes=changes, stop="enough" if n == self.stop else None, notices=("turned",) if changes else ()
            )

    config = TrainConfig(
        env="CartPole-v1", out_dir=str(tmp_path), n_envs=2, n_steps=32, total_timesteps=640, learning_rate="linear:0.001", eval_freq=0, n_eval_episodes=1
    )  # fmt: skip
    rows = {}
    for name, stop in (("whole", None), ("parts", 5)):
        from dataclasses import replace

        train(replace(config, name=name), [Steers(stop)])
        if stop:
            resume(tmp_path / name, [Steers()])
        rows[name] = [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
    assert len(rows["whole"]) == len(rows["parts"]) == 10
    for one, other in zip(rows["whole"], rows["parts"], strict=True):
        for tag in (t for t in one if not t.startswith(("time/", "eval/"))):
            assert one[tag] == other[tag], tag
    rates = [row["train/learning_rate"] for row in rows["whole"]]
    assert rates[2] == pytest.approx(0.0008) and rates[3] == pytest.approx(0.0005 * 0.7)
    assert rows["whole"][4]["train/n_epochs_done"] == 2
    events = b"".join(path.read_bytes() for path in (tmp_path / "whole").glob("events.out.tfevents.*"))
    assert events.count(b"turned") == 2, "and TensorBoard tells of them"


@pytest.mark.parametrize("engine", ["native", "torch"])
def test_weights_go_back_to_a_checkpoint_that_is_not_pruned(tmp_path, engine):
    pytest.importorskip("torch")
    from upswing.hooks import Hook, Request
    from upswing.run.checkpoint import checkpoint_steps, load_checkpoint
    from upswing.training import train

    class Returns(Hook):
        def on_iteration(self, record, agent):
            n = record["time/iterations"]
            if n == 6:
                return Request(return_to=64, checkpoint=True)
            return Request(checkpoint=True, keep=n == 2)

    config = TrainConfig(
        env="CartPole-v1", out_dir=str(tmp_path), name="x", n_envs=1, n_steps=32, batch_size=16, total_timesteps=192,
        eval_freq=0, n_eval_episodes=1, engine=engine, keep_checkpoints=1, normalize_obs=True,
    )  # fmt: skip
    train(config, [Returns()])
    assert 64 in checkpoint_steps(tmp_path / "x")
    kept, latest = (load_checkpoint(tmp_path / "x", step)[0] for step in (64, 192))
    for part in ("model", "optimizer"):
        one, other = getattr(kept, part), getattr(latest, part)
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], name)
    assert latest.state["num_timesteps"] == 192


@pytest.mark.parametrize(("stop_on", "stops"), [("error", True), ("never", False)])
def test_stop_on_error_leaves_a_checkpoint_of_a_real_training(tmp_path, stop_on, stops):
    pytest.importorskip("torch")
    from upswing.hooks import Hook
    from upswing.run.checkpoint import checkpoint_steps
    from upswing.training import train

    class Bug(Hook):
        def on_iteration(self, record, agent):
            record["train/ratio_error"] = 0.3
            clock.now += 10.0

    clock = Clock()
    config = TrainConfig(
        env="CartPole-v1", out_dir=str(tmp_path), name="x", n_envs=1, n_steps=32, total_timesteps=1280, eval_freq=0,
        n_eval_episodes=1, checkpoint_freq=0,
    )  # fmt: skip
    result = train(config, [Bug(), DoctorHook(stop_on=stop_on, clock=clock)])
    assert bool(result.stopped) is stops
    assert (result.total_timesteps < 1280) is stops
    assert checkpoint_steps(tmp_path / "x") == [result.total_timesteps]
    assert not stops or "B02" in result.stopped
