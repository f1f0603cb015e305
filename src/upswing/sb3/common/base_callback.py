"""What callbacks are made of: the base class, lists of callbacks, and functions as callbacks."""

from __future__ import annotations

import dis
import math
from collections.abc import Callable, Iterator
from typing import Any

from upswing.engine.contract import EpochView

Locals = dict[str, Any]


def _definer(cls: type, name: str) -> int:
    """How far up the class's ancestors the first one stands that defines `name`."""
    return next(i for i, each in enumerate(cls.__mro__) if name in vars(each))


def does_nothing(kind: type) -> bool:
    """Whether the class's _on_step is nothing but `return True`, as Stable-Baselines3 demands where it is not needed."""
    method: Any = getattr(kind, "_on_step", None)
    if not hasattr(method, "__code__"):
        return False
    steps = [each for each in dis.get_instructions(method) if each.opname not in ("RESUME", "NOP", "CACHE")]
    names = [each.opname for each in steps]
    return names in (["LOAD_CONST", "RETURN_VALUE"], ["RETURN_CONST"]) and steps[0].argval is True


class BaseCallback:
    """Takes part in `PPO.learn`.

    `model`, `training_env`, `logger`, `num_timesteps`, `n_calls`, `locals`, `globals` and `parent` are there for
    subclasses. On every step `locals` holds new_obs, rewards, dones, infos, actions, clipped_actions, env, callback,
    self, n_steps and n_rollout_steps; not values and log_probs, which stand in `model.rollout_buffer` after the rollout.
    """

    model: Any

    def __init__(self, verbose: int = 0):
        self.n_calls = 0
        self.num_timesteps = 0
        self.verbose = verbose
        self.locals: Locals = {}
        self.globals: Locals = {}
        self.parent: BaseCallback | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if min(_definer(cls, "_on_step"), _definer(cls, "on_step")) < _definer(cls, "idle_calls"):
            idle = math.inf if cls.on_step is BaseCallback.on_step and does_nothing(cls) else None
            cls.idle_calls = lambda self: idle  # type: ignore[method-assign]

    @property
    def training_env(self) -> Any:
        """The environments that the model learns from."""
        env = self.model.get_env()
        assert env is not None, "The model has no environment: give it one with set_env."
        return env

    @property
    def logger(self) -> Any:
        """The model's logger."""
        return self.model.logger

    def children(self) -> Iterator[BaseCallback]:
        """The callbacks that this one calls."""
        return iter(())

    def idle_calls(self) -> float | None:
        """How many of the next calls of `on_step` would do nothing but count: infinite where all of them, None where it
        cannot be told and every call is needed."""
        return math.inf

    def init_callback(self, model: Any) -> None:
        """Get to know the model."""
        self.model = model
        self._init_callback()

    def on_training_start(self, locals_: Locals, globals_: Locals) -> None:
        """Called once when `learn` begins."""
        self.locals, self.globals = locals_, globals_
        self.num_timesteps = self.model.num_timesteps
        self._on_training_start()

    def on_rollout_start(self) -> None:
        """Called before each rollout."""
        self._on_rollout_start()

    def on_step(self) -> bool:
        """Called after each step of all environments; whether to go on."""
        self.n_calls += 1
        self.num_timesteps = self.model.num_timesteps
        return self._on_step()

    def on_rollout_end(self) -> None:
        """Called after each rollout, before its update."""
        self._on_rollout_end()

    def on_epoch(self, view: EpochView) -> bool:
        """Called after each pass over the batch; whether to go on with this update's epochs."""
        answer = self._on_epoch(view)
        return answer is None or bool(answer)

    def on_training_end(self) -> None:
        """Called once when `learn` ends."""
        self._on_training_end()

    def update_locals(self, locals_: Locals) -> None:
        """Add to `locals`, here and in the children."""
        self.locals.update(locals_)
        self.update_child_locals(locals_)

    def update_child_locals(self, locals_: Locals) -> None:
        """Add to the children's `locals`."""
        for child in self.children():
            child.update_locals(locals_)

    def _init_callback(self) -> None: ...

    def _on_training_start(self) -> None: ...

    def _on_rollout_start(self) -> None: ...

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None: ...

    def _on_epoch(self, view: EpochView) -> bool | None: ...

    def _on_training_end(self) -> None: ...


