"""Curves that map scores to the MOS scale, and their least-squares fits."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from sfqa.arrays import Floats
from sfqa.correlation.sigmoid_search import SigmoidFit, fit_sigmoid

#: Steps of the search for a logistic at most; a fit that needs more has not converged.
EVALUATIONS = 400


def logistic4(x: Floats, b1: float, b2: float, b3: float, b4: float) -> Floats:
    """Return ``b2 + (b1 - b2) / (1 + exp(-(x - b3) / |b4|))``.

    The 4-parameter logistic of SimpleVQA, THQA and most of the field. It runs from b2 to b1 with
    its midpoint at b3 and width ``|b4|``. It decreases if ``b1 < b2``.

    >>> logistic4(np.array([0.0]), 5.0, 1.0, 0.0, 1.0).tolist()
    [3.0]
    """
    width = max(abs(b4), np.finfo(np.float64).tiny)
    with np.errstate(over="ignore"):
        z = (x - b3) / width
    # Measured from the nearer end, so that a distant end costs no digits.
    return np.where(z > 0, b1 - (b1 - b2) * expit(-z), b2 + (b1 - b2) * expit(z))


def logistic5(x: Floats, b1: float, b2: float, b3: float, b4: float, b5: float) -> Floats:
    """Return ``b1 (1/2 - 1 / (1 + exp(b2 (x - b3)))) + b4 x + b5``.

    The 5-parameter logistic of VQEG (2003) and most image quality papers: a logistic plus a line.

    >>> logistic5(np.array([0.0]), 5.0, 1.0, 0.0, 1.0, 3.0).tolist()
    [3.0]
    """
    # The same as b1 (expit(z) - 1/2), but exact for small z, where b1 may be very large.
    return np.asarray(b1 / 2 * np.tanh(b2 * (x - b3) / 2) + b4 * x + b5)


def fit_logistic4(u: Floats, v: Floats, usual_width: float) -> SigmoidFit:
    """Fit :func:`logistic4` to standardised scores ``u`` and MOS ``v``.

    ``usual_width`` is the .5 from which papers start, in units of u.
    """
    return fit_sigmoid(u, v, False, (0.0, usual_width), EVALUATIONS)


def fit_logistic5(u: Floats, v: Floats, usual_width: float) -> SigmoidFit | None:
    """Fit :func:`logistic5` to standardised scores ``u`` and MOS ``v``; None below 5 points.

    ``usual_width`` is 1 / b2 for the b2 of .1 from which papers start, in units of u.
    """
    if u.size < 5:
        return None
    return fit_sigmoid(u, v, True, (0.0, usual_width), EVALUATIONS)


def fit_cubic(u: Floats, v: Floats) -> Floats:
    """Fit a third-order polynomial of v on u; returns the coefficients, the constant first.

    If u has fewer than four different values, returns the solution with the smallest norm.

    >>> u = np.array([-1.0, 0.0, 1.0, 2.0])
    >>> np.abs(fit_cubic(u, u**3).round(9)).tolist()
    [0.0, 0.0, 0.0, 1.0]
    """
    return np.asarray(np.linalg.lstsq(np.vander(u, 4, increasing=True), v, rcond=None)[0])
