"""Policies with memory: an LSTM or GRU between the features and the hidden layers of policy and value.

    features → trunk → memory → pi → action_head        features → trunk → vf_memory → vf → value_net

What an environment's episode has left in the memory is one row of a state [N, S], zero where an episode begins.
Names and defaults are those of sb3-contrib's RecurrentPPO.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from upswing.errors import ConfigError
from upswing.policies.base import Obs
from upswing.policies.networks import CnnPolicy, MlpPolicy, MultiInputPolicy, NetworkPolicy
from upswing.policies.options import RecurrentOptions
from upswing.ppo.distributions import Distribution


class Memory(nn.Module):
    """A recurrent network whose state is one flat row per sequence: h, and for an LSTM c, of every layer."""

    def __init__(self, cell: type[nn.LSTM] | type[nn.GRU], width: int, hidden: int, n_layers: int):
        super().__init__()
        self.cell = cell(width, hidden, n_layers)
        self.shape = (2 if cell is nn.LSTM else 1, n_layers, hidden)
        self.state_size = self.shape[0] * n_layers * hidden

    def forward(self, inputs: Tensor, state: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Outputs [B, hidden] for `inputs` [B, width], and the states [n, S] after them, begun from `state` [n, S].

        The rows of `inputs` are n sequences one after the other, of `lengths` [n] (on the CPU); None: one row each.
        Shorter ones are filled up with zeros behind their end, where nothing is read and no gradient comes from, so
        the states returned mean something for equal lengths only.
        """
        with torch.autocast(inputs.device.type, enabled=False):  # rounding would add up from step to step
            inputs = inputs.float()
            if lengths is None:
                outputs, state = self._run(inputs[None], state)
                return outputs[0], state
            ends = lengths.cumsum(0)
            step = torch.arange(len(inputs)) - (ends - lengths).repeat_interleave(lengths)
            sequence = torch.arange(len(lengths)).repeat_interleave(lengths)
            place = (step.to(inputs.device), sequence.to(inputs.device))
            padded = inputs.new_zeros(int(lengths.max()), len(lengths), inputs.shape[1]).index_put(place, inputs)
            outputs, state = self._run(padded, state)
            return outputs[place], state

    def _run(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs [L, n, hidden] and states [n, S] for inputs [L, n, width] and states [n, S]."""
        parts = [part.contiguous() for part in state.unflatten(1, self.shape).permute(1, 2, 0, 3)]
        outputs, after = self.cell(inputs, tuple(parts) if len(parts) == 2 else parts[0])
        after = torch.stack(after if isinstance(after, tuple) else (after,))
        return outputs, after.permute(2, 0, 1, 3).flatten(1)


class RecurrentPolicy(NetworkPolicy):
    """A NetworkPolicy that remembers. Without a state it acts as at the beginning of an episode."""

    options_class = RecurrentOptions
    options: RecurrentOptions
    cell: ClassVar[type[nn.LSTM] | type[nn.GRU]] = nn.LSTM

    def step(self, obs: Obs, state: Tensor) -> tuple[Distribution, Tensor, Tensor]:
        """The distribution over actions, the values [B], and the states [B, S] after `obs`, from `state` [B, S]."""
        return self._through(obs, state, None)

    def step_distribution(self, obs: Obs, state: Tensor) -> tuple[Distribution, Tensor]:
        """As `step`, without the values: they may have a memory of their own, which must go on all the same."""
        distribution, _, state = self._through(obs, state, None)
        return distribution, state

    def step_values(self, obs: Obs, state: Tensor) -> Tensor:
        """The values [B] alone."""
        return self._through(obs, state, None)[1]

    def unroll(self, obs: Obs, state: Tensor, lengths: Tensor) -> tuple[Distribution, Tensor]:
        """The distribution and the values [B] of `obs` [B, ...], n sequences of `lengths` begun from `state` [n, S]."""
        distribution, values, _ = self._through(obs, state, lengths)
        return distribution, values

    def forward(self, obs: Obs) -> tuple[Distribution, Tensor]:
        """The distribution and the values [B] where every observation is an episode's first."""
        distribution, values, _ = self._through(obs, self.initial_state(_n_rows(obs)), None)
        return distribution, values

    def get_distribution(self, obs: Obs) -> Distribution:
        """As `forward`, the distribution alone."""
        return self(obs)[0]

    def predict_values(self, obs: Obs) -> Tensor:
        """As `forward`, the values alone."""
        return self(obs)[1]

    def _through(self, obs: Obs, state: Tensor, lengths: Tensor | None) -> tuple[Distribution, Tensor, Tensor]:
        inputs, mask = self._read(obs)
        features = self.trunk(self.features(inputs))
        mine, its = state.split([self.memory.state_size, self.state_size - self.memory.state_size], 1)
        latent, mine = self.memory(features, mine, lengths)
        for_value = features if self.vf_features is None else self.vf_features(inputs)
        if self.options.shared_lstm:
            for_value = latent
        elif self.vf_memory is not None:
            for_value, its = self.vf_memory(for_value, its, lengths)
        return self.action_head(self.pi(latent), mask), self._value(for_value), torch.cat([mine, its], 1)

    def _after_trunk(self, width: int) -> tuple[int, int]:
        options = self.options
        hidden, n_layers = options.lstm_hidden_size, options.n_lstm_layers
        if options.shared_lstm and not options.share_features_extractor:
            raise ConfigError(
                "policy_kwargs: shared_lstm is one memory for policy and value, share_features_extractor = false gives "
                "each features of its own: set one."
            )
        self.memory = Memory(self.cell, width, hidden, n_layers)
        own = options.enable_critic_lstm and not options.shared_lstm
        self.vf_memory = Memory(self.cell, width, hidden, n_layers) if own else None
        self.state_size = self.memory.state_size * (2 if own else 1)
        return hidden, hidden if own or options.shared_lstm else width

    def _initialise(self) -> None:
        """As NetworkPolicy; recurrent weights orthogonal with gain 1, biases 0 (Huang et al. 2022, detail 1 on LSTMs)."""
        super()._initialise()
        for memory in (self.memory, self.vf_memory):
            for name, parameter in memory.named_parameters() if memory is not None else ():
                if "weight" in name:
                    nn.init.orthogonal_(parameter, 1.0)
                else:
                    nn.init.zeros_(parameter)


def _n_rows(obs: Any) -> int:
    return len(next(iter(obs.values())) if isinstance(obs, dict) else obs)


class MlpLstmPolicy(RecurrentPolicy, MlpPolicy):
    """For vectors, with an LSTM."""


class CnnLstmPolicy(RecurrentPolicy, CnnPolicy):
    """For images, with an LSTM."""


class MultiInputLstmPolicy(RecurrentPolicy, MultiInputPolicy):
    """For Dict observations, with an LSTM."""


class MlpGruPolicy(MlpLstmPolicy):
    """For vectors, with a GRU."""

    cell = nn.GRU


class CnnGruPolicy(CnnLstmPolicy):
    """For images, with a GRU."""

    cell = nn.GRU


class MultiInputGruPolicy(MultiInputLstmPolicy):
    """For Dict observations, with a GRU."""

    cell = nn.GRU
