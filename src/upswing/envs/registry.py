"""Environments by name: what `env` in a configuration may be, and what is installed.

A Gymnasium id, a ManiSkill task, `module:EnvId` or `module:Class`, a class, a function, or the name of an entry point in
the group `upswing.envs`, whose value is a class or a function that returns a gymnasium.Env.
"""

from __future__ import annotations

import contextlib
import copy
import difflib
import functools
import importlib
import importlib.metadata
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import gymnasium
from gymnasium.envs.registration import EnvSpec

from upswing.envs.atari import is_atari, make_game
from upswing.envs.group import Factory
from upswing.envs.maniskill import tasks as maniskill
from upswing.envs.native import NATIVE_ENVS
from upswing.envs.starcraft import names as starcraft
from upswing.errors import ConfigError, EnvironmentFault, MissingExtra, UserError

ENTRY_POINTS = "upswing.envs"

Maker = Callable[..., gymnasium.Env]


class Task(NamedTuple):
    """A task of ManiSkill, which makes its own kind of environment."""

    id: str
    module: str  # its import registers the task


class StarCraftMap(NamedTuple):
    """A StarCraft II map, which is played in a process of its own."""

    id: str


class Simulator(NamedTuple):
    """An optional package that some of Gymnasium's environments need."""

    kind: str  # how `list_environments` groups them
    module: str  # where their classes live
    package: str  # what is imported
    project: str  # what is installed
    extra: str | None  # of this project


SIMULATORS = (
    Simulator("box2d", "gymnasium.envs.box2d", "Box2D", "Box2D", "box2d"),
    Simulator("mujoco", "gymnasium.envs.mujoco", "mujoco", "MuJoCo", "mujoco"),
    Simulator("atari", "ale_py", "ale_py", "ale-py", "atari"),
    Simulator("maniskill", maniskill.PACKAGE, maniskill.PACKAGE, "ManiSkill", "maniskill"),
    Simulator("jax", "gymnasium.envs.phys2d", "jax", "jax", None),
    Simulator("jax", "gymnasium.envs.tabular", "jax", "jax", None),
)
for _id in ("PushBlock-v0",):  # Upswing's own, under Gymnasium's roof
    if _id not in gymnasium.registry:
        gymnasium.register(_id, entry_point=f"upswing.envs.native.{NATIVE_ENVS[_id]}:SPEC")

PLUGINS = {"ALE": "ale_py"}
"""Packages whose import registers the ids of a namespace."""


class Listed(NamedTuple):
    """An environment that can be named."""

    id: str
    kind: str  # classic_control, box2d, mujoco, toy_text, …, or "installed by <project>"
    installed: bool  # False: its simulator is missing


def make_factory(
    env: Any, env_kwargs: dict[str, Any] | None = None, *, trusted: bool = True, evaluation: bool = False
) -> Factory:
    """A function that makes the environment `env`, with `env_kwargs`, for training or for `evaluation`.

    `module:…` is imported only if `trusted`: a name from a file is not. Raises ConfigError or MissingExtra.
    """
    env_kwargs = dict(env_kwargs or {})
    found = find_env(env, trusted=trusted)
    name = env_name(env)
    if isinstance(found, Task):
        return functools.partial(_make_scene, found, env_kwargs, evaluation)
    if isinstance(found, StarCraftMap):
        return functools.partial(_make_starcraft, found, env_kwargs)
    if isinstance(found, EnvSpec):
        return functools.partial(_make_id, found, env_kwargs)
    return functools.partial(_make_with, found, name, env_kwargs)


def find_env(env: Any, *, trusted: bool = True) -> EnvSpec | Maker | Task | StarCraftMap:
    """What `env` names: Gymnasium's specification of an id, a class or function, a ManiSkill task or a StarCraft map.

    Raises ConfigError, MissingExtra.
    """
    if isinstance(env, EnvSpec):
        return _ready(env)
    if isinstance(env, Task | StarCraftMap):
        return env
    if callable(env):
        return env
    if not isinstance(env, str):
        raise ConfigError(f"env = {env!r} is not an environment: give an id, module:EnvId, a class or a function.")
    if map_name := starcraft.map_name(env):
        if importlib.util.find_spec(starcraft.PACKAGE) is None:
            raise MissingExtra("PySC2", "sc2", map_name, starcraft.INSTALL)
        return StarCraftMap(map_name)
    if ":" in env:
        return _from_module(env, trusted)
    if task := maniskill.task_name(env):
        _require(next(s for s in SIMULATORS if s.package == maniskill.PACKAGE), task)
        return Task(task, maniskill.REGISTERS)
    spec = _registered(env)
    if spec is None and (plugin := PLUGINS.get(env.partition("/")[0])):
        simulator = next(s for s in SIMULATORS if s.package == plugin)
        _require(simulator, env)
        importlib.import_module(plugin)
        spec = _registered(env)
    if spec is not None:
        return _ready(spec)
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        if point.name == env:
            return _load(point)
    raise ConfigError(f"env = {env!r} is not known{_near(env)}")


