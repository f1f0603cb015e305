import io

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from upswing.explain.pages import page, topics
from upswing.explain.text import Paragraph, bare, lit, wrap

MAY_NOT_BEGIN = "，。；：、！？）》」』”’%"
MAY_NOT_END = "（《「『“‘"


def test_chinese_is_broken_between_signs_and_fills_the_line():
    assert wrap("策略走得够远就提前结束", 10) == ["策略走得够", "远就提前结", "束"]


def test_punctuation_stays_with_what_it_belongs_to():
    assert wrap("环境越多，每秒得到的样本越多。", 8) == ["环境越", "多，每秒", "得到的样", "本越多。"]
    assert wrap("说是（括号）", 6) == ["说是", "（括", "号）"]


def test_words_and_names_stay_whole():
    assert wrap("lower the learning rate", 10) == ["lower the", "learning", "rate"]
    assert wrap("把 `target_kl` 设为 0.02", 14) == ["把 `target_kl`", "设为 0.02"]
    assert wrap("set `learning_rate 3e-4 → 1e-4` now", 28) == ["set", "`learning_rate 3e-4 → 1e-4`", "now"]


def test_what_does_not_fit_a_line_is_broken_in_it():
    assert wrap("`total_timesteps 1000000 → 2000000`", 20) == ["`total_timesteps`", "`1000000` `→` `2000000`"]
    assert wrap("abcdefghij", 4) == ["abcd", "efgh", "ij"]


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("width", [30, 41, 96])
def test_every_text_of_every_page_wraps_within_its_width_and_loses_nothing(lang, width):
    for topic in topics():
        for part in page(topic, lang).parts:
            if part.form not in ("text", "aside", "list"):
                continue
            for text in [part.body] if isinstance(part.body, str) else part.body:
                for paragraph in text.split("\n\n"):
                    lines = wrap(paragraph, width)
                    assert bare("".join(lines)).replace(" ", "") == bare(paragraph).replace(" ", "")
                    assert all(cell_len(bare(line)) <= width for line in lines)
                    assert not [line for line in lines if line[:1] in MAY_NOT_BEGIN or line[-1:] in MAY_NOT_END]
                    assert not [line for line in lines if line.count("`") % 2]


def test_names_light_up_and_backticks_vanish():
    line = lit("set `x 1 → 2`, see approx_kl and P01, not my_approx_kl_2")
    assert line.plain == "set x 1 → 2, see approx_kl and P01, not my_approx_kl_2"
    assert [line.plain[span.start : span.end] for span in line.spans if span.style] == ["x 1 → 2", "approx_kl", "P01"]


def test_in_a_table_a_paragraph_takes_the_room_it_needs():
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    table.add_row("a", Paragraph("短"))
    table.add_row("b", Paragraph("一段要折行的中文文字，超过了表格的宽度"))
    console = Console(width=20, record=True, file=io.StringIO())
    console.print(table)
    lines = console.export_text().splitlines()
    assert lines[0].split() == ["a", "短"]
    assert len(lines) == 4
    assert max(cell_len(line.rstrip()) for line in lines) <= 20
