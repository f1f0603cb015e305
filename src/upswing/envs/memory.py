"""Memory that several processes share and that has no name: it is gone when the last of them is, however they ended."""

from __future__ import annotations

import errno
import mmap
import os
import tempfile

from upswing.errors import EnvironmentFault


def new_memory() -> int:
    """A file descriptor of empty memory, to be handed to other processes and sized by `reserve`.

    On Linux it is not a file of any folder, so a small /dev/shm (64 MB in many containers) does not limit it.
    """
    if hasattr(os, "memfd_create"):
        return os.memfd_create("upswing")
    with tempfile.TemporaryFile(buffering=0) as file:
        return os.dup(file.fileno())


def reserve(fd: int, nbytes: int) -> mmap.mmap:
    """The memory of `fd`, `nbytes` of it. Raises EnvironmentFault where there is not that much.

    It is really allocated here: memory that is only promised kills the process that first writes to it.
    """
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(fd, 0, nbytes)
        else:
            os.ftruncate(fd, nbytes)
        return mmap.mmap(fd, nbytes)
    except (OSError, ValueError) as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.ENOMEM, errno.EDQUOT)
        why = "there is not that much left" if full else str(error)
        raise EnvironmentFault(
            f"The worker processes' shared memory of {nbytes / 1e6:.1f} MB could not be reserved ({why}): lower "
            f"n_envs, free memory, or set vectorization to serial."
        ) from error


def attach(fd: int) -> mmap.mmap:
    """The memory of `fd` that another process has reserved."""
    return mmap.mmap(fd, os.fstat(fd).st_size)
