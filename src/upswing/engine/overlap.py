"""Collecting the next rollout while the policy is updated from the last one: for environments that let the processor wait.

    collect 0 ── collect 1 ── collect 2 ──           actor, a copy of the policy as it was when the collecting began
                 update 0 ─── update 1 ───           learner

A rollout is thus one update older than the policy that learns from it; the learner corrects for that (learner.py).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch

from upswing.engine.collector import Collector
from upswing.engine.contract import Rollout, StepView
from upswing.policies import ActorCritic

WORTH = 0.2  # of an iteration's time: what auto wants to see saved
HAND_OVER_S = 2e-4  # how long a thread may keep the other from running Python: both need it for moments only
USUAL_S = sys.getswitchinterval()
MEASURED = 3  # iterations that auto looks at; the first, which warms up, does not count


def pays(collect_s: float, idle_s: float, update_s: float) -> bool:
    """Whether overlapping saves enough of an iteration: updating fits into what of collecting is waiting."""
    return min(idle_s, update_s) >= WORTH * (collect_s + update_s)


class OverlappedCollector:
    """A collector whose next rollout is under way in a thread while the last one is learned from.

    What it is given must act by a copy of `policy`, the learner's. Results are the same however fast either side is:
    the actor's weights and statistics change between two rollouts only. With `auto` it begins one after the other, and
    overlaps from the moment when measured times say that it pays.
    """

    def __init__(self, actor: Collector, policy: ActorCritic, auto: bool):
        self.actor, self.policy = actor, policy
        self.normalizer = actor.normalizer.twin()  # as of the rollout delivered last
        self.num_timesteps = 0  # of delivered rollouts
        self.overlaps: bool | None = None if auto else True  # None: not decided yet
        self._thread = ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(torch.get_num_threads(),))
        self._pending: Future[Rollout] | None = None
        self._spare: Rollout | None = None  # storage that nobody reads any more
        self._seen: list[tuple[float, float, float]] = []  # for auto: collecting, its idle part, and updating
        self._delivered_at = 0.0

    def collect(self, on_step: Callable[[StepView], bool | None] | None = None) -> Rollout:
        """The next rollout, and another one begun; its `collect_s` is how long the training waited for it.

        A hook on steps must be served in the training's own thread: then nothing overlaps.
        """
        start = time.perf_counter()
        if self._pending is not None:
            self._wait()
            rollout = self._pending.result()
            rollout.staleness = 1
        else:
            rollout = self._collect_now(on_step)
        self._keep_statistics()
        self.num_timesteps += self.actor.config.n_steps * self.actor.env.n_envs
        self.actor.storage, self._spare = self._spare, rollout
        self._pending = None
        if self.overlaps and on_step is None:
            self._hand_over()
            sys.setswitchinterval(HAND_OVER_S)
            self._pending = self._thread.submit(self.actor.collect)
        self._delivered_at = time.perf_counter()
        rollout.collect_s = self._delivered_at - start
        rollout.env_s = min(rollout.env_s, rollout.collect_s)
        return rollout

    def _collect_now(self, on_step: Callable[[StepView], bool | None] | None) -> Rollout:
        update_s = time.perf_counter() - self._delivered_at
        self._hand_over()
        busy, start = time.thread_time(), time.perf_counter()
        rollout = self.actor.collect(on_step)
        rollout.staleness = 0
        if self.overlaps is None and on_step is None:
            collect_s = time.perf_counter() - start
            self._seen.append((collect_s, collect_s - (time.thread_time() - busy), update_s))
            if len(self._seen) > MEASURED:
                self._decide()
        return rollout

    def _decide(self) -> None:
        """Overlap from now on, or never, by the mean of the times seen."""
        collect_s, idle_s, update_s = (sum(column) / MEASURED for column in zip(*self._seen[1:], strict=True))
        self.overlaps = pays(collect_s, idle_s, update_s)
        times = f"collecting waits {1000 * idle_s:.3g} of {1000 * collect_s:.3g} ms, an update takes {1000 * update_s:.3g} ms"
        does = (
            "the next rollout is collected while the last one is learned from" if self.overlaps else "nothing overlaps"
        )
        notices = getattr(self.actor.env, "notices", None)
        if notices is not None:
            notices.append(f"collect auto: {does}, because {times}.")

    @torch.no_grad()
    def _hand_over(self) -> None:
        """Let the actor act by the learner's weights."""
        pairs = zip(self.actor.policy.parameters(), self.policy.parameters(), strict=True)
        for acting, learned in pairs:
            acting.copy_(learned)

    def _keep_statistics(self) -> None:
        self.normalizer.take(self.actor.normalizer)

    def reset(self, seeds: list[int] | None = None) -> None:
        """Begin new episodes in every environment; a rollout under way is dropped."""
        self._wait()
        self._pending = None
        self.actor.reset(seeds)
        self._keep_statistics()

    def restored(self) -> None:
        """Act by weights and statistics that have been replaced; a rollout under way is dropped."""
        self._wait()
        self._pending = None
        self.actor.normalizer.take(self.normalizer)

    def get_state(self, environments: bool = True) -> dict[str, Any]:
        """The actor's state once the rollout under way is complete; that rollout itself is not part of it."""
        self._wait()
        return self.actor.get_state(environments)

    def set_state(self, state: dict[str, Any]) -> list[str]:
        """Go on from what `get_state` gave; returns what could not be restored."""
        lost = self.actor.set_state(state)
        if self.overlaps is not False and state["environment"] is not None:
            lost.append("The rollout that was under way when this was saved is left out: the next one follows it.")
        return lost

    def _wait(self) -> None:
        if self._pending is not None:
            self._pending.exception()
            sys.setswitchinterval(USUAL_S)

    def close(self) -> None:
        """Let the rollout under way end, then close the environments."""
        self._wait()
        self._thread.shutdown()
        self.actor.close()
