"""Machine code kept on disk, so that kernels are compiled once for a machine and not once for a process.

A file is named by everything that decides its content: the sources of all compiled code (a cached caller contains its
callees, wherever they are written), the versions of the libraries, the processor, the function and its signature. So
nothing has to be invalidated. A file that is damaged, or a folder that cannot be used, only costs compiling again.

Numba serialises compiled functions with pickle, hence the checksum and the refusal of folders that others may write.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import platform
import shutil
import sys
import tempfile
import types
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
import scipy
from numba.core.caching import _Cache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

ROOMS = ("compiled", "engine/native", "envs/native")  # whose sources are compiled
KEPT_BUILDS = 8  # folders of earlier sources or versions that are kept
DIGEST_BYTES = 32


def cache_root() -> Path:
    """The folder for machine code: $UPSWING_CACHE_DIR, or the user's cache folder. It need not exist."""
    given = os.environ.get("UPSWING_CACHE_DIR")
    if given:
        return Path(given).expanduser() / "kernels"
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "upswing" / "kernels"


@cache
def build_key() -> str:
    """What identifies this build: a hash of the sources of all compiled code and of the libraries' versions."""
    return sources_digest(Path(__file__).resolve().parent.parent)


def sources_digest(package: Path) -> str:
    """The hash of the compiled rooms under `package` and of the versions of everything that translates them."""
    versions = (platform.python_version(), numba.__version__, llvmlite.__version__, np.__version__, scipy.__version__)
    digest = hashlib.sha256(repr(versions).encode())
    for room in ROOMS:
        for source in sorted((package / room).rglob("*.py")):
            digest.update(source.relative_to(package).as_posix().encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:20]


def fingerprint(function: Callable[..., Any]) -> str:
    """A hash of what a function does: its code, and that of the functions and constants it refers to, wherever they are."""
    digest = hashlib.sha256(build_key().encode())
    _add(digest, function, set())
    return digest.hexdigest()[:20]


def _add(digest: Any, thing: Any, seen: set[int]) -> None:
    """Add `thing` to `digest`: functions by their code and its references, values by what they are."""
    thing = getattr(thing, "py_func", thing)  # of a numba function
    if isinstance(thing, types.FunctionType):
        if id(thing) in seen:
            return
        seen.add(id(thing))
        _add(digest, thing.__code__, seen)
        for cell in thing.__closure__ or ():
            _add(digest, cell.cell_contents, seen)
        for name in _names(thing.__code__):
            if name in thing.__globals__:
                digest.update(name.encode())
                _add(digest, thing.__globals__[name], seen)
    elif isinstance(thing, types.CodeType):
        digest.update(thing.co_code + repr(thing.co_names).encode())
        for constant in thing.co_consts:
            _add(digest, constant, seen)
    elif isinstance(thing, types.ModuleType):
        _add_module(digest, thing)
    elif isinstance(thing, np.ndarray):
        digest.update(str((thing.dtype, thing.shape)).encode() + thing.tobytes())
    else:
        digest.update(f"{type(thing).__qualname__} {thing!r}".encode())


def _names(code: types.CodeType) -> Iterator[str]:
    """Global names that `code` or a function inside it may refer to."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _add_module(digest: Any, module: types.ModuleType) -> None:
    digest.update(module.__name__.encode())
    source = getattr(module, "__file__", None) or ""
    if source.endswith(".py"):
        with suppress(OSError):
            digest.update(Path(source).read_bytes())


class KernelCache(_Cache):
    """The stored machine code of one function; takes the place of numba's own cache in its dispatcher."""

    def __init__(self, name: str, key: str, on_miss: Callable[[], None]):
        self.name, self.key, self.on_miss = name, key, on_miss
        self.enabled = True

    @property
    def cache_path(self) -> str:
        """The folder of this build."""
        return str(cache_root() / build_key())

    def path(self, sig: Any, codegen: Any) -> Path:
        """The file for signature `sig` on this processor."""
        identity = repr((self.name, self.key, str(sig), codegen.magic_tuple()))
        return Path(self.cache_path) / f"{self.name}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.kernel"

    def load_overload(self, sig: Any, target_context: Any) -> CompileResult | None:
        """The stored function, or None where there is none that can be used."""
        found = None
        if self.enabled:
            target_context.refresh()
            with suppress(Exception):  # whatever is wrong with a file, compiling again mends it
                found = CompileResult._rebuild(
                    target_context, *pickle.loads(_read(self.path(sig, target_context.codegen())))
                )
        if found is None:
            self.on_miss()
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        """Store a compiled function; where that cannot be done, the next process compiles again."""
        if self.enabled and not data.library.has_dynamic_globals:
            with suppress(OSError):
                _write(self.path(sig, data.codegen), dumps(data._reduce()))

    def enable(self) -> None:
        """Use the files from now on."""
        self.enabled = True

    def disable(self) -> None:
        """Leave the files alone from now on."""
        self.enabled = False

    def flush(self) -> None:
        """Forget what is stored for this function."""
        for path in Path(self.cache_path).glob(f"{self.name}-*.kernel"):
            with suppress(OSError):
                path.unlink()


def _read(path: Path) -> bytes:
    """The content of `path`, its checksum verified. Raises OSError or ValueError where it must not be used."""
    _require_private(path.parent)
    stored = path.read_bytes()
    content = stored[DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != stored[:DIGEST_BYTES]:
        raise ValueError(f"{path} is damaged")
    return content


def _write(path: Path, content: bytes) -> None:
    """Put `content` and its checksum at `path`, all of it or nothing."""
    if not path.parent.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _prune(path.parent.parent, keep=path.parent)
    _require_private(path.parent)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(hashlib.sha256(content).digest() + content)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def _require_private(folder: Path) -> None:
    """Raises OSError where someone else could have put files into `folder`."""
    if hasattr(os, "getuid"):
        status = folder.stat()
        if status.st_uid != os.getuid() or status.st_mode & 0o022:
            raise OSError(f"{folder} may be written by others")


def _prune(root: Path, keep: Path) -> None:
    """Remove the oldest folders of builds that are not in use any more."""
    with suppress(OSError):
        builds = sorted((p for p in root.iterdir() if p.is_dir() and p != keep), key=lambda p: p.stat().st_mtime)
        for build in builds[: max(0, len(builds) + 1 - KEPT_BUILDS)]:
            shutil.rmtree(build, ignore_errors=True)
