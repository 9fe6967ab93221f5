"""Sum of pairwise agreement between two orders in many resamples at once, for Kendall's tau.

Both orders are cut into bins of about :data:`SIDE` rows, never between equal values. Pairs of rows
in the same bin are compared one by one, as a matrix product; all other pairs follow from the weight
of each bin of one order in each bin of the other. The cost is n times the number of bins instead of
n times n. All sums are of integers and therefore exact in any order.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sfqa.arrays import Floats

Codes = npt.NDArray[np.int64]

#: Rows per bin: larger bins make the products slower, smaller ones the sums over bins.
SIDE = 192

#: Integers up to this value are exact in single precision.
_EXACT = 2**24


def sum_pair_agreement(mine: Codes, goal: Codes, weights: Floats) -> Floats:
    """Return the sum over all pairs (i, j) of w_i w_j sign(mine_i - mine_j) sign(goal_i - goal_j).

    ``mine``, ``goal``: (n,) ranks without gaps, from 0; ``weights``: (n, B) whole numbers, a column
    per resample; the result is (B,). Every pair counts twice, as (i, j) and as (j, i).

    >>> sum_pair_agreement(np.array([0, 1, 2]), np.array([0, 2, 1]), np.ones((3, 1)))
    array([2.])
    """
    single = weights.sum(axis=0).max(initial=0.0) * weights.max(initial=0.0) < _EXACT
    dtype = np.float32 if single else np.float64
    x, y = _Bins(mine), _Bins(goal)
    sums = np.zeros(weights.shape[1])
    # Weight of the bins of x so far that is below each bin of y, minus the weight above it.
    below = np.zeros((y.count, weights.shape[1]))
    for number, rows in enumerate(x.rows):
        rows = rows[np.argsort(y.of[rows], kind="stable")]
        drawn = weights[rows]
        where = y.of[rows]
        first = np.flatnonzero(np.append(True, where[1:] != where[:-1]))
        inside = np.zeros_like(below)
        inside[where[first]] = np.add.reduceat(drawn, first, axis=0)
        sums += 2.0 * np.einsum("qb,qb->b", inside, below)
        running = np.cumsum(inside, axis=0)
        below += running + running - inside - running[-1]
        if not x.alike[number]:
            sums += _sum_within_bin(mine[rows], goal[rows], drawn.astype(dtype))
    for number, rows in enumerate(y.rows):
        if not y.alike[number]:
            sums += _sum_within_bin(mine[rows], goal[rows], weights[rows].astype(dtype), x.of[rows])
    return sums


class _Bins:
    """Bins of an order: ``of``: bin of each row; ``rows``: rows of each bin; ``alike``: all equal.

    A value that occurs in many rows gets a separate bin, so that the other bins stay small.
    """

    def __init__(self, codes: Codes) -> None:
        sizes = np.bincount(codes)
        window = (np.cumsum(sizes) - sizes) // SIDE
        large = sizes >= SIDE
        new = (window[1:] != window[:-1]) | large[1:] | large[:-1]
        bin_of_value = np.append(0, np.cumsum(new))
        self.of = bin_of_value[codes]
        self.count = int(bin_of_value[-1]) + 1
        order = np.argsort(self.of, kind="stable")
        self.rows = np.split(order, np.cumsum(np.bincount(self.of))[:-1])
        self.alike = np.bincount(bin_of_value) == 1


def _sum_within_bin(
    mine: Codes, goal: Codes, drawn: npt.NDArray[np.floating], other_bins: Codes | None = None
) -> Floats:
    """Return the sum over pairs of rows; with ``other_bins``, only over pairs in different ones."""
    signs = _compare_signs(mine) * _compare_signs(goal)
    if other_bins is not None:
        signs *= other_bins[:, None] != other_bins
    products = drawn * (signs.astype(drawn.dtype) @ drawn)
    return np.asarray(products.sum(axis=0, dtype=np.float64))


def _compare_signs(values: Codes) -> npt.NDArray[np.int8]:
    column = values[:, None]
    return (column > values).view(np.int8) - (column < values).view(np.int8)
