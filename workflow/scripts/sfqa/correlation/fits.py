"""The mapping of metric scores to the MOS scale that stands before PLCC and RMSE."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import OptimizeWarning, curve_fit
from scipy.special import expit

from sfqa.correlation import statistics
from sfqa.correlation.statistics import Array, Correlation

LOGISTIC = "logistic-4"
LINEAR = "linear (logistic-4 did not converge)"
MEAN = "mean (constant scores)"
NONE = "none"

#: A fit that leaves more than the straight line does, by this share of the variance, is stuck:
#: the logistic contains every line as a limit.
SLACK = 1e-6

#: What one start may cost; fits that need more creep towards a straight line.
EVALUATIONS = 400

#: Below twice as many points as parameters the mapping fits noise.
FEW_POINTS = 8


@dataclass(frozen=True)
class Mapping:
    """A fitted mapping: its name, its parameters, and what must be known about it (or '').

    Parameters: (b1, b2, b3, b4) of :func:`logistic4`, (slope, intercept) of a line, or (mean,).
    """

    name: str
    parameters: tuple[float, ...]
    detail: str = ""

    def __call__(self, prediction: npt.ArrayLike) -> Array:
        """Return the scores brought to the MOS scale.

        >>> Mapping(LINEAR, (2.0, 1.0))([1.0, 2.0]).tolist()
        [3.0, 5.0]
        """
        x = np.asarray(prediction, np.float64)
        if self.name == LOGISTIC:
            b1, b2, b3, b4 = self.parameters
            return logistic4(x, b1, b2, b3, b4)
        if len(self.parameters) == 2:
            slope, intercept = self.parameters
            return slope * x + intercept
        return np.full_like(x, self.parameters[0])


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


def fit_mapping(prediction: npt.ArrayLike, mos: npt.ArrayLike) -> Mapping:
    """Fit the 4-parameter logistic by least squares; a line where that does not converge.

    Least squares over two starts, the better kept: the field's ``[max y, min y, mean x, .5]``, and
    the best of a grid scaled to the data, since .5 is a step for scores of 0..100 and flat for
    scores of 0..0.01. A falling relation is fitted as well as a rising one. Where neither start
    converges, as for data that bend one way only, the middle b3 is held half a range outside the
    scores. Constant scores map to the mean MOS.
    Raises ``ValueError`` for undefined input other than constant scores.

    >>> x = np.linspace(-3, 3, 50); y = logistic4(x, 80.0, 20.0, 0.5, 0.7)
    >>> [round(b, 6) for b in fit_mapping(x, y).parameters]
    [80.0, 20.0, 0.5, 0.7]
    """
    x, y = np.asarray(prediction, np.float64), np.asarray(mos, np.float64)
    reason = statistics.why_undefined(x, y)
    if reason.startswith("constant_scores"):
        return Mapping(MEAN, (float(y.mean()),))
    if reason:
        raise ValueError(reason)
    (middle, scale), (floor, height) = _centre_and_spread(x), _centre_and_spread(y)
    u, v = (x - middle) / scale, (y - floor) / height
    slope = float(np.mean(u * v))
    best, left = None, float(np.mean((v - slope * u) ** 2)) + SLACK
    tries = _tries(u, v, 0.5 / scale)
    for held in (False, True):
        for start in tries[held]:
            found = _least_squares(u, v, start, held)
            if found is not None and found[1] < left:
                best, left = found
        if best is not None:
            break
    if best is None:
        a = slope * height / scale
        return Mapping(
            LINEAR,
            (float(a), float(floor - a * middle)),
            f"no_convergence: the logistic was not fitted to these {x.size} points: PLCC and RMSE "
            "stand after a straight line",
        )
    b1, b2, b3, b4 = best
    return Mapping(
        LOGISTIC,
        (
            float(floor + height * b1),
            float(floor + height * b2),
            float(middle + scale * b3),
            float(scale * abs(b4)),
        ),
    )


def _centre_and_spread(values: Array) -> tuple[float, float]:
    centre = float(values.mean())
    peak = float(np.max(np.abs(values - centre)))  # squares of tiny scores would vanish
    return centre, peak * float(np.std((values - centre) / peak))


def _tries(u: Array, v: Array, half: float) -> dict[bool, list[list[float]]]:
    """Return the starts with the middle b3 free, and those with it held."""
    half_range = float(np.ptp(u)) / 2
    low, high = float(u.min()) - half_range, float(u.max()) + half_range
    return {
        False: [
            [float(v.max()), float(v.min()), 0.0, half],
            _scan(u, v, np.linspace(low, high, 9)),
        ],
        # Curved one way only, data pull the middle of the logistic out to infinity: hold it.
        True: [_scan(u, v, np.array([middle])) for middle in (low, high)],
    }


def _scan(u: Array, v: Array, middles: Array) -> list[float]:
    """Return the best start of a few middles and widths: given those, b1 and b2 are a line."""
    best, most = [0.0, 0.0, 0.0, 1.0], -1.0
    for b3 in middles:
        for b4 in (0.03, 0.1, 0.3, 1.0, 3.0):
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


def _least_squares(
    u: Array, v: Array, start: list[float], held: bool
) -> tuple[Array, float] | None:
    """Fit from a start, its middle b3 held or free; return parameters and mean squared error."""
    free = [0, 1, 3] if held else [0, 1, 2, 3]
    whole = np.array(start)

    def spread(values: tuple[float, ...]) -> Array:
        whole[free] = values
        return whole

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", OptimizeWarning)  # the covariance is not used
        try:
            found, _ = curve_fit(
                lambda x, *b: logistic4(x, *spread(b)),
                u,
                v,
                whole[free],
                jac=lambda x, *b: _slopes(x, *spread(b))[:, free],
                maxfev=EVALUATIONS,
            )
        except RuntimeError:
            return None
    parameters = spread(tuple(found)).copy()
    error = float(np.mean((logistic4(u, *parameters) - v) ** 2))
    return (parameters, error) if np.isfinite(parameters).all() and np.isfinite(error) else None


def _slopes(x: Array, b1: float, b2: float, b3: float, b4: float) -> Array:
    width = max(abs(b4), np.finfo(np.float64).tiny)
    z = np.clip((x - b3) / width, -700.0, 700.0)  # beyond, s is 0 or 1 and every slope is 0
    s = expit(z)
    bell = s * (1.0 - s) * ((b2 - b1) / width)
    slopes = np.empty((x.size, 4))
    slopes[:, 0], slopes[:, 1] = s, 1.0 - s
    slopes[:, 2], slopes[:, 3] = bell, bell * z if b4 >= 0 else -bell * z
    return slopes


def correlate(prediction: npt.ArrayLike, mos: npt.ArrayLike) -> Correlation:
    """Return SRCC and KRCC of the scores as given, PLCC and RMSE after :func:`fit_mapping`.

    One-dimensional arrays of one length; higher scores should mean higher MOS. Because the mapping
    may fall as well as rise, PLCC does not show the direction of a relation: SRCC and KRCC do.

    >>> found = correlate([1, 2, 3, 4, 5, 6, 7, 8], [1, 3, 2, 5, 6, 7, 9, 8])
    >>> found.mapping, round(found.srcc, 4), found.status
    ('logistic-4', 0.9524, 'ok')
    >>> correlate([1, 1, 1, 1], [1, 2, 3, 4]).detail
    'constant_scores: all 4 scores are equal'
    """
    x, y = np.asarray(prediction, np.float64), np.asarray(mos, np.float64)
    reason = statistics.why_undefined(x, y)
    if reason and not reason.startswith("constant_scores"):
        return Correlation(x.size, None, None, None, None, NONE, reason)
    mapping = fit_mapping(x, y)
    mapped = mapping(x)
    if reason:
        return Correlation(
            x.size, None, None, None, statistics.rmse(mapped, y), mapping.name, reason
        )
    notes = [mapping.detail] if mapping.detail else []
    if mapping.name == LOGISTIC and x.size < FEW_POINTS:
        notes.append(
            f"few_points: the mapping's 4 parameters were fitted to {x.size} points: PLCC and "
            "RMSE flatter"
        )
    linear = statistics.plcc(mapped, y)
    if linear is None:
        notes.append("flat_mapping: the fitted mapping is flat over these scores")
    return Correlation(
        x.size,
        statistics.srcc(x, y),
        linear,
        statistics.krcc(x, y),
        statistics.rmse(mapped, y),
        mapping.name,
        "; ".join(notes),
    )
