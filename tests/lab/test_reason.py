"""The doctor's reason for a setting: one rule, and the same words of it in a study and in a comparison."""

from types import SimpleNamespace

import pytest

from lab.made_runs import make_study
from upswing.doctor.findings import ERROR, WARN
from upswing.lab.compare import compare
from upswing.lab.judging import judged
from upswing.lab.reason import reason_of
from upswing.lab.study_record import read_study
from upswing.lab.worded import reason_line


def seen(*codes):
    cards = [SimpleNamespace(code=code, severity=ERROR if code == "B01" else WARN) for code in codes]
    return SimpleNamespace(grave=tuple(cards))


@pytest.mark.parametrize(("runs", "expected"), [
    ([], None),
    ([seen(), seen()], None),
    ([seen("P01", "C02"), seen("C02"), seen("P01")], ("P01", 2, 3)),
    ([seen("P01"), seen("C02"), seen("E01")], None),  # each of a third
    ([seen("P01"), seen(), seen(), seen()], None),
    ([seen("P01"), seen("B01")], ("B01", 1, 2)),  # as frequent, and graver
    ([seen("P01"), seen()], ("P01", 1, 2)),
])  # fmt: skip
def test_the_first_card_that_half_of_the_runs_share(runs, expected):
    found = reason_of(runs)
    assert (None if found is None else (found.code, found.n, found.of)) == expected
    assert found is None or found.diagnosis is next(
        run for run in runs if run.grave[:1] and run.grave[0].code == found.code
    )


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_study_and_a_comparison_say_the_same(tmp_path, lang):
    base = {"batch_size": None, "n_minibatches": 4}
    folder = make_study(tmp_path / "study", {
        "n_envs=8": ([480.0, 490, 495], {"n_envs": 8, **base}, None),
        "n_envs=64": ([30.0, 20, 40], {"n_envs": 64, **base}, None),
    }, "n_envs=8")  # fmt: skip
    reason = judged(read_study(folder), folder, lang).setting("n_envs=64").reason
    row = compare([str(folder)]).row("n_envs=64")
    assert row.reason is not None and row.reason.n == row.reason.of == 3
    told = reason_line(row, lang)
    assert row.reason.code in reason and row.reason.code in told
    claim = told.split("。" if lang == "zh" else ". ", 1)[-1] if lang == "en" else told.split("。", 1)[1]
    assert claim in reason