def _registered(env_id: str) -> EnvSpec | None:
    """Gymnasium's specification of an id; without a version, the latest."""
    if env_id in gymnasium.registry:
        return gymnasium.registry[env_id]
    namespace, _, name = env_id.rpartition("/")
    versions = [
        spec
        for spec in gymnasium.registry.values()
        if spec.name == name and (spec.namespace or "") == namespace and spec.version is not None
    ]
    return max(versions, key=lambda spec: spec.version or 0, default=None)


def _ready(spec: EnvSpec) -> EnvSpec:
    """`spec`, if its simulator is installed."""
    simulator = _simulator(spec)
    if simulator:
        _require(simulator, spec.id)
    return spec


def _simulator(spec: EnvSpec) -> Simulator | None:
    where = str(spec.entry_point if isinstance(spec.entry_point, str) else spec.vector_entry_point or "")
    return next((s for s in SIMULATORS if where.startswith(s.module)), None)


def _require(simulator: Simulator, env_id: str) -> None:
    if importlib.util.find_spec(simulator.package) is not None:
        return
    if simulator.extra:
        raise MissingExtra(simulator.project, simulator.extra, env_id)
    raise ConfigError(
        f"{env_id} needs {simulator.project}, which is not installed: run pip install {simulator.project}."
    )


def _from_module(name: str, trusted: bool) -> EnvSpec | Maker | Task:
    module_name, _, attribute = name.partition(":")
    if not trusted:
        raise ConfigError(
            f"env = {name!r} would import and run {module_name}, and it comes from a file: add --trust-code if you trust it."
        )
    if module_name.partition(".")[0] == maniskill.PACKAGE:
        _prepare_maniskill(name)
    module = _import(module_name, name)
    found = functools.reduce(lambda part, key: getattr(part, key, None), attribute.split("."), module)
    if callable(found):  # what the module itself defines comes before an id of the same name without a version
        return found
    if spec := _registered(attribute):
        return Task(spec.id, module_name) if maniskill.is_task(spec) else _ready(spec)
    near = difflib.get_close_matches(attribute, [*gymnasium.registry, *dir(module)], n=1)
    hint = f"did you mean {module_name}:{near[0]}?" if near else "look how it is spelt there."
    raise ConfigError(f"env = {name!r}: {module_name} neither registers nor defines {attribute}: {hint}")


def _prepare_maniskill(name: str) -> None:
    """Where there is no Vulkan driver, its stand-ins must be in place before ManiSkill's modules are imported."""
    from upswing.envs.maniskill.renderer import can_draw

    _require(next(s for s in SIMULATORS if s.package == maniskill.PACKAGE), name)
    can_draw()


