"""A model in one safetensors file: weights, optimiser, settings, spaces and counters. Nothing in it is executed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces

from upswing.config import FIELDS, TrainConfig
from upswing.config.files import config_to_json
from upswing.config.resolve import is_lost
from upswing.envs.functions import FunctionSpace
from upswing.errors import ConfigError, StorageError
from upswing.policies.arrays import OPTIMIZER
from upswing.run.model_file import load_model, save_model
from upswing.run.snapshot import Snapshot
from upswing.run.tensors import decode_model, encode_model
from upswing.sb3.settings import FIXED, LIVE, NORMALIZATION

KIND = "upswing.PPO"
_REST = ("seed", "verbose", "tensorboard_log")
_OBJECTS = ("policy_class", "lr_schedule", "observation_space", "action_space")


def write(path: Any, snapshot: Snapshot, config: TrainConfig, about: dict[str, Any]) -> Path | None:
    """The file that now holds the model; None where `path` is an open binary file. Raises StorageError."""
    arrays = snapshot.model | {f"{OPTIMIZER}{name}": array for name, array in snapshot.optimizer.items()}
    metadata = {"kind": KIND, "config": config_to_json(config), **about}
    if hasattr(path, "write"):
        path.write(encode_model(arrays, metadata))
        return None
    return save_model(path, arrays, metadata)


def read(path: Any) -> tuple[Snapshot, dict[str, Any]]:
    """What was learned, and the metadata, of the model file or open binary file `path`. Raises StorageError."""
    if hasattr(path, "read"):
        arrays, metadata = decode_model(path.read(), Path(getattr(path, "name", "the open file")))
    else:
        _refuse_foreign(Path(path).expanduser())
        arrays, metadata = load_model(path)
    model = {name: array for name, array in arrays.items() if not name.startswith(OPTIMIZER)}
    optimizer = {name.removeprefix(OPTIMIZER): array for name, array in arrays.items() if name.startswith(OPTIMIZER)}
    steps = metadata.get("num_timesteps", 0)
    counted = {"num_timesteps": steps if isinstance(steps, int) else 0}
    return bare(Snapshot(model=model, optimizer=optimizer, state=counted)), metadata


def bare(snapshot: Snapshot) -> Snapshot:
    """`snapshot` without environments and random generators."""
    state = {"engine": {"dict": {"environment": None}}, "num_timesteps": snapshot.state["num_timesteps"]}
    return Snapshot(model=snapshot.model, optimizer=snapshot.optimizer, state=state)


class Saved(NamedTuple):
    """What a file says about a model beside its arrays."""

    policy: Any
    settings: dict[str, Any]  # keywords of PPO
    observation_space: gymnasium.Space
    action_space: gymnasium.Space
    normalization: dict[str, Any]  # settings that a VecNormalize stands for
    n_updates: int
    lost: tuple[str, ...]  # settings that were Python functions, replaced by their defaults


def unpack(metadata: dict[str, Any], path: Any, given: dict[str, Any]) -> Saved:
    """What `metadata` says, with the settings in `given` in the place of the saved ones. Raises StorageError where it is
    not from PPO.save, and ConfigError for an unknown setting and for code that a file names."""
    if metadata.get("kind") != KIND:
        raise StorageError(
            f"{path} holds weights but not a whole model, as PPO.save writes it: make a PPO for the environment and give "
            f"it the file with set_parameters."
        )
    unknown = [name for name in given if name not in (*FIXED, *LIVE, *_REST, *_OBJECTS)]
    if unknown:
        raise ConfigError(f"PPO.load: {unknown[0]} is not a setting that can be replaced.")
    try:
        config, rest, written = metadata["config"], metadata["rest"], metadata["spaces"]
        found = [space_from_json(space) for space in written]
        settings = {name: config[name] for name in (*FIXED, *LIVE)} | {name: rest[name] for name in _REST}
        normalization = {name: config[name] for name in NORMALIZATION}
        n_updates, policy, adam_eps = int(metadata["n_updates"]), config["policy"], config["adam_eps"]
    except (KeyError, TypeError, ValueError, AssertionError):
        raise StorageError(f"{path} lacks a part of its settings: use a complete copy of it.") from None
    if adam_eps != FIELDS["adam_eps"].default:
        settings["policy_kwargs"] = {**settings["policy_kwargs"], "optimizer_kwargs": {"eps": adam_eps}}
    settings |= {name: value for name, value in given.items() if name not in _OBJECTS}
    if "lr_schedule" in given and "learning_rate" not in given:
        settings["learning_rate"] = given["lr_schedule"]
    lost = tuple(name for name in LIVE if is_lost(settings[name]))
    settings |= {name: FIELDS[name].default for name in lost}
    policy = given.get("policy_class", policy)
    _refuse_code(policy, settings["policy_kwargs"], path)
    spaces_of = given.get("observation_space", found[0]), given.get("action_space", found[1])
    return Saved(policy, settings, *spaces_of, normalization, n_updates, lost)


def _refuse_code(policy: Any, policy_kwargs: Any, path: Any) -> None:
    """Nothing; raises ConfigError where the policy can only be made with code that the file names or could not hold."""
    if is_lost(policy) or (isinstance(policy, str) and ":" in policy):
        raise ConfigError(
            f"{path} was saved with a policy class of one's own, {policy}: hand it over, PPO.load(path, policy_class=...)."
        )
    if is_lost(policy_kwargs):
        raise ConfigError(
            f"{path} was saved with policy_kwargs that hold Python objects: hand them over, PPO.load(path, policy_kwargs=...)."
        )


def _refuse_foreign(path: Path) -> None:
    file = path if path.exists() else path.with_name(f"{path.name}.zip")
    ours = path.with_name(f"{path.name}.safetensors")
    if file.suffix == ".zip" and file.is_file() and not ours.exists():
        raise StorageError(
            f"{file} was saved by Stable-Baselines3 with pickle, which can run any program when it is opened, so it is "
            f"not: load it there, and hand its weights over with set_parameters(model.get_parameters())."
        )


def space_to_json(space: gymnasium.Space) -> dict[str, Any]:
    """`space` as JSON that `space_from_json` reads."""
    if isinstance(space, spaces.Dict):
        return {"kind": "Dict", "parts": {key: space_to_json(part) for key, part in space.spaces.items()}}
    if isinstance(space, spaces.Discrete):
        return {"kind": "Discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, FunctionSpace):
        return {"kind": "FunctionSpace", **space.to_json()}
    if isinstance(space, spaces.MultiDiscrete):
        return {"kind": "MultiDiscrete", "nvec": space.nvec.tolist(), "start": space.start.tolist()}
    if isinstance(space, spaces.MultiBinary):
        return {"kind": "MultiBinary", "n": np.asarray(space.n).tolist()}
    if isinstance(space, spaces.Box):
        bounds = {"low": _numbers(space.low), "high": _numbers(space.high)}
        return {"kind": "Box", "shape": list(space.shape), "dtype": str(space.dtype), **bounds}
    raise StorageError(f"A model with the space {space} cannot be saved: its space is none of Gymnasium's simple ones.")


def space_from_json(data: dict[str, Any]) -> gymnasium.Space:
    """The space that `space_to_json` wrote."""
    kind = data["kind"]
    if kind == "Dict":
        return spaces.Dict({key: space_from_json(part) for key, part in data["parts"].items()})
    if kind == "Discrete":
        return spaces.Discrete(data["n"], start=data["start"])
    if kind == "FunctionSpace":
        return FunctionSpace(data["functions"], data["arguments"])
    if kind == "MultiDiscrete":
        return spaces.MultiDiscrete(data["nvec"], start=data["start"])
    if kind == "MultiBinary":
        return spaces.MultiBinary(data["n"])
    dtype, shape = np.dtype(data["dtype"]), tuple(data["shape"])
    return spaces.Box(_bound(data["low"], shape, dtype), _bound(data["high"], shape, dtype), dtype=dtype.type)


def _numbers(bound: np.ndarray) -> list[Any]:
    """A Box's bounds, flat; one number where all are the same. Infinity, which JSON lacks, as a text."""
    flat = bound.ravel()
    flat = flat[:1] if flat.size and (flat == flat[0]).all() else flat
    return [value if np.isfinite(value) else str(value) for value in flat.tolist()]


def _bound(numbers: list[Any], shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    flat = np.array([dtype.type(number) for number in numbers], dtype)
    return np.full(shape, flat[0]) if flat.size == 1 else flat.reshape(shape)
