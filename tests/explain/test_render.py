import pytest
from rich.cells import cell_len

from upswing.explain import listing, markdown, page, plain, render, topics
from upswing.explain.flow import RAILS
from upswing.explain.pages import Flow
from upswing.explain.render import as_json
from upswing.explain.source import entries, labels

NUMBERS = {"setting": "32", "trend": "rising"}


@pytest.mark.parametrize(("lang", "first"), [("en", 0), ("zh", 1)])
def test_pages_are_shown_whole_in_a_terminal_of_80_columns(lang, first):
    for topic in topics()[first::2]:
        found = page(topic, lang)
        shown = plain(render(found), width=80)
        lines = shown.splitlines()
        assert max(map(cell_len, lines)) <= 80
        for part in found.parts:
            assert part.heading in lines
            if isinstance(part.body, Flow):
                assert sum(f"◄── {topic} " in line for line in lines) == 1, topic
        assert lines[0].startswith(topic)
        assert "`" not in shown


def test_equations_fit_100_columns():
    for topic, entry in entries("en").items():
        for line in entry.get("equation", "").splitlines():
            assert cell_len(line) <= 98, topic


def test_equations_are_shown_line_by_line():
    lines = plain(render(page("clip_range", "zh"))).splitlines()
    at = lines.index("公式")
    assert [line.strip() for line in lines[at + 1 : at + 4]] == page("clip_range", "en").part(
        "equation"
    ).body.text.splitlines()


def test_the_picture_marks_the_stage_and_names_every_other():
    shown = plain(render(page("clip_range", "en")))
    (marked,) = [line for line in shown.splitlines() if "◄──" in line]
    assert "loss" in marked
    assert "◄── clip_range" in marked
    for name, _ in labels("en")["stage"].values():
        assert name in shown


def test_every_setting_acts_at_a_stage_of_the_picture():
    assert set(RAILS) == set(labels("en")["stage"])
    assert {entry["place"] for entry in entries("en").values() if "place" in entry} <= set(RAILS)


def test_a_run_s_numbers_come_last():
    lines = plain(render(page("n_steps", "en"), NUMBERS)).splitlines()
    at = lines.index("In this run")
    assert [line.split() for line in lines[at + 1 :]] == [["setting", "32"], ["trend", "rising"]]
    assert "In this run" not in plain(render(page("n_steps", "en")))


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_list_has_every_topic_once_under_its_group(lang):
    lines = plain(listing(lang)).splitlines()
    first_words = [line.split()[0] for line in lines if line.startswith("  ") and not line.startswith("   ")]
    assert first_words[: len(topics())] == topics()
    for title in labels(lang)["group"].values():
        assert lines.count(title) == 1


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_markdown_has_every_part(lang):
    for topic in topics():
        found = page(topic, lang)
        text = markdown(found, NUMBERS)
        assert text.startswith(f"# `{topic}`")
        headings = [line[3:] for line in text.splitlines() if line.startswith("## ")]
        assert headings == [*(part.heading for part in found.parts), labels(lang)["part"]["numbers"]]
        tables = [line for line in text.splitlines() if line.startswith("| ")]
        assert all(line.endswith("|") for line in tables)
        assert text.count("```") % 2 == 0


def test_a_bar_in_a_table_cell_does_not_split_it():
    from upswing.explain.render import _markdown_table

    assert _markdown_table(("a",), (("|A|",),)).splitlines()[-1] == "| \\|A\\| |"


def test_json_holds_the_page():
    values = as_json(page("gamma", "en"), NUMBERS)
    assert values["topic"] == "gamma"
    assert values["parts"]["acts"]["stage"] == "advantages"
    assert "δ_t" in values["parts"]["equation"]["text"]
    assert values["numbers"] == NUMBERS
    assert as_json(page("gamma", "en"))["numbers"] is None
