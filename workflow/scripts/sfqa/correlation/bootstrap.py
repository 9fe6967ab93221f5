"""Confidence intervals by the bootstrap: of samples, or of the groups that samples share.

The samples of one portrait, song or prompt are not independent of each other. Where a protocol
keeps groups apart, whole groups are drawn (the cluster bootstrap); of several crossed groups each
is drawn by itself, and a sample counts as often as the product says (the pigeonhole bootstrap of
Owen, 2007, which errs to the wide side). Elsewhere single samples are drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm, t

from sfqa.errors import UserError, hint
from sfqa.identity import random_generator
from sfqa.splits.grouping import GROUPS, choose_groups, encode_groups
from sfqa.statistics.registry import RESAMPLED_NAMES, Array, Codes, RowResamples, find_statistic

#: The protocols whose trials keep groups apart.
GROUPED = ("fixed", "group_kfold", "group_trials")

KINDS = ("percentile", "bca")

#: Fewer groups or samples than this give no interval: they say little about those not seen.
LEAST_UNITS = 5

#: An interval needs so many resamples in which the statistic is defined, and this share of all.
LEAST_DEFINED, LEAST_SHARE = 100, 0.8

#: Parts left out in turn for the acceleration of BCa.
JACKKNIFE = 200

COVERAGE = 0.95

Replicates = dict[str, Array]


@dataclass(frozen=True)
class Interval:
    """The ends of an interval, None where there is none, and how it was made or why not."""

    low: float | None
    high: float | None
    how: str


@dataclass(frozen=True)
class Resampling:
    """Which samples are drawn how often: the same for all metrics, dimensions and trials.

    ``cells``: sample id to cell; ``counts``: (cells, resamples) how often; ``left_out``: (cells,
    parts) 0 or 1, for the jackknife of BCa, else no column; ``units``: what is drawn, in words;
    ``drawn``: how many of them, of the rarest kind.
    """

    cells: dict[str, int]
    counts: Array
    left_out: Array
    units: str
    drawn: int

    @property
    def resamples(self) -> int:
        """How many resamples there are."""
        return int(self.counts.shape[1])

    @property
    def weights(self) -> Array:
        """Resamples and then jackknife parts, (cells, resamples + parts)."""
        return np.hstack([self.counts, self.left_out]) if self.left_out.size else self.counts

    def codes(self, sample_ids: Iterable[str]) -> Codes:
        """Return the cells of some samples."""
        return np.array([self.cells[name] for name in sample_ids], np.int64)


def protocol_groups(protocols: Sequence[Mapping[str, Any]]) -> dict[str, list[str] | None]:
    """Return the groups that each grouped protocol keeps apart (None: all that there are).

    >>> protocol_groups([{"name": "p", "kind": "group_kfold", "groups": ["image"]},
    ...     {"name": "r", "kind": "random_kfold"}])
    {'p': ['image']}
    """
    return {p["name"]: p.get("groups") for p in protocols if p["kind"] in GROUPED}


def interval_kind(word: str, where: str) -> str:
    """Return a word of :data:`KINDS`; :class:`UserError` begun with ``where`` for any other."""
    if word not in KINDS:
        raise UserError(f"{where}: no interval {word!r}; {hint(word, KINDS)}")
    return word


def resampling(
    samples: pd.DataFrame,
    groups: Sequence[str] | None,
    count: int,
    seed: int = 0,
    kind: str = "percentile",
    grouped: bool = True,
) -> Resampling:
    """Draw the resamples of a table of samples (columns of tables.SAMPLES).

    ``groups`` as in a protocol (image, clip, prompt, method; None: all of image, clip, prompt that
    tell samples apart) or one or two columns of the table, used where ``grouped``. Where no group
    is known the samples are drawn one by one, and ``units`` says so. Depends on names, labels and
    the seed, not on the order of rows.

    >>> table = pd.DataFrame({"sample_id": list("abcd"), "image_id": list("xxyz")})
    >>> made = resampling(table, ["image"], 3)
    >>> made.units, made.counts.shape, made.counts[0].tolist() == made.counts[1].tolist()
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
    said = words if codes and "" not in codes else f"{len(rows)} samples{note}"
    table = np.stack(list(codes.values()), axis=1)
    cells, owner = np.unique(table, axis=0, return_inverse=True)
    counts: Array | float = 1.0
    left_out = []
    for place, (key, size) in enumerate(sizes.items()):
        draw = random_generator("bootstrap", seed, key, size)
        times = _multinomial(draw, size, count)
        # One kind of group: each cell is one of its units.
        counts = times if len(codes) == 1 else counts * times[cells[:, place]]
        if kind == "bca":
            parts = min(size, JACKKNIFE)
            part = np.arange(size) * parts // max(size, 1)
            left_out.append((part[cells[:, place], None] != np.arange(parts)).astype(float))
    return Resampling(
        dict(zip(names, owner.reshape(-1).tolist(), strict=True)),
        np.asarray(counts),
        np.hstack(left_out) if left_out else np.ones((len(cells), 0)),
        said,
        min(sizes.values()),
    )


def _group_codes(rows: pd.DataFrame, groups: Sequence[str] | None) -> dict[str, Codes]:
    if groups is None or set(groups) <= set(GROUPS):
        return encode_groups(rows, choose_groups(rows, {"groups": groups}, ""), "")
    # Columns of the user's: they stand in for image and clip, and nested ones become one as there.
    stand = dict(zip(("image", "clip"), groups, strict=False))
    own = rows.assign(**{GROUPS[key]: rows[name] for key, name in stand.items()})
    found = encode_groups(own, list(stand), "")
    return {"+".join(stand[part] for part in key.split("+")): c for key, c in found.items()}


