import io
import threading
import time

import pytest
from rich.console import Console

from upswing.hooks import Hook
from upswing.view import LiveView, PlainView, make_view
from upswing.view.plain import QuietView, SilentView
from upswing.view.words import WORDS, language


def terminal(width=100, height=40):
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=height, color_system="truecolor")


def test_a_whole_training_leaves_the_summary_and_no_thread(info, records, result):
    console = terminal()
    with LiveView("CartPole-v1", console=console) as view:
        view.on_start(info)
        for record in records(100):
            view.on_iteration(record, None)
        view.on_end(result)
    text = console.file.getvalue()
    assert "Preparing CartPole-v1" in text
    assert "upswing watch" in text
    assert text.rstrip().endswith("\x1b[?25h")  # the cursor is back
    assert not [thread for thread in threading.enumerate() if thread.name == "upswing-view"]


def test_it_paints_while_an_iteration_takes_long(info, records):
    console = terminal()
    with LiveView("CartPole-v1", console=console) as view:
        view.on_start(info)
        view.on_iteration(next(records(1)), None)
        deadline = time.monotonic() + 20
        while "iteration 1 of 391" not in console.file.getvalue() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert "iteration 1 of 391" in console.file.getvalue()


def test_an_iteration_paints_nothing_itself(info, records):
    console = terminal()
    view = LiveView("CartPole-v1", console=console)  # not entered: no thread
    view.on_start(info)
    for record in records(50):
        view.on_iteration(record, None)
    assert console.file.getvalue() == ""


def test_an_error_leaves_the_terminal_usable(info):
    console = terminal()
    with pytest.raises(ValueError, match="broken"), LiveView("CartPole-v1", console=console) as view:
        view.on_start(info)
        raise ValueError("broken")
    assert console.file.getvalue().rstrip().endswith("\x1b[?25h")


def test_prints_of_an_environment_do_not_disturb_it(info, capsys):
    console = terminal()
    with LiveView("CartPole-v1", console=console) as view:
        view.on_start(info)
        print("a word from the environment")
    assert "a word from the environment" in console.file.getvalue()


def test_a_view_costs_nothing_per_step_and_epoch():
    for kind in (LiveView, PlainView, QuietView):
        assert kind.on_step is Hook.on_step
        assert kind.on_epoch is Hook.on_epoch


def test_without_a_terminal_it_is_plain():
    assert isinstance(make_view("X", (), io.StringIO(), "en"), PlainView)


def test_plain_lines(info, records, result, clock):
    stream = io.StringIO()
    view = PlainView("CartPole-v1", ["Chosen by you."], stream=stream, clock=clock)
    view.on_start(info)
    for record in records(60):
        clock.now += 0.2
        view.on_iteration(record, None)
    view.on_end(result)
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith(
        "Training CartPole-v1: 8 environments; native engine, 9,155 parameters, seed 7. Run: runs/"
    )
    assert lines[1:4] == ["· Chosen by you.", *(f"· {notice}" for notice in info.notices)]
    evaluations = [text for text in lines if "evaluation" in text]
    assert len(evaluations) == 6
    assert 6 <= len(lines[4:-1]) <= 12  # at evaluations, and every five seconds in between
    assert lines[-1].startswith(
        "Done: return 499.5 (best 500.0) after 100,096 steps in 4.1 s, 44,800 steps/s. Run: runs/"
    )


def test_quiet_and_silent(info, records, result, interrupted):
    for kind, end, expected in (
        (QuietView, result, ["Done: return 499.5"]),
        (QuietView, interrupted, ["Interrupted and saved: return –"]),
        (SilentView, result, []),
    ):
        stream = io.StringIO()
        view = kind("CartPole-v1", stream=stream)
        view.on_start(info)
        for record in records(20):
            view.on_iteration(record, None)
        view.on_end(end)
        lines = stream.getvalue().splitlines()
        assert [text[: len(start)] for text, start in zip(lines, expected, strict=True)] == expected


def test_every_text_exists_in_every_language_with_the_same_places():
    import string

    places = {
        lang: {key: {name for _, name, _, _ in string.Formatter().parse(text) if name} for key, text in words.items()}
        for lang, words in WORDS.items()
    }
    assert places["zh"] == places["en"]


@pytest.mark.parametrize(
    ("chosen", "variables", "expected"),
    [
        (None, {}, "en"),
        (None, {"LANG": "zh_CN.UTF-8"}, "zh"),
        (None, {"LANG": "de_DE.UTF-8"}, "en"),
        (None, {"LANG": "zh_CN.UTF-8", "UPSWING_LANG": "en"}, "en"),
        ("zh_TW", {"UPSWING_LANG": "en"}, "zh"),
    ],
)
def test_the_language(monkeypatch, chosen, variables, expected):
    for name in ("LC_ALL", "LC_MESSAGES", "LANG", "UPSWING_LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert language(chosen) == expected


def test_an_unknown_language_is_refused():
    from upswing.errors import ConfigError

    with pytest.raises(ConfigError, match="choose one of en, zh"):
        language("fr")
