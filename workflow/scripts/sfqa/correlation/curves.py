"""Curves that map scores to the MOS scale, and their least-squares fits."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from scipy.optimize import OptimizeWarning, curve_fit
from scipy.special import expit

from sfqa.arrays import Floats

Curve = Callable[..., Floats]

#: Function evaluations per start at most. A fit that needs more converges slowly to a line.
EVALUATIONS = 400

#: Widths of the logistic in the grid search for a start, in standard deviations of the scores.
_WIDTHS = (0.03, 0.1, 0.3, 1.0, 3.0)

#: All parameters of a curve, and the mean square error of the fit.
CurveFit = tuple[Floats, float]


def logistic4(x: Floats, b1: float, b2: float, b3: float, b4: float) -> Floats:
    """Return ``b2 + (b1 - b2) / (1 + exp(-(x - b3) / |b4|))``.

    The 4-parameter logistic of SimpleVQA, THQA and most of the field. It runs from b2 to b1 with
    its midpoint at b3 and width ``|b4|``. It decreases if ``b1 < b2``.

    >>> logistic4(np.array([0.0]), 5.0, 1.0, 0.0, 1.0).tolist()
    [3.0]
    """
    width = max(abs(b4), np.finfo(np.float64).tiny)
    with np.errstate(over="ignore"):
        return b2 + (b1 - b2) * expit((x - b3) / width)


def logistic5(x: Floats, b1: float, b2: float, b3: float, b4: float, b5: float) -> Floats:
    """Return ``b1 (1/2 - 1 / (1 + exp(b2 (x - b3)))) + b4 x + b5``.

    The 5-parameter logistic of VQEG (2003) and most image quality papers: a logistic plus a line.

    >>> logistic5(np.array([0.0]), 5.0, 1.0, 0.0, 1.0, 3.0).tolist()
    [3.0]
    """
    with np.errstate(over="ignore"):
        return b1 * (expit(b2 * (x - b3)) - 0.5) + b4 * x + b5


def compute_slopes4(x: Floats, b1: float, b2: float, b3: float, b4: float) -> Floats:
    """Return the derivatives of :func:`logistic4` with respect to its parameters, (n, 4)."""
    width = max(abs(b4), np.finfo(np.float64).tiny)
    z = np.clip((x - b3) / width, -700.0, 700.0)  # outside, s is 0 or 1 and all slopes are 0
    s = expit(z)
    bell = s * (1.0 - s) * ((b2 - b1) / width)
    slopes = np.empty((x.size, 4))
    slopes[:, 0], slopes[:, 1] = s, 1.0 - s
    slopes[:, 2], slopes[:, 3] = bell, bell * z if b4 >= 0 else -bell * z
    return slopes


def compute_slopes5(x: Floats, b1: float, b2: float, b3: float, b4: float, b5: float) -> Floats:
    """Return the derivatives of :func:`logistic5` with respect to its parameters, (n, 5)."""
    s = expit(np.clip(b2 * (x - b3), -700.0, 700.0))
    bell = b1 * s * (1.0 - s)
    return np.column_stack([s - 0.5, bell * (x - b3), -bell * b2, x, np.ones_like(x)])


def fit_logistic4(u: Floats, v: Floats, half: float, max_error: float) -> Floats | None:
    """Fit :func:`logistic4` to standardised scores ``u`` and MOS ``v``; None if the fit fails.

    The better fit from two starts: the start that papers use (``half`` is its .5 in units of u) and
    the best point of a grid. If neither gets below the mean square error ``max_error``, as happens
    for data that curve in one direction only, the fit is repeated with the midpoint b3 fixed half a
    range outside the scores.
    """
    half_range = float(np.ptp(u)) / 2
    low, high = float(u.min()) - half_range, float(u.max()) + half_range
    usual_start = [float(v.max()), float(v.min()), 0.0, half]
    grid_start = _search_start4(u, v, np.linspace(low, high, 9))
    best = _fit_from_starts(
        u, v, logistic4, compute_slopes4, [usual_start, grid_start], range(4), max_error
    )
    if best is None:
        # Data that curve in one direction only drive the midpoint to infinity, so it is fixed.
        starts = [_search_start4(u, v, np.array([midpoint])) for midpoint in (low, high)]
        best = _fit_from_starts(u, v, logistic4, compute_slopes4, starts, (0, 1, 3), max_error)
    return best


def fit_logistic5(
    u: Floats, v: Floats, usual_start: list[float], max_error: float
) -> Floats | None:
    """Fit :func:`logistic5` to standardised scores ``u`` and MOS ``v``; None if the fit fails.

    The best fit from three starts: the start that papers use (``usual_start``, in the units of u
    and v), the best point of a grid, and the 4-parameter fit, which is a special case. If none
    converges, as happens for data close to a cubic or a line (the limits of the curve), the fit is
    repeated with the slope b2 fixed at its value in the grid.
    """
    if u.size < 5:
        return None
    grid_start = _search_start5(u, v)
    starts = [usual_start, grid_start]
    parameters4 = fit_logistic4(u, v, 0.5, np.inf)
    if parameters4 is not None:
        b1, b2, b3, b4 = parameters4
        width = max(abs(float(b4)), 1e-6)
        starts.append([float(b1 - b2), 1 / width, float(b3), 0.0, float(b1 + b2) / 2])
    best = _fit_from_starts(u, v, logistic5, compute_slopes5, starts, range(5), max_error)
    if best is None:
        free = (0, 2, 3, 4)
        best = _fit_from_starts(u, v, logistic5, compute_slopes5, [grid_start], free, max_error)
    return best


def fit_cubic(u: Floats, v: Floats) -> Floats:
    """Fit a third-order polynomial of v on u; returns the coefficients, the constant first.

    If u has fewer than four different values, returns the solution with the smallest norm.

    >>> u = np.array([-1.0, 0.0, 1.0, 2.0])
    >>> np.abs(fit_cubic(u, u**3).round(9)).tolist()
    [0.0, 0.0, 0.0, 1.0]
    """
    return np.asarray(np.linalg.lstsq(np.vander(u, 4, increasing=True), v, rcond=None)[0])


def _fit_from_starts(
    u: Floats,
    v: Floats,
    curve: Curve,
    slopes: Curve,
    starts: list[list[float]],
    free: range | tuple[int, ...],
    max_error: float,
) -> Floats | None:
    """Return the parameters of the best fit, None if no error is below ``max_error``."""
    best: Floats | None = None
    for start in starts:
        fit = _fit_least_squares(u, v, curve, slopes, start, list(free))
        if fit is not None and fit[1] < max_error:
            best, max_error = fit
    return best


def _fit_least_squares(
    u: Floats, v: Floats, curve: Curve, slopes: Curve, start: list[float], free: list[int]
) -> CurveFit | None:
    """Fit the ``free`` parameters from a start; the others keep their start values."""
    parameters = np.array(start)

    def set_free(values: tuple[float, ...]) -> Floats:
        parameters[free] = values
        return parameters

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", OptimizeWarning)  # the covariance is not used
        try:
            fitted_values, _ = curve_fit(
                lambda x, *b: curve(x, *set_free(b)),
                u,
                v,
                parameters[free],
                jac=lambda x, *b: slopes(x, *set_free(b))[:, free],
                maxfev=EVALUATIONS,
            )
        except RuntimeError:
            return None
        set_free(tuple(fitted_values))
        error = float(np.mean((curve(u, *parameters) - v) ** 2))
    return (parameters, error) if np.isfinite(parameters).all() and np.isfinite(error) else None


def _search_start4(u: Floats, v: Floats, midpoints: Floats) -> list[float]:
    """Return the best start on a grid of midpoints and widths; b1 and b2 are solved linearly."""
    best, max_explained = [0.0, 0.0, 0.0, 1.0], -1.0
    for b3 in midpoints:
        for b4 in _WIDTHS:
            s = expit((u - b3) / b4)
            centred = s - s.mean()
            power = float(centred @ centred)
            if power < 1e-12:
                continue
            slope = float(centred @ v) / power
            if slope * slope * power > max_explained:
                max_explained = slope * slope * power
                b2 = -slope * float(s.mean())  # v has mean 0
                best = [b2 + slope, b2, float(b3), b4]
    return best


def _search_start5(u: Floats, v: Floats) -> list[float]:
    """Return the best start on a grid of midpoints and widths; b1, b4, b5 are solved linearly."""
    best, min_error = [0.0, 1.0, 0.0, float(np.mean(u * v)), 0.0], np.inf
    for b3 in np.linspace(float(u.min()), float(u.max()), 9):
        for width in (*_WIDTHS, 10.0):
            design = np.column_stack([expit((u - b3) / width) - 0.5, u, np.ones_like(u)])
            (b1, b4, b5), *_ = np.linalg.lstsq(design, v, rcond=None)
            error = float(np.mean((design @ (b1, b4, b5) - v) ** 2))
            if error < min_error:
                min_error = error
                best = [float(b1), 1 / width, float(b3), float(b4), float(b5)]
    return best
