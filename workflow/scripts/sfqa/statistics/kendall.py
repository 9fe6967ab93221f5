"""How far two orders agree, pair by pair, in many resamples at once: what Kendall's tau counts.

Both orders are cut into bins of about :data:`SIDE` rows, never between equal values. Pairs of rows
in one bin are compared one by one, as a product of matrices; all others are known from how much of
a bin of the one order lies in which bin of the other. That is n times the bins, not n times n. All
sums are of whole numbers, exact whatever their order.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

#: Rows of a bin: larger ones cost products, smaller ones sums over bins.
SIDE = 192

#: Whole numbers up to here are exact in single precision.
_EXACT = 2**24


def agreement(mine: Codes, goal: Codes, weights: Array) -> Array:
    """Return the sum over all pairs (i, j) of w_i w_j sign(mine_i - mine_j) sign(goal_i - goal_j).

    ``mine``, ``goal``: (n,) ranks without gaps, from 0; ``weights``: (n, B) whole numbers, a column
    per resample; the result is (B,). Every pair counts twice, as (i, j) and as (j, i).

    >>> agreement(np.array([0, 1, 2]), np.array([0, 2, 1]), np.ones((3, 1)))
    array([2.])
    """
    single = weights.sum(axis=0).max(initial=0.0) * weights.max(initial=0.0) < _EXACT
    dtype = np.float32 if single else np.float64
    x, y = _Bins(mine), _Bins(goal)
    found = np.zeros(weights.shape[1])
    # Bins of x so far: of their weight, what is below a bin of y, less what is above it.
    below = np.zeros((y.count, weights.shape[1]))
    for number, rows in enumerate(x.rows):
        rows = rows[np.argsort(y.of[rows], kind="stable")]
        drawn = weights[rows]
        where = y.of[rows]
        first = np.flatnonzero(np.append(True, where[1:] != where[:-1]))
        inside = np.zeros_like(below)
        inside[where[first]] = np.add.reduceat(drawn, first, axis=0)
        found += 2.0 * np.einsum("qb,qb->b", inside, below)
        running = np.cumsum(inside, axis=0)
        below += running + running - inside - running[-1]
        if not x.alike[number]:
            found += _within(mine[rows], goal[rows], drawn.astype(dtype))
    for number, rows in enumerate(y.rows):
        if not y.alike[number]:
            found += _within(mine[rows], goal[rows], weights[rows].astype(dtype), x.of[rows])
    return found


class _Bins:
    """Bins of an order: ``of`` each row its bin, ``rows`` of each bin, whether all are ``alike``.

    A value that many rows share has a bin of its own, so that no other is large.
    """

    def __init__(self, codes: Codes) -> None:
        sizes = np.bincount(codes)
        window = (np.cumsum(sizes) - sizes) // SIDE
        large = sizes >= SIDE
        new = (window[1:] != window[:-1]) | large[1:] | large[:-1]
        own = np.append(0, np.cumsum(new))
        self.of = own[codes]
        self.count = int(own[-1]) + 1
        order = np.argsort(self.of, kind="stable")
        self.rows = np.split(order, np.cumsum(np.bincount(self.of))[:-1])
        self.alike = np.bincount(own) == 1


def _within(
    mine: Codes, goal: Codes, drawn: npt.NDArray[np.floating], apart: Codes | None = None
) -> Array:
    """Return the sum over pairs of some rows; with ``apart``, of those that differ in it alone."""
    signs = _signs(mine) * _signs(goal)
    if apart is not None:
        signs *= apart[:, None] != apart
    products = drawn * (signs.astype(drawn.dtype) @ drawn)
    return np.asarray(products.sum(axis=0, dtype=np.float64))


def _signs(values: Codes) -> npt.NDArray[np.int8]:
    own = values[:, None]
    return (own > values).view(np.int8) - (own < values).view(np.int8)
