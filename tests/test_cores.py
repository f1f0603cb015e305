"""Cores that trainings share when they run side by side."""

from upswing import cores


def test_trainings_side_by_side_share_the_cores(monkeypatch):
    monkeypatch.setattr(cores, "usable_cores", lambda: 8)
    assert cores.own_cores() == 8
    with cores.side_by_side(3):
        assert cores.own_cores() == 2
        with cores.side_by_side(16):
            assert cores.own_cores() == 1
        assert cores.own_cores() == 2
    assert cores.own_cores() == 8 == cores.usable_cores()
