"""The curves that bring scores to the MOS scale, and their least-squares fits."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.optimize import OptimizeWarning, curve_fit
from scipy.special import expit

Array = npt.NDArray[np.float64]
Curve = Callable[..., Array]

#: What one start may cost; fits that need more creep towards a straight line.
EVALUATIONS = 400

#: Widths of the logistic, in standard deviations of the scores, that a start is looked for among.
_WIDTHS = (0.03, 0.1, 0.3, 1.0, 3.0)

Found = tuple[Array, float]


def logistic4(x: Array, b1: float, b2: float, b3: float, b4: float) -> Array:
    """Return ``b2 + (b1 - b2) / (1 + exp(-(x - b3) / |b4|))``.

    The 4-parameter logistic of SimpleVQA, THQA and most of the field: it runs from b2 to b1, its
    middle at b3, its width ``|b4|``; it falls where ``b1 < b2``.

    >>> logistic4(np.array([0.0]), 5.0, 1.0, 0.0, 1.0).tolist()
    [3.0]
    """
    width = max(abs(b4), np.finfo(np.float64).tiny)
    with np.errstate(over="ignore"):
        return b2 + (b1 - b2) * expit((x - b3) / width)


def logistic5(x: Array, b1: float, b2: float, b3: float, b4: float, b5: float) -> Array:
    """Return ``b1 (1/2 - 1 / (1 + exp(b2 (x - b3)))) + b4 x + b5``.

    The 5-parameter logistic of VQEG (2003) and most image quality papers: a logistic and a line.

    >>> logistic5(np.array([0.0]), 5.0, 1.0, 0.0, 1.0, 3.0).tolist()
    [3.0]
    """
    with np.errstate(over="ignore"):
        return b1 * (expit(b2 * (x - b3)) - 0.5) + b4 * x + b5


def slopes4(x: Array, b1: float, b2: float, b3: float, b4: float) -> Array:
    """Return the derivatives of :func:`logistic4` by its parameters, (n, 4)."""
    width = max(abs(b4), np.finfo(np.float64).tiny)
    z = np.clip((x - b3) / width, -700.0, 700.0)  # beyond, s is 0 or 1 and every slope is 0
    s = expit(z)
    bell = s * (1.0 - s) * ((b2 - b1) / width)
    slopes = np.empty((x.size, 4))
    slopes[:, 0], slopes[:, 1] = s, 1.0 - s
    slopes[:, 2], slopes[:, 3] = bell, bell * z if b4 >= 0 else -bell * z
    return slopes


def slopes5(x: Array, b1: float, b2: float, b3: float, b4: float, b5: float) -> Array:
    """Return the derivatives of :func:`logistic5` by its parameters, (n, 5)."""
    s = expit(np.clip(b2 * (x - b3), -700.0, 700.0))
    bell = b1 * s * (1.0 - s)
    return np.column_stack([s - 0.5, bell * (x - b3), -bell * b2, x, np.ones_like(x)])


def fit4(u: Array, v: Array, half: float, most: float) -> Array | None:
    """Fit :func:`logistic4` to standardised scores ``u`` and MOS ``v``; None if that fails.

    Two starts, the better end kept: the field's (``half`` is its .5 in units of u) and the best of
    a grid. Where neither gets below the mean square error ``most``, as for data that bend one way
    only, the middle b3 is held half a range outside the scores.
    """
    half_range = float(np.ptp(u)) / 2
    low, high = float(u.min()) - half_range, float(u.max()) + half_range
    field = [float(v.max()), float(v.min()), 0.0, half]
    best = _best(
        u, v, logistic4, slopes4, [field, _scan(u, v, np.linspace(low, high, 9))], range(4), most
    )
    if best is None:
        # Curved one way only, data pull the middle of the logistic out to infinity: hold it.
        starts = [_scan(u, v, np.array([middle])) for middle in (low, high)]
        best = _best(u, v, logistic4, slopes4, starts, (0, 1, 3), most)
    return best


def fit5(u: Array, v: Array, field: list[float], most: float) -> Array | None:
    """Fit :func:`logistic5` to standardised scores ``u`` and MOS ``v``; None if that fails.

    Three starts, the best end kept: the field's (``field``, in the units of u and v), the best of a
    grid, and the 4-parameter fit, which is a special case. Where none converges, as for data that
    pull the curve towards its limits, a cubic and a line, the slope b2 is held at that of the grid.
    """
    if u.size < 5:
        return None
    grid = _scan5(u, v)
    starts = [field, grid]
    four = fit4(u, v, 0.5, np.inf)
    if four is not None:
        b1, b2, b3, b4 = four
        width = max(abs(float(b4)), 1e-6)
        starts.append([float(b1 - b2), 1 / width, float(b3), 0.0, float(b1 + b2) / 2])
    best = _best(u, v, logistic5, slopes5, starts, range(5), most)
    return best if best is not None else _best(u, v, logistic5, slopes5, [grid], (0, 2, 3, 4), most)


def cubic(u: Array, v: Array) -> Array:
    """Return the coefficients, from the constant up, of the third-order polynomial of v on u.

    Where u has fewer than four different values, the shortest of the many solutions.

    >>> u = np.array([-1.0, 0.0, 1.0, 2.0])
    >>> np.abs(cubic(u, u**3).round(9)).tolist()
    [0.0, 0.0, 0.0, 1.0]
    """
    return np.asarray(np.linalg.lstsq(np.vander(u, 4, increasing=True), v, rcond=None)[0])


def _best(
    u: Array,
    v: Array,
    curve: Curve,
    slopes: Curve,
    starts: list[list[float]],
    free: range | tuple[int, ...],
    most: float,
) -> Array | None:
    best: Array | None = None
    for start in starts:
        found = _least_squares(u, v, curve, slopes, start, list(free))
        if found is not None and found[1] < most:
            best, most = found
    return best


def _least_squares(
    u: Array, v: Array, curve: Curve, slopes: Curve, start: list[float], free: list[int]
) -> Found | None:
    """Fit from a start, some parameters free; return all parameters and the mean square error."""
    whole = np.array(start)

    def spread(values: tuple[float, ...]) -> Array:
        whole[free] = values
        return whole

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", OptimizeWarning)  # the covariance is not used
        try:
            found, _ = curve_fit(
                lambda x, *b: curve(x, *spread(b)),
                u,
                v,
                whole[free],
                jac=lambda x, *b: slopes(x, *spread(b))[:, free],
                maxfev=EVALUATIONS,
            )
        except RuntimeError:
            return None
        parameters = spread(tuple(found)).copy()
        error = float(np.mean((curve(u, *parameters) - v) ** 2))
    return (parameters, error) if np.isfinite(parameters).all() and np.isfinite(error) else None


def _scan(u: Array, v: Array, middles: Array) -> list[float]:
    """Return the best start of a few middles and widths: given those, b1 and b2 are a line."""
    best, most = [0.0, 0.0, 0.0, 1.0], -1.0
    for b3 in middles:
        for b4 in _WIDTHS:
            s = expit((u - b3) / b4)
            centred = s - s.mean()
            power = float(centred @ centred)
            if power < 1e-12:
                continue
            slope = float(centred @ v) / power
            if slope * slope * power > most:
                most = slope * slope * power
                b2 = -slope * float(s.mean())  # v has mean 0
                best = [b2 + slope, b2, float(b3), b4]
    return best


def _scan5(u: Array, v: Array) -> list[float]:
    """Return the best start of a few middles and widths: given those, b1, b4, b5 are linear."""
    best, least = [0.0, 1.0, 0.0, float(np.mean(u * v)), 0.0], np.inf
    for b3 in np.linspace(float(u.min()), float(u.max()), 9):
        for width in (*_WIDTHS, 10.0):
            design = np.column_stack([expit((u - b3) / width) - 0.5, u, np.ones_like(u)])
            (b1, b4, b5), *_ = np.linalg.lstsq(design, v, rcond=None)
            error = float(np.mean((design @ (b1, b4, b5) - v) ** 2))
            if error < least:
                least = error
                best = [float(b1), 1 / width, float(b3), float(b4), float(b5)]
    return best
