"""Learning without the host: an update as functions of tensors in fixed memory, which a GPU replays from CUDA graphs.

    prepare      rewards, values, endings  →  advantages, returns
    step         rows of a minibatch       →  gathered, loss, backward, clipped, Adam; figures in the row that a counter
                                              on the device points at

Learning rate, clip ranges and entropy coefficient are tensors that are filled before an update. Nothing is read until
its end, with two exceptions that are asked for: a hook on epochs is told its figures, and with target_kl the host asks
once after each epoch whether to go on.

target_kl without a wait in each minibatch: a minibatch whose KL is over the limit sets a flag on the device to 0, itself
included, and Adam multiplies every later step of that epoch to nothing (its `found_inf`; see precision.py). Weights,
moments and figures are those of stopping at once; the rest of that epoch's arithmetic is wasted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from upswing.config import TrainConfig
from upswing.engine.contract import EpochView, Hyper, Rollout, UpdateStats
from upswing.engine.group import Group
from upswing.engine.learner import Learner, advantages_of
from upswing.engine.objective import Batch, take
from upswing.engine.precision import Precision
from upswing.engine.replay import Replay
from upswing.policies import ActorCritic

KL, CLIPPED, WENT_ON = 4, 5, 8  # columns of a minibatch's figures: MinibatchStats, and whether its step was taken


def why_not_captured(config: TrainConfig, policy: ActorCritic, group: Group) -> str | None:
    """What keeps gradient steps from being captured, as the end of a sentence; None where nothing does."""
    if policy.state_size:
        return "the policy has a memory, whose sequences differ in length"
    if config.amp == "fp16":
        return "amp = fp16 adapts its loss scale"
    if config.collect != "sync":
        return "collect is not sync: two rollouts take turns"
    if group.size > 1:
        return "several processes exchange gradients"
    return None


class CapturedLearner(Learner):
    """A Learner whose updates of rollouts that are whole are captured. The numbers are Learner's, up to rounding.

    Others, with rows that are no transitions, are left to Learner. Graphs hold addresses: they are made anew for another
    rollout's memory, and after `forget`.
    """

    def __init__(self, config: TrainConfig, policy: ActorCritic, precision: Precision, seed: int, group: Group):
        super().__init__(config, policy, precision, seed, group)
        numbers: Any = {name: self._scalar() for name in Hyper._fields[:4]}  # rate, clip ranges, entropy coefficient
        self.knobs: Any = Hyper(**numbers, n_epochs=0, target_kl=None)
        self.most_kl, self.going = self._scalar(), self._scalar()
        self.forget()

    def _scalar(self) -> Tensor:
        return torch.zeros((), device=self.device)

    def forget(self) -> None:
        """Make the graphs anew: what they work on has moved."""
        self.rollout: Rollout | None = None
        self.steps: dict[tuple[int, bool], Replay] = {}

    def update(
        self, rollout: Rollout, hyper: Hyper, on_epoch: Callable[[EpochView], bool | None] | None = None
    ) -> UpdateStats:
        """The statistics of one PPO update on `rollout`; see Learner."""
        if not (rollout.whole or bool(rollout.valid.all())):
            return super().update(rollout, hyper, on_epoch)
        start = time.perf_counter()
        if rollout is not self.rollout:
            self._take_up(rollout)
        self._set(hyper)
        self.prepare()
        n_epochs, stopped, n = 0, False, len(self.batch.values)
        per_epoch = math.ceil(n / self.batch_size)
        self._make_room(hyper.n_epochs * per_epoch)
        while n_epochs < hyper.n_epochs and not stopped:
            order = torch.randperm(n, generator=self.shuffling, device=self.device)
            for rows in order.split(self.batch_size):
                self._step(rows, hyper.clip_range_vf is not None)
            n_epochs += 1
            if hyper.target_kl is not None and (n_epochs < hyper.n_epochs or on_epoch is not None):
                stopped = not bool(self.going)
            if on_epoch is not None and not stopped:
                stopped = self._hook_stops(n_epochs - 1, per_epoch, on_epoch)
        return self._figures_of(n_epochs, per_epoch, start)

    def _take_up(self, rollout: Rollout) -> None:
        """Make the tensors and functions for the memory of `rollout`."""
        self.forget()
        self.rollout = rollout
        self.advantages, self.returns = torch.zeros_like(rollout.rewards), torch.zeros_like(rollout.rewards)
        self.scaled = torch.zeros_like(self.advantages)  # what the steps read
        obs = rollout.obs
        flat = {key: part.flatten(0, 1) for key, part in obs.items()} if isinstance(obs, dict) else obs.flatten(0, 1)
        rest = (rollout.actions, rollout.log_probs, rollout.values, self.advantages, self.returns)
        self.batch = Batch(flat, *(part.flatten(0, 1) for part in rest))
        self.whole = self.batch._replace(advantages=self.scaled.flatten())
        self.rows: dict[int, Tensor] = {}
        self.at = torch.zeros(1, dtype=torch.int64, device=self.device)
        self.figures = torch.zeros(0, 9, device=self.device)
        self.prepare = Replay(self._prepare, self.device)

    def _set(self, hyper: Hyper) -> None:
        """Fill in the settings of an update, and begin its figures."""
        for knob, value in zip(self.knobs[:4], hyper[:4], strict=True):
            knob.fill_(value or 0.0)
        self.most_kl.fill_(math.inf if hyper.target_kl is None else 1.5 * hyper.target_kl)
        self.going.fill_(1.0)
        self.at.zero_()
        for group in self.optimizer.param_groups:
            group["lr"] = self.knobs.learning_rate

    def _make_room(self, n: int) -> None:
        """Memory for the figures of `n` minibatches; graphs that write to the old one are dropped."""
        if len(self.figures) < n:
            self.figures = torch.zeros(n, 9, device=self.device)
            self.steps = {}

    @torch.no_grad()
    def _prepare(self) -> None:
        """Advantages and returns of the rollout."""
        assert self.rollout is not None
        advantages, returns = advantages_of(self.rollout, self.config, by_doubling=True)
        self.advantages.copy_(advantages)
        self.returns.copy_(returns)
        self.scaled.copy_(self._scaled(advantages, "batch"))

    def _step(self, rows: Tensor, clips_values: bool) -> None:
        """A gradient step on `rows`, by the function for that many."""
        n = len(rows)
        if n not in self.rows:
            self.rows[n] = rows.clone()
        self.rows[n].copy_(rows)
        if (n, clips_values) not in self.steps:
            static = self.rows[n]
            self.steps[n, clips_values] = Replay(lambda: self._gradient_step(static, clips_values), self.device)
        self.steps[n, clips_values]()

    def _gradient_step(self, rows: Tensor, clips_values: bool) -> None:
        batch = take(self.whole, rows)
        batch = batch._replace(advantages=self._scaled(batch.advantages, "minibatch"))
        knobs = self.knobs if clips_values else self.knobs._replace(clip_range_vf=None)
        loss, stats = self.objective(self.policy, self.precision.forward, batch, 1.0, knobs, self.config.vf_coef)
        self.going.mul_(~(stats.approx_kl > self.most_kl))
        norm = self.precision.step(
            loss, self.optimizer, self.parameters, self.config.max_grad_norm, allowed=self.going
        ).detach()
        row = torch.stack([*stats._replace(grad_norm=norm), self.going])
        self.figures.index_copy_(0, self.at, row[None])
        self.at += 1

    def _hook_stops(self, epoch: int, per_epoch: int, on_epoch: Callable[[EpochView], bool | None]) -> bool:
        """Whether a hook that is told the figures of `epoch` ends the epochs."""
        kl, clipped = self.figures[epoch * per_epoch : (epoch + 1) * per_epoch, [KL, CLIPPED]].mean(0).tolist()
        return on_epoch(EpochView(epoch, kl, clipped)) is False

    def _figures_of(self, n_epochs: int, per_epoch: int, start: float) -> UpdateStats:
        """The update's figures: of minibatches up to the one that KL stopped, which took no step."""
        every, about = self._read(self.batch, self.figures[: n_epochs * per_epoch])
        taken = int(every[:, WENT_ON].sum())
        stopped = taken < len(every)
        every = every[: taken + 1, :WENT_ON]
        n_epochs = math.ceil(len(every) / per_epoch)
        n_last = len(every) - (n_epochs - 1) * per_epoch
        return self._told(every, about, n_epochs, n_last, stopped, start)
