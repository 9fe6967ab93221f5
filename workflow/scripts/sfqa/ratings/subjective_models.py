"""Models of raters with a bias and an inconsistency: ITU-T P.913 12.4 and P.910 Annex E."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse import csgraph

from sfqa.errors import UserError
from sfqa.ratings.screening import Matrix, row_statistics

VERSION = 1

#: Below this many raters the alternation of Annex E runs into one rater, who is then always right.
LEAST_RATERS = 8
_STEPS, _STILL, _EPSILON = 1000, 1e-8, 1e-8
_NORMAL = 1.959963984540054
# An inconsistency this small beside the others' says that the MOS are this rater's own scores.
_COLLAPSED = 1e-3


class BiasRemoved(NamedTuple):
    """Ratings without their rater's bias (stimuli, raters), and the biases (raters)."""

    ratings: Matrix
    bias: Matrix


class SubjectModel(NamedTuple):
    """The fit of Annex E: per stimulus the MOS and its standard error, per rater the habits."""

    mos: Matrix
    error: Matrix
    bias: Matrix
    inconsistency: Matrix
    steps: int

    @property
    def half_width(self) -> Matrix:
        """Half of the 95 % interval of each MOS."""
        return _NORMAL * self.error


def remove_bias(matrix: npt.ArrayLike) -> BiasRemoved:
    """Subtract from each rater's ratings the rater's mean distance from the mean opinion.

    ``matrix`` has shape (stimuli, raters), NaN where there is no rating. A rater without ratings
    has the bias NaN. Source: Recommendation ITU-T P.913, clause 12.4.

    >>> found = remove_bias([[1.0, 3.0], [2.0, 4.0]])
    >>> found.bias.tolist(), found.ratings.tolist()
    ([-1.0, 1.0], [[2.0, 2.0], [3.0, 3.0]])
    """
    scores = np.asarray(matrix, float)
    _, mos, _ = row_statistics(scores)
    bias = _column_means(scores - mos[:, None])
    return BiasRemoved(scores - bias, bias)


def annex_e(matrix: npt.ArrayLike, names: list[str] | None = None) -> SubjectModel:
    """Fit rating = MOS + bias + inconsistency x noise by alternation, after ITU-T P.910 Annex E.

    ``matrix`` has shape (stimuli, raters), NaN where there is no rating; ``names`` are the raters'
    for messages. The MOS start as plain means, and in turn become means of the ratings less the
    rater's bias, weighted by 1 / inconsistency^2, until their change is below 1e-8. The biases are
    shifted to mean 0. The standard error of a MOS is (sum of 1 / inconsistency^2)^(-1/2) over its
    raters (the Fisher information of the model), so its interval rests on what is known of the
    raters from all their ratings, not on the few of one stimulus. A stimulus without ratings has
    no MOS (NaN). Groups of raters who share no stimulus have biases that cannot be compared: see
    :func:`connected_groups`.

    Raises :class:`UserError` for fewer than 8 raters, for a fit that ran into one rater, and for
    one that does not settle.

    >>> draw = np.random.default_rng(1)
    >>> found = annex_e(np.arange(40.0)[:, None] + np.arange(8) + draw.normal(size=(40, 8)))
    >>> found.bias.round(0).tolist()
    [-4.0, -3.0, -2.0, -0.0, 1.0, 2.0, 2.0, 4.0]
    """
    scores = np.asarray(matrix, float)
    rated, present = ~np.isnan(scores).all(axis=1), ~np.isnan(scores).all(axis=0)
    raters = int(present.sum())
    if raters < LEAST_RATERS:
        raise UserError(
            f"ratings: P.910 Annex E needs {LEAST_RATERS} raters or more, these are {raters} "
            "(with so few it ends on one rater's own scores); use p913 or zscore"
        )
    inner = scores[np.ix_(rated, present)]
    labels = np.array(names if names is not None else [str(k) for k in range(scores.shape[1])])
    mos, bias, spread, steps = _alternate(inner, labels[present])
    error = np.nansum(np.where(np.isnan(inner), 0.0, 1 / spread**2), axis=1) ** -0.5
    shift = float(bias.mean())
    return SubjectModel(
        _placed(mos + shift, rated),
        _placed(error, rated),
        _placed(bias - shift, present),
        _placed(spread, present),
        steps,
    )


def connected_groups(matrix: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return a number per rater, the same for raters linked by stimuli that they share.

    Raters without ratings stand alone.

    >>> nan = np.nan
    >>> connected_groups([[1, 2, nan, nan], [nan, 2, nan, nan], [nan, nan, 3, 4]]).tolist()
    [0, 0, 1, 1]
    """
    given = ~np.isnan(np.asarray(matrix, float))
    links = sparse.csr_array(given.astype(np.int32))
    _, labels = csgraph.connected_components(links.T @ links, directed=False)
    return np.asarray(labels, np.int64)


def _alternate(scores: Matrix, labels: npt.NDArray[np.str_]) -> tuple[Matrix, Matrix, Matrix, int]:
    given = (~np.isnan(scores)).astype(float)
    filled, count = np.nan_to_num(scores), given.sum(axis=0)
    mos = filled.sum(axis=1) / given.sum(axis=1)
    bias = (given * (filled - mos[:, None])).sum(axis=0) / count
    steps, moved = 0, np.inf
    while moved >= _STILL:
        if steps == _STEPS:
            raise UserError(
                f"ratings: P.910 Annex E did not settle in {_STEPS} steps; use p913 or zscore"
            )
        residue = given * (filled - mos[:, None] - bias)
        centre = residue.sum(axis=0) / count
        spread = np.sqrt((given * (residue - centre) ** 2).sum(axis=0) / count)
        weight = given / (spread**2 + _EPSILON)
        before = mos
        mos = (weight * (filled - bias)).sum(axis=1) / weight.sum(axis=1)
        bias = (given * (filled - mos[:, None])).sum(axis=0) / count
        moved = float(np.linalg.norm(mos - before))
        steps += 1
    alone = spread <= _COLLAPSED * np.median(spread)
    if alone.any():
        raise UserError(
            "ratings: P.910 Annex E ended on the scores of rater "
            f"{str(labels[alone][0])!r} alone, who has too few ratings or always gave the mean "
            "opinion; leave the rater out, or use p913 or zscore"
        )
    return mos, bias, spread, steps


def _column_means(values: Matrix) -> Matrix:
    """Means over stimuli; sorted first, so that their order changes nothing."""
    return row_statistics(np.ascontiguousarray(values.T))[1]


def _placed(values: Matrix, where: npt.NDArray[np.bool_]) -> Matrix:
    full = np.full(len(where), np.nan)
    full[where] = values
    return full
