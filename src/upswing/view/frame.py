"""The live view as lines of text: a pure function of what is known and of the window's size."""

from __future__ import annotations

from collections.abc import Mapping

from rich.cells import cell_len
from rich.text import Text

from upswing.metrics import METRICS, Band
from upswing.view.lines import ACCENT, DIM, GOOD, ODD, QUIET, STRONG, bar, beside, fitted, joined, line, padded, spread
from upswing.view.numbers import count, duration, number, percent, rate
from upswing.view.plot import LINE, MARK, chart, sparkline
from upswing.view.state import EVALUATION, RETURN, SHOWN, RunState

Words = Mapping[str, str]

WIDE = 110  # from here on, the figures stand beside the curve
SPEED_STYLES = {"collect": "blue", "update": "magenta", "eval": "color(172)"}


def frame(state: RunState, words: Words, width: int, height: int) -> list[Text]:
    """The view of a running training in at most `height` lines of at most `width` cells."""
    if state.info is None:
        return [Text("")]
    margin, inner = " ", width - 2
    top = [*head(state, words, inner), Text(""), *progress(state, words, inner), Text("")]
    notes = notices(state, words, inner, max(1, min(4, (height - 22) // 3)))
    room = height - len(top) - len(notes)
    body = _beside_each_other(state, words, inner, room) if width >= WIDE else _stacked(state, words, inner, room)
    lines = [*top, *body, *notes][:height]
    return [fitted(Text.assemble(margin, text, no_wrap=True), width) for text in lines]


def _stacked(state: RunState, words: Words, width: int, room: int) -> list[Text]:
    """Curve, speed and metrics below each other."""
    n_metrics = max(3, min(8, room - 12))
    figures = [
        speed_line(state, words, width),
        Text(""),
        *metrics(state, words, width, n_metrics, titled=room >= 20),
        line(*evaluation(state, words), *record_of(state, words)),
    ]
    curve_height = max(6, min(20, room - len(figures)))
    return [*curve(state, words, width, curve_height), *figures]


def _beside_each_other(state: RunState, words: Words, width: int, room: int) -> list[Text]:
    """The curve on the left, speed, metrics and evaluation on the right."""
    right_width = min(60, width * 48 // 100)
    left_width = width - right_width - 3
    right = [
        *speed_block(state, words, right_width),
        Text(""),
        *metrics(state, words, right_width, max(3, min(len(SHOWN), room - 11)), titled=True),
        Text(""),
        line(*evaluation(state, words)),
        line(*record_of(state, words)),
    ]
    left = curve(state, words, left_width, max(6, min(36, room - 2)))
    return [*beside(left, right, left_width), Text("")]


def head(state: RunState, words: Words, width: int) -> list[Text]:
    """Which training this is."""
    info = state.info
    assert info is not None
    title = line(("Upswing  ", ACCENT), (state.env, STRONG))
    about = joined(
        [
            words.get(f"engine_{info.engine}", info.engine),
            info.environment,
            words["parameters"].format(n=count(info.n_parameters)),
            words["seed"].format(n=info.config.seed),
            info.device if info.device != "cpu" else "",
            words["resumed"].format(n=count(info.start_timesteps)) if info.start_timesteps else "",
        ]
    )
    return [spread(title, line((str(info.run_dir), DIM)), width), line((about, DIM))]


def progress(state: RunState, words: Words, width: int) -> list[Text]:
    """How far it is, and how long it will take."""
    info = state.info
    assert info is not None
    left = words["left"].format(time=duration(state.left_s)) if state.left_s is not None else ""
    tail = f" {padded(percent(state.share), 6, right=True)}  "
    room = max(10, width - len(tail) - 16)
    numbers = joined(
        [
            words["steps_of"].format(done=count(state.steps), total=count(state.total)),
            words["iteration"].format(
                done=count(state.latest.get("time/iterations") or 0), total=count(info.derived.iterations)
            ),
            words["elapsed"].format(time=duration(state.elapsed_s)),
        ]
    )
    return [
        line(*bar([(state.share, "cyan")], room), (tail, STRONG), padded(left, 16, right=True)),
        line((numbers, DIM)),
    ]


def curve(state: RunState, words: Words, width: int, height: int) -> list[Text]:
    """The return so far: a title with a legend, and the chart."""
    line_points, marks = state.curves[RETURN].all(), state.curves[EVALUATION].all()
    title = line((words["return"], STRONG), "  ", (number(state.curves[RETURN].last), ACCENT))
    legend = line(("━━ ", LINE), (words["legend_rollout"], DIM), ("   ● ", MARK), (words["legend_eval"], DIM))
    if not line_points and not marks:
        empty = [Text("") for _ in range(height - 1)]
        indent = " " * max(0, (width - cell_len(words["no_episode"])) // 2)
        empty[(height - 2) // 2] = line((indent + words["no_episode"], DIM))
        return [spread(title, legend, width), *empty]
    return [spread(title, legend, width), *chart(line_points, marks, state.total, width, height - 1)]


def _split(state: RunState) -> list[tuple[str, float]]:
    """The share of collecting, updating and evaluating in the time they took together."""
    whole = sum(state.seconds.values())
    return [(name, seconds / whole if whole else 0.0) for name, seconds in state.seconds.items()]


def speed_line(state: RunState, words: Words, width: int) -> Text:
    """Steps per second and where the time goes, in one line."""
    fps = words["steps_per_second"].format(n=rate(_fps(state)))
    shares = _split(state)
    legend: list[str | tuple[str, str]] = []
    for name, share in shares:
        legend += [("  ■ ", SPEED_STYLES[name]), (f"{words[name]} {percent(share)}", DIM)]
    used = len(words["speed"]) + len(fps) + Text.assemble(*legend).cell_len + 6
    parts = bar([(share, SPEED_STYLES[name]) for name, share in shares], max(0, min(24, width - used)))
    return line((words["speed"], STRONG), "  ", (fps, ACCENT), "  ", *parts, *legend)


def speed_block(state: RunState, words: Words, width: int) -> list[Text]:
    """Steps per second and where the time goes, a bar for each part."""
    fps = words["steps_per_second"].format(n=rate(_fps(state)))
    memory = state.latest.get("time/peak_memory_mb")
    right = words["memory"].format(n=count(memory)) if memory else ""
    rows = [spread(line((words["speed"], STRONG), "  ", (fps, ACCENT)), line((right, DIM)), width)]
    for name, share in _split(state):
        parts = bar([(share, SPEED_STYLES[name])], max(4, width - 18))
        rows.append(line((padded(words[name], 10), DIM), *parts, (padded(percent(share), 7, right=True), "")))
    return rows


def _fps(state: RunState) -> float | None:
    return state.latest.get("time/fps_mean") or state.latest.get("time/fps")


def metrics(state: RunState, words: Words, width: int, n: int, titled: bool) -> list[Text]:
    """The first `n` metrics that this training has: value, trend, and the range in which it usually lies."""
    tags = [tag for tag in SHOWN if len(state.trends[tag])][:n]
    label_width, value_width = 19, 8
    trend_width = max(6, min(24, width - label_width - value_width - 18))
    rows = []
    if titled:
        heading = padded(words["metrics"], label_width + value_width + trend_width + 4)
        rows.append(line((heading, STRONG), (words["healthy"] if tags else "", DIM)))
    for tag in tags:
        value = state.trends[tag].last
        trend = sparkline([y for _, y in state.trends[tag].all()], trend_width)
        rows.append(
            line(
                padded(words[tag], label_width),
                (padded(number(value), value_width, right=True), STRONG),
                "  ",
                (padded(trend, trend_width), QUIET),
                "  ",
                *_health(value, METRICS[tag].band, words),
            )
        )
    return [*rows, *[Text("") for _ in range(n - len(tags))]]


def _health(value: float | None, band: Band | None, words: Words) -> list[tuple[str, str]]:
    """The band, and on which side of it `value` lies; nothing for a metric that has none."""
    if band is None or value is None or (band.low, band.high) == (0.0, 1.0):
        return []
    low = "" if band.low is None else f"{band.low:g}"
    high = "" if band.high is None else f"{band.high:g}"
    span = f"{low} – {high}"
    if band.low is not None and value < band.low:
        return [("▾ ", ODD), (span, DIM)]
    if band.high is not None and value > band.high:
        return [("▴ ", ODD), (span, DIM)]
    return [("● ", GOOD), (span, DIM)]


def evaluation(state: RunState, words: Words) -> list[str | tuple[str, str]]:
    """Parts of a line: the last evaluation."""
    record = state.evaluated
    title: list[str | tuple[str, str]] = [(words["last_eval"], STRONG), "  "]
    if not record:
        return [*title, (words["no_eval"], DIM)]
    result = words["eval_result"].format(
        mean=number(record[EVALUATION]),
        std=number(record.get("eval/std_reward")),
        steps=count(record.get("time/total_timesteps") or 0),
    )
    return [*title, result]


def record_of(state: RunState, words: Words) -> list[tuple[str, str]]:
    """Parts of a line: the best evaluation so far, and the success of the last where the environment speaks of it."""
    if not state.evaluated:
        return []
    success = state.evaluated.get("eval/success_once")
    spoken = words["success"].format(n=percent(success)) if success is not None else ""
    return [("   " + joined([words["best"].format(n=number(state.best)), spoken]), DIM)]


def notices(state: RunState, words: Words, width: int, limit: int) -> list[Text]:
    """What happened last, then what was said at the start, a line each; the summary at the end has it all, in full."""
    said = [(notice, DIM) for notice in state.notices if notice not in state.happened]
    newest = [(notice, ODD) for notice in reversed(state.happened)]
    rows = [line(("· ", style), (notice, style)) for notice, style in [*newest, *said][:limit]]
    hidden = len(state.notices) - limit
    if hidden > 0:
        more = line(("  " + words["more_notices"].format(n=hidden), DIM))
        rows[-1] = spread(fitted(rows[-1], width - more.cell_len - 2), more, width)
    return [fitted(row, width) for row in rows]
