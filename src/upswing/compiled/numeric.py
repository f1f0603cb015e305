"""Elementary functions on float32 that LLVM can turn into vector instructions; the C library's are one at a time.

Written without branches. Coefficients are minimax fits of this project (relative error, Lawson's iteration); errors
are given as measured over the whole range in float32 arithmetic.
"""

from __future__ import annotations

import numpy as np

from upswing.compiled.compiler import inline, inline_finite

f32, i32 = np.float32, np.int32

LARGEST_TANH = f32(8.6)  # beyond it tanh is 1 up to 7e-8
T1, T2, T3, T4 = f32(1.34068742e-01), f32(3.52640077e-03), f32(2.11223687e-05), f32(1.40824605e-08)
U1, U2, U3, U4 = f32(4.6740195e-01), f32(2.5993897e-02), f32(3.3362690e-04), f32(8.0706309e-07)

LOWEST_EXP, HIGHEST_EXP = f32(-87.0), f32(88.0)  # beyond, the result is not a normal number
LOG2_E, LN_2, HALF, ONE = f32(1.4426950408889634), f32(0.6931471805599453), f32(0.5), f32(1.0)


@inline
def clamp(x, low, high):
    """`x` kept between `low` and `high`; NaN stays NaN, which min and max do not promise."""
    x = low if x < low else x
    return high if x > high else x


@inline_finite
def tanh(x):
    """tanh x, within 4e-7: x P(x²) / Q(x²), and NaN for NaN."""
    x = clamp(x, -LARGEST_TANH, LARGEST_TANH)
    s = x * x
    p = (((T4 * s + T3) * s + T2) * s + T1) * s + ONE
    q = (((U4 * s + U3) * s + U2) * s + U1) * s + ONE
    return x * p / q


E2, E3, E4, E5, E6 = f32(0.49999993), f32(0.16666521), f32(0.041668388), f32(0.0083687169), f32(0.0013814598)
EXPONENT_BIAS, FRACTION_BITS = i32(127), i32(23)


@inline
def exp(x):
    """eˣ, within 3e-7 of itself, for x in [-87, 88]; constant beyond: 2ⁿ eʳ with |r| ≤ ½ log 2."""
    x = clamp(x, LOWEST_EXP, HIGHEST_EXP)
    n = np.floor(x * LOG2_E + HALF)
    r = x - n * LN_2
    tail = ((((E6 * r + E5) * r + E4) * r + E3) * r + E2) * (r * r)
    power = i32((i32(n) + EXPONENT_BIAS) << FRACTION_BITS).view(np.float32)
    return (ONE + (r + tail)) * power


L3, L4, L5, L6 = f32(0.33333911), f32(-0.25001337), f32(0.19963064), f32(-0.16577585)
L7, L8, L9 = f32(0.14914769), f32(-0.14267486), f32(0.087004313)
ROOT_HALF_BITS = i32(0x3F3504F3)  # √½, so that the fraction lies in [√½, √2)
FRACTION_MASK = i32(0x007FFFFF)


@inline
def log(x):
    """log x, within 2e-7 or 1e-7 of itself, for positive normal x: x = 2ⁿ (1 + t), |t| < 0.42."""
    bits = i32(f32(x).view(np.int32) - ROOT_HALF_BITS)
    n = np.float32(bits >> FRACTION_BITS)
    t = i32((bits & FRACTION_MASK) + ROOT_HALF_BITS).view(np.float32) - ONE
    s = t * t
    tail = (((((((L9 * t + L8) * t + L7) * t + L6) * t + L5) * t + L4) * t + L3) * t) * s
    return n * LN_2 + (t - HALF * s + tail)


SMALL = f32(0.125)
K3, K4, K5, K6 = (f32(1.0 / n) for n in (6, 24, 120, 720))


@inline
def exp_minus_linear(x, exp_x):
    """eˣ - 1 - x, given eˣ, without the cancellation that float32 suffers for small x: there by its Taylor series."""
    series = x * x * (HALF + x * (K3 + x * (K4 + x * (K5 + x * K6))))
    return series if abs(x) < SMALL else exp_x - ONE - x
