import pytest

from upswing.view.numbers import count, duration, number, percent, rate, tick


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (float("-inf"), "−∞"),
        (0.0, "0"),
        (500.0, "500.0"),
        (-172.25, "−172.2"),
        (3.14159, "3.14"),
        (0.0123, "0.0123"),
        (2.5e-7, "2.5e−07"),
        (9155, "9,155"),
        (1_250_000, "1.25M"),
    ],
)
def test_a_number_is_short_and_keeps_its_meaning(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "step", "text"),
    [
        (500, 100, "500"),
        (0.25, 0.05, "0.25"),
        (0.3, 0.1, "0.3"),
        (20_000, 20_000, "20k"),
        (1_500_000, 500_000, "1.5M"),
        (-1200, 200, "−1200"),
        (-0.0, 1, "0"),
        (0.0005, 0.0005, "0.0005"),
    ],
)
def test_an_axis_label_has_the_digits_that_its_step_needs(value, step, text):
    assert tick(value, step) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (float("inf"), "–"),
        (0.8, "0.8 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (7620, "2 h 07 min"),
        (3 * 86400 + 4 * 3600, "3 d 4 h"),
    ],
)
def test_a_duration_has_two_units(seconds, text):
    assert duration(seconds) == text


def test_counts_rates_and_shares():
    assert count(1_024_000) == "1,024,000"
    assert (rate(44_800.4), rate(3.25), rate(None)) == ("44,800", "3.2", "–")
    assert percent(0.586) == "59 %"
