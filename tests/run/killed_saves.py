"""Save a checkpoint again and again, each time in a process that kills itself at another moment of the save.

    python killed_saves.py SCENARIO TEMPLATE OUT

copies the run TEMPLATE to OUT/<moment>, and for a moment that waits for the disk to have a file also to
OUT/<moment>-torn, where half of that file is lost as well. It prints how many moments the save has. The disk itself is not waited for: a killed
process loses nothing that it has handed to the system, and the lost half stands for a system that went down.
"""

import itertools
import os
import shutil
import signal
import stat
import sys
from collections.abc import Callable
from pathlib import Path

from conftest import make_snapshot
from upswing.run.checkpoint import save_checkpoint
from upswing.run.versions import machine

CALLS = ("open", "fsync", "mkdir", "rename", "replace", "unlink", "rmdir")
SCENARIOS = {
    "new": lambda run: save_checkpoint(run, 40, make_snapshot(40), {}, keep=3, best=True),
    "again": lambda run: save_checkpoint(run, 30, make_snapshot(40), {}, keep=3, best=True),
}


def die_at(moment: int, torn: Path) -> None:
    """Replace the calls that reach the disk by ones that kill this process when the `moment`-th is reached.

    Where that is an fsync of a file, half of the file is cut off if `torn` exists, and else `torn` is created.
    """
    calls, touch = itertools.count(1), os.open

    def tear(fd: int) -> None:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            if torn.exists():
                os.ftruncate(fd, os.fstat(fd).st_size // 2)
            touch(torn, os.O_CREAT)

    def watch(name: str, real: Callable) -> Callable:
        def call(*args: object, **more: object) -> object:
            if next(calls) == moment:
                if name == "fsync":
                    tear(*args)
                os.kill(os.getpid(), signal.SIGKILL)
            return None if name == "fsync" else real(*args, **more)

        return call

    for name in CALLS:
        setattr(os, name, watch(name, getattr(os, name)))


def survives(scenario: str, run: Path, moment: int, torn: Path) -> bool:
    """Whether the save reached its end before `moment`."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            die_at(moment, torn)
            SCENARIOS[scenario](run)
            code = 0
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, f"the save failed at moment {moment}"
    return not os.WIFSIGNALED(status)


def main(scenario: str, template: Path, out: Path) -> None:
    """Kill a save at every moment it has, and print how many those are."""
    machine()  # remembered, so that each child need not find it out again
    for moment in range(1, 1000):
        torn = out / "torn"
        for run in (out / f"{moment}", out / f"{moment}-torn"):
            shutil.copytree(template, run)
            if survives(scenario, run, moment, torn):
                shutil.rmtree(run)
                print(moment - 1)
                return
            if not torn.exists():
                break
        torn.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))
