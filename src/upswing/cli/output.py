"""What a command prints: a view of the training, one JSON line, or both."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import rich_click as click

from upswing.errors import UserError
from upswing.ranks import leads

if TYPE_CHECKING:
    from upswing.hooks import Result
    from upswing.view import View

OUTPUT = "Output"

VIEW_OPTIONS = [
    click.RichOption(["--quiet", "-q"], is_flag=True, panel=OUTPUT, help="Print only the final line."),
    click.RichOption(["--plain"], is_flag=True, panel=OUTPUT, help="Print plain lines, in a terminal too."),
    click.RichOption(
        ["--json", "as_json"],
        is_flag=True,
        panel=OUTPUT,
        help="Print the result as one line of JSON on stdout, and everything else on stderr.",
    ),
    click.RichOption(
        ["--lang"], metavar="en|zh", panel=OUTPUT, help="Language of the view; by default UPSWING_LANG or the locale's."
    ),
]


def trust_option(panel: str = "Options") -> click.RichOption:
    """The flag that allows code named in a file to be imported."""
    return click.RichOption(
        ["--trust-code"],
        is_flag=True,
        panel=panel,
        help="Import a module:Class that a file names. Without it, only code named on the command line is imported.",
    )


@dataclass(frozen=True)
class Output:
    """How the user wants to see a training."""

    quiet: bool
    plain: bool
    as_json: bool
    lang: str | None

    @classmethod
    def taken_from(cls, options: dict[str, Any]) -> Output:
        """The output options among a command's `options`, which are removed from there."""
        return cls(*(options.pop(name) for name in ("quiet", "plain", "as_json", "lang")))

    def view(self, env: str, notices: Sequence[str] = ()) -> View:
        """The view to train with, as a context manager."""
        from upswing.view import QuietView, SilentView, make_view
        from upswing.view.words import language

        lang = language(self.lang)
        if not leads():
            return SilentView(env, notices, lang)
        if self.quiet:
            return (SilentView if self.as_json else QuietView)(env, notices, lang)
        return make_view(env, notices, sys.stderr if self.as_json else sys.stdout, lang, self.plain)

    def finish(self, result: Result) -> int:
        """The exit code of `result`, after its JSON line where that was asked for."""
        if self.as_json and leads():
            print_json(asdict(result))
        return result.exit_code


def print_json(values: Mapping[str, Any]) -> None:
    """Print one line of JSON; numbers that are not finite become null."""
    click.echo(json.dumps({name: _finite(value) for name, value in values.items()}, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return value


def find_run(run: str | None) -> str:
    """The folder of the run to look at: `run`, or the newest one in runs/. Raises UserError where there is none."""
    if run is not None:
        return run
    from upswing.config import TrainConfig
    from upswing.run.directory import latest_run

    newest = latest_run(TrainConfig().out_dir)
    if newest is None:
        raise UserError("There is no run in runs/ yet: give the folder of one, or train one with upswing train.")
    return str(newest)
