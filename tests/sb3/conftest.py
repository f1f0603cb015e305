"""One thread for images too, where a training would take all cores."""

import pytest


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setattr("upswing.engine.make.os.cpu_count", lambda: 1)
