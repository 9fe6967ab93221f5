"""SRCC, PLCC and KRCC of many metrics over many resamples at once.

A resample is a weight per row: how often the row was drawn. The ranks of a resample then need no
sorting: in the order of the scores, sorted once, the rank of a row is a running sum of weights.
Sums of ranks are whole numbers below 2**53 (up to some 100,000 rows), so that they are exact, and
the same whatever the order of summation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from sfqa.arrays import Floats
from sfqa.statistics.kendall import sum_pair_agreement

Codes = npt.NDArray[np.int64]
Item = TypeVar("Item")

#: Resamples worked on at once (more where rows are few), and numbers summed at once: they stay in
#: the processor's cache. Metrics worked on at once.
BLOCK, NUMBERS, METRICS = 128, 57_344, 48

#: Resamples of KRCC worked on at once.
COLUMNS = 512


def compute_ranks(values: npt.ArrayLike) -> Floats:
    """Return the ranks, from 1, down each column; ties at their mean rank. Shape as given.

    >>> compute_ranks([[10.0, 1.0], [20.0, 1.0], [10.0, 0.0]]).tolist()
    [[1.5, 2.5], [3.0, 2.5], [1.5, 1.0]]
    """
    x = np.asarray(values, np.float64)
    if not x.size:
        return x.copy()
    order = np.argsort(x, axis=0, kind="stable")
    lined = np.take_along_axis(x, order, axis=0)
    positions = np.arange(len(x)).reshape(-1, *[1] * (x.ndim - 1))
    new = np.ones(x.shape, bool)
    new[1:] = lined[1:] != lined[:-1]
    first = np.maximum.accumulate(np.where(new, positions, 0), axis=0)
    ends = np.ones(x.shape, bool)
    ends[:-1] = new[1:]
    last = np.minimum.accumulate(np.where(ends, positions, len(x))[::-1], axis=0)[::-1]
    mean_ranks = np.empty_like(x)
    np.put_along_axis(mean_ranks, order, (first + last) / 2 + 1, axis=0)
    return mean_ranks


def pearson(x: Floats, y: Floats) -> Floats:
    """Return Pearson's correlation down the first axis; NaN where a side is constant.

    ``x`` and ``y``: (n, ...) of one shape or one that broadcasts; the result is (...).

    >>> pearson(np.array([[1.0, 5.0], [2.0, 4.0], [3.0, 3.0]]), np.array([[1.0], [2.0], [3.0]]))
    array([ 1., -1.])
    """
    a, b = x - x.mean(axis=0), y - y.mean(axis=0)
    power = (a * a).sum(axis=0) * (b * b).sum(axis=0)
    return np.asarray(np.clip(_divide_by_root((a * b).sum(axis=0), power), -1.0, 1.0))


def spearman(x: Floats, y: Floats) -> Floats:
    """Return Spearman's correlation down the first axis; NaN where a side is constant.

    ``x`` and ``y``: (n, B); the result is (B,).

    >>> spearman(np.array([[1.0], [2.0], [9.0]]), np.array([[1.0], [3.0], [2.0]]))
    array([0.5])
    """
    return pearson(compute_ranks(x), compute_ranks(y))


def kendall(x: Floats, y: Floats) -> Floats:
    """Return Kendall's tau-b down the first axis by all pairs; NaN where a side is constant.

    For few rows and many columns: the memory is n * n times the columns.

    >>> kendall(np.array([[1.0], [2.0], [3.0]]), np.array([[1.0], [3.0], [2.0]])).round(6)
    array([0.333333])
    """
    a, b = np.sign(x[:, None] - x[None]), np.sign(y[:, None] - y[None])
    return _divide_by_root(
        (a * b).sum(axis=(0, 1)), (a * a).sum(axis=(0, 1)) * (b * b).sum(axis=(0, 1))
    )


def srcc(x: Floats, y: Floats, weights: Floats) -> Floats:
    """Return Spearman's correlation of each column of ``x`` with ``y`` in every resample.

    ``x``: (n, m), ``y``: (n,), ``weights``: (n, B) whole numbers; the result is (m, B), NaN where a
    side is constant in the resample. Equal to ranking the drawn rows anew, ties at their mean rank.

    >>> x, y = np.array([[1.0], [2.0], [3.0], [4.0]]), np.array([1.0, 3.0, 2.0, 4.0])
    >>> srcc(x, y, np.ones((4, 1))).round(6).tolist()
    [[0.8]]
    """
    goal = _SortedOrder(y)
    orders = [_SortedOrder(column) for column in x.T]
    tied = [k for k, order in enumerate(orders) if order.tied]
    untied = [k for k, order in enumerate(orders) if not order.tied]
    correlations = np.empty((x.shape[1], weights.shape[1]))
    block = max(BLOCK, min(8 * BLOCK, 300_000 // max(len(y), 1)))
    for start in range(0, weights.shape[1], block):
        columns = slice(start, start + block)
        w = np.ascontiguousarray(weights[:, columns], np.float64)
        work = _RunningSums(w)
        total = w.sum(axis=0)
        tied_orders = [goal, *(orders[k] for k in tied)]
        rank_sums = chain.from_iterable(
            work.compute_ranks(few) for few in _split_groups(tied_orders)
        )
        # Twice the rank of a row, less what makes its weighted mean zero; times its weight.
        centred, cubes = next(rank_sums)
        centred -= total
        centred *= w
        power = total**3 - cubes
        for k, (doubled, cubes) in zip(tied, rank_sums, strict=True):
            correlations[k, columns] = _divide_by_root(
                _sum_products(centred, doubled), power * (total**3 - cubes)
            )
        for group in _split_groups(untied):
            ordered_rows = np.stack([orders[k].rows for k in group], axis=1)
            covariance = 2.0 * work.sum_along(ordered_rows, centred) - _sum_products(centred, w)
            correlations[group, columns] = _divide_by_root(
                covariance, power * (total**3 - _sum_products(w * w, w))
            )
    correlations *= 3.0
    return np.asarray(np.clip(correlations, -1.0, 1.0))


def plcc(x: Floats, y: Floats, weights: Floats) -> Floats:
    """Return Pearson's correlation of each column of ``x`` with ``y`` in every resample.

    Shapes as in :func:`srcc`; NaN where a side is constant in the resample.

    >>> x, y = np.array([[1.0], [2.0], [3.0], [4.0]]), np.array([3.0, 5.0, 7.0, 9.0])
    >>> plcc(x, y, np.array([[1.0], [2.0], [0.0], [1.0]])).round(9).tolist()
    [[1.0]]
    """
    a, b = _standardise(x), _standardise(y[:, None])
    m = a.shape[1]
    sums = np.hstack([a, a * a, a * b, b, b * b, np.ones_like(b)]).T @ weights
    means = np.divide(sums, sums[-1], out=np.full(sums.shape, np.nan), where=sums[-1] > 0)
    mean_a, square_a, mean_products, (mean_b, square_b, _) = (
        means[:m], means[m : 2 * m], means[2 * m : 3 * m], means[3 * m :],
    )  # fmt: skip
    power = [
        np.where(mean_square - mean**2 > 1e-12 * mean_square, mean_square - mean**2, 0.0)
        for mean_square, mean in ((square_a, mean_a), (square_b, mean_b))
    ]
    return np.asarray(
        np.clip(_divide_by_root(mean_products - mean_a * mean_b, power[0] * power[1]), -1.0, 1.0)
    )


def krcc(x: Floats, y: Floats, cells: Codes, counts: Floats) -> Floats:
    """Return Kendall's tau-b of each column of ``x`` with ``y`` in every resample.

    ``x``: (n, m), ``y``: (n,); ``cells``: (n,) the cell of every row, ``counts``: (C, B) how often
    a cell's rows were drawn; the result is (m, B), NaN where a side is constant in the resample.
    A few resamples at a time, so that memory does not hold the rows of all.

    >>> x, y = np.array([[1.0], [2.0], [3.0], [4.0]]), np.array([1.0, 3.0, 2.0, 4.0])
    >>> krcc(x, y, np.arange(4), np.ones((4, 1))).round(6).tolist()
    [[0.666667]]
    """
    goal = np.unique(y, return_inverse=True)[1]
    mine = [np.unique(column, return_inverse=True)[1] for column in x.T]
    correlations = np.empty((x.shape[1], counts.shape[1]))
    for start in range(0, counts.shape[1], COLUMNS):
        columns = slice(start, start + COLUMNS)
        weights = counts[cells, columns]
        squares = weights.sum(axis=0) ** 2
        ties = _sum_tied_squares(y, weights)
        for k, codes in enumerate(mine):
            pair_sums = sum_pair_agreement(codes, goal, weights)
            power = (squares - ties) * (squares - _sum_tied_squares(x[:, k], weights))
            correlations[k, columns] = _divide_by_root(pair_sums, power)
    return correlations


def _split_groups(items: list[Item]) -> Iterator[list[Item]]:
    """Yield the items, a few at a time."""
    return (items[k : k + METRICS] for k in range(0, len(items), METRICS))


class _SortedOrder:
    """The sorted order of values: ``rows`` by value, and ``first`` and ``last`` of each tie.

    ``tie``: index of the tie of each row, in the original order of the rows.
    """

    def __init__(self, values: Floats) -> None:
        self.rows = np.argsort(values, kind="stable")
        lined = values[self.rows]
        new = np.concatenate([[True], lined[1:] != lined[:-1]])
        self.first = np.flatnonzero(new)
        self.last = np.append(self.first[1:], len(values)) - 1
        self.tied = len(self.first) < len(values)
        self.tie = np.empty(len(values), np.int64)
        self.tie[self.rows] = np.cumsum(new) - 1


class _RunningSums:
    """Running sums of weights (n, b) along orders of the rows.

    Sums a few rows of several orders at a time in a reused buffer, so that the numbers stay in the
    processor's cache; row by row, because a running sum along the other axis is many times slower.
    """

    def __init__(self, weights: Floats) -> None:
        self.weights = weights
        b = weights.shape[1]
        self.sums = np.empty((max(METRICS, NUMBERS // b), b))
        self.values = np.empty_like(self.sums)

    def _iterate_chunks(self, orders: Codes) -> Iterator[tuple[slice, Floats]]:
        """Yield slices of the orders (n, m) with their running sums, (slice, m, b)."""
        (n, m), b = orders.shape, self.weights.shape[1]
        size = max(1, len(self.sums) // m)
        before = np.zeros(m * b)
        for start in range(0, n, size):
            rows = orders[start : start + size]
            sums = self.sums[: rows.size]
            self.weights.take(rows.reshape(-1), axis=0, out=sums, mode="clip")
            for row in sums.reshape(len(rows), m * b):
                np.add(row, before, out=row)
                before = row
            before = before.copy()
            yield slice(start, start + len(rows)), sums.reshape(len(rows), m, b)

    def sum_along(self, orders: Codes, values: Floats) -> Floats:
        """Return the sum of each row's value times its running sum, along orders (n, m): (m, b)."""
        weighted_sums = np.zeros((orders.shape[1], self.weights.shape[1]))
        for places, sums in self._iterate_chunks(orders):
            rows = orders[places].reshape(-1)
            row_values = self.values[: len(rows)]
            values.take(rows, axis=0, out=row_values, mode="clip")
            weighted_sums += np.einsum("kmb,kmb->mb", row_values.reshape(sums.shape), sums)
        return weighted_sums

    def compute_ranks(self, orders: Sequence[_SortedOrder]) -> Iterator[tuple[Floats, Floats]]:
        """Yield, for each order, twice the mean rank of each row less 1, the rows as given, (n, b).

        And with it the sum of cubes of the drawn rows of each tie, (b,).
        """
        ends = [np.empty((len(order.last), self.weights.shape[1])) for order in orders]
        done = [0] * len(orders)
        lined = np.stack([order.rows for order in orders], axis=1)
        for places, sums in self._iterate_chunks(lined):
            for k, order in enumerate(orders):
                stop = int(np.searchsorted(order.last, places.stop))
                last = order.last[done[k] : stop] - places.start
                ends[k][done[k] : stop] = sums[:, k] if len(last) == len(sums) else sums[last, k]
                done[k] = stop
        for after, order in zip(ends, orders, strict=True):
            drawn = after.copy()
            drawn[1:] -= after[:-1]
            cubes = _sum_products(drawn * drawn, drawn)
            after += after
            after -= drawn
            yield after.take(order.tie, axis=0), cubes


def _sum_products(a: Floats, b: Floats) -> Floats:
    return np.asarray(np.einsum("gb,gb->b", a, b))


def _standardise(x: Floats) -> Floats:
    """Standardise columns to mean 0 and standard deviation 1, so that squares keep precision."""
    centred = x - x.mean(axis=0)
    scale = np.abs(centred).max(axis=0)
    centred = centred / np.where(scale > 0, scale, 1.0)
    spread = centred.std(axis=0)
    return np.asarray(centred / np.where(spread > 0, spread, 1.0))


def _divide_by_root(numerator: Floats, power: Floats) -> Floats:
    """Return ``both / sqrt(power)``, NaN where there is no power."""
    root = np.sqrt(np.maximum(power, 0.0))
    return np.asarray(
        np.divide(numerator, root, out=np.full(np.shape(numerator), np.nan), where=root > 0)
    )


def _sum_tied_squares(values: Floats, weights: Floats) -> Floats:
    """Return the sum of squares of the drawn rows at each value."""
    order = _SortedOrder(values)
    if not order.tied:
        return _sum_products(weights, weights)
    drawn = np.add.reduceat(weights[order.rows], order.first, axis=0)
    return _sum_products(drawn, drawn)
