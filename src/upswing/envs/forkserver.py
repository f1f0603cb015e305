"""A process that forks worker processes, and ends them when the process that asked for them is gone.

It is a fresh interpreter that never runs the user's script, so a script needs no `if __name__ == "__main__":`, and
nothing of the parent (threads, locks, signal handlers, windows) is inherited. It imports what every worker needs once;
a worker then starts in milliseconds. When the parent dies, even by SIGKILL, the socket between them closes, and the
server kills every worker with everything that the worker has started.

Requests are 9 bytes, an operation and a number; answers are 8 bytes, a number.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import traceback
from collections.abc import Callable

from upswing.errors import ConfigError, EnvironmentFault

_FORK, _WAIT = b"F", b"W"
_REQUEST, _ANSWER = struct.Struct("=cq"), struct.Struct("=q")
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from upswing.envs.forkserver import serve; serve(int(sys.argv[2]))"
)
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
START_TIMEOUT_S = 120.0


class ForkServer:
    """The parent's end: starts the server, asks it for workers."""

    def __init__(self) -> None:
        if not hasattr(os, "fork"):
            raise ConfigError("vectorization = workers needs Linux or macOS: set it to serial.")
        ours, theirs = socket.socketpair()
        environment = {**dict.fromkeys(_ONE_THREAD, "1"), **os.environ}  # workers share the cores by processes
        self._control = ours
        self._control.settimeout(START_TIMEOUT_S)
        path = [os.path.abspath(entry) for entry in sys.path if isinstance(entry, str)]
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _BOOT, json.dumps(path), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,  # Ctrl-C in the terminal is the parent's business
            )

    def fork(self, fds: list[int]) -> int:
        """The process id of a new worker, which is handed copies of `fds`. Raises EnvironmentFault."""
        pid = self._ask(_FORK, 0, fds)
        if pid < 0:
            raise EnvironmentFault(f"No worker process could be started ({os.strerror(-pid)}): lower n_workers.")
        return pid

    def wait(self, pid: int) -> int:
        """How worker `pid` ended: its exit code, or minus the signal that killed it. It must be ending."""
        return self._ask(_WAIT, pid)

    def _ask(self, operation: bytes, number: int, fds: list[int] | None = None) -> int:
        try:
            socket.send_fds(self._control, [_REQUEST.pack(operation, number)], fds or [])
            answer = self._control.recv(_ANSWER.size, socket.MSG_WAITALL)
        except OSError as error:
            raise EnvironmentFault(f"The process that starts workers does not answer ({error}).") from error
        if len(answer) < _ANSWER.size:
            raise EnvironmentFault("The process that starts workers has died: see what it printed above.")
        return int(_ANSWER.unpack(answer)[0])

    def close(self) -> None:
        """End the server and with it every worker that is left."""
        self._control.close()
        try:
            self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def kill(pid: int) -> None:
    """End worker `pid` and everything it started, at once."""
    for end in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            end(pid, signal.SIGKILL)


def serve(control_fd: int) -> None:
    """The server: answer requests until the parent closes its end."""
    from upswing.envs.worker import run_worker

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=control_fd)
    alive: set[int] = set()
    while True:
        try:
            request, fds, _, _ = socket.recv_fds(control, _REQUEST.size, 8)
        except OSError:
            break
        if len(request) < _REQUEST.size:
            break
        operation, number = _REQUEST.unpack(request)
        if operation == _FORK:
            answer = _fork(control, fds, run_worker)
            if answer > 0:
                alive.add(answer)
        else:
            answer = os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
            alive.discard(number)
        try:
            control.sendall(_ANSWER.pack(answer))
        except OSError:
            break
    for pid in alive:
        kill(pid)


def _fork(control: socket.socket, fds: list[int], run_worker: Callable[..., None]) -> int:
    """The process id of a new worker, or minus the error's number. The worker itself never returns from here."""
    try:
        pid = os.fork()
    except OSError as error:
        return -(error.errno or 1)
    if pid == 0:
        try:
            os.setpgid(0, 0)
            control.close()
            run_worker(*fds)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    with contextlib.suppress(OSError):
        os.setpgid(pid, pid)  # whoever is first: the group must exist before anyone kills it
    for fd in fds:
        os.close(fd)
    return pid