class EventCallback(BaseCallback):
    """Calls another callback when something happens: a subclass calls `_on_event`."""

    def __init__(self, callback: BaseCallback | None = None, verbose: int = 0):
        super().__init__(verbose)
        self.callback = callback
        if callback is not None:
            callback.parent = self

    def children(self) -> Iterator[BaseCallback]:
        """The callback of the event."""
        return iter(() if self.callback is None else (self.callback,))

    def init_callback(self, model: Any) -> None:
        """Get to know the model, the child too."""
        super().init_callback(model)
        for child in self.children():
            child.init_callback(model)

    def _on_training_start(self) -> None:
        for child in self.children():
            child.on_training_start(self.locals, self.globals)

    def _on_event(self) -> bool:
        return True if self.callback is None else self.callback.on_step()


class CallbackList(BaseCallback):
    """Several callbacks, called in order."""

    def __init__(self, callbacks: list[BaseCallback]):
        super().__init__()
        self.callbacks = list(callbacks)

    def children(self) -> Iterator[BaseCallback]:
        """The callbacks in order."""
        return iter(self.callbacks)

    def _init_callback(self) -> None:
        for callback in self.callbacks:
            callback.init_callback(self.model)
            callback.parent = self.parent

    def _on_training_start(self) -> None:
        for callback in self.callbacks:
            callback.on_training_start(self.locals, self.globals)

    def _on_rollout_start(self) -> None:
        for callback in self.callbacks:
            callback.on_rollout_start()

    def _on_step(self) -> bool:
        answers = [callback.on_step() for callback in self.callbacks]
        return all(answers)

    def _on_rollout_end(self) -> None:
        for callback in self.callbacks:
            callback.on_rollout_end()

    def _on_training_end(self) -> None:
        for callback in self.callbacks:
            callback.on_training_end()


class ConvertCallback(BaseCallback):
    """A function `callback(locals, globals) -> bool`, called after every step; False ends the training."""

    def __init__(self, callback: Callable[[Locals, Locals], bool] | None, verbose: int = 0):
        super().__init__(verbose)
        self.callback = callback

    def idle_calls(self) -> float | None:
        """The function is called every time."""
        return math.inf if self.callback is None else None

    def _on_step(self) -> bool:
        return True if self.callback is None else self.callback(self.locals, self.globals)


def as_callback(callback: Any) -> Any:
    """One callback that stands for what `learn` was given: None, a callback, a function, or a list of them.

    Callbacks of Stable-Baselines3's own classes are taken as they are.
    """
    parts = list(callback) if isinstance(callback, list | tuple) else [] if callback is None else [callback]
    found = [part if hasattr(part, "init_callback") else ConvertCallback(part) for part in parts]
    return found[0] if len(found) == 1 else CallbackList(found)


def members(callback: Any) -> list[Any] | None:
    """The callbacks in a CallbackList, this project's or Stable-Baselines3's; None for any other callback."""
    return callback.callbacks if type(callback).__name__ == "CallbackList" else None


def idle_calls(callback: Any) -> float | None:
    """How many of the next calls of on_step would do nothing but count; None where every call is needed."""
    inner = members(callback)
    if inner is not None:
        idle = [idle_calls(each) for each in inner]
        known = [n for n in idle if n is not None]
        return min(known, default=math.inf) if len(known) == len(idle) else None
    if isinstance(callback, BaseCallback):
        return callback.idle_calls()
    return math.inf if does_nothing(type(callback)) else None


def skip_calls(callback: Any, n: int, num_timesteps: int) -> None:
    """Count `n` calls of on_step that did nothing, the last of them at `num_timesteps`."""
    callback.n_calls += n
    callback.num_timesteps = num_timesteps
    for each in members(callback) or ():
        skip_calls(each, n, num_timesteps)


def stepwise(callback: Any) -> list[Any]:
    """The callbacks, those in lists looked for, that need every step."""
    inner = members(callback)
    if inner is not None:
        return [found for each in inner for found in stepwise(each)]
    return [callback] if idle_calls(callback) is None else []


def epochwise(callback: Any) -> list[BaseCallback]:
    """The callbacks, those in lists looked for, that override _on_epoch."""
    inner = members(callback)
    if inner is not None:
        return [found for each in inner for found in epochwise(each)]
    asks = isinstance(callback, BaseCallback) and type(callback)._on_epoch is not BaseCallback._on_epoch
    return [callback] if asks else []
