"""Rollouts and updates that a GPU replays: the numbers of the eager ones, and no look at the device on the way.

Here `capture = on` runs on the CPU, where Replay is the graph's stand-in: it calls the same functions on the same static
tensors. What needs a GPU to be seen is at the end, and skips itself without one.
"""

import contextlib
import dataclasses

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from scripted import script
from torch_engines import HYPER, engine_for, weights
from upswing import TrainConfig, train
from upswing.engine.captured_learner import CapturedLearner
from upswing.engine.device_collector import DeviceCollector
from upswing.engine.learner import Learner
from upswing.engine.replay import Replay
from upswing.envs.device import make_device_env
from upswing.errors import ConfigError, OutOfMemory, TrainingDiverged


def placed(env_id="CartPole-v1", n=8, device="cpu"):
    return make_device_env(env_id, {}, n, torch.device(device))


def figures(stats):
    """What an update did, without what never repeats."""
    return {name: value for name, value in stats._asdict().items() if name != "update_s"}


def assert_same(one, other):
    for name, value in figures(one).items():
        expected = value if value is None else pytest.approx(value, rel=2e-4, abs=2e-5)
        assert getattr(other, name) == expected, name


CASES = [
    {},
    {"advantage_scope": "batch"},
    {"normalize_advantage": False},
    {"batch_size": 7},
    {"batch_size": 1000},
    {"amp": "bf16", "policy_kwargs": {"share_trunk": True}},
]


@pytest.mark.parametrize("settings", CASES, ids=str)
@pytest.mark.parametrize("hyper", [{}, {"clip_range_vf": 0.1, "ent_coef": 0.05}], ids=str)
def test_a_captured_update_is_the_eager_one(settings, hyper):
    """Three updates in a row, weights to 1e-5 and figures to 2e-4: sums of advantages are taken in another order."""
    eager, captured = (engine_for(script(48, 4), capture=way, **settings) for way in ("off", "on"))
    assert type(eager.learner) is Learner and isinstance(captured.learner, CapturedLearner)
    tolerance = {"rtol": 0.0, "atol": 3e-3 if "amp" in settings else 1e-5}
    for k in range(3):
        now = HYPER._replace(learning_rate=1e-3 / (k + 1), clip_range=0.2 - 0.05 * k, **hyper)
        mine, theirs = captured.update(captured.collect(), now), eager.update(eager.collect(), now)
        if "amp" not in settings:
            assert_same(theirs, mine)
        torch.testing.assert_close(weights(captured), weights(eager), **tolerance)
    assert not torch.equal(weights(captured), weights(engine_for(script(48, 4))))


@pytest.mark.parametrize("target_kl", [1e-9, 0.002, 0.02])
@pytest.mark.parametrize("watched", [False, True])
def test_target_kl_stops_where_the_eager_one_does(target_kl, watched):
    hyper = HYPER._replace(target_kl=target_kl, n_epochs=6, learning_rate=3e-3)
    told = []
    outcomes = []
    for way in ("off", "on"):
        engine = engine_for(script(16, 4), capture=way)
        seen = []
        stats = engine.update(engine.collect(), hyper, seen.append if watched else None)
        outcomes.append((stats, weights(engine)))
        told.append(seen)
    (theirs, expected), (mine, got) = outcomes
    assert theirs.kl_stopped
    assert_same(theirs, mine)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-6)
    assert len(told[0]) == len(told[1])
    for one, other in zip(*told, strict=True):
        assert other == pytest.approx(one, rel=1e-3, abs=1e-6)


def test_a_hook_ends_the_epochs_and_a_longer_update_makes_room():
    engine = engine_for(script(16, 4), capture="on")
    stats = engine.update(engine.collect(), HYPER._replace(n_epochs=5), lambda view: view.epoch < 1)
    assert stats.n_epochs_done == 2 and stats.gradient_steps == 16
    assert engine.update(engine.collect(), HYPER._replace(n_epochs=9)).gradient_steps == 72


