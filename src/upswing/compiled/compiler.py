"""How functions become machine code: decorators, and a word to the user before it takes long.

    @inline                      a part of kernels, compiled into each of them; not to be called from Python
    @called                      the same, but not copied to each place that calls it
    @kernel("void(f4[::1])")     an entry point from Python: one signature, machine code kept on disk

A kernel with one explicit signature refuses other array layouts; without it numba would silently compile a variant
for each (a read-only or strided array is another type).
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numba
from numba.core import sigutils

from upswing.compiled.cache import KernelCache, build_key
from upswing.compiled.pipeline import CalledCompiler, PartCompiler, WideCompiler

# All of fastmath except "no NaNs" and "no infinities", which would fold isfinite to True.
FASTMATH = frozenset({"reassoc", "contract", "arcp", "nsz", "afn"})

NJIT: Any = numba.njit  # its type stubs do not know all of its options

Notice = Callable[[str], None]


def inline(function: Callable[..., Any]) -> Any:
    """`function` as a part of kernels, with relaxed arithmetic: sums may be reordered, products fused into them."""
    return _part(function, FASTMATH)


def inline_finite(function: Callable[..., Any]) -> Any:
    """`function` as `inline`, for arguments that are never infinite: LLVM then divides by way of fast reciprocals."""
    return _part(function, FASTMATH | {"ninf"})


def inline_exact(function: Callable[..., Any]) -> Any:
    """`function` as a part of kernels, with IEEE arithmetic exactly as written."""
    return _part(function, frozenset())


def called(function: Callable[..., Any]) -> Any:
    """`function` as `inline`, but compiled once for all places of a kernel that call it: for what is long."""
    return _part(function, FASTMATH, CalledCompiler)


def kernel(signature: Any) -> Callable[[Callable[..., Any]], Kernel]:
    """A decorator for entry points from Python: the function with `signature` (numba's text or type) and no other.

    Nothing is compiled before the first call or `prepare`.
    """

    def decorate(function: Callable[..., Any]) -> Kernel:
        dispatcher = NJIT(
            fastmath=set(FASTMATH), error_model="numpy", nogil=True, pipeline_class=WideCompiler, no_cfunc_wrapper=True
        )(function)
        return Kernel(dispatcher, signature)

    return decorate


class Kernel:
    """An entry point from Python; compiled, or loaded from disk, when it is first needed."""

    def __init__(self, dispatcher: Any, signature: Any):
        dispatcher._cache = KernelCache(file_name(dispatcher.py_func), build_key(), _NOTICES.announce)
        self.dispatcher, self.signature = dispatcher, signature
        self._call: Callable[..., Any] = self._first_call

    def __call__(self, *args: Any) -> Any:
        return self._call(*args)

    def prepare(self) -> Any:
        """The numba function behind this kernel, ready to run."""
        with _COMPILING:
            if self._call is not self.dispatcher:
                args, returned = sigutils.normalize_signature(self.signature)
                self.dispatcher.compile(args if returned is None else returned(*args))
                self.dispatcher.disable_compile()
                self._call = self.dispatcher
        return self.dispatcher

    def _first_call(self, *args: Any) -> Any:
        return self.prepare()(*args)


def prepare(kernels: Iterable[Kernel]) -> None:
    """Compile, or load from disk, every one of `kernels`."""
    for each in kernels:
        each.prepare()


def file_name(function: Callable[..., Any]) -> str:
    """What the file of its machine code begins with."""
    return re.sub(r"[^A-Za-z0-9_.]", "_", f"{function.__module__.rsplit('.', 1)[-1]}.{function.__name__}")


def _part(function: Callable[..., Any], fastmath: frozenset[str], pipeline: type = PartCompiler) -> Any:
    return NJIT(
        fastmath=set(fastmath),
        error_model="numpy",
        nogil=True,
        pipeline_class=pipeline,
        no_cpython_wrapper=True,
        no_cfunc_wrapper=True,
    )(function)


class _Notices:
    """Says once a process that compiling has begun."""

    def __init__(self) -> None:
        self.say: Notice | None = _to_stderr
        self.said = False

    def announce(self) -> None:
        """Called whenever machine code is not found on disk."""
        if not self.said and self.say is not None:
            self.said = True
            self.say("Compiling the native engine for this machine, once: about half a minute.")


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


_NOTICES = _Notices()
_COMPILING = threading.RLock()


@contextmanager
def compile_notices(say: Notice | None) -> Iterator[None]:
    """While inside, `say` is told before anything is compiled (None: nobody is); by default it goes to stderr."""
    before, _NOTICES.say = _NOTICES.say, say
    try:
        yield
    finally:
        _NOTICES.say = before