def _import(module_name: str, name: str) -> Any:
    """A user's module, which may lie in the current folder."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
        importlib.invalidate_caches()
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise ConfigError(
                f"env = {name!r}: there is no module {module_name} in {os.getcwd()} or among the installed packages."
            ) from error
        raise ConfigError(f"env = {name!r}: {module_name} needs {error.name}, which is not installed.") from error
    except UserError:
        raise
    except Exception as error:
        raise ConfigError(
            f"env = {name!r}: importing {module_name} failed with {type(error).__name__}: {error}."
        ) from error


def _load(point: importlib.metadata.EntryPoint) -> Maker:
    try:
        found = point.load()
    except Exception as error:
        raise ConfigError(
            f"env = {point.name!r}: the installed package that offers it could not be imported "
            f"({type(error).__name__}: {error})."
        ) from error
    if not callable(found):
        raise ConfigError(f"env = {point.name!r}: its entry point {point.value} is neither a class nor a function.")
    return found


def _near(env: str) -> str:
    known = [*(item.id for item in list_environments())]
    lower = {name.lower(): name for name in known}
    near = [lower[name] for name in difflib.get_close_matches(env.lower(), lower, n=3, cutoff=0.5)]
    return f": did you mean {' or '.join(near)}?" if near else ": see upswing envs for those that are."


def _make_id(spec: EnvSpec, env_kwargs: dict[str, Any]) -> gymnasium.Env:
    """The environment of `spec`. The specification travels to worker processes, where the id may not be registered."""
    with making(spec, env_kwargs):
        if is_atari(spec):
            return make_game(spec, env_kwargs)
        return gymnasium.make(copy.deepcopy(spec), disable_env_checker=True, **env_kwargs)


def _make_scene(task: Task, env_kwargs: dict[str, Any], evaluation: bool) -> gymnasium.Env:
    """A ManiSkill task as an environment of its own."""
    from upswing.envs.maniskill.scene import Scene

    rest = dict(env_kwargs)
    render_mode = rest.pop("render_mode", None)
    return Scene(task.id, task.module, rest, evaluation, render_mode)


def _make_starcraft(game: StarCraftMap, env_kwargs: dict[str, Any]) -> gymnasium.Env:
    """A game of StarCraft II, for worker processes only."""
    from upswing.envs.starcraft.env import StarCraftEnv

    return StarCraftEnv(game.id, **env_kwargs)


@contextlib.contextmanager
def making(spec: EnvSpec, env_kwargs: dict[str, Any]) -> Iterator[None]:
    """Errors of Gymnasium while it makes an environment of `spec` become sentences for the user."""
    try:
        yield
    except (gymnasium.error.DependencyNotInstalled, ImportError) as error:
        raise EnvironmentFault(f"{spec.id} cannot be made: {_sentence(error)}") from error
    except (TypeError, gymnasium.error.Error) as error:
        if isinstance(error, TypeError) and "unexpected keyword argument" not in str(error):
            raise
        said = _sentence(error).partition(" was raised from the environment creator")[0].rstrip(".")
        raise ConfigError(f"{spec.id} cannot be made with env_kwargs = {env_kwargs}: {said}.") from error


def _make_with(maker: Maker, name: str, env_kwargs: dict[str, Any]) -> gymnasium.Env:
    """What a class or function makes. A render_mode that it does not take is left out."""
    if not accepts(maker, "render_mode"):
        env_kwargs = {key: value for key, value in env_kwargs.items() if key != "render_mode"}
    unknown = [key for key in env_kwargs if not accepts(maker, key)]
    if unknown:
        raise ConfigError(f"env_kwargs: {name} takes no {unknown[0]}.")
    return maker(**env_kwargs)


def accepts(maker: Maker, argument: str) -> bool:
    """Whether `maker` can be called with the keyword `argument`."""
    try:
        parameters = inspect.signature(maker).parameters.values()
    except (TypeError, ValueError):
        return True
    return any(p.kind is p.VAR_KEYWORD or (p.name == argument and p.kind is not p.POSITIONAL_ONLY) for p in parameters)


def _sentence(error: Exception) -> str:
    return f"{str(error).strip().splitlines()[0].rstrip('.')}." if str(error).strip() else f"{type(error).__name__}."


def env_name(env: Any) -> str:
    """A name for `env` that can be part of a folder's name: letters, digits, dots, - and _."""
    if isinstance(env, functools.partial):
        return env_name(env.func)
    if not isinstance(env, str):
        named = (getattr(env, "id", None), getattr(env, "__name__", None), type(env).__name__)
        env = next(name for name in named if isinstance(name, str))
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", env.rpartition(":")[2]).strip(".-")
    return name or "env"


def list_environments() -> list[Listed]:
    """Every environment that can be named here, the latest version of each id, by kind and name."""
    found: dict[str, Listed] = {}
    for spec in gymnasium.registry.values():
        latest = _registered(spec.id.removesuffix(f"-v{spec.version}")) if spec.version is not None else spec
        if spec is latest and (isinstance(spec.entry_point, str) or not _is_placeholder(spec)):
            simulator = _simulator(spec)
            installed = simulator is None or importlib.util.find_spec(simulator.package) is not None
            found[spec.id] = Listed(spec.id, _kind(spec, simulator), installed)
    there = importlib.util.find_spec(maniskill.PACKAGE) is not None
    for task in maniskill.TASKS:
        found[task] = Listed(task, "maniskill", there)
    there = importlib.util.find_spec(starcraft.PACKAGE) is not None
    for name in starcraft.MINI_GAMES:
        found[name] = Listed(name, "starcraft", there)
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        project = point.dist.name if point.dist else "a package"
        found.setdefault(point.name, Listed(point.name, f"installed by {project}", True))
    return sorted(found.values(), key=lambda item: (item.kind, item.id))


def _is_placeholder(spec: EnvSpec) -> bool:
    """Whether an id is registered only to say that it is no longer there."""
    return getattr(spec.entry_point, "__module__", "") == "gymnasium.envs" or spec.entry_point is None


def _kind(spec: EnvSpec, simulator: Simulator | None) -> str:
    if simulator:
        return simulator.kind
    module = spec.entry_point.partition(":")[0] if isinstance(spec.entry_point, str) else "registered here"
    return module.split(".")[2] if module.startswith("gymnasium.envs.") else module.split(".")[0]
