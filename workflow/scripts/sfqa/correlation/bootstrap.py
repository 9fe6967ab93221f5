"""Confidence intervals by the bootstrap, over samples or over groups of samples.

The samples of one portrait, song or prompt are not independent of each other. If a protocol splits
by groups, whole groups are drawn (cluster bootstrap). Several crossed groups are drawn
independently, and the weight of a sample is the product of the counts of its groups (pigeonhole
bootstrap, Owen, 2007; its intervals are conservative). Otherwise single samples are drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm, t

from sfqa.arrays import Floats
from sfqa.errors import UserError, hint
from sfqa.identity import random_generator
from sfqa.splits.grouping import GROUPS, choose_groups, encode_groups, list_keys
from sfqa.splits.protocol_options import ALL
from sfqa.statistics.registry import RESAMPLED_NAMES, Codes, RowResamples, find_statistic

#: The protocols whose trials keep groups apart, and the one of all samples, whose videos of one
#: image or clip are no more independent.
GROUPED = ("fixed", "group_kfold", "group_trials", "leave_one_group_out", "listed_trials", ALL)

KINDS = ("percentile", "bca")

#: No interval below this number of groups or samples: too few to generalise from.
LEAST_UNITS = 5

#: Minimum number and share of resamples in which the statistic must be defined for an interval.
LEAST_DEFINED, LEAST_SHARE = 100, 0.8

#: Number of jackknife parts for the acceleration of BCa.
JACKKNIFE = 200

COVERAGE = 0.95

Replicates = dict[str, Floats]


@dataclass(frozen=True)
class Interval:
    """The ends of an interval (None if undefined), and how it was computed or why it was not."""

    low: float | None
    high: float | None
    how: str


@dataclass(frozen=True)
class Resampling:
    """How often each sample is drawn; the same for all metrics, dimensions and trials.

    ``cells``: maps a sample id to its cell, the samples that are always drawn together. ``counts``:
    (cells, resamples), how often a cell is drawn. ``left_out``: (cells, parts), 0 or 1 for the
    jackknife of BCa, without columns for other intervals. ``units``: description of what is drawn.
    ``drawn``: number of units; if two groups are crossed, the smaller number.
    """

    cells: dict[str, int]
    counts: Floats
    left_out: Floats
    units: str
    drawn: int

    @property
    def resamples(self) -> int:
        """The number of resamples."""
        return int(self.counts.shape[1])

    @property
    def weights(self) -> Floats:
        """Weights of the resamples, then of the jackknife parts: (cells, resamples + parts)."""
        return np.hstack([self.counts, self.left_out]) if self.left_out.size else self.counts

    def get_cells(self, sample_ids: Iterable[str]) -> Codes:
        """Return the cell of each sample."""
        return np.array([self.cells[name] for name in sample_ids], np.int64)


def protocol_groups(protocols: Sequence[Mapping[str, Any]]) -> dict[str, list[str] | None]:
    """Return the groups by which each grouped protocol splits (None: all groups).

    >>> protocol_groups([{"name": "p", "kind": "group_kfold", "groups": ["image"]},
    ...     {"name": "r", "kind": "random_kfold"}])
    {'p': ['image']}
    """
    return {p["name"]: p.get("groups") for p in protocols if p["kind"] in GROUPED}


def check_interval_kind(word: str, where: str) -> str:
    """Return ``word`` if it is one of :data:`KINDS`.

    Raises :class:`UserError`, its message starting with ``where``, for any other word.
    """
    if word not in KINDS:
        raise UserError(f"{where}: no interval {word!r}; {hint(word, KINDS)}")
    return word


def draw_resampling(
    samples: pd.DataFrame,
    groups: Sequence[str] | None,
    count: int,
    seed: int = 0,
    kind: str = "percentile",
    grouped: bool = True,
) -> Resampling:
    """Draw the resamples of a table of samples (columns of tables.SAMPLES).

    ``groups``: as in a protocol (image, clip, prompt, method; None: those of image, clip and prompt
    that differ between samples), or one or two columns of the table; ignored unless ``grouped``. If
    the groups are not known, single samples are drawn and ``units`` says so. The result depends on
    names, labels and the seed, not on the order of rows.

    >>> table = pd.DataFrame({"sample_id": list("abcd"), "image_id": list("xxyz")})
    >>> drawn = draw_resampling(table, ["image"], 3)
    >>> drawn.units, drawn.counts.shape, drawn.counts[0].tolist() == drawn.counts[1].tolist()
    ('3 image groups', (3, 3), False)
    """
    rows = samples.sort_values("sample_id", ignore_index=True)
    names = [str(name) for name in rows["sample_id"].tolist()]
    codes: dict[str, Codes] = {}
    note = ""
    if grouped:
        try:
            codes = _group_codes(rows, groups)
        except UserError:
            note = " (the groups are not known)"
    if not codes:
        codes = {"": np.arange(len(rows))}
    sizes = {key: int(code.max()) + 1 if len(code) else 0 for key, code in codes.items()}
    words = " x ".join(f"{sizes[key]} {key}" for key in codes if key) + " groups"
    drawn_units = words if codes and "" not in codes else f"{len(rows)} samples{note}"
    table = np.stack(list(codes.values()), axis=1)
    cells, owner = np.unique(table, axis=0, return_inverse=True)
    counts: Floats | float = 1.0
    left_out = []
    for group_index, (key, size) in enumerate(sizes.items()):
        draw = random_generator("bootstrap", seed, key, size)
        times = _draw_counts(draw, size, count)
        # With one group type, each cell is one group.
        counts = times if len(codes) == 1 else counts * times[cells[:, group_index]]
        if kind == "bca":
            parts = min(size, JACKKNIFE)
            part = np.arange(size) * parts // max(size, 1)
            left_out.append((part[cells[:, group_index], None] != np.arange(parts)).astype(float))
    return Resampling(
        dict(zip(names, owner.reshape(-1).tolist(), strict=True)),
        np.asarray(counts),
        np.hstack(left_out) if left_out else np.ones((len(cells), 0)),
        drawn_units,
        min(sizes.values()),
    )


def _group_codes(rows: pd.DataFrame, groups: Sequence[str] | None) -> dict[str, Codes]:
    if groups is None or set(groups) <= {*GROUPS, *list_keys(rows)}:
        return encode_groups(rows, choose_groups(rows, {"groups": groups}, ""), "")
    # Columns of the user take the place of image and clip, so that nested columns are merged too.
    stand_ins = dict(zip(("image", "clip"), groups, strict=False))
    renamed_rows = rows.assign(**{GROUPS[key]: rows[name] for key, name in stand_ins.items()})
    group_codes = encode_groups(renamed_rows, list(stand_ins), "")
    return {
        "+".join(stand_ins[part] for part in key.split("+")): c for key, c in group_codes.items()
    }


def _draw_counts(draw: np.random.Generator, size: int, count: int) -> Floats:
    """Return how often each unit is drawn, shape (size, count); every column sums to ``size``."""
    times = np.empty((count, size))
    for row in times:
        row[:] = np.bincount(draw.integers(0, size, size), minlength=size)
    return times.T


def compute_replicates(
    scores: Floats,
    mapped: Floats,
    mos: Floats,
    cells: Codes,
    weights: Floats,
    which: Sequence[str] = RESAMPLED_NAMES,
) -> Replicates:
    """Return the statistics named in ``which`` in every resample, each (metrics, resamples).

    ``scores`` and ``mapped`` (scores after the mapping): (n, metrics); ``mos``: (n,); ``cells``:
    (n,) indices into the rows of ``weights`` (cells, resamples). The mapping fitted to all rows is
    used in every resample.
    """
    is_identity = len(cells) == len(weights) and bool((cells == np.arange(len(cells))).all())
    drawn = weights if is_identity else weights[cells]
    resamples = RowResamples(cells, weights, drawn)
    values_by_statistic = {}
    for name in which:
        statistic = find_statistic(name)
        values = mapped if statistic.is_mapped else scores
        values_by_statistic[name] = statistic.compute_resamples(values, mos, resamples)
    return values_by_statistic


def resample_method_means(
    scores: Floats, mos: Floats, methods: Codes, drawn: Floats
) -> tuple[Floats, Floats]:
    """Return the mean score and the mean MOS of every method in every resample.

    ``scores`` and ``mos``: (n,); ``methods``: (n,) codes; ``drawn``: (n, B) weights; the results
    are (methods, B), NaN where a method was not drawn.
    """
    size = int(methods.max()) + 1
    resampled_means = []
    for values in (scores, mos):
        sums, n = np.empty((size, drawn.shape[1])), np.empty((size, drawn.shape[1]))
        for code in range(size):
            is_method = methods == code
            first = float(values[is_method][0])  # the mean of equal values stays exact
            n[code] = drawn[is_method].sum(axis=0)
            sums[code] = (values[is_method] - first) @ drawn[is_method]
            sums[code] = first + np.divide(
                sums[code], n[code], out=np.full(len(n[code]), np.nan), where=n[code] > 0
            )
        resampled_means.append(sums)
    return resampled_means[0], resampled_means[1]


def compute_interval(
    values: Floats,
    point: float | None,
    drawn: Resampling,
    kind: str = "percentile",
    cells: int | None = None,
) -> Interval:
    """Return the 95 % interval of a statistic from its replicates (resamples, then jackknife).

    ``percentile``: quantiles of the replicates, widened for small numbers of units by the ratio of
    t to normal quantiles (Hesterberg, 2015). ``bca``: corrected for bias and acceleration (Efron,
    1987). The ends are None if the statistic is undefined, if fewer than :data:`LEAST_UNITS` groups
    or samples were drawn (or fewer ``cells`` contribute), or if it is defined in too few resamples.

    >>> table = pd.DataFrame({"sample_id": list("abcdef")})
    >>> drawn = draw_resampling(table, None, 200, grouped=False)
    >>> ends = compute_interval(np.linspace(0, 1, 200), 0.5, drawn)
    >>> round(ends.low, 3), round(ends.high, 3), ends.how
    (0.002, 0.998, 'percentile of 200 resamples of 6 samples')
    """
    if point is None:
        return Interval(None, None, "none: the statistic is undefined")
    least = f"where at least {LEAST_UNITS} are needed"
    if drawn.drawn < LEAST_UNITS:
        return Interval(None, None, f"none: {drawn.units} {least}")
    if cells is not None and cells < LEAST_UNITS:
        return Interval(None, None, f"none: {cells} of {drawn.units} {least}")
    defined_values = values[: drawn.resamples]
    defined_values = defined_values[np.isfinite(defined_values)]
    if len(defined_values) < max(
        min(LEAST_DEFINED, drawn.resamples), LEAST_SHARE * drawn.resamples
    ):
        resamples = f"{drawn.resamples} resamples of {drawn.units}"
        reason = f"none: defined in {len(defined_values)} of {resamples}"
        return Interval(None, None, reason)
    tail = (1 - COVERAGE) / 2
    if kind != "bca":
        units = drawn.drawn if cells is None else min(drawn.drawn, cells)
        tail = float(norm.cdf(-((units / (units - 1)) ** 0.5) * t.ppf(1 - tail, units - 1)))
    levels = np.array([tail, 1 - tail])
    if kind == "bca":
        levels = _bca_levels(defined_values, point, values[drawn.resamples :], levels)
    low, high = np.quantile(defined_values, levels)
    how = f"{kind} of {drawn.resamples} resamples of {drawn.units}"
    return Interval(float(low), float(high), how)


def _bca_levels(good: Floats, point: float, parts: Floats, levels: Floats) -> Floats:
    below = (np.count_nonzero(good < point) + 0.5 * np.count_nonzero(good == point)) / len(good)
    bias = float(norm.ppf(np.clip(below, 0.5 / len(good), 1 - 0.5 / len(good))))
    parts = parts[np.isfinite(parts)]
    steps = parts.mean() - parts if len(parts) else np.zeros(1)
    power = float((steps**2).sum())
    pull = float((steps**3).sum()) / (6 * power**1.5) if power > 0 else 0.0
    z = bias + norm.ppf(levels)
    return np.asarray(norm.cdf(bias + z / (1 - pull * z)))
