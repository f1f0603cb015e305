"""What stays on the screen when a training is over: the curve, the result, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from rich.cells import cell_len
from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from upswing.config import code_names, config_to_json
from upswing.errors import INTERRUPTED, TERMINATED
from upswing.hooks import Result
from upswing.view.frame import curve, head
from upswing.view.lines import ACCENT, DIM, GOOD, ODD, STRONG, fitted, line, padded
from upswing.view.numbers import count, duration, number, rate
from upswing.view.state import RunState

Words = Mapping[str, str]


def summary(state: RunState, words: Words, width: int, height: int) -> list[RenderableType]:
    """The last picture: head, curve, result and next commands, within `width` cells."""
    if state.info is None or state.result is None:
        return []
    closing = result_lines(state, words)
    below = sum(1 + cell_len(notice) // (width - 3) for notice in state.notices) + 2
    curve_height = max(7, min(14, height - len(closing) - below - 4))
    top = [*head(state, words, width - 2), Text(""), *curve(state, words, width - 2, curve_height), Text("")]
    narrow = [fitted(Text.assemble(" ", text, no_wrap=True), width) for text in [*top, *closing]]
    return [*narrow, *notice_paragraphs(state)]


def result_lines(state: RunState, words: Words) -> list[Text]:
    """The result in figures, the run's folder, and commands to go on with."""
    result = state.result
    assert result is not None
    commands = next_commands(result, _trust(state))
    keys = ["final_return", "best_return", "took", "run_folder", *(key for key, _ in commands)]
    column = 2 + max(cell_len(words[key]) for key in keys)

    def row(key: str, *parts: str | tuple[str, str]) -> Text:
        return line((padded(words[key], column), STRONG), *parts)

    took = words["took_text"].format(
        steps=count(result.total_timesteps),
        time=duration(result.wall_time_s),
        train=duration(result.train_time_s),
        fps=rate(result.steps_per_second),
    )
    best = [] if result.best_mean_reward is None else [row("best_return", number(result.best_mean_reward))]
    return [
        verdict(result, words),
        row("final_return", (number(result.mean_reward), ACCENT), ("   " + words["final_evaluation"], DIM)),
        *best,
        row("took", took),
        row("run_folder", result.run_dir),
        *(row(key, (command, "cyan")) for key, command in commands),
    ]


def verdict(result: Result, words: Words) -> Text:
    """Whether it went to its end, and why not."""
    if result.exit_code in (INTERRUPTED, TERMINATED):
        return line(("■ ", ODD), (words["interrupted"], STRONG))
    if result.stopped:
        return line(("✔ ", GOOD), (words["stopped"], STRONG), (f"  {result.stopped}", ""))
    return line(("✔ ", GOOD), (words["done"], STRONG))


def next_commands(result: Result, trust: str = "") -> list[tuple[str, str]]:
    """Commands that make sense now, each after the key of its label; `trust` is added where a run's code is imported."""
    run = shlex.quote(result.run_dir)
    commands = [
        ("next_watch", f"upswing watch {run}{trust}"),
        ("next_eval", f"upswing eval {run} --episodes 100{trust}"),
        ("next_tensorboard", f"tensorboard --logdir {run}"),
    ]
    ended_early = result.exit_code in (INTERRUPTED, TERMINATED)
    return [("next_resume", f"upswing resume {run}{trust}"), *commands] if ended_early else commands


def _trust(state: RunState) -> str:
    """The flag that commands on this run need, where its settings name code of the user's own."""
    return " --trust-code" if state.info and code_names(config_to_json(state.info.config)) else ""


def notice_paragraphs(state: RunState) -> list[RenderableType]:
    """All notices in full."""
    paragraphs = [Padding(Text(f"· {notice}", style=DIM), (0, 1)) for notice in state.notices]
    return [Text(""), *paragraphs] if paragraphs else []
