"""Elementary functions and products of compiled code against float64."""

import math

import numpy as np
import pytest

from upswing.compiled import numeric
from upswing.compiled.blas import multiply, multiply_transposed
from upswing.compiled.clock import nanoseconds
from upswing.compiled.compiler import inline, kernel
from upswing.compiled.transpose import transpose


@kernel("void(f4[::1], f4[::1], i8)")
def elementary(x, y, which):
    for i in range(x.size):
        if which == 0:
            y[i] = numeric.tanh(x[i])
        elif which == 1:
            y[i] = numeric.exp(x[i])
        elif which == 2:
            y[i] = numeric.log(x[i])
        else:
            y[i] = numeric.exp_minus_linear(x[i], numeric.exp(x[i]))


def computed(which, x):
    y = np.empty_like(x)
    elementary(x, y, which)
    return y


SPREAD = np.concatenate([np.linspace(-20, 20, 400_001), np.geomspace(1e-7, 1, 10_000), -np.geomspace(1e-7, 1, 10_000)])


@pytest.mark.parametrize(("which", "x", "exact", "relative"), [
    (0, SPREAD, np.tanh, 4e-7),
    (1, np.linspace(-87, 88, 400_001), np.exp, 3.5e-7),
    (3, np.linspace(-8, 8, 200_001), lambda x: np.expm1(x) - x, 1e-5),
    (3, np.geomspace(1e-6, 0.12, 50_000), lambda x: x * x * (0.5 + x / 6 + x * x / 24 + x**3 / 120), 1e-6),
], ids=["tanh", "exp", "k3", "k3_small"])  # fmt: skip
def test_elementary_functions_within_their_stated_errors(which, x, exact, relative):
    x = x[x != 0.0].astype(np.float32)
    expected = exact(x.astype(np.float64))
    assert np.abs(computed(which, x) / expected - 1.0).max() < relative


def test_log_within_its_stated_error():
    x = np.geomspace(1e-30, 1e30, 400_001).astype(np.float32)
    expected = np.log(x.astype(np.float64))
    assert (np.abs(computed(2, x) - expected) < np.maximum(2e-7, 2e-7 * np.abs(expected))).all()


def test_limits():
    x = np.array([-np.inf, np.inf, 1e30, -1e30, 0.0], np.float32)
    np.testing.assert_allclose(computed(0, x), [-1, 1, 1, -1, 0], atol=3e-7)
    assert np.isfinite(computed(1, x)).all()
    for which in (0, 1, 3):
        assert np.isnan(computed(which, np.array([np.nan], np.float32))).all()


@kernel("void(i8, i8, i8, f4[::1], i8, f4[::1], i8, f4, f4[::1], i8, b1)")
def product(rows, inner, columns, a, a_at, b, b_at, beta, c, c_at, transposed):
    if transposed:
        multiply_transposed(rows, inner, columns, a, a_at, b, b_at, beta, c, c_at)
    else:
        multiply(rows, inner, columns, a, a_at, b, b_at, beta, c, c_at)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("beta", [0.0, 1.0])
@pytest.mark.parametrize("shape", [(1, 4, 64), (64, 64, 64), (3, 70, 5), (130, 1, 2), (200, 300, 150)])
def test_products_inside_flat_buffers(shape, beta, transposed):
    rows, inner, columns = shape
    rng = np.random.default_rng(0)
    a, b, c = (rng.standard_normal(n + 7).astype(np.float32) for n in (rows * inner, inner * columns, rows * columns))
    left = a[3 : 3 + rows * inner].reshape((inner, rows) if transposed else (rows, inner))
    left = left.T if transposed else left
    expected = left.astype(np.float64) @ b[5 : 5 + inner * columns].reshape(inner, columns)
    expected += beta * c[2 : 2 + rows * columns].reshape(rows, columns)
    outside = c[:2].copy(), c[2 + rows * columns :].copy()
    product(rows, inner, columns, a, 3, b, 5, beta, c, 2, transposed)
    np.testing.assert_allclose(c[2 : 2 + rows * columns].reshape(rows, columns), expected, atol=2e-6 * inner + 1e-5)
    np.testing.assert_array_equal(np.concatenate(outside), np.concatenate([c[:2], c[2 + rows * columns :]]))


@kernel("void(f4[::1], i8, i8, i8, f4[::1], i8)")
def transposed(source, source_at, rows, columns, target, target_at):
    transpose(source, source_at, rows, columns, target, target_at)


@pytest.mark.parametrize(
    "shape", [(16, 16), (64, 64), (1, 1), (64, 4), (4, 64), (2, 64), (17, 33), (48, 16), (15, 100)]
)
def test_transposing(shape):
    source = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    flat, target = np.concatenate([np.zeros(3, np.float32), source.ravel()]), np.full(source.size + 9, 7.0, np.float32)
    transposed(flat, 3, *shape, target, 5)
    np.testing.assert_array_equal(target[5:-4].reshape(shape[::-1]), source.T)
    assert (target[:5] == 7.0).all() and (target[-4:] == 7.0).all()


@kernel("f8(f4)")
def finite(x):
    return 1.0 if math.isfinite(x) else 0.0


@kernel("i8()")
def now():
    return nanoseconds()


def test_relaxed_arithmetic_still_tells_what_is_finite():
    assert [finite(np.float32(x)) for x in (1.0, np.nan, np.inf, -np.inf)] == [1.0, 0.0, 0.0, 0.0]


def test_the_clock_runs():
    first = now()
    while now() == first:
        pass
    assert now() > first


def test_kernels_refuse_other_layouts():
    x = np.zeros(8, np.float32)
    for wrong in (x[::2], x.astype(np.float64), x.reshape(2, 4)):
        with pytest.raises(TypeError, match="No matching definition"):
            elementary(wrong, x, 0)
    x.flags.writeable = False
    with pytest.raises(TypeError, match="No matching definition"):
        elementary(x, x, 0)


def test_parts_are_not_for_python():
    @inline
    def part(x):
        return x + 1.0

    with pytest.raises(TypeError, match="not callable"):
        part(1.0)
