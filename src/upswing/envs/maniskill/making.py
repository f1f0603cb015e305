"""From a task's name and env_kwargs to ManiSkill's own environment, with sentences where that is impossible."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
from collections.abc import Iterator
from typing import Any, NamedTuple

from upswing.envs.maniskill.renderer import HOW_TO_DRAW, can_draw, import_sapien, require_renderer
from upswing.envs.maniskill.tasks import REGISTERS
from upswing.errors import ConfigError, EnvironmentFault, UserError

STATE_MODES = ("state", "state_dict")
GPU_BACKENDS = ("gpu", "cuda", "physx_cuda")
CPU_BACKENDS = ("cpu", "physx_cpu")
TESTED = "mani_skill==3.0.1 sapien==3.0.3"


class Options(NamedTuple):
    """What in env_kwargs is not ManiSkill's own, and what is."""

    max_episode_steps: int | None  # None: the task's
    partial_reset: bool  # an episode ends on success or failure too, not only by its time limit
    passed_on: dict[str, Any]


def read_options(env_kwargs: dict[str, Any], evaluation: bool) -> Options:
    """`env_kwargs` taken apart. Evaluation plays every episode to its time limit unless eval_partial_reset is set."""
    rest = dict(env_kwargs)
    partial, eval_partial = rest.pop("partial_reset", True), rest.pop("eval_partial_reset", False)
    for name, value in (("partial_reset", partial), ("eval_partial_reset", eval_partial)):
        if not isinstance(value, bool):
            raise ConfigError(f"env_kwargs: {name} = {value!r} is neither true nor false.")
    steps = rest.pop("max_episode_steps", None)
    if steps is not None and (not isinstance(steps, int) or steps < 1):
        raise ConfigError(f"env_kwargs: max_episode_steps = {steps!r} is not a number of steps.")
    rest.setdefault("obs_mode", "state")
    return Options(steps, eval_partial if evaluation else partial, rest)


def wants_gpu(env_kwargs: dict[str, Any]) -> bool:
    """Whether physics are to be computed on a GPU. Raises ConfigError where that is asked for and there is none."""
    import torch

    backend = str(env_kwargs.get("sim_backend", "auto")).partition(":")[0]
    if backend == "auto":
        return torch.cuda.is_available()
    if backend in CPU_BACKENDS:
        return False
    if backend not in GPU_BACKENDS:
        raise ConfigError(
            f"env_kwargs: sim_backend = {env_kwargs['sim_backend']!r} is none of auto, physx_cpu and physx_cuda."
        )
    if not torch.cuda.is_available():
        raise ConfigError(
            f"env_kwargs: sim_backend = {env_kwargs['sim_backend']} needs a GPU that torch can use, and it finds none: "
            f"set it to physx_cpu."
        )
    return True


def make_task(task: str, module: str, n_envs: int, passed_on: dict[str, Any]) -> tuple[Any, int | None]:
    """ManiSkill's environment of `n_envs` parallel worlds, bare of wrappers, and its time limit.

    `module` is what registers the task. Raises ConfigError or EnvironmentFault.
    """
    obs_mode, render_mode = passed_on["obs_mode"], passed_on.get("render_mode")
    import_sapien()
    if render_mode is not None:
        require_renderer(task, "A picture")
    if obs_mode not in STATE_MODES:
        require_renderer(task, f"obs_mode {obs_mode}")
    drawable = can_draw()  # before the tasks are imported, which may need the stand-ins
    importlib.import_module(REGISTERS)
    importlib.import_module(module)
    from mani_skill import logger
    from mani_skill.utils.registration import REGISTERED_ENVS

    logger.setLevel("ERROR")  # it warns of how its own tasks are written

    spec = REGISTERED_ENVS[task]
    _require_assets(spec)
    _check_arguments(spec, passed_on)
    with _explained(task, passed_on, drawable):
        return spec.make(num_envs=n_envs, **passed_on), spec.max_episode_steps


def _check_arguments(spec: Any, passed_on: dict[str, Any]) -> None:
    """Raise ConfigError for an argument that the task does not take."""
    known: set[str] = set()
    for kind in spec.cls.__mro__:
        parameters = inspect.signature(kind.__init__).parameters.values() if "__init__" in vars(kind) else ()
        known |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    unknown = sorted(set(passed_on) - known)
    if unknown:
        names = ", ".join(sorted(known - {"self", "num_envs"}))
        raise ConfigError(f"env_kwargs: {spec.uid} takes no {unknown[0]}: it takes {names}.")
    for name, modes in (("reward_mode", "SUPPORTED_REWARD_MODES"), ("obs_mode", "SUPPORTED_OBS_MODES")):
        value, offered = passed_on.get(name), getattr(spec.cls, modes)
        if value is not None and value not in offered and not (name == "obs_mode" and "any_textures" in offered):
            raise ConfigError(f"env_kwargs: {spec.uid} has no {name} {value}: it has {', '.join(offered)}.")


@contextlib.contextmanager
def _explained(task: str, passed_on: dict[str, Any], drawable: bool) -> Iterator[None]:
    """ManiSkill's exceptions and questions while it builds a task as sentences."""
    from mani_skill.utils import download_asset

    asked = download_asset.prompt_yes_no
    download_asset.prompt_yes_no = _refuse
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # what precedes a question
            yield
    except UserError:
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {error}".strip().splitlines()[0].rstrip(".: ")
        if isinstance(error, FilesMissing):
            raise ConfigError(
                f"{task} needs files that are not here ({error}): python -m mani_skill.utils.download_asset fetches "
                f"them; give it the robot's name, or {task}."
            ) from None
        if "download" in said.lower() or isinstance(error, ImportError):
            raise ConfigError(f"{task} needs something that is not here: {said}.") from error
        mode = passed_on.get("control_mode")
        if mode is not None and isinstance(error, AssertionError | KeyError) and str(mode) in str(error):
            raise ConfigError(f"env_kwargs: {task} has no control_mode {mode} ({said}).") from error
        if not drawable:
            raise EnvironmentFault(
                f"{task} cannot be built without a Vulkan driver ({said}): {HOW_TO_DRAW}; without one most tasks work "
                f"with {TESTED}."
            ) from error
        raise EnvironmentFault(f"{task} cannot be built ({said}).") from error
    finally:
        download_asset.prompt_yes_no = asked


class FilesMissing(Exception):
    """ManiSkill asks whether to download something; the message is its question."""


def _refuse(question: str) -> bool:
    raise FilesMissing(question.partition(".")[0])


def _require_assets(spec: Any) -> None:
    """Raise ConfigError where files of the task were never downloaded: ManiSkill would ask a question and wait."""
    from mani_skill.utils import assets

    for name in spec.asset_download_ids or []:
        parts = assets.expand_data_group_into_individual_data_source_ids(name) if name in assets.DATA_GROUPS else [name]
        if not all(assets.is_data_source_downloaded(part) for part in parts):
            raise ConfigError(
                f"{spec.uid} needs ManiSkill's files {name}, which are not here: run python -m "
                f"mani_skill.utils.download_asset {name}."
            )
