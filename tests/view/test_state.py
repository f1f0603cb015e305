import pytest

from upswing.view.state import EVALUATION, RETURN, RunState


def test_time_left_follows_the_pace_and_not_the_first_iteration(info, records, clock):
    state = RunState(clock=clock)
    state.start(info)
    assert state.left_s is None
    for i, record in enumerate(records(50)):
        clock.now += 60.0 if i == 0 else 1.0  # the first iteration compiles
        state.add(record)
    assert state.left_s == pytest.approx(391 - 50, rel=0.01)
    clock.now += 0.5  # a long iteration: time passes between records
    assert state.left_s == pytest.approx(391 - 50 - 0.5, rel=0.01)


def test_time_left_of_a_resumed_run_counts_only_its_own_steps(info, records, clock):
    from dataclasses import replace

    state = RunState(clock=clock)
    state.start(replace(info, start_timesteps=51_200))
    assert state.share == pytest.approx(51_200 / 100_096)
    for record in records(10, start=51_200):
        clock.now += 1.0
        state.add(record)
    assert state.left_s == pytest.approx(391 - 200 - 10, rel=0.01)


def test_what_is_undefined_is_left_out_and_entropy_has_its_sign(info, records, clock):
    state = RunState(clock=clock)
    state.start(info)
    for record in records(40):
        state.add(record)
    assert len(state.curves[RETURN]) == 37  # the first three iterations finished no episode
    assert len(state.curves[EVALUATION]) == 4
    assert len(state.trends["train/std"]) == 0
    assert state.trends["train/entropy_loss"].last > 0
    assert state.best == max(y for _, y in state.curves[EVALUATION].all())
    assert state.seconds["eval"] == pytest.approx(0.02)


def test_notices_are_not_repeated(info):
    state = RunState([info.notices[0]])
    state.start(info)
    assert state.notices == list(info.notices)
