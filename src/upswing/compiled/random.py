"""Random numbers for compiled code: a stream is a uint64[4] that its owner keeps, saves and restores.

The generator is xoshiro256++ (Blackman and Vigna 2021, "Scrambled linear pseudorandom number generators", ACM TOMS 47):
period 2²⁵⁶ - 1, equidistributed in four dimensions, and no state hidden in a thread. Streams are spawned from NumPy's
SeedSequence, which keeps them independent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from upswing.compiled.compiler import inline, kernel

_11, _17, _19, _23, _32, _41, _45 = (np.uint64(n) for n in (11, 17, 19, 23, 32, 41, 45))
_LOW32, _ALL32 = np.uint64(2**32 - 1), np.uint64(2**32)
_TO_UNIT = 2.0**-53


def stream(seed: int | np.random.SeedSequence) -> np.ndarray:
    """A fresh stream, uint64 [4], for `seed`."""
    sequence = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    return sequence.generate_state(4, np.uint64)


def streams(seeds: Sequence[int | np.random.SeedSequence]) -> np.ndarray:
    """A fresh stream for each of `seeds`, uint64 [N, 4]."""
    return np.array([stream(seed) for seed in seeds], np.uint64).reshape(-1, 4)


@inline
def next_uint64(s):
    """The next 64 random bits of stream `s`."""
    total = s[0] + s[3]
    result = ((total << _23) | (total >> _41)) + s[0]
    t = s[1] << _17
    s[2] ^= s[0]
    s[3] ^= s[1]
    s[1] ^= s[2]
    s[0] ^= s[3]
    s[2] ^= t
    s[3] = (s[3] << _45) | (s[3] >> _19)
    return result


@inline
def unit(s):
    """A float64 in [0, 1), one of 2⁵³ equally likely."""
    return np.float64(next_uint64(s) >> _11) * _TO_UNIT


@inline
def uniform(s, low, high):
    """A float64 between `low` and `high`."""
    return low + (high - low) * unit(s)


@inline
def below(s, n):
    """An int64 in [0, n), for n up to 2³², all equally likely.

    Source: Lemire 2019, "Fast random integer generation in an interval", ACM TOMACS 29.
    """
    bound = np.uint64(n)
    product = (next_uint64(s) >> _32) * bound
    if (product & _LOW32) < bound:
        threshold = (_ALL32 - bound) % bound
        while (product & _LOW32) < threshold:
            product = (next_uint64(s) >> _32) * bound
    return np.int64(product >> _32)


@inline
def normal(s):
    """A standard normal float64, by Marsaglia's polar method (its second value is not kept: a stream has no memory)."""
    while True:
        x = 2.0 * unit(s) - 1.0
        y = 2.0 * unit(s) - 1.0
        r = x * x + y * y
        if 0.0 < r < 1.0:
            return x * math.sqrt(-2.0 * math.log(r) / r)


@inline
def shuffle(s, items):
    """Put `items` [n] in random order, all orders equally likely (Fisher and Yates)."""
    for i in range(items.size - 1, 0, -1):
        j = below(s, i + 1)
        items[i], items[j] = items[j], items[i]


@kernel("void(u8[::1], i8[::1])")
def shuffle_once(s, items):
    """`shuffle`, to be called from Python."""
    shuffle(s, items)
