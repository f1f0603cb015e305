"""Several threads on one update: the same bits as one thread, whatever stops it, and however many there are."""

import threading

import numpy as np
import pytest
from numba import njit

from native_policies import Native, make_batch, make_policy, make_settings
from scripted import script
from upswing.compiled.atomics import add, load, store
from upswing.config import TrainConfig
from upswing.engine import native_engine
from upswing.engine.contract import Hyper
from upswing.engine.native import crew, tables
from upswing.engine.native.buffers import PolicyBuffers
from upswing.engine.native.pieces import n_pieces, shard_rows
from upswing.engine.native_engine import NativeEngine
from upswing.policies import flatten_parameters
from upswing.policies import make_policy as policy_for

CASES = {  # policy, transitions, batch size: chunks of 64 and of 512 rows, one block of parameters and several
    "small": ({}, 100, 64),
    "several shards": ({}, 1500, 700),
    "shared": ({"share_trunk": True, "activation_fn": "silu"}, 1500, 700),
    "most shards": ({"net_arch": [8]}, 6000, 5000),
    "several blocks": ({"net_arch": [256, 256]}, 1500, 1200),
}


@pytest.fixture(autouse=True)
def always_shared(monkeypatch):
    monkeypatch.setattr(crew, "CAN_BE_SHARED", 0.0)


def after(threads, space="discrete", case="small", n_epochs=2, **changes):
    """Parameters, moments, last gradient and totals after an update of every transition."""
    kwargs, n, batch_size = CASES[case]
    policy = make_policy(space, **kwargs)
    native = Native(policy, make_batch(policy, n), threads)
    totals = native.run(np.arange(n), make_settings(**changes), batch_size, n_epochs)
    buffers = native.buffers
    return buffers.params.copy(), buffers.exp_avg, buffers.exp_avg_sq, native.grads, totals


def assert_same(a, b):
    for ours, theirs in zip(a, b, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("case", CASES)
def test_every_number_of_threads_gives_the_same_bits(case):
    one = after(1, case=case)
    assert one[4][tables.N_STEPS] == 2 * n_pieces(CASES[case][1], CASES[case][2])
    for threads in (2, 3):
        assert_same(one, after(threads, case=case))


@pytest.mark.parametrize("space", ["box", "multi_discrete"])
def test_every_kind_of_action(space):
    assert_same(after(1, space, "several shards"), after(2, space, "several shards"))


def test_kl_and_what_is_not_finite_end_it_for_all():
    stopped = [after(threads, case="several shards", target_kl=1e-3) for threads in (1, 2)]
    assert_same(*stopped)
    assert stopped[0][4][tables.STOPPED] == 1.0
    diverged = [after(threads, case="several shards", learning_rate=np.inf) for threads in (1, 2)]
    assert [each[4][tables.DIVERGED] for each in diverged] == [1.0, 1.0]


def test_shards_depend_on_shapes_alone():
    assert [n_pieces(n, shard_rows(n, 64)) for n in (1, 64, 256, 257, 1024, 4096, 10_000)] == [1, 1, 1, 2, 4, 16, 16]
    assert [n_pieces(n, shard_rows(n, 512)) for n in (512, 1024, 10_000)] == [1, 2, 10]
    assert all(shard_rows(n, 64) % 64 == 0 for n in (1, 1000, 123_456))


def test_an_engine_trains_the_same_on_two_threads():
    hyper = Hyper(learning_rate=3e-3, clip_range=0.2, clip_range_vf=None, ent_coef=0.01, n_epochs=3, target_kl=None)

    def trained(threads):
        config = TrainConfig(n_envs=8, n_steps=100, batch_size=300, threads=threads)
        env = script(1000, 8, seed=3)
        policy = policy_for(config, env.observation_space, env.action_space, 7)
        flatten_parameters(policy)
        engine = NativeEngine(config, env, policy, list(range(8)), 5)
        figures = [engine.update(engine.collect(), hyper)._replace(update_s=0.0) for _ in range(3)]
        engine.close()
        return figures, engine.buffers.params.copy()

    (figures, params), (others, theirs) = trained(1), trained(2)
    assert figures == others and np.array_equal(params, theirs)


def helpers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("upswing-helper")]


def test_the_threads_end_with_the_crew():
    native = Native(make_policy(), make_batch(make_policy(), 64))
    three = crew.Crew(native.buffers, 64, 3)
    stream = np.arange(1, 5, dtype=np.uint64)
    three.run(native.batch, np.arange(64), stream, 1, make_settings(), np.zeros(tables.N_TOTALS))
    assert helpers()
    three.close()
    assert not helpers()


def test_little_work_is_not_shared(monkeypatch):
    """64×64 networks: M = 2·5·64 + 2·64² + 64·4 = 9088 multiply-adds, so that 2 million operations are 37 rows."""
    monkeypatch.undo()
    buffers = PolicyBuffers(make_policy())
    assert crew.operations(buffers.layout.layers, 1) == 6 * 9088
    for batch_size, asked, threads in (36, 2, 1), (37, 2, 2), (37, 8, 2), (2560, 64, 20):
        made = crew.Crew(buffers, batch_size, asked)
        assert len(made.works) == made.threads == threads  # two networks of a shard, or of each of ten
        made.close()


@pytest.mark.parametrize(("threads", "batch_size", "ways"), [(None, 183, 1), (None, 184, 2), (1, 184, 1), (2, 184, 1)])
def test_by_default_a_large_minibatch_is_shared_where_that_is_faster(monkeypatch, threads, batch_size, ways):
    """10 million operations are 184 rows."""
    monkeypatch.undo()
    monkeypatch.setattr(native_engine, "own_cores", lambda: 2)
    made, race = native_engine._crew(PolicyBuffers(make_policy()), batch_size, threads)
    assert len(race.best) == ways and made.threads == (1 if threads == 1 or batch_size == 183 else 2)
    made.close()


def test_alone_or_together_an_update_is_the_same():
    def after_race(alone):
        native = Native(make_policy(), make_batch(make_policy(), 100))
        team = crew.Crew(native.buffers, 64, 2)
        stream, totals = np.arange(1, 5, dtype=np.uint64), np.zeros(tables.N_TOTALS)
        for each in alone:
            team.run(native.batch, np.arange(100), stream, 1, make_settings(), totals, each)
        team.close()
        return native.buffers.params.copy(), totals

    assert_same(after_race([True, True, True]), after_race([False, True, False]))


def test_numbers_that_threads_share():
    @njit(nogil=True)
    def count(numbers, n):
        for _ in range(n):
            add(numbers, 8, 2)

    @njit
    def read(numbers):
        store(numbers, 1, load(numbers, 8) + 1)
        return add(numbers, 1, 5)

    numbers = np.zeros(16, np.int64)
    count(numbers, 0)
    threads = [threading.Thread(target=count, args=(numbers, 200_000)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert numbers[8] == 4 * 200_000 * 2
    assert read(numbers) == numbers[8] + 1 and numbers[1] == numbers[8] + 6
