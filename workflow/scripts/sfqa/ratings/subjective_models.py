"""Models of raters with a bias and an inconsistency: ITU-T P.913 12.4 and P.910 Annex E."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse import csgraph

from sfqa.arrays import Floats
from sfqa.errors import UserError
from sfqa.ratings.screening import row_statistics

VERSION = 2

#: With fewer raters the fit of Annex E converges to the ratings of a single rater.
MIN_RATERS = 8
_MAX_STEPS, _TOLERANCE, _EPSILON = 1000, 1e-8, 1e-8
_NORMAL_975 = 1.959963984540054
# A rater whose inconsistency is smaller than this share of the median determines the MOS alone.
_COLLAPSED = 1e-3


class BiasRemoved(NamedTuple):
    """Ratings minus the rater's bias, shape (stimuli, raters), and the biases, shape (raters,)."""

    ratings: Floats
    bias: Floats


class SubjectModel(NamedTuple):
    """Fit of Annex E: MOS and its standard error per stimulus, bias and inconsistency per rater."""

    mos: Floats
    standard_error: Floats
    bias: Floats
    inconsistency: Floats
    steps: int

    @property
    def half_width(self) -> Floats:
        """Half of the width of each MOS's 95 % interval."""
        return _NORMAL_975 * self.standard_error


def remove_bias(matrix: npt.ArrayLike) -> BiasRemoved:
    """Subtract from each rater's ratings the rater's mean difference from the MOS.

    ``matrix`` has shape (stimuli, raters), with NaN for a missing rating. A rater without ratings
    has the bias NaN. Source: Recommendation ITU-T P.913, clause 12.4.

    >>> result = remove_bias([[1.0, 3.0], [2.0, 4.0]])
    >>> result.bias.tolist(), result.ratings.tolist()
    ([-1.0, 1.0], [[2.0, 2.0], [3.0, 3.0]])
    """
    scores = np.asarray(matrix, float)
    _, mos, _ = row_statistics(scores)
    bias = _average_columns(scores - mos[:, None])
    return BiasRemoved(scores - bias, bias)


def fit_annex_e(matrix: npt.ArrayLike, names: list[str] | None = None) -> SubjectModel:
    """Fit rating = MOS + bias + inconsistency x noise, after ITU-T P.910 Annex E.

    ``matrix`` has shape (stimuli, raters), with NaN for a missing rating; ``names`` are the raters'
    names for messages. The MOS start as plain means. Each step replaces them by means of the
    ratings minus the rater's bias, weighted by 1 / inconsistency^2, until they change by less than
    1e-8. The biases are shifted to mean 0. The standard error of a MOS is (sum of
    1 / inconsistency^2)^(-1/2) over its raters (the Fisher information of the model), so it uses
    the inconsistency of the raters over all their ratings, not the few ratings of one stimulus. A
    stimulus without ratings has the MOS NaN. Biases of groups of raters that share no stimulus
    cannot be compared: see :func:`connected_groups`.

    Raises :class:`UserError` for fewer than 8 raters, for a fit that converges to a single rater,
    and for one that does not converge.

    >>> draw = np.random.default_rng(1)
    >>> model = fit_annex_e(np.arange(40.0)[:, None] + np.arange(8) + draw.normal(size=(40, 8)))
    >>> model.bias.round(0).tolist()
    [-4.0, -3.0, -2.0, -0.0, 1.0, 2.0, 2.0, 4.0]
    """
    scores = np.asarray(matrix, float)
    has_ratings, has_rated = ~np.isnan(scores).all(axis=1), ~np.isnan(scores).all(axis=0)
    raters = int(has_rated.sum())
    if raters < MIN_RATERS:
        raise UserError(
            f"ratings: P.910 Annex E needs {MIN_RATERS} raters or more, these are {raters} "
            "(with fewer it converges to one rater's scores); use p913 or zscore"
        )
    rated_scores = scores[np.ix_(has_ratings, has_rated)]
    labels = np.array(names if names is not None else [str(k) for k in range(scores.shape[1])])
    # In an order that the scores decide, so that sums do not depend on what the raters are called.
    order = np.lexsort(np.nan_to_num(rated_scores, nan=np.inf)[::-1])
    rated_scores = rated_scores[:, order]
    mos, bias, inconsistency, steps = _fit_alternately(rated_scores, labels[has_rated][order])
    information = np.where(np.isnan(rated_scores), 0.0, 1 / inconsistency**2)
    standard_error = np.nansum(information, axis=1) ** -0.5
    shift = float(bias.mean())
    back = np.argsort(order)
    return SubjectModel(
        _expand(mos + shift, has_ratings),
        _expand(standard_error, has_ratings),
        _expand(bias[back] - shift, has_rated),
        _expand(inconsistency[back], has_rated),
        steps,
    )


def connected_groups(matrix: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return a group number per rater; raters who share a stimulus, also indirectly, are connected.

    A rater without ratings is a group.

    >>> nan = np.nan
    >>> connected_groups([[1, 2, nan, nan], [nan, 2, nan, nan], [nan, nan, 3, 4]]).tolist()
    [0, 0, 1, 1]
    """
    rated = ~np.isnan(np.asarray(matrix, float))
    links = sparse.csr_array(rated.astype(np.int32))
    _, labels = csgraph.connected_components(links.T @ links, directed=False)
    return np.asarray(labels, np.int64)


def _fit_alternately(
    scores: Floats, labels: npt.NDArray[np.str_]
) -> tuple[Floats, Floats, Floats, int]:
    """Return MOS, bias, inconsistency and the number of steps."""
    rated = (~np.isnan(scores)).astype(float)
    filled, count = np.nan_to_num(scores), rated.sum(axis=0)
    mos = filled.sum(axis=1) / rated.sum(axis=1)
    bias = (rated * (filled - mos[:, None])).sum(axis=0) / count
    steps, change = 0, np.inf
    while change >= _TOLERANCE:
        if steps == _MAX_STEPS:
            raise UserError(
                f"ratings: P.910 Annex E did not converge in {_MAX_STEPS} steps; use p913 or zscore"
            )
        residual = rated * (filled - mos[:, None] - bias)
        centre = residual.sum(axis=0) / count
        inconsistency = np.sqrt((rated * (residual - centre) ** 2).sum(axis=0) / count)
        weight = rated / (inconsistency**2 + _EPSILON)
        previous = mos
        mos = (weight * (filled - bias)).sum(axis=1) / weight.sum(axis=1)
        bias = (rated * (filled - mos[:, None])).sum(axis=0) / count
        change = float(np.linalg.norm(mos - previous))
        steps += 1
    dominant = inconsistency <= _COLLAPSED * np.median(inconsistency)
    if dominant.any():
        raise UserError(
            "ratings: P.910 Annex E converged to the scores of rater "
            f"{str(labels[dominant][0])!r} alone, who has too few ratings or always gave the mean "
            "opinion; leave the rater out, or use p913 or zscore"
        )
    return mos, bias, inconsistency, steps


def _average_columns(values: Floats) -> Floats:
    """Return means over stimuli that do not depend on the order of the stimuli."""
    return row_statistics(np.ascontiguousarray(values.T))[1]


def _expand(values: Floats, mask: npt.NDArray[np.bool_]) -> Floats:
    """Return an array of the mask's length with ``values`` where it is True, else NaN."""
    expanded = np.full(len(mask), np.nan)
    expanded[mask] = values
    return expanded