def _multinomial(draw: np.random.Generator, size: int, count: int) -> Array:
    """Return how often each of ``size`` units is drawn in ``count`` draws of ``size``."""
    times = np.empty((count, size))
    for row in times:
        row[:] = np.bincount(draw.integers(0, size, size), minlength=size)
    return times.T


def replicates(
    scores: Array,
    mapped: Array,
    mos: Array,
    cells: Codes,
    weights: Array,
    which: Sequence[str] = RESAMPLED_NAMES,
) -> Replicates:
    """Return statistics (``which``) of each metric in every resample, (metrics, resamples).

    ``scores`` and, for statistics after the mapping, ``mapped``: (n, metrics); ``mos``: (n,);
    ``cells``: (n,) codes of ``weights`` (cells, resamples). The mapping is held as it was fitted to
    all rows.
    """
    every = len(cells) == len(weights) and bool((cells == np.arange(len(cells))).all())
    drawn = weights if every else weights[cells]
    resamples = RowResamples(cells, weights, drawn)
    made = {}
    for name in which:
        statistic = find_statistic(name)
        values = mapped if statistic.is_mapped else scores
        made[name] = statistic.compute_resamples(values, mos, resamples)
    return made


def model_replicates(
    scores: Array, mos: Array, methods: Codes, drawn: Array
) -> tuple[Array, Array]:
    """Return the means of every method in every resample: of scores and of MOS.

    ``scores`` and ``mos``: (n,); ``methods``: (n,) codes; ``drawn``: (n, B) weights; the results
    are (methods, B), NaN where a method was not drawn.
    """
    size = int(methods.max()) + 1
    found = []
    for values in (scores, mos):
        sums, n = np.empty((size, drawn.shape[1])), np.empty((size, drawn.shape[1]))
        for code in range(size):
            own = methods == code
            first = float(values[own][0])  # equal values keep exactly their mean
            n[code] = drawn[own].sum(axis=0)
            sums[code] = (values[own] - first) @ drawn[own]
            sums[code] = first + np.divide(
                sums[code], n[code], out=np.full(len(n[code]), np.nan), where=n[code] > 0
            )
        found.append(sums)
    return found[0], found[1]


def interval(
    values: Array,
    point: float | None,
    drawn: Resampling,
    kind: str = "percentile",
    cells: int | None = None,
) -> Interval:
    """Return the 95 % interval of a statistic from its replicates (resamples, then jackknife).

    ``percentile``: the quantiles of the replicates, a little farther out by the number of units
    drawn, as t is from the normal (Hesterberg, 2015). ``bca``: corrected for bias and acceleration
    (Efron, 1987). None where the statistic is undefined, where fewer than
    :data:`LEAST_UNITS` groups or samples were drawn (or of them ``cells`` take part), or where too
    few resamples define it.

    >>> made = resampling(pd.DataFrame({"sample_id": list("abcdef")}), None, 200, grouped=False)
    >>> found = interval(np.linspace(0, 1, 200), 0.5, made)
    >>> round(found.low, 3), round(found.high, 3), found.how
    (0.002, 0.998, 'percentile of 200 resamples of 6 samples')
    """
    if point is None:
        return Interval(None, None, "none: the statistic is undefined")
    least = f"where at least {LEAST_UNITS} are needed"
    if drawn.drawn < LEAST_UNITS:
        return Interval(None, None, f"none: {drawn.units} {least}")
    if cells is not None and cells < LEAST_UNITS:
        return Interval(None, None, f"none: {cells} of {drawn.units} {least}")
    good = values[: drawn.resamples]
    good = good[np.isfinite(good)]
    if len(good) < max(min(LEAST_DEFINED, drawn.resamples), LEAST_SHARE * drawn.resamples):
        told = f"none: defined in {len(good)} of {drawn.resamples} resamples of {drawn.units}"
        return Interval(None, None, told)
    tail = (1 - COVERAGE) / 2
    if kind != "bca":
        units = drawn.drawn if cells is None else min(drawn.drawn, cells)
        tail = float(norm.cdf(-((units / (units - 1)) ** 0.5) * t.ppf(1 - tail, units - 1)))
    levels = np.array([tail, 1 - tail])
    if kind == "bca":
        levels = _bca_levels(good, point, values[drawn.resamples :], levels)
    low, high = np.quantile(good, levels)
    how = f"{kind} of {drawn.resamples} resamples of {drawn.units}"
    return Interval(float(low), float(high), how)


def _bca_levels(good: Array, point: float, parts: Array, levels: Array) -> Array:
    below = (np.count_nonzero(good < point) + 0.5 * np.count_nonzero(good == point)) / len(good)
    bias = float(norm.ppf(np.clip(below, 0.5 / len(good), 1 - 0.5 / len(good))))
    parts = parts[np.isfinite(parts)]
    steps = parts.mean() - parts if len(parts) else np.zeros(1)
    power = float((steps**2).sum())
    pull = float((steps**3).sum()) / (6 * power**1.5) if power > 0 else 0.0
    z = bias + norm.ppf(levels)
    return np.asarray(norm.cdf(bias + z / (1 - pull * z)))
