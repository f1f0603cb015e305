"""What upswing info shows: versions, threads, the GPU as the driver and as torch see it, and the installed extras."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from importlib import metadata

from upswing.run.versions import machine, versions

INSTALL_PAGE = "pytorch.org/get-started/locally"


@dataclass
class Section:
    """A titled list of facts, and what to do about them."""

    title: str
    rows: list[tuple[str, str]]
    advice: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Torch:
    """What the installed torch says about itself."""

    version: str
    cuda: str | None  # the CUDA it was built for
    devices: tuple[str, ...]  # the GPUs it can use
    threads: int
    error: str = ""  # why it can use none, in its own words


def sections() -> list[Section]:
    """Everything about this machine that decides how fast training is, and whether it works."""
    torch, driver = ask_torch(), ask_driver()
    return [versions_section(), processor_section(torch), gpu_section(driver, torch), extras_section()]


def versions_section() -> Section:
    """Versions of Python and of the libraries that compute."""
    return Section("Versions", [(name, version or "missing") for name, version in versions().items()])


def processor_section(torch: Torch) -> Section:
    """The processor, and how many threads are used."""
    about = machine()
    rows = [
        ("system", str(about["platform"])),
        ("processor", str(about["cpu"])),
        ("cores for this process", str(about["cores"])),
        ("threads of torch", str(torch.threads)),
    ]
    limits = {name: os.environ[name] for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS") if name in os.environ}
    rows += limits.items()
    advice = []
    if torch.threads > int(about["cores"]):
        advice.append(f"torch would use {torch.threads} threads on {about['cores']} cores: --threads limits them.")
    return Section("Processor", rows, advice)


def gpu_section(driver: list[str] | None, torch: Torch) -> Section:
    """The GPUs that the driver sees beside those that torch can use, and what to do when they disagree."""
    seen = "nvidia-smi is not installed" if driver is None else ", ".join(driver) or "none"
    rows = [
        ("seen by the driver", seen),
        ("usable by torch", ", ".join(torch.devices) or "none"),
        ("torch is built for", f"CUDA {torch.cuda}" if torch.cuda else "the CPU"),
    ]
    return Section("GPU", rows, gpu_advice(driver, torch))


def gpu_advice(driver: list[str] | None, torch: Torch) -> list[str]:
    """What to do when the driver sees a GPU and torch cannot use it, or the other way round."""
    if driver and not torch.devices and not torch.cuda:
        return [
            f"This torch is built for the CPU: install the CUDA build that {INSTALL_PAGE} names for your driver, "
            f"in the same environment."
        ]
    if driver and not torch.devices:
        reason = f" ({torch.error})" if torch.error else ""
        return [
            f"This torch is built for CUDA {torch.cuda} and cannot use the GPU{reason}: update the driver, or install "
            f"the build that {INSTALL_PAGE} names for it; CUDA_VISIBLE_DEVICES must not hide the GPU."
        ]
    if driver and len(torch.devices) < len(driver):
        return ["torch can use fewer GPUs than the driver sees: look at CUDA_VISIBLE_DEVICES."]
    return []


def extras_section() -> Section:
    """The optional packages, by extra, and whether they are there."""
    rows, missing = [], []
    for extra, packages in extras().items():
        absent = [package for package in packages if _version(package) is None]
        rows.append((extra, f"missing: {', '.join(absent)}" if absent else "installed"))
        missing += [extra] if absent else []
    advice = [f"pip install 'upswing[{','.join(missing)}]' installs what is missing."] if missing else []
    return Section("Extras", rows, advice)


def extras() -> dict[str, list[str]]:
    """The packages of each extra, as this project's own metadata declares them."""
    from packaging.requirements import Requirement

    try:
        about = metadata.metadata("upswing")
    except metadata.PackageNotFoundError:
        return {}
    found: dict[str, list[str]] = {extra: [] for extra in about.get_all("Provides-Extra") or []}
    for text in about.get_all("Requires-Dist") or []:
        requirement = Requirement(text)
        for extra, packages in found.items():
            needed = requirement.marker is not None and requirement.marker.evaluate({"extra": extra})
            if needed and not requirement.marker.evaluate({"extra": ""}):  # type: ignore[union-attr]
                packages.append(requirement.name)
    return found


def ask_driver() -> list[str] | None:
    """The GPUs that nvidia-smi lists, with memory and driver version; None where there is no nvidia-smi."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    query = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    if answer.returncode != 0:
        return []
    lines = [[part.strip() for part in line.split(",")] for line in answer.stdout.splitlines() if line.strip()]
    return [f"{name} ({memory}, driver {version})" for name, memory, version in lines]


def ask_torch() -> Torch:
    """What torch says about itself and the GPUs it can use."""
    import warnings

    import torch

    error = ""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        available = torch.cuda.is_available()
    if said and not available:
        error = str(said[0].message).split(".")[0]
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if available else []
    return Torch(torch.__version__, torch.version.cuda, tuple(devices), torch.get_num_threads(), error)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
