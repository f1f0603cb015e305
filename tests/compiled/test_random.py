"""Random numbers of compiled code: the reference sequence, and the distributions they promise."""

import numpy as np
import pytest
from scipy import stats

from upswing.compiled import random as rng
from upswing.compiled.compiler import kernel


@kernel("void(u8[::1], u8[::1])")
def draw_bits(s, out):
    for i in range(out.size):
        out[i] = rng.next_uint64(s)


@kernel("void(u8[::1], f8[::1], i8)")
def draw(s, out, kind):
    for i in range(out.size):
        if kind == 0:
            out[i] = rng.unit(s)
        elif kind == 1:
            out[i] = rng.normal(s)
        else:
            out[i] = rng.below(s, kind)


def drawn(kind, n=100_000, seed=0):
    out = np.empty(n)
    draw(rng.stream(seed), out, kind)
    return out


def reference(state, n):
    """xoshiro256++ in Python's integers, from the published description."""
    mask, s, out = 2**64 - 1, [int(x) for x in state], []

    def rotl(x, k):
        return ((x << k) | (x >> (64 - k))) & mask

    for _ in range(n):
        out.append((rotl((s[0] + s[3]) & mask, 23) + s[0]) & mask)
        t = (s[1] << 17) & mask
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotl(s[3], 45)
    return out, s


def test_it_is_xoshiro256_plus_plus():
    state, out = np.array([1, 2, 3, 4], np.uint64), np.empty(1000, np.uint64)
    expected, left = reference(state, 1000)
    draw_bits(state, out)
    assert out.tolist() == expected and state.tolist() == left
    # the first values from the state 1, 2, 3, 4, as other implementations publish them
    assert expected[:3] == [41943041, 58720359, 3588806011781223]


def test_uniform():
    values = drawn(0)
    assert values.min() >= 0.0 and values.max() < 1.0
    assert stats.kstest(values, "uniform").pvalue > 0.01
    assert abs(np.corrcoef(values[1:], values[:-1])[0, 1]) < 0.01


def test_normal():
    values = drawn(1)
    assert stats.kstest(values, "norm").pvalue > 0.01
    assert abs(stats.kurtosis(values)) < 0.1


@pytest.mark.parametrize("n", [2, 3, 10, 1000])
def test_below_is_unbiased(n):
    counts = np.bincount(drawn(n).astype(int), minlength=n)
    assert len(counts) == n and stats.chisquare(counts).pvalue > 0.01


def test_below_rejects_what_would_bias_it():
    values = drawn(3 * 2**30)  # two thirds of 2³²: taking the remainder would favour the lower half by far
    assert stats.kstest(values / (3 * 2**30), "uniform").pvalue > 0.01


def test_shuffles_are_permutations_and_all_equally_likely():
    s, counts = rng.stream(5), {}
    for _ in range(12_000):
        items = np.arange(4)
        rng.shuffle_once(s, items)
        counts[tuple(items.tolist())] = counts.get(tuple(items.tolist()), 0) + 1
    assert len(counts) == 24 and stats.chisquare(list(counts.values())).pvalue > 0.01


def test_streams_are_reproducible_and_differ():
    many = rng.streams([0, 1, 2, *np.random.SeedSequence(0).spawn(2)])
    assert many.shape == (5, 4) and len({tuple(row) for row in many.tolist()}) == 5
    assert np.array_equal(many[1], rng.stream(1))
    assert rng.streams([]).shape == (0, 4)
