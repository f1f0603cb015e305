"""How soon `upswing train` comes to its first update; run as a process of its own by `upswing bench`:

python -m upswing.cli.started
"""

from __future__ import annotations

import json
import tempfile
import time


def measure() -> dict[str, float]:
    """Seconds that imports take, and seconds of `upswing train CartPole-v1` from then to its first update."""
    begun = time.perf_counter()
    from upswing import cli, training
    from upswing.cli import app
    from upswing.engine import native_engine
    from upswing.hooks import Hook, Request

    assert app and native_engine  # imported before the clock starts
    imported = time.perf_counter()
    reached: list[float] = []

    class FirstUpdate(Hook):
        def on_rollout(self, rollout, num_timesteps):
            reached.append(time.perf_counter())

        def on_iteration(self, record, agent):
            return Request(stop="measured")

    train = training.train
    training.train = lambda config, hooks, **more: train(config, [*hooks, FirstUpdate()], **more)
    with tempfile.TemporaryDirectory() as folder:
        cli.run(["train", "CartPole-v1", "--out-dir", folder, "--quiet"])
    return {"imports_s": imported - begun, "to_first_update_s": reached[0] - imported}


if __name__ == "__main__":
    print(json.dumps(measure()))
