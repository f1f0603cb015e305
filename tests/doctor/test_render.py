"""What a reader sees: one screen in a terminal, a page that needs nothing else, both languages whole."""

import io
import re
import string

import numpy as np
import pytest
from rich.console import Console

from doctor.made import flat, healthy
from upswing.config import WORDS, TrainConfig
from upswing.doctor.causes import CAUSES
from upswing.doctor.diagnose import diagnose
from upswing.doctor.findings import Finding, NotApplicable, NotChecked
from upswing.doctor.plan import plan
from upswing.doctor.render.page import page, write_page
from upswing.doctor.render.planned import print_plan
from upswing.doctor.render.svg import chart, thinned
from upswing.doctor.render.terminal import print_diagnosis
from upswing.doctor.rules import RULES
from upswing.doctor.suspicions import TABLE
from upswing.doctor.texts import LANGUAGES, fill, texts
from upswing.doctor.thresholds import TABLE as THRESHOLDS

FAULTY = {"approx_kl": 0.3, "clip_fraction": 0.6, "settings": {"learning_rate": 0.03}, "learning_rate": 0.03} | flat()
CHINESE = re.compile(r"[\u4e00-\u9fff]")
both = pytest.mark.parametrize("lang", LANGUAGES)


def shown(diagnosis, lang="en", width=100, full=False):
    """The terminal's text."""
    console = Console(file=io.StringIO(), width=width, force_terminal=False, color_system=None)
    print_diagnosis(diagnosis, console, lang, full)
    return console.file.getvalue()


def names_in(template):
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


def test_both_languages_have_every_text_with_the_same_values():
    english, chinese = texts("en"), texts("zh")
    for part in ("causes", "measures", "origins", "reasons", "notes", "words", "plan"):
        first, second = getattr(english, part), getattr(chinese, part)
        assert first.keys() == second.keys(), part
        for key in first:
            assert names_in(first[key]) == names_in(second[key]), (part, key)
    assert {rule.code for rule in RULES} == english.rules.keys() == chinese.rules.keys()
    for code, rule in english.rules.items():
        assert rule.claims.keys() == chinese.rules[code].claims.keys()
        for variant, claim in rule.claims.items():
            assert names_in(claim) == names_in(chinese.rules[code].claims[variant]), (code, variant)
    assert CAUSES.keys() == english.causes.keys()
    assert {threshold.origin for threshold in THRESHOLDS.values()} <= english.origins.keys()


def test_chinese_is_chinese():
    chinese = texts("zh")
    for rule in chinese.rules.values():
        for text in (rule.title, rule.disproof, rule.passed, *rule.claims.values()):
            assert CHINESE.search(text), text
    for text in (*chinese.causes.values(), *chinese.reasons.values(), *chinese.notes.values()):
        assert CHINESE.search(text), text


@both
def test_every_answer_a_rule_can_give_has_its_words(lang):
    from doctor.test_rules import FAULTS, ask

    said = texts(lang)
    for code, (changes, _, _) in FAULTS.items():
        answer = ask(code, healthy(**changes))
        assert isinstance(answer, Finding)
        claim = fill(said.rules[code].claims.get(answer.variant) or "", answer.values)
        assert claim, (code, answer.variant)
        assert "{" not in claim
        assert "–" not in claim, (code, claim)
        for evidence in answer.evidence:
            assert "/" in evidence.what or evidence.what in said.measures or evidence.what in WORDS, evidence.what
            assert evidence.origin is None or evidence.origin in said.origins


def test_variants_that_suspect_differently_have_claims():
    english = texts("en")
    for key in TABLE:
        code, _, variant = key.partition(":")
        assert not variant or variant.rpartition(".")[2] in english.rules[code].claims, key


@both
def test_reasons_have_words(lang):
    said = texts(lang)
    for series in (healthy(), healthy(n=3), healthy(approx_kl=None, explained_variance=None)):
        diagnosis = diagnose(series)
        for answer in (*diagnosis.not_checked, *diagnosis.not_applicable):
            assert isinstance(answer, NotChecked | NotApplicable)
            assert answer.reason in said.reasons


def test_a_card_tells_claim_evidence_causes_change_and_disproof():
    text = shown(diagnose(healthy(**FAULTY)))
    for part in (
        "P01", "Updates too large", "approx_kl", "0.3000  > 0.0500", "calibrated on recorded runs", "The learning rate is too high",
        "learning_rate 0.03 → ", "can be changed while it trains", "also seen", "would disprove it", "upswing explain P01", "% sure",
        "1 finding",
    ):  # fmt: skip
        assert part in text, part


def test_one_screen_is_enough_and_nothing_is_wider_than_asked():
    for width in (70, 80, 100, 140):
        for series in (healthy(), healthy(**FAULTY)):
            lines = shown(diagnose(series), width=width).splitlines()
            assert max(len(line) for line in lines) <= width
            assert len(lines) <= 40


@both
def test_a_healthy_run_is_told_so(lang):
    text = shown(diagnose(healthy()), lang)
    assert "✔" in text
    assert texts(lang).words["healthy"] in text


def test_full_lists_every_check():
    text = shown(diagnose(healthy(**FAULTY)), full=True)
    for rule in RULES:
        assert rule.code in text


def test_a_page_needs_nothing_else_and_escapes_what_it_shows(tmp_path):
    import dataclasses

    series = dataclasses.replace(healthy(**FAULTY), name="<script>alert(1)</script>")
    text = page(diagnose(series), "en")
    assert "<script" not in text
    assert not re.search(r"(src|href)=|url\(|@import|https?://", text)
    assert text.count("<svg") >= 2
    assert 'class="limit"' in text
    write_page(diagnose(healthy()), tmp_path / "page.html", "zh")
    assert '<html lang="zh">' in (tmp_path / "page.html").read_text("utf-8")


def test_a_chart_stays_small_and_keeps_its_spikes():
    x = np.arange(20_000.0)
    y = np.where(x == 7777, 1e6, 1.0)
    a, b = thinned(x, y)
    assert len(a) <= 400
    assert b.max() == 1e6
    assert "NaN" not in chart(x, y, limit=np.nan if False else 2.0, onset=5.0)
    assert chart(x, np.full(20_000, np.nan)) == ""


@both
def test_a_plan_is_shown_with_its_warnings(lang):
    console = Console(file=io.StringIO(), width=100, color_system=None)
    print_plan(plan(TrainConfig(gamma=0.5)), console, lang)
    text = console.file.getvalue()
    assert "T02" in text
    assert "15,680" in text
    assert "gamma 0.5 → 0.99" in text
    assert texts(lang).words["restart"] not in text


def test_unknown_values_are_dashes():
    assert fill("{a:.2f} and {b:,.0f}, {c}", {"a": -1.5, "b": None, "c": "x"}) == "−1.50 and –, x"
