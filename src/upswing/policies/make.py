"""From a configuration and the environment's spaces to a policy."""

from __future__ import annotations

import difflib
import importlib
import inspect
import sys
import threading
from contextlib import contextmanager
from typing import Any

import gymnasium
import torch
from torch import nn

from upswing.config import TrainConfig
from upswing.errors import ConfigError
from upswing.policies.base import ActorCritic
from upswing.policies.fully_conv import FullyConvPolicy
from upswing.policies.networks import CnnPolicy, MlpPolicy, MultiInputPolicy, NetworkPolicy
from upswing.policies.options import refuse_misplaced
from upswing.policies.recurrent import (
    CnnGruPolicy,
    CnnLstmPolicy,
    MlpGruPolicy,
    MlpLstmPolicy,
    MultiInputGruPolicy,
    MultiInputLstmPolicy,
)

_KINDS: list[type[ActorCritic]] = [
    *(MlpPolicy, CnnPolicy, MultiInputPolicy),
    *(MlpLstmPolicy, CnnLstmPolicy, MultiInputLstmPolicy),
    *(MlpGruPolicy, CnnGruPolicy, MultiInputGruPolicy),
    FullyConvPolicy,
]
POLICIES = {kind.__name__: kind for kind in _KINDS}

_GENERATOR = threading.Lock()  # torch's initialisers draw from its one global generator


def make_policy(
    config: TrainConfig,
    observation_space: gymnasium.Space,
    action_space: gymnasium.Space,
    generator_seed: int,
    trusted: bool = True,
) -> ActorCritic:
    """A policy on the CPU with fresh weights that depend on `generator_seed` alone; torch's global generator is untouched.

    `module:Class` is imported only where `trusted`: where it came from the user, not from a file. Raises ConfigError
    where the policy is unknown, does not fit the spaces, or policy_kwargs hold something impossible.
    """
    kind = _policy_class(config.policy, trusted)
    kwargs = _resolved(config.policy_kwargs, trusted)
    if issubclass(kind, NetworkPolicy):
        refuse_misplaced(kwargs)
    if config.use_sde:
        kwargs["use_sde"] = True
    _check_call(kind, observation_space, action_space, kwargs)
    with _GENERATOR, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(generator_seed)
        return kind(observation_space, action_space, **kwargs)


def _policy_class(policy: str | type, trusted: bool) -> type[ActorCritic]:
    found: Any = policy
    if isinstance(policy, str):
        if policy in POLICIES:
            return POLICIES[policy]
        if ":" not in policy:
            lower = {name.lower(): name for name in POLICIES}
            near = difflib.get_close_matches(policy.lower(), lower, n=1, cutoff=0.4)
            hint = f"did you mean {lower[near[0]]}?" if near else f"choose {', '.join(POLICIES)}, or module:Class."
            raise ConfigError(f"policy = {policy!r} is not known: {hint}")
        found = _imported(policy, "policy", trusted)
    if not (isinstance(found, type) and issubclass(found, ActorCritic)):
        raise ConfigError(f"policy = {policy!r} is not a policy: derive the class from upswing.policies.ActorCritic.")
    return found


def _resolved(policy_kwargs: dict[str, Any], trusted: bool) -> dict[str, Any]:
    """`policy_kwargs` with a features_extractor_class given as module:Class imported."""
    kwargs, name = dict(policy_kwargs), "features_extractor_class"
    if isinstance(kwargs.get(name), str):
        kwargs[name] = _imported(kwargs[name], f"policy_kwargs: {name}", trusted)
    if kwargs.get(name) is not None and not (isinstance(kwargs[name], type) and issubclass(kwargs[name], nn.Module)):
        raise ConfigError(f"policy_kwargs: {name} = {kwargs[name]!r} is not a torch.nn.Module: give such a class.")
    return kwargs


def _imported(path: str, setting: str, trusted: bool) -> Any:
    """What `module:Name` names, looked for in the current folder too. Raises ConfigError."""
    module_name, _, name = path.partition(":")
    if not module_name or not name:
        raise ConfigError(
            f"{setting} = {path!r} is not of the form module:Class: write, for example, my_policies:Wide."
        )
    if not trusted:
        raise ConfigError(
            f"{setting} = {path!r} comes from a file and would run the code of {module_name}: add --trust-code if you trust it."
        )
    try:
        with _current_folder_importable():
            module = importlib.import_module(module_name)
    except Exception as error:
        raise ConfigError(
            f"{setting} = {path!r}: importing {module_name} failed with {type(error).__name__}: {error}; mend it, or run "
            f"from the folder that holds it."
        ) from error
    if not hasattr(module, name):
        near = difflib.get_close_matches(
            name, [key for key, value in vars(module).items() if inspect.isclass(value)], n=1
        )
        hint = f"did you mean {near[0]}?" if near else "name a class that stands in it."
        raise ConfigError(f"{setting} = {path!r}: {module_name} has no {name}: {hint}")
    return getattr(module, name)


@contextmanager
def _current_folder_importable() -> Any:
    """Puts the current folder on sys.path, where an installed command does not have it."""
    sys.path.insert(0, "")
    try:
        yield
    finally:
        sys.path.remove("")


def _check_call(kind: type, observation_space: Any, action_space: Any, kwargs: dict[str, Any]) -> None:
    try:
        inspect.signature(kind).bind(observation_space, action_space, **kwargs)
    except TypeError as error:
        raise ConfigError(
            f"policy = {kind.__name__} is called with the two spaces and policy_kwargs {sorted(kwargs)}: {error}; change one of them."
        ) from None
