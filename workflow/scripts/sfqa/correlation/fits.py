"""The mapping of metric scores to the MOS scale, applied before PLCC and RMSE."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sfqa.arrays import Floats
from sfqa.correlation.agreement import UNDEFINED, Correlation
from sfqa.correlation.curves import fit_cubic, fit_logistic4, fit_logistic5, logistic4, logistic5
from sfqa.correlation.marks import describe_curve, describe_turning
from sfqa.correlation.sigmoid_search import SigmoidFit
from sfqa.errors import UserError, hint
from sfqa.statistics.functions import why_undefined
from sfqa.statistics.registry import MAPPED_LABELS, STATISTICS
from sfqa.tables import flaw

__all__ = [
    "MAPPINGS",
    "ScoreMapping",
    "correlate",
    "correlate_with_mapping",
    "fit_mapping",
    "logistic4",
    "logistic5",
]

#: The mappings: the word in the configuration and the name in tables.
MAPPINGS = {
    "none": "none",
    "rescale": "z-rescaling",
    "logistic4": "logistic-4",
    "logistic5": "logistic-5",
    "cubic": "cubic",
}
DEFAULT = "logistic4"

NONE = MAPPINGS["none"]
RESCALED = MAPPINGS["rescale"]
LOGISTIC = MAPPINGS["logistic4"]
LOGISTIC5 = MAPPINGS["logistic5"]
CUBIC = MAPPINGS["cubic"]
LINEAR = "linear (logistic-4 did not converge)"
LINEAR5 = "linear (logistic-5 did not converge)"
MEAN = "mean (constant scores)"

#: Number of fitted parameters. With fewer than POINTS_PER_PARAMETER points for each of them the
#: mapping fits noise.
FITTED = {LOGISTIC: 4, LOGISTIC5: 5, CUBIC: 4}
POINTS_PER_PARAMETER = 5

#: A logistic fit whose error exceeds that of a straight line by this share of the variance has not
#: converged, because every line is a limit of the logistic.
SLACK = 1e-9

NOT_CONVERGED = flaw("no_convergence", "the search for the logistic ended before it converged")


@dataclass(frozen=True)
class ScoreMapping:
    """A fitted mapping: its name, its parameters, and a note on the fit (or '').

    Parameters: (b1, b2, b3, b4) of :func:`logistic4`, (b1, ..., b5) of :func:`logistic5`, those of
    a cubic in ``(x - centre) / scale`` as (constant, ..., third, centre, scale), (slope, intercept)
    of a line or a z-rescaling, (mean,) for constant scores, () for none.
    """

    name: str
    parameters: tuple[float, ...]
    detail: str = ""

    def __call__(self, prediction: npt.ArrayLike) -> Floats:
        """Return the scores mapped to the MOS scale.

        >>> ScoreMapping(LINEAR, (2.0, 1.0))([1.0, 2.0]).tolist()
        [3.0, 5.0]
        """
        x = np.asarray(prediction, np.float64)
        if self.name == NONE:
            return x
        if self.name == LOGISTIC:
            b1, b2, b3, b4 = self.parameters
            return logistic4(x, b1, b2, b3, b4)
        if self.name == LOGISTIC5:
            b1, b2, b3, b4, b5 = self.parameters
            return logistic5(x, b1, b2, b3, b4, b5)
        if self.name == CUBIC:
            *powers, centre, scale = self.parameters
            return _evaluate_polynomial((x - centre) / scale, powers)
        if len(self.parameters) == 2:
            slope, intercept = self.parameters
            return slope * x + intercept
        return np.full_like(x, self.parameters[0])


def mapping_word(word: str, where: str) -> str:
    """Return a key of :data:`MAPPINGS` from its word or name.

    Raises :class:`UserError`, its message starting with ``where``, for any other word.

    >>> mapping_word("logistic-5", "config"), mapping_word("cubic", "config")
    ('logistic5', 'cubic')
    """
    keys = {name: key for key, name in MAPPINGS.items()} | {key: key for key in MAPPINGS}
    if word not in keys:
        raise UserError(f"{where}: no mapping {word!r}; {hint(word, MAPPINGS)}")
    return keys[word]


def fit_mapping(
    prediction: npt.ArrayLike, mos: npt.ArrayLike, mapping: str = DEFAULT
) -> ScoreMapping:
    """Fit a mapping of :data:`MAPPINGS` by least squares; a line if the logistic fit fails.

    ``none`` does not change the scores; ``rescale`` gives them the mean and the standard deviation
    of the MOS; ``cubic`` is linear least squares. A logistic is fitted from many starts, all
    parameters free, and the best fit is returned (:func:`sfqa.correlation.sigmoid_search`).
    Decreasing relations are fitted too. ``detail`` reports a search that did not converge and a
    curve that is not monotone in the range of the scores. Constant scores map to the mean MOS.
    Raises ``ValueError`` for undefined input other than constant scores.

    >>> x = np.linspace(-3, 3, 50); y = logistic4(x, 80.0, 20.0, 0.5, 0.7)
    >>> [round(b, 6) for b in fit_mapping(x, y).parameters]
    [80.0, 20.0, 0.5, 0.7]
    >>> fit_mapping(x, 3 * x + 1, "rescale").parameters[0].__round__(9)
    3.0
    """
    mapping = mapping_word(mapping, "mapping")
    x, y = np.asarray(prediction, np.float64), np.asarray(mos, np.float64)
    reason = why_undefined(x, y)
    if reason.startswith("constant_scores"):
        return ScoreMapping(MEAN, (float(y.mean()),))
    if reason:
        raise ValueError(reason)
    if mapping == "none":
        return ScoreMapping(NONE, ())
    (middle, scale), (floor, height) = _centre_and_spread(x), _centre_and_spread(y)
    if mapping == "rescale":
        return ScoreMapping(RESCALED, (height / scale, floor - height / scale * middle))
    u, v = (x - middle) / scale, (y - floor) / height
    if mapping == "cubic":
        powers = fit_cubic(u, v) * height
        powers[0] += floor
        score_mapping = ScoreMapping(CUBIC, (*map(float, powers), middle, scale))
        return replace(score_mapping, detail=describe_turning(score_mapping, x))
    fit = (
        fit_logistic4(u, v, 0.5 / scale)
        if mapping == "logistic4"
        else fit_logistic5(u, v, 10.0 / scale)
    )
    slope = float(np.mean(u * v))
    line_error = float(np.mean((v - slope * u) ** 2))
    to_mos = _Standardisation(middle, scale, floor, height)
    best_curve: ScoreMapping | None = None
    error, has_converged = np.inf, False
    for candidate in () if fit is None else (fit, *fit.alternatives):
        curve = _name_parameters(candidate, mapping, to_mos)
        with np.errstate(all="ignore"):
            curve_error = float(np.mean(((curve(x) - y) / height) ** 2))
        if curve_error < error:
            best_curve, error, has_converged = curve, curve_error, candidate.has_converged
        # Usually the first: only huge parameters, which cancel each other, lose their digits.
        if error <= candidate.error + SLACK:
            break
    if best_curve is None or not error <= line_error + SLACK:
        a = slope * height / scale
        return ScoreMapping(
            LINEAR if mapping == "logistic4" else LINEAR5,
            (a, floor - a * middle),
            flaw(
                "no_convergence",
                f"the logistic was not fitted to these {x.size} points: {MAPPED_LABELS} stand "
                "after a straight line",
            ),
        )
    notes = ["" if has_converged else NOT_CONVERGED, describe_turning(best_curve, x)]
    return replace(best_curve, detail="; ".join(note for note in notes if note))


@dataclass(frozen=True)
class _Standardisation:
    """Scores are ``middle + scale u`` and MOS ``floor + height v``."""

    middle: float
    scale: float
    floor: float
    height: float


def _name_parameters(fit: SigmoidFit, mapping: str, to_mos: _Standardisation) -> ScoreMapping:
    """Return the logistic with its parameters on the scales of the scores and the MOS."""
    floor, height = to_mos.floor, to_mos.height
    width, midpoint = to_mos.scale * fit.width, to_mos.middle + to_mos.scale * fit.middle
    if mapping == "logistic4":
        ends = (floor + height * fit.high_end, floor + height * fit.low_end)
        return ScoreMapping(LOGISTIC, (*ends, midpoint, width))
    with np.errstate(all="ignore"):  # scores of 1e-300 have no finite slope
        tilt = float(np.float64(fit.tilt) * height / to_mos.scale)
        steepness = float(1 / np.float64(width))
    centre = floor + height * (fit.high_end + fit.low_end) / 2 - tilt * to_mos.middle
    b1 = height * (fit.high_end - fit.low_end)
    return ScoreMapping(LOGISTIC5, (b1, steepness, midpoint, tilt, centre))


def _centre_and_spread(values: Floats) -> tuple[float, float]:
    centre = float(values.mean())
    peak = float(np.max(np.abs(values - centre)))  # avoids underflow in the squares of tiny scores
    return centre, peak * float(np.std((values - centre) / peak))


def _evaluate_polynomial(u: Floats, powers: list[float]) -> Floats:
    value = np.zeros_like(u)
    for power in reversed(powers):
        value = value * u + power
    return value


def correlate_with_mapping(
    prediction: npt.ArrayLike, mos: npt.ArrayLike, mapping: str = DEFAULT
) -> tuple[Correlation, ScoreMapping | None]:
    """Return the result of :func:`correlate` and the mapping, None if no statistic is defined.

    One-dimensional arrays of equal length. ``detail`` reports a fitted curve that is a step or
    falls where it should rise (:mod:`sfqa.correlation.marks`).
    """
    x, y = np.asarray(prediction, np.float64), np.asarray(mos, np.float64)
    reason = why_undefined(x, y)
    if reason and not reason.startswith("constant_scores"):
        return Correlation(x.size, UNDEFINED, NONE, reason), None
    score_mapping = fit_mapping(x, y, mapping)
    mapped_scores = score_mapping(x)
    if reason:
        errors = {s.name: s.compute(mapped_scores, y) for s in STATISTICS if not s.is_correlation}
        return Correlation(x.size, {**UNDEFINED, **errors}, score_mapping.name, reason), None
    notes = [score_mapping.detail] if score_mapping.detail else []
    parameters = FITTED.get(score_mapping.name, 0)
    if x.size < POINTS_PER_PARAMETER * parameters:
        notes.append(
            f"few_points: the mapping's {parameters} parameters were fitted to {x.size} points "
            f"(fewer than {POINTS_PER_PARAMETER} for each), so {MAPPED_LABELS} look better "
            "than they are"
        )
    if score_mapping.name not in (NONE, RESCALED):
        notes += describe_curve(score_mapping, x, y)
    values = {s.name: s.compute(mapped_scores if s.is_mapped else x, y) for s in STATISTICS}
    if any(values[s.name] is None for s in STATISTICS if s.is_mapped and s.is_correlation):
        notes.append("flat_mapping: the fitted mapping is flat over these scores")
    return Correlation(x.size, values, score_mapping.name, "; ".join(notes)), score_mapping


def correlate(prediction: npt.ArrayLike, mos: npt.ArrayLike, mapping: str = DEFAULT) -> Correlation:
    """Return SRCC and KRCC of the scores as given, PLCC and RMSE after :func:`fit_mapping`.

    One-dimensional arrays of equal length; higher scores should mean higher MOS. A fitted mapping
    may decrease, so PLCC does not show the direction of a relation; SRCC and KRCC do.

    >>> agreement = correlate([1, 2, 3, 4, 5, 6, 7, 8], [1, 3, 2, 5, 6, 7, 9, 8])
    >>> agreement.mapping, round(agreement["srcc"], 4), agreement.detail.split(":")[0]
    ('logistic-4', 0.9524, 'few_points')
    >>> correlate([1, 1, 1, 1], [1, 2, 3, 4]).detail
    'constant_scores: all 4 scores are equal'
    """
    return correlate_with_mapping(prediction, mos, mapping)[0]
