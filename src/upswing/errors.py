"""Every error a user can meet. Each message is one sentence: what is wrong, where, and what to do.

UserError                 exit code 1: it could not be done
├── ConfigError           exit code 2: a setting, flag or file says something impossible
├── MissingExtra          exit code 2: an optional dependency is not installed
├── EnvironmentFault      exit code 3: an environment crashed, hung or broke its contract
├── StorageError          exit code 4: a run directory or checkpoint cannot be read or written
└── TrainingDiverged      exit code 5: parameters became non-finite, or memory ran out
    └── OutOfMemory
"""


class UserError(Exception):
    """A problem the user can mend; the command line prints it as one line, without a traceback."""

    exit_code = 1


class ConfigError(UserError):
    """A setting, flag or configuration file says something impossible."""

    exit_code = 2


class MissingExtra(UserError):
    """An optional dependency is needed and not installed."""

    exit_code = 2

    def __init__(self, package: str, extra: str, purpose: str, also: str = ""):
        commands = f"pip install 'upswing[{extra}]'" + (f" and {also}" if also else "")
        super().__init__(f"{purpose} needs {package}, which is not installed: run {commands}.")


class EnvironmentFault(UserError):
    """An environment crashed, hung, or returned something its contract does not allow."""

    exit_code = 3


class StorageError(UserError):
    """A run directory or checkpoint cannot be read or written."""

    exit_code = 4


class TrainingDiverged(UserError):
    """Training cannot go on: parameters became non-finite, or memory ran out."""

    exit_code = 5


class OutOfMemory(TrainingDiverged):
    """The memory of a device does not suffice for these settings."""


INTERRUPTED = 130  # Ctrl-C: saved, then stopped (128 + SIGINT)
TERMINATED = 143  # SIGTERM: saved, then stopped (128 + SIGTERM)
