"""The list of statistics: how each is written, which way is better, and how it is computed.

Tables, intervals, tests of significance, figures, challenges and the site go through this list in
its order. A new statistic is one entry here and one function in functions.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sfqa.arrays import Floats
from sfqa.statistics import functions, resampled

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class RowResamples:
    """Many resamples of the same rows.

    ``cells``: (n,) the cell of every row; ``counts``: (cells, B) how often a cell was drawn in each
    of B resamples; ``weights``: (n, B) how often each row was drawn.
    """

    cells: Codes
    counts: Floats
    weights: Floats


@dataclass(frozen=True)
class Statistic:
    """One statistic of the agreement between scores and MOS.

    ``name``: the column of tables. ``label``: how readers see it. ``compute``: a function of two
    arrays (n,), scores and MOS, None where it is undefined. ``is_mapped``: it takes the scores
    after the mapping to MOS, else as given. ``is_correlation``: it is undefined for constant
    scores, and a row without any such statistic has failed. ``bounds``: its least and largest
    value. ``decimals``: of the ends of an interval.

    ``has_interval``: tables hold its bootstrap interval and test its differences. Two functions are
    optional, since they only save time: ``resample`` takes scores (n, m), MOS (n,) and
    :class:`RowResamples` and returns (m, B); ``compute_columns`` takes scores and MOS (n, B) and
    returns (B,), column by column. Both return NaN where the statistic is undefined.

    ``pearson_of``: 'ranks' or 'scores' where the statistic is Pearson's correlation of them, which
    Steiger's and Meng's tests need, else empty.
    """

    name: str
    label: str
    meaning: str
    compute: Callable[[Floats, Floats], float | None]
    higher_is_better: bool = True
    is_mapped: bool = False
    is_correlation: bool = True
    bounds: tuple[float, float] = (-1.0, 1.0)
    unit: str = ""
    decimals: int = 3
    has_interval: bool = True
    resample: Callable[[Floats, Floats, RowResamples], Floats] | None = None
    compute_columns: Callable[[Floats, Floats], Floats] | None = None
    pearson_of: str = ""

    def compute_resamples(self, scores: Floats, mos: Floats, resamples: RowResamples) -> Floats:
        """Return the statistic of each column of ``scores`` (n, m) in each resample, (m, B).

        >>> rows = np.arange(4)
        >>> once = RowResamples(rows, np.ones((4, 1)), np.ones((4, 1)))
        >>> find_statistic("rmse").compute_resamples(np.ones((4, 1)), np.full(4, 3.0), once)
        array([[2.]])
        """
        if self.resample is not None:
            return self.resample(scores, mos, resamples)
        times = resamples.weights.astype(np.int64).T
        return np.array(
            [
                [_or_nan(self.compute(np.repeat(x, t), np.repeat(mos, t))) for t in times]
                for x in scores.T
            ]
        )

    def compute_each(self, scores: Floats, mos: Floats) -> Floats:
        """Return the statistic of each column of ``scores`` with that of ``mos``: (n, B) to (B,).

        >>> find_statistic("rmse").compute_each(np.ones((4, 2)), np.full((4, 2), 3.0))
        array([2., 2.])
        """
        if self.compute_columns is not None:
            return self.compute_columns(scores, mos)
        return np.array([_or_nan(self.compute(x, y)) for x, y in zip(scores.T, mos.T, strict=True)])

    def is_possible(self, value: float) -> bool:
        """Return whether the statistic can have this value.

        >>> find_statistic("srcc").is_possible(70), find_statistic("rmse").is_possible(70)
        (False, True)
        """
        return math.isfinite(value) and self.bounds[0] <= value <= self.bounds[1]


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def join_words(words: Iterable[str], last: str = "and") -> str:
    """Return some words as a sentence lists them.

    >>> join_words(statistic.label for statistic in STATISTICS)
    'SRCC, PLCC, KRCC and RMSE'
    """
    listed = list(words)
    return f" {last} ".join(filter(None, [", ".join(listed[:-1]), *listed[-1:]]))


STATISTICS: tuple[Statistic, ...] = (
    Statistic(
        "srcc",
        "SRCC",
        "Spearman rank-order correlation",
        functions.srcc,
        resample=lambda scores, mos, draws: resampled.srcc(scores, mos, draws.weights),
        compute_columns=resampled.spearman,
        pearson_of="ranks",
    ),
    Statistic(
        "plcc",
        "PLCC",
        "Pearson linear correlation after the mapping",
        functions.plcc,
        is_mapped=True,
        resample=lambda scores, mos, draws: resampled.plcc(scores, mos, draws.weights),
        compute_columns=resampled.pearson,
        pearson_of="scores",
    ),
    Statistic(
        "krcc",
        "KRCC",
        "Kendall rank-order correlation, tau-b",
        functions.krcc,
        resample=lambda scores, mos, draws: resampled.krcc(scores, mos, draws.cells, draws.counts),
        compute_columns=resampled.kendall,
    ),
    Statistic(
        "rmse",
        "RMSE",
        "root mean square error after the mapping",
        functions.rmse,
        higher_is_better=False,
        is_mapped=True,
        is_correlation=False,
        bounds=(0.0, math.inf),
        unit="MOS",
        decimals=2,
        has_interval=False,
    ),
)

NAMES = tuple(statistic.name for statistic in STATISTICS)
#: The statistics that are resampled: those with an interval.
RESAMPLED = tuple(statistic for statistic in STATISTICS if statistic.has_interval)
RESAMPLED_NAMES = tuple(statistic.name for statistic in RESAMPLED)
#: The statistics after the mapping, as sentences name them.
MAPPED_LABELS = join_words(statistic.label for statistic in STATISTICS if statistic.is_mapped)

_BY_NAME = {statistic.name: statistic for statistic in STATISTICS}


def find_statistic(name: str) -> Statistic:
    """Return the statistic of a name; ``KeyError`` if there is none.

    >>> find_statistic("krcc").label
    'KRCC'
    """
    return _BY_NAME[name]
