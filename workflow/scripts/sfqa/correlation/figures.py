"""Figures beside the tables: predictions against MOS, MOS by label; the same bytes each time."""

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

from sfqa.correlation.agreement import Correlation
from sfqa.correlation.fits import LOGISTIC, correlate, fit_mapping
from sfqa.correlation.summarise import pooled_points
from sfqa.errors import UserError
from sfqa.figure_style import (
    COLOURS,
    LABEL_TITLES,
    MANY_POINTS,
    MARKERS,
    STYLE,
    in_words,
    save_figure,
    set_title,
)
from sfqa.statistics.functions import Array
from sfqa.statistics.registry import STATISTICS

VERSION = 2

#: Fewer points have no density worth a line.
FEW_POINTS = 50
#: Shares of the points that lie inside the lines of density, and the cells of its grid per axis.
INSIDE = (0.9, 0.5, 0.25)
_CELLS = 80


def scatter(
    predictions: pd.DataFrame,
    mos: pd.DataFrame,
    samples: pd.DataFrame,
    metric: Mapping[str, Any],
    dimensions: Sequence[str],
    protocol: str,
    paths: Sequence[Path],
) -> None:
    """Draw a metric's test scores against MOS with the fitted mapping and their density.

    Points are coloured by method; from :data:`FEW_POINTS` points on, grey lines enclose the densest
    regions with the shares :data:`INSIDE` of a Gaussian kernel estimate.

    ``metric``: ``name`` and ``direction``, and ``weights`` where there are some (an entry of the
    list of metrics will do). One panel per dimension. Scores stand as the metric gives them; the
    statistics below have the sign put right (direction -1). One file per path, its format from the
    ending (.svg, .png). A panel without a usable score says so.
    """
    metric = {"group": "", "kind": "zero_shot", "weights": "none", **metric}
    rated = mos[mos["dimension"].isin(dimensions)]
    points = {
        d: pooled_points(predictions, rated, samples, metric, d, protocol) for d in dimensions
    }
    methods = sorted({method for own in points.values() for method in own["method"]})
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.6 * len(dimensions) + 1.6, 4.7), layout="constrained")
        panels = figure.subplots(1, len(dimensions), squeeze=False)[0]
        for axes, dimension in zip(panels, dimensions, strict=True):
            _cloud(axes, points[dimension], methods, metric, dimension)
        title = f"{metric['name']}, {in_words(protocol)} splits"
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


def _cloud(
    axes: Axes,
    points: pd.DataFrame,
    methods: Sequence[str],
    metric: Mapping[str, Any],
    dimension: str,
) -> None:
    signed, goal = points["prediction"].to_numpy(float), points["mos"].to_numpy(float)
    sign = metric["direction"]
    for number, method in enumerate(methods):
        own = (points["method"] == method).to_numpy(bool)
        if own.any():
            axes.scatter(
                sign * signed[own],
                goal[own],
                s=22 if len(points) < 300 else 14,
                color=COLOURS[number % len(COLOURS)],
                marker=MARKERS[number % len(MARKERS)],
                alpha=0.75 if len(points) < 300 else 0.55,
                linewidths=0,
                label=method,
                rasterized=len(points) > MANY_POINTS,
            )
    found = correlate(signed, goal)
    if found["srcc"] is not None:
        x = np.linspace(signed.min(), signed.max(), 200)
        label = "fit: " + (LOGISTIC if found.mapping == LOGISTIC else "linear")
        line = fit_mapping(signed, goal)(x)
        axes.plot(sign * x, line, color="#222222", linewidth=1.6, label=label, zorder=4)
    _density(axes, sign * signed, goal)
    if points.empty:
        axes.text(0.5, 0.5, "no test sample with a score and a MOS", ha="center")
    worse = ", lower is better" if sign < 0 else ""
    axes.set_title(in_words(dimension), weight="bold")
    axes.set_ylabel("MOS")
    axes.set_xlabel(f"{metric['name']} (score{worse})\n\n{_figures(found)}")
    axes.grid(color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)


def _density(axes: Axes, x: Array, y: Array) -> None:
    """Lines around the densest shares of the points; none where they are few, or on one line."""
    found = density(x, y)
    if found is None:
        return
    across, up, heights, levels = found
    style: Any = {"colors": "#4a4a4a", "linewidths": 0.9, "alpha": 0.85, "zorder": 3}
    limits = axes.dataLim.frozen()
    lines = axes.contour(across, up, heights, levels=levels, **style)
    # Room for the lines, not for the whole grid.
    axes.dataLim.set(limits)
    axes.update_datalim(np.concatenate([path.vertices for path in lines.get_paths()]))
    axes.autoscale_view()
    shares = ", ".join(f"{100 * share:.0f}" for share in sorted(INSIDE))
    axes.plot([], [], color="#4a4a4a", linewidth=0.9, label=f"{shares} % of the density")