def test_rollouts_with_rows_that_are_no_transitions_are_learned_from_eagerly():
    env = script(16, 4)
    for step in env.steps[::5]:
        step.terminated[0], step.truncated[0] = False, False
    steps = [s._replace(valid=np.array([k % 5 != 0, True, True, True])) for k, s in enumerate(env.steps)]
    outcomes = []
    for way in ("off", "on"):
        env.steps, env.at = steps, 0
        engine = engine_for(env, capture=way)
        outcomes.append((figures(engine.update(engine.collect(), HYPER)), weights(engine)))
    assert outcomes[0][0] == outcomes[1][0] and torch.equal(outcomes[0][1], outcomes[1][1])


def test_a_nan_stops_training_with_finite_weights():
    env = script(16, 2)
    env.steps[3].rewards[1] = np.nan
    engine = engine_for(env, capture="on")
    with pytest.raises(TrainingDiverged, match="learning_rate"):
        engine.update(engine.collect(), HYPER)
    assert torch.isfinite(weights(engine)).all()


WORLDS = [
    ("CartPole-v1", {"normalize_obs": True, "normalize_reward": True}),
    ("Pendulum-v1", {"use_sde": True, "sde_sample_freq": 5, "normalize_reward": True}),
    ("PushBlock-v0", {"policy": "MlpLstmPolicy"}),
    ("PushBlock-v0", {"policy_kwargs": {"squash_output": True}}),
]


@pytest.mark.parametrize(("env_id", "settings"), WORLDS, ids=str)
def test_a_rollout_without_the_host_is_the_one_with_it(env_id, settings):
    """Two rollouts by each collector, a checkpoint's way back and an update between them: the same to 1e-6."""
    engines = [engine_for(placed(env_id), n_steps=120, batch_size=240, capture="off", **settings) for _ in range(2)]
    rollouts = []
    for engine, hook in zip(engines, (None, lambda view: None), strict=True):
        assert isinstance(engine.collector, DeviceCollector)
        engine.update(engine.collect(hook), HYPER._replace(n_epochs=1))
        assert engine.restore(engine.snapshot()) == []
        rollouts.append(engine.collect(hook))
    mine, theirs = (dataclasses.asdict(rollout) for rollout in rollouts)
    assert len(theirs["episodes"]) >= 4
    for name, expected in theirs.items():
        if isinstance(expected, torch.Tensor):
            torch.testing.assert_close(mine[name], expected, rtol=1e-6, atol=1e-6)
        elif name == "episodes":
            assert [episode._replace(ret=0) for episode in mine[name]] == [
                episode._replace(ret=0) for episode in expected
            ]
            np.testing.assert_allclose([e.ret for e in mine[name]], [e.ret for e in expected], rtol=1e-5)
        elif name not in ("env_s", "collect_s"):
            assert mine[name] == pytest.approx(expected)
    assert engines[0].num_timesteps == engines[1].num_timesteps == 2 * 120 * 8


class Forbidden(TorchDispatchMode):
    """Refuses every operation for which the host waits, or whose result's size the device decides."""

    WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "unique")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        index_by_mask = name in ("index", "index_put_") and any(
            part is not None and part.dtype in (torch.bool, torch.uint8) for part in args[1]
        )
        assert name not in self.WAITS and not index_by_mask, f"{name} makes the host wait"
        return func(*args, **(kwargs or {}))


class Watched:
    """An engine whose collect and update may not look at a tensor before they come to the one moment of reading."""

    LOOKS = ("item", "cpu", "numpy", "tolist", "__bool__", "__float__", "__int__", "__index__", "nonzero")

    def __init__(self, monkeypatch, engine):
        self.monkeypatch, self.engine, self.counted = monkeypatch, engine, []
        for part in (engine.collector, engine.learner):
            monkeypatch.setattr(part, "_read", self._allowed(part._read))

    def _allowed(self, read):
        def reading(*args):
            self.counted.append(read.__name__)
            self.ban.close()
            return read(*args)

        return reading

    def __call__(self, part, *args):
        """collect or update under the ban."""
        with contextlib.ExitStack() as self.ban:
            patched = self.ban.enter_context(self.monkeypatch.context())
            for name in self.LOOKS:
                patched.setattr(torch.Tensor, name, self._forbidden)
            self.ban.enter_context(Forbidden())
            return getattr(self.engine, part)(*args)

    @staticmethod
    def _forbidden(*args, **kwargs):
        raise AssertionError("the host looks at a tensor")


