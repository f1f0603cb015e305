"""What settings imply before any compute is spent: counts, horizons, memory, expected time, and what is wrong with them."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from upswing.config import Derived, TrainConfig, derive, warnings
from upswing.doctor.case import Case, make_case
from upswing.doctor.diagnose import EXIT_CODES, Diagnosis, ask, from_outcomes
from upswing.doctor.environment import known_environment
from upswing.doctor.findings import INFO, Card, worst
from upswing.doctor.rules import RULES
from upswing.doctor.rules.setup import planned_evaluations
from upswing.doctor.series import Series, Source
from upswing.doctor.shape import Shape, shape_of

PROCESS_MB = 330.0  # an interpreter with torch and Gymnasium imported, before any environment is made
_SETUP_RULES = tuple(rule for rule in RULES if rule.setup)


@dataclass(frozen=True)
class Plan:
    """What a configuration implies. Counts are exact; memory and time are estimates, None where nothing tells them."""

    config: TrainConfig
    derived: Derived
    case: Case
    cards: tuple[Card, ...]  # what is wrong with the settings, the gravest first
    evaluations: int  # the final one included
    evaluations_before_first_update: int  # how often a script that evaluates first would score, at the same interval
    horizon: float  # steps the discount looks ahead: 1 / (1 - γ)
    gae_horizon: float  # steps an advantage looks ahead: 1 / (1 - γλ)
    travel: float | None  # gradient steps × mean learning rate
    episode_length: float | None
    n_parameters: int | None
    memory_mb: float | None
    expected_s: float | None
    notes: tuple[str, ...] = ()

    @property
    def iterations(self) -> int:
        """Collects and updates."""
        return self.derived.iterations

    @property
    def gradient_steps(self) -> int:
        """Gradient steps, if no epoch is cut short."""
        return self.derived.gradient_steps

    @property
    def samples_per_parameter(self) -> float | None:
        """Environment steps for each parameter of the policy."""
        return self.derived.total_timesteps / self.n_parameters if self.n_parameters else None

    @property
    def rollouts_per_episode(self) -> float | None:
        """How many rollouts an episode of one environment spans."""
        return self.episode_length / self.config.n_steps if self.episode_length else None

    @property
    def warnings(self) -> tuple[Card, ...]:
        """The cards above a remark."""
        return tuple(card for card in self.cards if card.severity != INFO)

    @property
    def exit_code(self) -> int:
        """0 nothing above a remark, 10 warnings, 20 errors."""
        return EXIT_CODES[worst(self.cards)]

    def to_json(self, lang: str = "en") -> dict[str, Any]:
        """The plan as JSON values, its texts in `lang`."""
        from upswing.doctor.render.planned import plan_json

        return plan_json(self, lang)


def plan(
    config: TrainConfig,
    *,
    episode_length: float | None = None,
    n_parameters: int | None = None,
    observation_size: int | None = None,
    steps_per_second: float | None = None,
) -> Plan:
    """What `config` implies. What only the environment can tell (lengths, sizes, speed) is used where it is given.

    `episode_length` defaults to the environment's time limit where Gymnasium knows one, an upper bound.
    """
    derived = derive(config)
    series = setup_series(config, episode_length)
    diagnosis = check_setup(series)
    shape, length = shape_of(series), series.environment.get("max_episode_steps")
    count, _ = planned_evaluations(diagnosis.case)
    return Plan(
        config,
        derived,
        diagnosis.case,
        diagnosis.cards,
        evaluations=count or 0,
        evaluations_before_first_update=math.ceil(derived.total_timesteps / derived.eval_freq)
        if derived.eval_freq
        else 0,
        horizon=_reach(config.gamma),
        gae_horizon=_reach(config.gamma * config.gae_lambda),
        travel=shape.travel,
        episode_length=length,
        n_parameters=n_parameters,
        memory_mb=_memory(derived, shape, n_parameters, observation_size),
        expected_s=derived.total_timesteps / steps_per_second if steps_per_second else None,
        notes=tuple(warnings(config)),
    )


def setup_series(config: TrainConfig, episode_length: float | None = None) -> Series:
    """`config` as the doctor sees a run before its first iteration."""
    settings = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    environment = known_environment(config.env, config.env_kwargs)
    if episode_length is not None:
        environment["max_episode_steps"] = episode_length
    return Series(Source("upswing"), {}, config=settings, environment=environment)


def check_setup(series: Series) -> Diagnosis:
    """What the rules that need no log say to `series`."""
    case = make_case(series)
    return from_outcomes(case, ask(case, _SETUP_RULES))


def _reach(discount: float) -> float:
    return 1.0 / (1.0 - discount) if discount < 1.0 else math.inf


def _memory(derived: Derived, shape: Shape, n_parameters: int | None, observation_size: int | None) -> float | None:
    """Estimated peak memory in MB: the process, the rollout, weights with gradients and Adam's moments, activations."""
    if n_parameters is None or observation_size is None:
        return None
    rollout = derived.pool * 4.0 * (2 * observation_size + 12)  # observations once more as the shuffled batch
    weights = n_parameters * 4.0 * 4
    activations = (
        min(derived.batch_size, derived.pool) * 4.0 * (observation_size + 6.0 * math.sqrt(max(n_parameters, 1)))
    )
    return PROCESS_MB + (rollout + weights + activations) / 2**20
