"""One thread for arithmetic, Ctrl-C as a terminal gives it, and test names that are the same in every process."""

import os
import re
import signal

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # tests run side by side, and small networks are fastest so

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as a shell leaves it for what it starts in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_make_parametrize_id(config, val, argname):
    """A value's text without addresses, by which processes that share the tests would differ."""
    text = repr(val)
    return re.sub(r" at 0x\w+", "", text) if " at 0x" in text else None