@pytest.mark.parametrize("capture", ["on", "off"])
@pytest.mark.parametrize("env_id", ["CartPole-v1", "PushBlock-v0"])
def test_nothing_is_read_on_the_way(monkeypatch, env_id, capture):
    """Collect and update, twice: the host waits once for each. With target_kl, once more for each epoch but the last."""
    engine = engine_for(
        placed(env_id, 32), n_steps=60, batch_size=480, capture=capture, normalize_obs=True, normalize_reward=True
    )
    engine.update(engine.collect(), HYPER)  # makes what is made once
    watched = Watched(monkeypatch, engine)
    for _ in range(2):
        watched("update", watched("collect"), HYPER._replace(learning_rate=2e-4))
    assert watched.counted == ["_read"] * 4
    with pytest.raises(AssertionError, match=r"the host looks|makes the host wait"):
        watched("update", watched("collect"), HYPER._replace(target_kl=0.5))
    if capture == "on":  # what is not asked for is not read: the last epoch has no next one
        watched("update", watched("collect"), HYPER._replace(target_kl=0.5, n_epochs=1))


def test_capture_says_why_it_cannot():
    for settings, reason in (
        ({"policy": "MlpLstmPolicy"}, "memory"),
        ({"amp": "fp16"}, "loss scale"),
        ({"collect": "overlap"}, "take turns"),
    ):
        with pytest.raises(ConfigError, match=reason):
            engine_for(script(16, 2), capture="on", **settings)
        engine_for(script(16, 2), capture="auto", **settings).close()
    with pytest.raises(ConfigError, match="on a device"):
        engine_for(placed(), collect="overlap")
    assert isinstance(engine_for(placed(), collect="auto").collector, DeviceCollector)
    assert engine_for(placed()).notices == []
    assert "no GPU to record for" in engine_for(placed(), capture="on").notices[0]


