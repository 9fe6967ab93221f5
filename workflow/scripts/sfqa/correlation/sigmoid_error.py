"""The error of a logistic curve at its best height, as a function of its middle and width.

The curve is ``c0 + c1 s((u - middle) / width) [+ c2 u]`` with the logistic s. For a middle and a
width the coefficients follow in closed form, so the error is a function of two numbers (variable
projection: Golub and Pereyra, 1973), computed here with its derivatives for many pairs at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sfqa.arrays import Floats, Ints

#: Largest width, in standard deviations of the scores, without and with a straight line. Beyond it
#: the curve equals its limit (a line, a cubic) to more digits than floating point leaves to it.
MAX_WIDTH, MAX_TILTED_WIDTH = 1e5, 1e3
#: Distance from the middle, in widths, beyond which a score does not see the slope.
_FLAT = 15.0


@dataclass(frozen=True)
class SortedPoints:
    """Sorted scores, and the MOS without what a constant (and a line) explains.

    ``basis``: (n, 1 or 2), orthonormal columns of the constant and the line. ``distinct``: the
    different scores; ``first``: the index of the first point of each.
    """

    u: Floats
    v: Floats
    basis: Floats
    target: Floats
    distinct: Floats
    first: Ints
    max_width: float

    @property
    def min_width(self) -> float:
        """The smallest width: a curve that is a step at any two different scores."""
        return float(np.diff(self.distinct).min()) / 100


@dataclass(frozen=True)
class ErrorExpansion:
    """The error at some middles and widths, and its second-order expansion there.

    ``descent``: (starts, 2), minus half the gradient by the middle (in widths) and the log width;
    ``hessian``: (starts, 2, 2), half the second derivatives, or the Gauss-Newton approximation
    where they are not positive definite. ``is_step``: at most one different score is on the slope.
    """

    error: Floats
    descent: Floats
    hessian: Floats
    is_step: npt.NDArray[np.bool_]


def sort_points(u: Floats, v: Floats, is_tilted: bool) -> SortedPoints:
    order = np.argsort(u, kind="stable")
    u, v = u[order], v[order]
    columns = [np.ones_like(u), u] if is_tilted else [np.ones_like(u)]
    basis = np.linalg.qr(np.column_stack(columns))[0]
    target = v - basis @ (basis.T @ v)
    distinct, first = np.unique(u, return_index=True)
    max_width = MAX_TILTED_WIDTH if is_tilted else MAX_WIDTH
    return SortedPoints(
        u, v, basis, target - basis @ (basis.T @ target), distinct, first, max_width
    )


def compute_sigmoids(points: SortedPoints, middle: Floats, width: Floats) -> tuple[Floats, ...]:
    """Return logistic curves (starts, n) up to a constant, 2 s - 1, their slopes, and z.

    The constant is chosen so that curves whose slope is far from all scores keep their digits.
    """
    z = np.clip((points.u - middle[:, None]) / width[:, None], -700.0, 700.0)
    distance = np.abs(z)
    decay = np.exp(-distance)
    share = 1 / (1 + decay)
    odd = np.copysign(-np.expm1(-distance) * share, z)
    curve = odd / 2
    is_left, is_right = z[:, -1] < -1, z[:, 0] > 1
    curve[is_left] = (decay * share)[is_left]
    curve[is_right] = -(decay * share)[is_right]
    return curve, odd, decay * share * share, z


def project_rows(points: SortedPoints, rows: Floats) -> Floats:
    """Return rows (starts, n) without what the constant (and the line) explains."""
    return np.asarray(rows - (rows @ points.basis) @ points.basis.T)


def solve_heights(points: SortedPoints, curve: Floats, reduced: Floats) -> tuple[Floats, Floats]:
    """Return the factor of each curve, 0 if the curve is flat or straight, and its power."""
    reach = np.abs(curve[:, 0] - curve[:, -1])
    power = np.einsum("kn,kn->k", reduced, reduced)
    has_power = power > (1e-11 * reach) ** 2 * points.u.size
    power = np.where(has_power, power, 1.0)
    return np.where(has_power, reduced @ points.target / power, 0.0), power


def compute_errors(points: SortedPoints, middle: Floats, width: Floats) -> Floats:
    """Return the sums of squared errors up to a constant, for the choice of starts."""
    curve = compute_sigmoids(points, middle, width)[0]
    height, power = solve_heights(points, curve, project_rows(points, curve))
    return np.asarray(-height * height * power)


def expand_error(points: SortedPoints, middle: Floats, width: Floats) -> ErrorExpansion:
    """Return the sum of squared errors, its derivatives, and whether the curve is a step."""
    curve, odd, bell, z = compute_sigmoids(points, middle, width)
    reduced = project_rows(points, curve)
    height, power = solve_heights(points, curve, reduced)
    # Projected again: a wide curve has a large factor, which makes rounding errors of a constant
    # in the residual as large as the derivatives.
    residual = project_rows(points, points.target - height[:, None] * reduced)
    # Derivatives of the curve: -bell and -z bell; of second order: curl, z curl + bell and
    # z^2 curl + z bell, where curl is the second derivative of s.
    z_bell, curl = z * bell, -odd * bell * residual
    along = -np.stack([_dot(residual, bell), _dot(residual, z_bell)], axis=1)
    mixed = _dot(curl, z) - along[:, 0]
    second = _build_symmetric(curl.sum(axis=1), mixed, _dot(curl, z * z) - along[:, 1])
    slopes = (project_rows(points, -bell), project_rows(points, -z_bell))
    products = _build_symmetric(
        _dot(slopes[0], slopes[0]), _dot(slopes[0], slopes[1]), _dot(slopes[1], slopes[1])
    )
    shared = np.stack([_dot(reduced, slope) for slope in slopes], axis=1)
    squared = (height * height)[:, None, None]
    gauss = squared * (products - _multiply_outer(shared) / power[:, None, None])
    coupling = height[:, None] * shared - along
    newton = squared * products - height[:, None, None] * second
    newton -= _multiply_outer(coupling) / power[:, None, None]
    determinant = newton[:, 0, 0] * newton[:, 1, 1] - newton[:, 0, 1] ** 2
    is_convex = (newton[:, 0, 0] > 0) & (
        determinant > 1e-12 * newton[:, 0, 0] * np.abs(newton[:, 1, 1])
    )
    return ErrorExpansion(
        _dot(residual, residual),
        height[:, None] * along,
        np.where(is_convex[:, None, None], newton, gauss),
        (np.abs(z[:, points.first]) < _FLAT).sum(axis=1) <= 1,
    )


def _dot(a: Floats, b: Floats) -> Floats:
    return np.asarray(np.einsum("kn,kn->k", a, b))


def _build_symmetric(first: Floats, mixed: Floats, last: Floats) -> Floats:
    """Return the symmetric matrices (starts, 2, 2) with these entries."""
    return np.stack([first, mixed, mixed, last], axis=1).reshape(-1, 2, 2)


def _multiply_outer(vectors: Floats) -> Floats:
    return np.asarray(vectors[:, :, None] * vectors[:, None, :])
