"""Measure what the live doctor costs, as a share of training time.

    python -m scripts.doctor_cost --seconds 60

Trains CartPole-v1 at Stable-Baselines3's defaults and with 8 environments of 32 steps, the shortest iterations there
are, watched by the doctor; every call of it is timed. The clock is the wall's, for both: whatever the doctor makes the
training wait counts.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

from upswing import TrainConfig, train
from upswing.doctor.autopilot import Autopilot
from upswing.doctor.hook import DoctorHook
from upswing.engine.contract import Rollout
from upswing.hooks import Hook, Record, Request, Result, RunInfo

SETTINGS: dict[str, dict[str, Any]] = {
    "Stable-Baselines3's defaults, 1 × 2048": {"n_envs": 1, "n_steps": 2048},
    "8 × 32": {"n_envs": 8, "n_steps": 32},
}
WATCHERS: dict[str, Callable[[], list[Hook]]] = {
    "doctor": lambda: [DoctorHook()],
    "doctor, autopilot": lambda: [doctor := DoctorHook(), Autopilot(doctor)],
}
LOOK_S = 1e-3  # a call that takes longer looked at the run


class Timed(Hook):
    """Passes everything on to `hooks`, notes how long they took, and stops after `seconds` of training."""

    def __init__(self, hooks: list[Hook], seconds: float):
        self.hooks, self.seconds = hooks, seconds
        self.calls: list[float] = []
        self.iterations: list[float] = []  # of collecting and updating

    def on_start(self, info: RunInfo) -> None:
        """Pass it on."""
        for hook in self.hooks:
            hook.on_start(info)
        self.began = self.since = time.perf_counter()

    def on_rollout(self, rollout: Rollout, num_timesteps: int) -> None:
        """Pass it on."""
        before = time.perf_counter()
        self.trained = before - self.since
        for hook in self.hooks:
            hook.on_rollout(rollout, num_timesteps)
        self.since = time.perf_counter()
        self.calls.append(self.since - before)

    def on_iteration(self, record: Record, agent: Any) -> Request:
        """Pass it on, and stop when the time is over."""
        before = time.perf_counter()
        self.iterations.append(self.trained + before - self.since)
        for hook in self.hooks:
            hook.on_iteration(record, agent)
        self.since = time.perf_counter()
        self.calls.append(self.since - before)
        return Request(stop="the time is over" if time.perf_counter() - self.began > self.seconds else None)

    def on_end(self, result: Result) -> None:
        """Pass it on."""
        before = time.perf_counter()
        for hook in self.hooks:
            hook.on_end(result)
        self.at_end = time.perf_counter() - before


def trained(settings: dict[str, Any], hooks: list[Hook], seconds: float, total_timesteps: int = 10**9) -> Timed:
    """A timed training of CartPole-v1, of `total_timesteps` or `seconds`."""
    timed = Timed(hooks, seconds)
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(
            env="CartPole-v1", total_timesteps=total_timesteps, eval_freq=0, out_dir=folder, **settings
        )
        train(config, [timed])
    return timed


def measure(settings: dict[str, Any], hooks: list[Hook], seconds: float) -> Timed:
    """A timed training whose whole budget takes about `seconds`: what a doctor looks at depends on how far it is."""
    pace = statistics.median(trained(settings, [], min(seconds, 3.0)).iterations)
    budget = int(seconds / pace) * settings["n_envs"] * settings["n_steps"]
    return trained(settings, hooks, 2.0 * seconds, budget)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="of training for each row")
    seconds = parser.parse_args().seconds
    print(
        "| settings | watched by | iteration | share of training time | looks | an iteration between | at the end |\n|-|-|-|-|-|-|-|"
    )
    for name, settings in SETTINGS.items():
        for who, make in WATCHERS.items():
            timed = measure(settings, make(), seconds)
            share = sum(timed.calls) / sum(timed.iterations)
            looks = [call for call in timed.calls if call > LOOK_S]
            between = 1e6 * statistics.mean(call for call in timed.calls if call <= LOOK_S) * 2
            print(
                f"| {name} | {who} | {1e3 * statistics.median(timed.iterations):.1f} ms | {100 * share:.2f} % "
                f"| {len(looks)} of {1e3 * statistics.mean(looks):.0f} ms | {between:.0f} µs | {1e3 * timed.at_end:.0f} ms |",
                flush=True,
            )


if __name__ == "__main__":
    main()