def test_weights_taken_up_again_are_learned_from():
    """After a restore the moments lie elsewhere; a captured update still is the eager one."""
    engines = [engine_for(script(32, 4), capture=way) for way in ("off", "on")]
    for engine in engines:
        engine.update(engine.collect(), HYPER)
        saved = engine.snapshot()
        engine.update(engine.collect(), HYPER)
        engine.restore(saved)
        assert not getattr(engine.learner, "steps", None), "graphs that hold the addresses of the old moments"
        engine.update(engine.collect(), HYPER)
    torch.testing.assert_close(weights(engines[0]), weights(engines[1]), rtol=0, atol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own modules, when they are first imported
def test_compiled_objectives_have_the_eager_numbers():
    plain, compiled = (engine_for(script(16, 4), batch_size=32, compile=way) for way in (False, True))
    for engine in (plain, compiled):
        for k in range(2):
            stats = engine.update(engine.collect(), HYPER._replace(clip_range=0.2 - 0.1 * k))
    assert_same(engine.update(engine.collect(), HYPER), plain.update(plain.collect(), HYPER))
    torch.testing.assert_close(weights(plain), weights(compiled), rtol=0, atol=1e-5)
    assert stats.ratio_error < 1e-4


def test_compiling_without_a_compiler_is_one_sentence(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(ConfigError, match=r"C\+\+ compiler"):
        engine_for(script(16, 2), compile=True)
    with pytest.raises(ConfigError, match="memory"):
        engine_for(script(16, 2), compile=True, policy="MlpLstmPolicy")


@pytest.mark.parametrize("part", ["collect", "update"])
def test_out_of_memory_is_a_clear_stop_that_keeps_the_run(tmp_path, monkeypatch, part):
    """The third iteration finds no memory: one sentence with advice, and a run that goes on where it stood."""
    from upswing import resume

    calls = []
    name, owner = ("_one_step", DeviceCollector) if part == "collect" else ("_gradient_step", CapturedLearner)
    function = getattr(owner, name)

    def short_of_memory(self, *args):
        calls.append(name)
        if len(calls) == (17 if part == "collect" else 9):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return function(self, *args)

    monkeypatch.setattr(owner, name, short_of_memory)
    config = TrainConfig(
        env="CartPole-v1", vectorization="device", device="cpu", capture="on", n_envs=4, n_steps=8, batch_size=16,
        n_epochs=2, total_timesteps=128, eval_freq=0, n_eval_episodes=1, out_dir=str(tmp_path), name="short",
    )  # fmt: skip
    with pytest.raises(OutOfMemory, match="batch_size") as stopped:
        train(config)
    assert stopped.value.exit_code == 5 and "20.00 GiB" in str(stopped.value)
    monkeypatch.undo()
    result = resume(tmp_path / "short")
    assert result.total_timesteps == 128


def test_a_training_on_a_device_from_beginning_to_end(tmp_path):
    """Saved, continued, evaluated by the compiled environments; the sums of episodes are those of the steps."""
    from upswing import evaluate_run, resume
    from upswing.run.records import read_metrics

    config = TrainConfig(
        env="PushBlock-v0", vectorization="device", device="cpu", capture="on", n_envs=64, n_steps=25, batch_size=400,
        n_epochs=2, total_timesteps=6400, eval_freq=3200, n_eval_episodes=4, out_dir=str(tmp_path), name="whole",
        normalize_obs=True, seed=3,
    )  # fmt: skip
    train(config)
    metrics = read_metrics(tmp_path / "whole")
    assert metrics["rollout/iteration_episodes"].tolist() == [0, 64, 0, 64]
    assert metrics["rollout/ep_len_mean"][-1] == 50
    pairs = metrics["rollout/reward_mean"].reshape(2, 2).mean(1) * 50
    np.testing.assert_allclose(metrics["rollout/iteration_rew_mean"][1::2], pairs, rtol=1e-5)
    assert np.isfinite(metrics["rollout/success_rate"][-1])
    assert resume(tmp_path / "whole", total_timesteps=8000).total_timesteps == 8000
    assert evaluate_run(tmp_path / "whole", n_episodes=3).n_episodes == 3


def test_a_replay_calls_its_function_each_time():
    calls = []
    replay = Replay(lambda: calls.append(1), torch.device("cpu"))
    for _ in range(5):
        replay()
    assert len(calls) == 5 and replay.graph is None


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU here")


@needs_gpu
@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1", "PushBlock-v0"])
def test_on_a_gpu_graphs_have_the_eager_numbers(env_id):
    """Six iterations, of which the last are replays; the generators draw alike, so weights agree to rounding."""
    engines = [on_gpu(env_id, capture) for capture in ("off", "on")]
    for _ in range(6):
        stats = [engine.update(engine.collect(), HYPER) for engine in engines]
    assert_same(*stats)
    assert next(iter(engines[1].learner.steps.values())).graph is not None
    assert engines[1].collector._step.graph is not None
    torch.testing.assert_close(weights(engines[1]), weights(engines[0]), rtol=1e-3, atol=1e-4)


@needs_gpu
def test_on_a_gpu_the_host_never_waits_on_the_way():
    engine = on_gpu("CartPole-v1", "on")
    for _ in range(5):
        engine.update(engine.collect(), HYPER)
    read = engine.collector._read

    def reading(rollout):
        torch.cuda.set_sync_debug_mode("default")
        read(rollout)

    engine.collector._read = reading
    torch.cuda.set_sync_debug_mode("error")
    try:
        engine.collect()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def on_gpu(env_id, capture):
    from upswing.config import check
    from upswing.engine.make import make_engine
    from upswing.seeds import spawn_seeds

    config = check(
        TrainConfig(
            env=env_id, n_envs=256, n_steps=16, batch_size=1024, device="cuda", capture=capture, normalize_obs=True
        )
    )
    return make_engine(config, spawn_seeds(0, 256))[0]
