"""Newton iteration for many positions at once: derivatives, convergence, limits and failures."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from subpixal.geometry.newton import jacobian, newton, pseudo_inverse, tangents

MATRIX = np.array([[2.0, -0.5], [0.3, 1.5]])
OPTIONS = {"accuracy": 1e-10, "maxiter": 50, "max_step": 100.0}


def linear(x, y):
    """Linear map of the plane."""
    return MATRIX @ np.array([x, y]) + np.array([[7.0], [-3.0]])


def curved(x, y):
    """Smooth map of the plane that is one-to-one near the positions in these tests."""
    return np.array([x + 0.002 * x * y, y - 0.001 * x**2 + 1e-5 * y**3])


def sphere(x, y):
    """Map pixels with a size of one degree to unit vectors."""
    lon, lat = np.deg2rad(x), np.deg2rad(y)
    return np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])


class Counting:
    """Forward function that records the number of points in each call."""

    def __init__(self, function):
        self.function, self.sizes = function, []

    def __call__(self, x, y):
        self.sizes.append(len(x))
        return self.function(x, y)


def make_points(n, seed=1, size=20):
    """Return random positions, shape (2, n)."""
    return np.random.default_rng(seed).uniform(-size, size, (2, n))


def test_jacobian_of_a_linear_map():
    """The finite differences of a linear map equal its matrix for every step size."""
    x, y = make_points(20)
    for step in (0.01, 1.0, 8.0):
        found = jacobian(linear, x, y, linear(x, y), step=step)
        assert found.shape == (2, 2, 20)
        assert_allclose(found, np.repeat(MATRIX.T[..., None], 20, 2), rtol=0, atol=1e-11)


def test_jacobian_of_a_curved_map():
    """The errors of derivatives are at most half a step times the second derivatives."""
    x, y = make_points(50)
    dx, dy = jacobian(curved, x, y, curved(x, y), step=1e-3)
    assert_allclose(dx, [1 + 0.002 * y, -0.002 * x], rtol=0, atol=1e-3 * 0.0011)
    assert_allclose(dy, [0.002 * x, 1 + 3e-5 * y**2], rtol=0, atol=1e-3 * 0.0011)


def test_jacobian_does_not_map_known_points_again():
    """The Jacobian maps two points for each position. The mapped position is an argument."""
    x, y = make_points(30)
    forward = Counting(curved)
    found = jacobian(forward, x, y, curved(x, y))
    assert forward.sizes == [60]
    points, others = tangents(curved, x, y)
    assert_array_equal(points, curved(x, y))
    assert_array_equal(found, others)


def test_pseudo_inverse_is_least_squares():
    """The steps equal a least-squares fit to a residual in three dimensions."""
    rng = np.random.default_rng(2)
    derivatives, residual = rng.normal(size=(2, 3, 40)), rng.normal(size=(3, 40))
    inverse, size = pseudo_inverse(derivatives)
    steps = (inverse * residual).sum(1)
    assert_allclose(size, np.linalg.norm(derivatives, axis=1).max(0))
    for k in range(40):
        expected = np.linalg.lstsq(derivatives[..., k].T, residual[:, k], rcond=None)[0]
        assert_allclose(steps[:, k], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("forward", [linear, curved, sphere])
def test_newton_finds_the_original_positions(forward):
    """The iteration finds the original positions from starts several pixels away."""
    x, y = make_points(200)
    start = np.array([x, y]) + make_points(200, seed=2, size=5)
    u, v, closed = newton(forward, forward(x, y), *start, **OPTIONS)
    assert closed.all()
    assert_allclose([u, v], [x, y], rtol=0, atol=1e-10)


def test_newton_does_not_change_its_arguments():
    """The iteration does not change the array of start positions."""
    start = np.zeros((2, 5))
    newton(curved, curved(*make_points(5)), *start, **OPTIONS)
    assert not start.any()


def test_newton_from_nan_gives_nan():
    """If a start or a target is NaN, its result is NaN. The other positions converge."""
    x, y = make_points(4)
    start, target = np.zeros((2, 4)), curved(x, y)
    start[0, 1], target[1, 2] = np.nan, np.nan
    u, v, closed = newton(curved, target, *start, **OPTIONS)
    assert_array_equal(closed, [True, False, False, True])
    assert_allclose(u[closed], x[closed], atol=1e-10)
    assert np.isnan([u[1:3], v[1:3]]).all()


def test_newton_without_points_gives_empty_arrays():
    """For zero points, the result is an empty array."""
    u, v, closed = newton(curved, np.empty((2, 0)), np.empty(0), np.empty(0), **OPTIONS)
    assert u.shape == v.shape == closed.shape == (0,)


def test_newton_without_a_solution_gives_nan():
    """A target without a solution gives NaN and no warning."""

    def bowl(x, y):
        return np.array([x**2 + 1, y])

    u, v, closed = newton(
        bowl, np.array([[-3.0, 2.0], [0.0, 0.0]]), np.full(2, 5.0), np.zeros(2), **OPTIONS
    )
    assert_array_equal(closed, [False, True])
    assert np.isnan([u[0], v[0]]).all()
    assert_allclose([u[1], v[1]], [1, 0], atol=1e-9)


def test_newton_does_not_take_a_zero_step_for_convergence():
    """A zero step because of a residual perpendicular to both derivatives is not convergence."""

    def plane(x, y):
        return np.array([x, y, np.zeros_like(x)])

    target = np.array([[3.0], [4.0], [1e-3]])
    u, v, closed = newton(plane, target, np.zeros(1), np.zeros(1), **OPTIONS)
    assert not closed.any()
    assert np.isnan([u, v]).all()


def test_newton_does_not_take_the_antipode_for_a_solution():
    """A start opposite to its target on a sphere gives a zero step, but is not a solution."""
    x, y = np.zeros(3), np.array([0.0, 10.0, 45.0])
    _, _, closed = newton(sphere, -sphere(x, y), x, y, accuracy=0.2, maxiter=1, max_step=1.0)
    assert not closed.any()


def test_newton_stops_at_maxiter():
    """The number of steps is at most ``maxiter``. Positions that have not converged are NaN."""
    target = curved(np.array([8.0]), np.array([9.0]))
    few = newton(curved, target, np.zeros(1), np.zeros(1), accuracy=1e-10, maxiter=2, max_step=1e9)
    assert not few[2].any()
    assert np.isnan(few[0]).all()
    forward = Counting(curved)
    options = {"accuracy": 1e-10, "maxiter": 3, "max_step": 0.5}
    newton(forward, target, np.zeros(1), np.zeros(1), **options)
    assert sum(forward.sizes) <= 3 * 3 + 1


def test_newton_without_steps_verifies_the_starts():
    """With ``maxiter=0``, a start is accepted only if it is a solution."""
    x, y = make_points(3)
    start = np.array([x + np.array([0, 0, 1]), y])
    options = {"accuracy": 1e-5, "maxiter": 0, "max_step": 1.0, "close": 1e-9}
    u, _, closed = newton(curved, curved(x, y), *start, **options)
    assert_array_equal(closed, [True, True, False])
    assert_array_equal(u[:2], x[:2])


def test_newton_limits_the_length_of_steps():
    """Ten steps of ``max_step`` reach a target at a distance of 10 times ``max_step``."""
    target = linear(np.array([100.0]), np.array([0.0]))
    for maxiter, expected in ((9, False), (11, True)):
        options = {"accuracy": 1e-8, "maxiter": maxiter, "max_step": 10.0}
        _, _, closed = newton(linear, target, np.zeros(1), np.zeros(1), **options)
        assert closed.all() == expected


def test_newton_keeps_starts_that_are_close():
    """If the residual of a start is below ``close``, the start is the result."""
    x, y = make_points(10)
    forward = Counting(linear)
    u, v, closed = newton(forward, linear(x, y), x + 1e-7, y, close=1e-6, **OPTIONS)
    assert closed.all()
    assert_array_equal([u, v], [x + 1e-7, y])
    assert forward.sizes == [10]


def test_newton_points_do_not_depend_on_each_other():
    """A point has exactly the same result alone, with other points, and with points that fail."""
    x, y = make_points(60)
    start = np.array([x, y]) + make_points(60, seed=2, size=8)
    options = {"accuracy": 1e-4, "maxiter": 50, "max_step": 100.0}
    together = newton(curved, curved(x, y), *start, **options)
    for k in range(0, 60, 7):
        one = slice(k, k + 1)
        alone = newton(curved, curved(x, y)[:, one], *start[:, one], **options)
        assert_array_equal([alone[0][0], alone[1][0]], [together[0][k], together[1][k]])
    failing = np.concatenate([start, [[np.nan, 1e200], [0, 0]]], axis=1)
    target = np.concatenate([curved(x, y), [[0, 0], [0, 0]]], axis=1)
    mixed = newton(curved, target, *failing, **options)
    assert_array_equal(mixed[0][:60], together[0])
    assert not mixed[2][60:].any()


def test_newton_halves_steps_beyond_the_end_of_the_sky():
    """If a step leads to a position without a sky, the iteration halves it until there is a sky."""

    def forward(x, y):
        inside = (np.abs(x) <= 50) & (np.abs(y) <= 50)
        return np.where(inside, [x + 3 * np.sin(x / 10), y + 2 * np.cos(y / 9)], np.nan)

    true = np.random.default_rng(1).uniform(-50, 50, (2, 5000))
    found = newton(
        forward, forward(*true), *np.clip(true + 2, -50, 50),
        accuracy=1e-6, maxiter=60, max_step=100.0,
    )  # fmt: skip
    assert found[2].all()
    assert_allclose(found[:2], true, rtol=0, atol=1e-5)
