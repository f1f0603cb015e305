"""The processes that train one policy together. Alone, a training is a group of one, for which nothing here does work.

    torchrun --nproc-per-node 2 -m upswing train CartPole-v1

Each process steps its share of the environments. After a rollout every process holds all of it, computes the same
advantages, draws the same minibatches, and computes the gradient of its share of each; the sum of the gradients is the
minibatch's. Everything that decides anything is thus the same number in every process, and an update is that of one
process with all environments, up to the order of a sum. The first process alone evaluates, records, saves and speaks.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from upswing.engine.contract import Rollout
from upswing.envs.contract import Episode
from upswing.errors import ConfigError, UserError
from upswing.ranks import n_processes

PATIENCE = timedelta(hours=1)  # the others wait while the first process evaluates or saves


class LostProcess(UserError):
    """Another process of the group has ended."""


@dataclasses.dataclass(frozen=True)
class Group:
    """This process's place among `size` processes; `rank` 0 leads."""

    rank: int = 0
    size: int = 1
    device: torch.device = dataclasses.field(
        default_factory=lambda: torch.device("cpu")
    )  # where tensors must be for the others to get them

    @property
    def leads(self) -> bool:
        """Whether this is the process that evaluates, records, saves and speaks."""
        return self.rank == 0

    def share(self, n_envs: int) -> int:
        """How many of `n_envs` environments this process steps. Raises ConfigError where they cannot be shared evenly."""
        if n_envs % self.size:
            raise ConfigError(
                f"n_envs = {n_envs} cannot be shared evenly by {self.size} processes: make it a multiple of {self.size}."
            )
        return n_envs // self.size

    def part(self, items: list[Any]) -> list[Any]:
        """This process's part of `items`, one for each environment of the whole."""
        n = self.share(len(items))
        return items[self.rank * n : (self.rank + 1) * n]

    def rows(self, n: int) -> tuple[slice, float]:
        """Which of `n` rows this process computes, every size-th, and what share of all they are.

        Where there are fewer rows than processes, some compute a row that counts for nothing, since all must take part.
        """
        if self.rank >= n:
            return slice(0, 1), 0.0
        return slice(self.rank, None, self.size), len(range(self.rank, n, self.size)) / n

    def gather(self, part: Any, dim: int = 0) -> Any:
        """`part`, an array or tensor of the same shape in every process, joined along `dim` in the order of ranks."""
        if self.size == 1:
            return part
        tensor = torch.as_tensor(part).to(self.device).contiguous()
        whole = tensor.to(torch.uint8) if tensor.dtype == torch.bool else tensor
        parts = [torch.empty_like(whole) for _ in range(self.size)]
        with _told():
            dist.all_gather(parts, whole)
        joined = torch.cat(parts, dim).to(tensor.dtype)
        return joined.cpu().numpy() if isinstance(part, np.ndarray) else joined.to(part.device)

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of `tensor` over the processes, in its own memory."""
        return self._reduced(tensor, dist.ReduceOp.SUM)

    def largest(self, tensor: Tensor) -> Tensor:
        """The largest value of each element of `tensor` over the processes, in its own memory."""
        return self._reduced(tensor, dist.ReduceOp.MAX)

    def _reduced(self, tensor: Tensor, operation: Any) -> Tensor:
        if self.size > 1:
            with _told():
                dist.all_reduce(tensor, operation)
        return tensor

    def sum_gradients(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Replace each gradient by its sum over the processes."""
        if self.size == 1:
            return
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
        flat = self.sum(torch.cat([gradient.flatten() for gradient in gradients]))
        for parameter, summed in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
            parameter.grad = summed.view_as(parameter)

    def join(self, rollout: Rollout) -> Rollout:
        """The rollouts of all processes as one [T, N] of all environments, with everybody's episodes."""
        if self.size == 1:
            return rollout

        def all_of(part: Any) -> Any:
            return (
                {key: all_of(value) for key, value in part.items()} if isinstance(part, dict) else self.gather(part, 1)
            )

        fields = (
            "obs",
            "actions",
            "log_probs",
            "values",
            "rewards",
            "terminated",
            "truncated",
            "final_values",
            "valid",
        )
        remembered = ("memory",) if rollout.memory is not None and rollout.memory.numel() else ()
        whole = {name: all_of(getattr(rollout, name)) for name in (*fields, *remembered)}
        steps = rollout.valid.sum().item()
        figures = self.sum(torch.tensor([rollout.raw_reward_mean * steps, steps], dtype=torch.float64))
        return dataclasses.replace(
            rollout,
            **whole,
            last_values=self.gather(rollout.last_values),
            episodes=self._all_episodes(rollout.episodes, rollout.last_values.numel()),
            raw_reward_mean=float(figures[0] / figures[1].clamp(min=1.0)),
        )

    def _all_episodes(self, episodes: list[Episode], n_envs: int) -> list[Episode]:
        """Everybody's episodes, their environments counted through."""
        found = self.exchange([[e.env + self.rank * n_envs, *e[1:]] for e in episodes])
        return [Episode(*episode) for part in found for episode in part]

    def exchange(self, value: Any) -> list[Any]:
        """What every process gives as `value`, anything that JSON can hold, in the order of ranks."""
        if self.size == 1:
            return [value]
        text = json.dumps(value, default=float).encode()
        sizes = self.gather(np.array([len(text)]))
        padded = np.zeros(sizes.max(), np.uint8)
        padded[: len(text)] = np.frombuffer(text, np.uint8)
        rows = self.gather(padded[None])
        return [json.loads(row[:size].tobytes()) for row, size in zip(rows, sizes, strict=True)]

    def lead(self, value: Any) -> Any:
        """What the first process gives as `value`, anything that JSON can hold."""
        return self.exchange(value if self.leads else None)[0]


def joined_group(device: str) -> Group:
    """The group that torchrun has started this process in, joined; a group of one where it has not.

    `device` is the setting: processes on GPUs exchange through NCCL, each on a GPU of its own, others through Gloo.
    """
    if n_processes() == 1:
        return Group()
    on_gpu = device.startswith("cuda")
    place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if on_gpu else torch.device("cpu")
    if not dist.is_initialized():
        if on_gpu:
            torch.cuda.set_device(place)
        dist.init_process_group("nccl" if on_gpu else "gloo", timeout=PATIENCE)
    return Group(dist.get_rank(), dist.get_world_size(), place)


@contextmanager
def _told() -> Iterator[None]:
    """Turns the failure of an exchange into one sentence."""
    try:
        yield
    except RuntimeError as error:
        raise LostProcess(
            "Another process of this training has ended, so that it cannot go on: upswing resume, started the same way "
            "with torchrun, continues from the last checkpoint."
        ) from error
