"""The command line: `upswing train CartPole-v1` and its companions. Nothing imports this room.

Modules here import click and the words only, so that --help is quick; a command imports what it needs when it runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from upswing.errors import INTERRUPTED, UserError
from upswing.ranks import leads

__all__ = ["main", "run"]


def main() -> None:
    """Run the command line of this process and exit with its code."""
    sys.exit(run())


def run(args: Sequence[str] | None = None) -> int:
    """The exit code of the command line `args` (by default this process's); errors become one line on stderr."""
    from upswing.cli.app import app

    try:
        code = app.main(args, prog_name="upswing", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except UserError as error:
        return _complain(str(error), error.exit_code, error)
    except click.ClickException as error:
        return _complain(_sentence(error), error.exit_code, error)
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _complain(sentence: str, code: int, error: Exception) -> int:
    if os.environ.get("UPSWING_DEBUG"):
        import traceback

        traceback.print_exception(error)
    if leads():
        print(f"upswing: {sentence}", file=sys.stderr)
    return code


def _sentence(error: click.ClickException) -> str:
    """The message of `error`, and where to read on if the command is known."""
    message = error.format_message().rstrip()
    context = getattr(error, "ctx", None)
    if context is None or message.endswith("?"):
        return message
    return f"{message.rstrip('.')}: see {context.command_path} --help."
