"""Figures of predictions against MOS and of MOS by label; files are reproducible byte by byte."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import gaussian_kde

from sfqa.arrays import Floats
from sfqa.correlation.agreement import Correlation
from sfqa.correlation.fits import DEFAULT, MAPPINGS, NONE, correlate_with_mapping
from sfqa.correlation.summarise import pool_points
from sfqa.errors import UserError
from sfqa.figure_style import (
    COLOURS,
    LABEL_TITLES,
    MANY_POINTS,
    MARKERS,
    STYLE,
    describe_splits,
    in_words,
    save_figure,
    set_title,
)
from sfqa.splits.protocol_options import ALL
from sfqa.statistics.functions import MIN_ROWS
from sfqa.statistics.registry import STATISTICS

VERSION = 3

#: Below this number of points no density is estimated.
FEW_POINTS = 50
#: Shares of the points inside the density contours, and grid cells per axis.
INSIDE = (0.9, 0.5, 0.25)
_CELLS = 80


def draw_scatter(
    predictions: pd.DataFrame,
    mos: pd.DataFrame,
    samples: pd.DataFrame,
    metric: Mapping[str, Any],
    dimensions: Sequence[str],
    protocol: str,
    paths: Sequence[Path],
    mapping: str = DEFAULT,
) -> None:
    """Draw a metric's test scores against MOS with the fitted mapping and their density.

    Points are coloured by method; from :data:`FEW_POINTS` points on, grey lines enclose the densest
    regions with the shares :data:`INSIDE` of a Gaussian kernel estimate.

    ``metric``: ``name`` and ``direction``, and ``weights`` where there are some (an entry of the
    list of metrics will do). One panel per dimension. Scores stand as the metric gives them; the
    statistics below have the sign put right (direction -1). ``mapping`` is that of the tables. One
    file per path, its format from the ending (.svg, .png). A panel without a usable score says so.
    """
    metric = {"group": "", "kind": "zero_shot", "weights": "none", **metric}
    rated = mos[mos["dimension"].isin(dimensions)]
    points = {d: pool_points(predictions, rated, samples, metric, d, protocol) for d in dimensions}
    methods = sorted(
        {method for metric_points in points.values() for method in metric_points["method"]}
    )
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.6 * len(dimensions) + 1.6, 4.7), layout="constrained")
        panels = figure.subplots(1, len(dimensions), squeeze=False)[0]
        for axes, dimension in zip(panels, dimensions, strict=True):
            _draw_panel(axes, points[dimension], methods, metric, dimension, mapping)
        title = f"{metric['name']}, {describe_splits(protocol)}"
        set_title(figure, title, bool(rated["synthetic"].any()), metric["weights"] == "random")
        handles = {
            label: handle
            for axes in panels
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        if handles:
            figure.legend(
                list(handles.values()),
                list(handles),
                loc="outside right upper",
                frameon=False,
                markerscale=1.2,
            )
        save_figure(figure, paths)


def choose_protocol(
    predictions: pd.DataFrame,
    mos: pd.DataFrame,
    samples: pd.DataFrame,
    metric: Mapping[str, Any],
    dimensions: Sequence[str],
    protocol: str,
) -> str:
    """Return the protocol whose points to draw: ``protocol``, or all rated videos.

    All rated videos if the metric has rows of them and ``protocol`` tests too few samples for a
    statistic in every dimension. Arguments as of :func:`draw_scatter`.
    """
    has_all = bool((predictions["protocol"] == ALL).any())
    points = (pool_points(predictions, mos, samples, metric, d, protocol) for d in dimensions)
    return ALL if has_all and all(len(frame) < MIN_ROWS for frame in points) else protocol


def _draw_panel(
    axes: Axes,
    points: pd.DataFrame,
    methods: Sequence[str],
    metric: Mapping[str, Any],
    dimension: str,
    mapping: str,
) -> None:
    signed, goal = points["prediction"].to_numpy(float), points["mos"].to_numpy(float)
    sign = metric["direction"]
    for number, method in enumerate(methods):
        is_method = (points["method"] == method).to_numpy(bool)
        if is_method.any():
            axes.scatter(
                sign * signed[is_method],
                goal[is_method],
                s=22 if len(points) < 300 else 14,
                color=COLOURS[number % len(COLOURS)],
                marker=MARKERS[number % len(MARKERS)],
                alpha=0.75 if len(points) < 300 else 0.55,
                linewidths=0,
                label=method,
                rasterized=len(points) > MANY_POINTS,
            )
    statistics, curve = correlate_with_mapping(signed, goal, mapping)
    if curve is not None and curve.name != NONE:
        x = np.linspace(signed.min(), signed.max(), 200)
        label = "fit: " + (curve.name if curve.name in MAPPINGS.values() else "linear")
        axes.plot(sign * x, curve(x), color="#222222", linewidth=1.6, label=label, zorder=4)
    _draw_density(axes, sign * signed, goal)
    if points.empty:
        axes.text(0.5, 0.5, "no test sample with a score and a MOS", ha="center")
    worse = ", lower is better" if sign < 0 else ""
    axes.set_title(in_words(dimension), weight="bold")
    axes.set_ylabel("MOS")
    axes.set_xlabel(f"{metric['name']} (score{worse})\n\n{_format_statistics(statistics)}")
    axes.grid(color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)


def _draw_density(axes: Axes, x: Floats, y: Floats) -> None:
    """Draw density contours, if :func:`estimate_density` returns an estimate."""
    estimate = estimate_density(x, y)
    if estimate is None:
        return
    across, up, heights, levels = estimate
    style: Any = {"colors": "#4a4a4a", "linewidths": 0.9, "alpha": 0.85, "zorder": 3}
    limits = axes.dataLim.frozen()
    lines = axes.contour(across, up, heights, levels=levels, **style)
    # The axes include the contours but not the rest of the grid.
    axes.dataLim.set(limits)
    axes.update_datalim(np.concatenate([path.vertices for path in lines.get_paths()]))
    axes.autoscale_view()
    shares = ", ".join(f"{100 * share:.0f}" for share in sorted(INSIDE))
    axes.plot([], [], color="#4a4a4a", linewidth=0.9, label=f"{shares} % of the density")


def estimate_density(x: Floats, y: Floats) -> tuple[Floats, Floats, Floats, list[float]] | None:
    """Return the grid of a kernel density estimate, its heights and its contour levels.

    ``x``, ``y``: n values each. A Gaussian kernel of Scott's width, on a grid of 80 x 80 cells;
    the levels, rising, are those of the smallest regions with the shares :data:`INSIDE` of the
    estimate. None below :data:`FEW_POINTS` points, for a constant, and for points on a line.

    >>> draw = np.random.default_rng(0).normal(size=(2, 100))
    >>> across, up, heights, levels = estimate_density(*draw)
    >>> heights.shape, len(levels), estimate_density(draw[0], 2 * draw[0])
    ((80, 80), 3, None)
    """
    if len(x) < FEW_POINTS:
        return None
    # Standardised, so that scores of 0..1e-6 work as well as any others.
    spread = [float(np.std(v)) for v in (x, y)]
    if any(s <= 1e-12 * float(np.abs(v).max()) for s, v in zip(spread, (x, y), strict=True)):
        return None
    if abs(float(np.corrcoef(x, y)[0, 1])) > 1 - 1e-9:
        return None
    points = np.stack([(v - v.mean()) / s for v, s in zip((x, y), spread, strict=True)])
    kernel = gaussian_kde(points)
    margin = 3 * np.sqrt(np.diag(kernel.covariance))
    sides = [
        np.linspace(v.min() - m, v.max() + m, _CELLS) for v, m in zip(points, margin, strict=True)
    ]
    grid = np.stack([side.ravel() for side in np.meshgrid(*sides)])
    heights = kernel(grid).reshape(_CELLS, _CELLS)
    # Rounded: the last digits of a sum differ from machine to machine.
    heights = np.round(heights / heights.max(), 9)
    falling = np.sort(heights.ravel())[::-1]
    mass = np.cumsum(falling) / falling.sum()
    levels = sorted({float(falling[np.searchsorted(mass, share)]) for share in INSIDE})
    across, up = (side * s + v.mean() for side, s, v in zip(sides, spread, (x, y), strict=True))
    return across, up, heights, levels


def draw_mos_by_label(frame: pd.DataFrame, paths: Sequence[Path], synthetic: bool = False) -> None:
    """Draw mean MOS with 95 % intervals by method, category, style, language (SFQA, Fig. 4).

    ``frame``: label_kind, label, dimension, n, mean, sd, ci95_low, ci95_high. One row of panels per
    kind, one column per dimension, both in order of appearance; labels from high to low mean over
    the dimensions, the same on both sides. Bars start at 0. Raises :class:`UserError` without rows.
    """
    if frame.empty:
        raise UserError("mos_by_label: no row to draw; check that MOS and labels share samples")
    label_kinds = list(dict.fromkeys(frame["label_kind"]))
    dimensions = list(dict.fromkeys(frame["dimension"]))
    orders = {
        label_kind: _order_labels(frame[frame["label_kind"] == label_kind])
        for label_kind in label_kinds
    }
    heights = [max(2, len(order)) + 1.6 for order in orders.values()]
    top = float(np.nanmax(frame[["mean", "ci95_high"]].to_numpy(float)))
    with mpl.rc_context(STYLE):
        figure = Figure(
            figsize=(4.2 * len(dimensions) + 0.6, 0.27 * sum(heights) + 0.9), layout="constrained"
        )
        grid = figure.subplots(
            len(label_kinds),
            len(dimensions),
            squeeze=False,
            sharex=True,
            sharey="row",
            height_ratios=heights,
        )
        for row, label_kind in enumerate(label_kinds):
            for column, dimension in enumerate(dimensions):
                axes = grid[row][column]
                panel_rows = frame[
                    (frame["label_kind"] == label_kind) & (frame["dimension"] == dimension)
                ]
                _draw_bars(
                    axes,
                    panel_rows.set_index("label"),
                    orders[label_kind],
                    COLOURS[column % len(COLOURS)],
                )
                axes.set_xlim(0, top * 1.12)
                axes.tick_params(labelbottom=row == len(label_kinds) - 1)
                if row == 0:
                    axes.set_title(in_words(dimension), weight="bold")
                if column == 0:
                    axes.set_ylabel(LABEL_TITLES.get(label_kind, in_words(label_kind)))
                if row == len(label_kinds) - 1:
                    axes.set_xlabel("MOS, mean and 95 % interval")
        figure.align_ylabels(grid[:, 0])
        set_title(figure, synthetic=synthetic)
        save_figure(figure, paths)


def _draw_bars(axes: Axes, label_rows: pd.DataFrame, order: list[str], colour: str) -> None:
    label_rows = label_rows.reindex(order)
    positions = np.arange(len(order))
    means = label_rows["mean"].to_numpy(float)
    ends = label_rows[["ci95_low", "ci95_high"]].to_numpy(float)
    axes.barh(positions, np.nan_to_num(means), height=0.66, color=colour, alpha=0.8)
    has_interval = np.isfinite(ends).all(axis=1) & np.isfinite(means)
    arms = np.abs(ends[has_interval] - means[has_interval, None]).T
    axes.errorbar(
        means[has_interval],
        positions[has_interval],
        xerr=arms,
        fmt="none",
        ecolor="#222222",
        capsize=2,
        lw=1,
    )
    digits = 1 if np.nanmax(np.append(means, 0.0)) > 10 else 2  # 0..100, or a scale of few steps
    for position, mean, high, count in zip(
        positions, means, ends[:, 1], label_rows["n"], strict=True
    ):
        missing = not np.isfinite(mean)
        text = "no rating" if missing else f"{mean:.{digits}f}"
        if not missing and not np.isfinite(high):
            text += f", n={count:.0f}"
        where = 0.0 if missing else float(np.nanmax([mean, high]))
        axes.annotate(
            text, (where, position), (4, 0), textcoords="offset points", va="center", fontsize=7.5
        )
    axes.set_yticks(positions, order)
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)


def _order_labels(label_rows: pd.DataFrame) -> list[str]:
    means = label_rows.groupby("label")["mean"].mean().fillna(-np.inf)
    return sorted(means.index, key=lambda label: (-means[label], label))


def _format_statistics(statistics: Correlation) -> str:
    values = [(statistic.label, statistics[statistic.name]) for statistic in STATISTICS]
    text = "   ".join(f"{label} {'–' if v is None else format(v, '.3f')}" for label, v in values)
    return "\n".join([f"n = {statistics.n}   {text}", *textwrap.wrap(statistics.detail, 66)])
