from dataclasses import replace

import pytest
from rich.cells import cell_len

from upswing.metrics import Band
from upswing.view.frame import _health, frame, notices
from upswing.view.lines import bar, fitted, line, padded
from upswing.view.numbers import percent
from upswing.view.state import RunState
from upswing.view.summary import summary
from upswing.view.words import WORDS

SIZES = [(60, 17), (80, 23), (100, 60), (120, 39), (200, 70)]


@pytest.fixture
def state(info, records, clock):
    state = RunState(clock=clock)
    state.start(info)
    for record in records(230):
        clock.now += 0.01
        state.add(record)
    return state


def plain(lines):
    return "\n".join(text.plain for text in lines)


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_it_fits_the_window(state, lang, width, height):
    lines = frame(state, WORDS[lang], width, height)
    assert len(lines) <= height
    assert max(text.cell_len for text in lines) <= width
    assert not any("\n" in text.plain for text in lines)


@pytest.mark.parametrize(("width", "height"), [(80, 23), (120, 39)])
def test_it_says_what_matters(state, width, height):
    text = plain(frame(state, WORDS["en"], width, height))
    for part in (
        "CartPole-v1",
        "runs/CartPole-v1-20250612-153000-7",
        "native engine · 8 environments · 9,155 parameters · seed 7",
        "59 %",
        "1.6 s left",
        "58,880 of 100,096 steps · iteration 230 of 391",
        "44,800 steps/s",
        "collect",
        "36 %",
        "update",
        "evaluate",
        "approx. KL",
        "● 0.003 – 0.03",
        "explained variance",
        "last evaluation",
        "at 58,880 steps",
        "Preset CartPole-v1",
    ):
        assert part in text
    assert "⠤" in text or "⠒" in text or "⠉" in text  # a curve
    assert text.count("●") > 10  # evaluations


def test_the_shares_of_time_add_up(state):
    text = plain(frame(state, WORDS["en"], 120, 39))
    shares = [int(part.split()[-2]) for part in text.splitlines() if part.rstrip().endswith("%") and "━" in part]
    assert sum(shares) == pytest.approx(100, abs=1)


def test_chinese_is_chinese(state):
    text = plain(frame(state, WORDS["zh"], 120, 39))
    for part in ("回报", "步/秒", "采样", "更新", "近似 KL 散度", "最近评估", "剩余"):
        assert part in text
    assert "learning rate" not in text


def test_columns_stay_aligned_under_chinese(state):
    rows = [text.plain for text in frame(state, WORDS["zh"], 80, 40) if "● 0." in text.plain]
    assert len({cell_len(row[: row.index("●")]) for row in rows}) == 1


def test_before_the_first_episode(info, clock):
    state = RunState(clock=clock)
    assert plain(frame(state, WORDS["en"], 80, 23)) == ""
    state.start(info)
    assert "No episode has finished yet." in plain(frame(state, WORDS["en"], 80, 23))


def test_more_metrics_appear_in_a_taller_window(state):
    short, tall = (plain(frame(state, WORDS["en"], 80, height)) for height in (23, 50))
    assert "gradient norm" not in short
    assert "value loss" in tall


def test_what_happened_last_stands_first_among_the_notices(state):
    state.happened = ["WARNING P01: updates too large.", "P01 is over."]
    state.notices = ["Chosen by you.", *state.happened]
    rows = [str(row) for row in notices(state, WORDS["en"], 80, 2)]
    assert rows[0] == "· P01 is over."
    assert rows[1].startswith("· WARNING P01")
    assert "1 more" in rows[1]


def test_notices_that_find_no_room_are_counted(state):
    state.notices = [f"Notice {i}." for i in range(5)]
    text = plain(frame(state, WORDS["en"], 80, 23))
    assert "Notice 0." in text
    assert "4 more" in text


@pytest.mark.parametrize(("value", "mark"), [(0.002, "▾ "), (0.003, "● "), (0.02, "● "), (0.03, "● "), (0.031, "▴ ")])
def test_a_value_outside_its_band_is_marked_on_its_side(value, mark):
    assert _health(value, Band(0.003, 0.03, ""), WORDS["en"])[0][0] == mark


def test_a_metric_without_a_band_is_not_judged():
    assert _health(3.0, None, WORDS["en"]) == []
    assert _health(None, Band(0.0, 2.0, ""), WORDS["en"]) == []
    assert _health(0.5, Band(None, 2.0, ""), WORDS["en"])[0][0] == "● "


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40)])
def test_the_summary_stays_with_result_and_next_commands(state, result, lang, width, height):
    state.result = result
    lines = summary(state, WORDS[lang], width, height)
    text = "\n".join(part.plain if hasattr(part, "plain") else part.renderable.plain for part in lines)
    for part in ("499.5", "500.0", "100,096", result.run_dir, f"upswing watch {result.run_dir}", "upswing eval"):
        assert part in text
    assert f"tensorboard --logdir {result.run_dir}" in text
    assert "upswing resume" not in text
    for notice in state.notices:
        assert notice in text


def test_an_interrupted_run_is_told_how_to_go_on(state, interrupted):
    state.result = replace(interrupted, run_dir="runs/my run")
    text = plain(part for part in summary(state, WORDS["en"], 80, 24) if hasattr(part, "plain"))
    assert "Interrupted and saved" in text
    assert "upswing resume 'runs/my run'" in text


def test_commands_on_code_of_ones_own_ask_for_trust(state, result):
    state.result = result
    state.info = replace(state.info, config=replace(state.info.config, env="mine:World-v0"))
    text = plain(part for part in summary(state, WORDS["en"], 120, 40) if hasattr(part, "plain"))
    assert f"upswing watch {result.run_dir} --trust-code" in text


def test_a_stop_says_why(state, result):
    state.result = replace(result, stopped="evaluation reached a mean return of 500")
    assert "evaluation reached a mean return of 500" in plain(
        part for part in summary(state, WORDS["en"], 80, 24) if hasattr(part, "plain")
    )


def test_padding_counts_cells():
    assert cell_len(padded("学习率", 10)) == 10
    assert cell_len(padded("学习率学习率", 7)) == 7
    assert padded("ab", 4, right=True) == "  ab"
    assert fitted(line("abcdef"), 4).plain == "abc…"


def test_a_bar_is_as_long_as_its_shares():
    parts = bar([(0.25, "a"), (0.5, "b")], 20)
    assert [len(text) for text, _ in parts] == [5, 10, 5]
    assert percent(0.25) == "25 %"
