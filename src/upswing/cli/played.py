"""upswing eval, watch and record: what a trained policy does."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rich_click as click

from upswing.cli.options import CONTEXT
from upswing.cli.output import find_run, print_json, trust_option
from upswing.errors import ConfigError, UserError

_RUN = click.RichArgument(["run"], required=False, metavar="RUN", help="The folder of a run; by default the newest.")
_CHECKPOINT = click.RichOption(
    ["--checkpoint"],
    metavar="best|latest|STEP",
    help="Which policy; by default the best if there is one, else the latest.",
)
_SEED = click.RichOption(
    ["--seed"], type=click.IntRange(0), metavar="N", default=0, help="Seed of the episodes.", show_default=True
)
_RANDOM = click.RichOption(
    ["--deterministic/--stochastic"],
    default=None,
    help="Take the most likely action, or draw one; by default as the run's own evaluations do.",
)


def _episodes(default: int) -> click.RichOption:
    return click.RichOption(
        ["--episodes", "--n-episodes", "-n"],
        type=click.IntRange(1),
        metavar="N",
        default=default,
        help="How many.",
        show_default=True,
    )


def which_checkpoint(text: str | None) -> str | int | None:
    """The checkpoint that `text` names: best, latest, a step, or None for the default. Raises ConfigError."""
    if text is None or text in ("best", "latest"):
        return text
    try:
        return int(float(text.replace(",", "")))
    except (ValueError, OverflowError):
        raise ConfigError(
            f"--checkpoint {text} is not a checkpoint: give best, latest, or a step such as 50000."
        ) from None


def _evaluate(
    run: str | None,
    checkpoint: str | None,
    episodes: int,
    n_envs: int,
    seed: int,
    deterministic: bool | None,
    as_json: bool,
    trust_code: bool,
) -> None:
    """Score the policy of RUN over whole episodes, in environments of its own."""
    from upswing.evaluation import evaluate_run
    from upswing.view.numbers import number, percent

    folder = find_run(run)
    score = evaluate_run(
        folder,
        which=which_checkpoint(checkpoint),
        n_episodes=episodes,
        n_envs=min(n_envs, episodes),
        deterministic=deterministic,
        seed=seed,
        trusted=trust_code,
    )
    if as_json:
        names = (
            "mean_reward",
            "std_reward",
            "n_episodes",
            "success_once",
            "success_at_end",
            "mean_ep_length",
            "checkpoint",
        )
        print_json({"run_dir": folder, **{name: getattr(score, name) for name in names}})
        return
    success = "" if score.success_once is None else f", success {percent(score.success_once)}"
    if score.success_at_end is not None:
        success += f" ({percent(score.success_at_end)} at the end)"
    click.echo(
        f"Return {number(score.mean_reward)} ± {number(score.std_reward)} over {score.n_episodes} episodes, mean length "
        f"{number(score.mean_ep_length)}{success}. Lowest {number(min(score.returns))}, highest "
        f"{number(max(score.returns))}. Checkpoint {score.checkpoint} of {folder}."
    )


def _watch(
    run: str | None, checkpoint: str | None, episodes: int, seed: int, deterministic: bool | None, trust_code: bool
) -> None:
    """Open a window and play the policy of RUN in it. Ctrl-C closes it."""
    if not has_display():
        raise UserError("There is no display to open a window on: upswing record RUN makes a video instead.")
    from upswing.evaluation import play

    folder = find_run(run)
    frames = play(
        folder,
        which=which_checkpoint(checkpoint),
        n_episodes=episodes,
        seed=seed,
        deterministic=deterministic,
        render_mode="human",
        trusted=trust_code,
    )
    click.echo(f"Playing {folder}; Ctrl-C closes the window.")
    for sentence in episode_sentences(frames):
        click.echo(sentence)


def has_display() -> bool:
    """Whether a window can be opened: always on macOS and Windows, elsewhere where X or Wayland is reachable."""
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or os.environ.get("SDL_VIDEODRIVER"))


def episode_sentences(frames: Iterator[Any]) -> Iterator[str]:
    """A sentence for each played episode, when it is over, while `frames` are drawn."""
    last = None
    for frame in frames:
        if last is not None and frame.episode != last.episode:
            yield _episode_sentence(last)
        last = frame
    if last is not None:
        yield _episode_sentence(last)


def _episode_sentence(last: Any) -> str:
    return f"Episode {last.episode + 1}: {last.step + 1} steps."


def _record(
    run: str | None,
    output: str | None,
    checkpoint: str | None,
    episodes: int,
    fps: int | None,
    seed: int,
    deterministic: bool | None,
    trust_code: bool,
) -> None:
    """Write a video of the policy of RUN: mp4, or an animated GIF when the name ends in .gif."""
    from upswing.cli.video import draw_without_display, frames_per_second, write_video
    from upswing.config import read_config
    from upswing.evaluation import play

    folder = find_run(run)
    target = Path(output) if output else Path(folder) / f"{Path(folder).name}.mp4"
    if target.suffix.lower() not in (".mp4", ".gif"):
        raise ConfigError(f"--output {target} is neither a video nor an animation: let its name end in .mp4 or .gif.")
    draw_without_display()
    frames = play(
        folder,
        which=which_checkpoint(checkpoint),
        n_episodes=episodes,
        seed=seed,
        deterministic=deterministic,
        render_mode="rgb_array",
        trusted=trust_code,
    )
    pace = fps or frames_per_second(read_config(folder).get("env"))
    n = write_video(target, (frame.picture for frame in frames if frame.picture is not None), pace)
    click.echo(f"Wrote {target}: {n} pictures, {n / pace:.1f} s at {pace:g} a second.")


@click.command(context_settings=CONTEXT, short_help="Draw the main curves of one or several runs.")
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option("--output", "-o", metavar="FILE", help="A .png, .svg or .pdf file; by default curves.png in the run.")
def plot(runs: tuple[str, ...], output: str | None) -> None:
    """Draw return, KL, clip fraction, explained variance, entropy and speed of RUN, or of several runs together.

    Dots are evaluations; a green stripe is the usual range of a metric.
    """
    from upswing.view.figure import draw_runs

    folders = [find_run(run) for run in runs or [None]]
    target = Path(output) if output else Path(folders[0]) / "curves.png"
    if target.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise ConfigError(f"--output {target} is not a picture: let its name end in .png, .svg or .pdf.")
    click.echo(f"Wrote {draw_runs(folders, target)}.")


def _command(name: str, function: Any, short_help: str, params: list[click.RichOption]) -> click.RichCommand:
    """A command on a run: RUN and --checkpoint first, then `params`, then what all of them have."""
    return click.RichCommand(
        name=name,
        callback=function,
        context_settings=CONTEXT,
        help=function.__doc__,
        short_help=short_help,
        params=[_RUN, _CHECKPOINT, *params, _SEED, _RANDOM, trust_option()],
    )


evaluate = _command(
    "eval",
    _evaluate,
    "Score a policy over whole episodes.",
    [
        _episodes(100),
        click.RichOption(
            ["--n-envs"],
            type=click.IntRange(1),
            metavar="N",
            default=10,
            help="Environments side by side.",
            show_default=True,
        ),
        click.RichOption(["--json", "as_json"], is_flag=True, help="Print the score as one line of JSON."),
    ],
)
watch = _command("watch", _watch, "Open a window and play a policy in it.", [_episodes(5)])
record = _command(
    "record",
    _record,
    "Write a video of a policy.",
    [
        click.RichOption(
            ["--output", "-o"], metavar="FILE", help="An .mp4 or .gif file; by default <run>.mp4 in the run's folder."
        ),
        _episodes(1),
        click.RichOption(
            ["--fps"], type=click.IntRange(1, 240), metavar="N", help="Pictures a second; by default the environment's."
        ),
    ],
)
