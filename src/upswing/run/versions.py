"""Which libraries and which machine a run was trained with: on these a bitwise repetition depends."""

from __future__ import annotations

import functools
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

LIBRARIES = ("upswing", "torch", "numpy", "gymnasium", "numba", "scipy", "safetensors")


@functools.cache
def _versions() -> dict[str, str | None]:
    return {"python": platform.python_version()} | {name: _version(name) for name in LIBRARIES}


def versions() -> dict[str, str | None]:
    """Versions of Python and of the libraries that compute, none of them imported; None where one is missing."""
    return dict(_versions())


def machine() -> dict[str, Any]:
    """The operating system, the processor's model and the number of cores this process may use."""
    return {"platform": platform.platform(), "cpu": cpu_model(), "cores": _cores()}


@functools.cache
def cpu_model() -> str:
    """The processor's model, as the operating system names it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    models = [
        value.strip() for name, _, value in (line.partition(":") for line in lines) if name.strip() == "model name"
    ]
    return models[0] if models else platform.processor() or platform.machine()


def changes(then: dict[str, Any]) -> list[str]:
    """A sentence for each thing that differs from `then`, {"versions": …, "machine": …}, and may change results."""
    now, found = versions(), []
    for name, version in dict(then.get("versions") or {}).items():
        if name in now and now[name] != version:
            found.append(f"{name} was {version or 'missing'} and is now {now[name] or 'missing'}.")
    cpu = dict(then.get("machine") or {}).get("cpu")
    if cpu and cpu != cpu_model():
        found.append(f"The processor was {cpu} and is now {cpu_model()}.")
    return found


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