def density(x: Array, y: Array) -> tuple[Array, Array, Array, list[float]] | None:
    """Return where a kernel estimate was taken, its heights, and the levels that enclose shares.

    ``x``, ``y``: n values each. A Gaussian kernel of Scott's width, on a grid of 80 x 80 cells;
    the levels, rising, are those of the smallest regions with the shares :data:`INSIDE` of the
    estimate. None below :data:`FEW_POINTS` points, for a constant, and for points on a line.

    >>> draw = np.random.default_rng(0).normal(size=(2, 100))
    >>> across, up, heights, levels = density(*draw)
    >>> heights.shape, len(levels), density(draw[0], 2 * draw[0])
    ((80, 80), 3, None)
    """
    if len(x) < FEW_POINTS:
        return None
    # Both sides on one scale: scores of 0..1e-6 are as good as others.
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


def mos_by_label(frame: pd.DataFrame, paths: Sequence[Path], synthetic: bool = False) -> None:
    """Draw mean MOS with 95 % intervals by method, category, style, language (SFQA, Fig. 4).

    ``frame``: label_kind, label, dimension, n, mean, sd, ci95_low, ci95_high. One row of panels per
    kind, one column per dimension, both in order of appearance; labels from high to low mean over
    the dimensions, the same on both sides. Bars start at 0. Raises :class:`UserError` without rows.
    """
    if frame.empty:
        raise UserError("mos_by_label: no row to draw; check that MOS and labels share samples")
    kinds = list(dict.fromkeys(frame["label_kind"]))
    dimensions = list(dict.fromkeys(frame["dimension"]))
    orders = {kind: _order(frame[frame["label_kind"] == kind]) for kind in kinds}
    heights = [max(2, len(order)) + 1.6 for order in orders.values()]
    top = float(np.nanmax(frame[["mean", "ci95_high"]].to_numpy(float)))
    with mpl.rc_context(STYLE):
        figure = Figure(
            figsize=(4.2 * len(dimensions) + 0.6, 0.27 * sum(heights) + 0.9), layout="constrained"
        )
        grid = figure.subplots(
            len(kinds),
            len(dimensions),
            squeeze=False,
            sharex=True,
            sharey="row",
            height_ratios=heights,
        )
        for row, kind in enumerate(kinds):
            for column, dimension in enumerate(dimensions):
                axes = grid[row][column]
                own = frame[(frame["label_kind"] == kind) & (frame["dimension"] == dimension)]
                _bars(axes, own.set_index("label"), orders[kind], COLOURS[column % len(COLOURS)])
                axes.set_xlim(0, top * 1.12)
                axes.tick_params(labelbottom=row == len(kinds) - 1)
                if row == 0:
                    axes.set_title(in_words(dimension), weight="bold")
                if column == 0:
                    axes.set_ylabel(LABEL_TITLES.get(kind, in_words(kind)))
                if row == len(kinds) - 1:
                    axes.set_xlabel("MOS, mean and 95 % interval")
        figure.align_ylabels(grid[:, 0])
        set_title(figure, synthetic=synthetic)
        save_figure(figure, paths)


def _bars(axes: Axes, own: pd.DataFrame, order: list[str], colour: str) -> None:
    own = own.reindex(order)
    places = np.arange(len(order))
    means = own["mean"].to_numpy(float)
    ends = own[["ci95_low", "ci95_high"]].to_numpy(float)
    axes.barh(places, np.nan_to_num(means), height=0.66, color=colour, alpha=0.8)
    known = np.isfinite(ends).all(axis=1) & np.isfinite(means)
    arms = np.abs(ends[known] - means[known, None]).T
    axes.errorbar(
        means[known], places[known], xerr=arms, fmt="none", ecolor="#222222", capsize=2, lw=1
    )
    digits = 1 if np.nanmax(np.append(means, 0.0)) > 10 else 2  # 0..100, or a scale of few steps
    for place, mean, high, count in zip(places, means, ends[:, 1], own["n"], strict=True):
        missing = not np.isfinite(mean)
        text = "no rating" if missing else f"{mean:.{digits}f}"
        if not missing and not np.isfinite(high):
            text += f", n={count:.0f}"
        where = 0.0 if missing else float(np.nanmax([mean, high]))
        axes.annotate(
            text, (where, place), (4, 0), textcoords="offset points", va="center", fontsize=7.5
        )
    axes.set_yticks(places, order)
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)


def _order(own: pd.DataFrame) -> list[str]:
    means = own.groupby("label")["mean"].mean().fillna(-np.inf)
    return sorted(means.index, key=lambda label: (-means[label], label))


def _figures(found: Correlation) -> str:
    values = [(statistic.label, found[statistic.name]) for statistic in STATISTICS]
    text = "   ".join(f"{label} {'–' if v is None else format(v, '.3f')}" for label, v in values)
    return "\n".join([f"n = {found.n}   {text}", *textwrap.wrap(found.detail, 66)])
