"""Figures of a rating study: MOS distributions, label differences, raters, SOS hypothesis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from sfqa.arrays import Floats
from sfqa.errors import UserError
from sfqa.figure_style import (
    COLOURS,
    LABEL_TITLES,
    MANY_POINTS,
    STYLE,
    WARNING,
    in_words,
    save_figure,
    set_title,
)
from sfqa.ratings.by_label import LABEL_KINDS, join_labels
from sfqa.ratings.reliability import fit_sos
from sfqa.ratings.screening import row_statistics
from sfqa.store import to_records

VERSION = 1

TableRow = dict[str, Any]

_DARK, _PALE = "#222222", "#e4e4e4"
#: With fewer videos each is drawn by itself, because a density estimate would be unreliable.
_MIN_FOR_DENSITY = 10
#: Purple over white to orange, distinct for every kind of colour vision.
_DIVERGING = "PuOr_r"


def plot_histograms(mos: pd.DataFrame, paths: Sequence[Path], synthetic: bool = False) -> None:
    """Draw the distribution of the MOS of every dimension, with its mean (LGVQ, Fig. 5).

    ``mos`` has the columns of ``tables.MOS``. The bins follow the Freedman-Diaconis rule. Raises
    :class:`UserError` if no sample has a MOS.
    """
    with_mos = mos[mos["mos"].notna()]
    if with_mos.empty:
        raise UserError("histograms: no sample has a MOS")
    dimensions = sorted(with_mos["dimension"].unique())
    with mpl.rc_context(STYLE):
        size = (3.6 * len(dimensions) + 0.3, 2.9)
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(1, len(dimensions), squeeze=False, sharex=True)[0]
        for number, (axes, dimension) in enumerate(zip(panels, dimensions, strict=True)):
            values = with_mos.loc[with_mos["dimension"] == dimension, "mos"].to_numpy(float)
            bins = np.histogram_bin_edges(values, "fd" if np.ptp(values) > 0 else 1)
            bins = bins if len(bins) <= 60 else np.linspace(bins[0], bins[-1], 60)
            colour = COLOURS[number % len(COLOURS)]
            axes.hist(values, bins=bins.tolist(), color=colour, alpha=0.8, edgecolor="white")
            axes.axvline(values.mean(), color=_DARK, linewidth=1.2)
            axes.set_title(in_words(str(dimension)), weight="bold")
            axes.set_xlabel(f"MOS of a video (line: mean {values.mean():.4g}, n={len(values)})")
            axes.grid(axis="y", color=_PALE, linewidth=0.6)
            axes.set_axisbelow(True)
        panels[0].set_ylabel("videos")
        set_title(figure, synthetic=synthetic)
        save_figure(figure, paths)


def plot_distributions(
    mos: pd.DataFrame,
    samples: pd.DataFrame,
    paths: Sequence[Path],
    extra: Sequence[str] = (),
    synthetic: bool = False,
) -> None:
    """Draw the MOS of every label as a distribution, with mean and quartiles (SFQA, Fig. 4).

    ``mos``, ``samples`` and ``extra`` are those of :func:`sfqa.ratings.by_label.average_by_label`.
    There is a row of panels per kind of label and a column per dimension; labels are sorted by
    their mean over the dimensions. Raises :class:`UserError` if no MOS has a label.
    """
    labelled = join_labels(mos, samples)
    kinds = [k for k in (*LABEL_KINDS, *extra) if k in labelled and labelled[k].notna().any()]
    dimensions = sorted(labelled["dimension"].unique())
    if not kinds or not dimensions:
        raise UserError("distributions: no MOS has a label; check that both name the same samples")
    orders = {}
    for label_kind in kinds:
        mean = labelled.groupby([label_kind, "dimension"])["mos"].mean().groupby(level=0).mean()
        orders[label_kind] = sorted(mean.index, key=lambda label: (-mean[label], label))
    heights = [max(2, len(order)) + 1.4 for order in orders.values()]
    with mpl.rc_context(STYLE):
        size = (4.4 * len(dimensions) + 0.8, 0.34 * sum(heights) + 0.9)
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(
            len(kinds), len(dimensions), squeeze=False, sharex=True, sharey="row",
            height_ratios=heights,
        )  # fmt: skip
        for row, label_kind in enumerate(kinds):
            for column, dimension in enumerate(dimensions):
                axes, part = grid[row][column], labelled[labelled["dimension"] == dimension]
                colour = COLOURS[column % len(COLOURS)]
                _plot_labels(axes, part, label_kind, orders[label_kind], colour)
                axes.tick_params(labelbottom=row == len(kinds) - 1)
                if row == 0:
                    axes.set_title(in_words(str(dimension)), weight="bold")
                if column == 0:
                    title = LABEL_TITLES.get(label_kind, in_words(label_kind).capitalize())
                    axes.set_ylabel(title)
        for axes in grid[-1]:
            axes.set_xlabel("MOS of a video (dot: mean, bar: middle half)")
        figure.align_ylabels(grid[:, 0])
        set_title(figure, synthetic=synthetic)
        save_figure(figure, paths)


def _plot_labels(
    axes: Axes, part: pd.DataFrame, label_kind: str, order: list[str], colour: str
) -> None:
    """Draw the MOS of each label: a violin, or ticks for few videos, with mean and quartiles."""
    mos_by_label = [part.loc[part[label_kind] == label, "mos"].to_numpy(float) for label in order]
    for y, values in enumerate(mos_by_label):
        if len(values) >= _MIN_FOR_DENSITY and np.ptp(values) > 0:
            shape = axes.violinplot(
                [values], [y], orientation="horizontal", widths=0.85, showextrema=False
            )
            for body in shape["bodies"]:  # type: ignore[attr-defined]
                body.set(facecolor=colour, alpha=0.35, linewidth=0)
        elif len(values):
            axes.plot(values, np.full(len(values), y), "|", color=colour, markersize=9)
        if len(values):
            low, high = np.percentile(values, [25, 75])
            axes.plot([low, high], [y, y], color=_DARK, linewidth=2.2, solid_capstyle="butt")
            axes.plot(values.mean(), y, "o", color="white", markeredgecolor=_DARK, markersize=5)
        text = f"n={len(values)}" if len(values) else "no rating"
        axes.annotate(
            text, (1, y), (4, 0), xycoords=("axes fraction", "data"),
            textcoords="offset points", va="center", fontsize=7, color="#666666",
        )  # fmt: skip
    axes.set_yticks(range(len(order)), order)
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=_PALE, linewidth=0.6)
    axes.set_axisbelow(True)


def plot_differences(
    frame: pd.DataFrame, label_kind: str, paths: Sequence[Path], synthetic: bool = False
) -> None:
    """Draw the differences of every two labels of a kind; those not significant are grey.

    ``frame`` has the columns of :func:`sfqa.ratings.significance.compare_labels`. There is a
    panel per dimension with its labels from high to low mean; a cell is the row's label minus the
    column's, "?" if it could not be tested. Raises :class:`UserError` if the kind has fewer than
    two labels.
    """
    all_rows = [row for row in to_records(frame) if row["label_kind"] == label_kind]
    if not all_rows:
        raise UserError(f"differences: no two labels of {label_kind!r} to compare")
    rows_by_dimension: dict[str, list[TableRow]] = {}
    for row in all_rows:
        rows_by_dimension.setdefault(str(row["dimension"]), []).append(row)
    differences = [abs(r["difference"]) for r in all_rows if r["difference"] is not None]
    largest = max(differences, default=1)
    count = max(len(_order_labels(rows)) for rows in rows_by_dimension.values())
    side = 0.45 * count + 1.7
    with mpl.rc_context(STYLE):
        size = (side * len(rows_by_dimension) + 0.9, side + 0.1)
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(1, len(rows_by_dimension), squeeze=False)[0]
        for axes, (dimension, rows) in zip(panels, sorted(rows_by_dimension.items()), strict=True):
            order = _order_labels(rows)
            image = _plot_cells(axes, rows, order, largest or 1.0)
            axes.set_title(in_words(dimension), weight="bold")
            # The matrix is triangular: it has no first column and no last row.
            axes.set_yticks(range(len(order) - 1), order[:-1])
            axes.set_xticks(range(1, len(order)), order[1:], rotation=45, ha="right")
        figure.colorbar(image, ax=list(panels), shrink=0.7, label="MOS, row minus column")
        tests = " and ".join(sorted({row["test"] for row in all_rows}))
        figure.supxlabel(f"{tests}, Holm; grey: not significant at .05", fontsize=8)
        set_title(figure, synthetic=synthetic)
        save_figure(figure, paths)


def _order_labels(rows: Sequence[TableRow]) -> list[str]:
    """Return the labels by the sum of their differences from all others, largest first."""
    sums: dict[str, float] = {}
    for row in rows:
        difference = row["difference"] or 0.0
        for label, sign in ((row["label_a"], 1), (row["label_b"], -1)):
            sums[label] = sums.get(label, 0.0) + sign * difference
    return sorted(sums, key=lambda label: (-sums[label], label))


def _plot_cells(
    axes: Axes, rows: Sequence[TableRow], order: list[str], largest: float
) -> AxesImage:
    index = {label: k for k, label in enumerate(order)}
    values = np.full((len(order), len(order)), np.nan)
    digits = 0 if largest >= 10 else 1 if largest >= 1 else 2
    for row in rows:
        a, b = index[row["label_a"]], index[row["label_b"]]
        sign = 1 if a < b else -1
        a, b = min(a, b), max(a, b)  # the lower half is redundant
        text, colour = "?", "#777777"
        if row["p"] is not None:
            difference = sign * row["difference"]
            text = f"{difference:.{digits}f}"
            if row["significant"]:
                values[a, b] = difference
                colour = "white" if abs(difference) > 0.6 * largest else _DARK
        if np.isnan(values[a, b]):
            axes.add_patch(Rectangle((b - 0.5, a - 0.5), 1, 1, facecolor=_PALE, linewidth=0))
        axes.text(b, a, text, ha="center", va="center", fontsize=7, color=colour)
    image = axes.imshow(values, cmap=_DIVERGING, vmin=-largest, vmax=largest, aspect="equal")
    axes.set(xlim=(0.5, len(order) - 0.5), ylim=(len(order) - 1.5, -0.5))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return image


def plot_raters(report: pd.DataFrame, paths: Sequence[Path], synthetic: bool = False) -> None:
    """Draw every rater's bias, inconsistency and agreement; excluded raters are marked.

    ``report`` has the columns of :func:`sfqa.ratings.rater_report.report_raters`. There is a row of
    panels per dimension with the raters from high to low agreement. Raises :class:`UserError` for
    an empty report.
    """
    if report.empty:
        raise UserError("raters: no rater to draw")
    dimensions = sorted(report["dimension"].unique())
    columns = (
        ("bias", "Bias (raw scale)"),
        ("inconsistency", "Inconsistency (sd, raw scale)"),
        ("agreement_srcc", "SRCC with the others"),
    )
    count = report.groupby("dimension")["rater"].nunique().max()
    with mpl.rc_context(STYLE):
        size = (10.0, (0.22 * count + 1.1) * len(dimensions) + 0.4)
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(len(dimensions), 3, squeeze=False, sharey="row", sharex="col")
        for row, dimension in enumerate(dimensions):
            rows = report[report["dimension"] == dimension]
            rows = rows.sort_values(["agreement_srcc", "rater"], ascending=[False, True])
            y = np.arange(len(rows))
            rejected = rows["rejected"].to_numpy(bool)
            flawed = (rows["status"] != "ok").to_numpy(bool) & ~rejected
            for column, (name, label) in enumerate(columns):
                axes = grid[row][column]
                values = rows[name].to_numpy(float)
                axes.hlines(y, 0, np.nan_to_num(values), color="#bbbbbb", linewidth=1)
                for mask, mark, colour, word in (
                    (~rejected & ~flawed, "o", COLOURS[0], "used"),
                    (flawed, "D", COLOURS[1], "used, with remarks"),
                    (rejected, "X", WARNING, "left out"),
                ):
                    if mask.any():
                        axes.plot(values[mask], y[mask], mark, color=colour, label=word)
                axes.axvline(0, color=_DARK, linewidth=0.8)
                axes.grid(axis="x", color=_PALE, linewidth=0.6)
                axes.set_axisbelow(True)
                axes.set_xlabel(label)
                axes.set_yticks(y, rows["rater"])
                axes.set_ylim(len(rows) - 0.4, -0.6)
                axes.tick_params(axis="y", length=0)
            grid[row][0].set_title(in_words(dimension), weight="bold")
        handles: dict[str, Any] = {}
        for axes in grid.flat:
            for handle, word in zip(*axes.get_legend_handles_labels(), strict=True):
                handles.setdefault(word, handle)
        figure.legend(
            list(handles.values()), list(handles), loc="outside upper right", frameon=False, ncols=3
        )
        set_title(figure, synthetic=synthetic)
        save_figure(figure, paths)


def plot_sos(
    matrices: dict[str, Floats],
    scale: tuple[float, float],
    paths: Sequence[Path],
    synthetic: bool = False,
) -> None:
    """Draw each sample's standard deviation against its MOS, with the fit of the SOS hypothesis.

    ``matrices``: raw ratings (stimuli, raters) by dimension, on the scale from ``scale[0]`` to
    ``scale[1]``. The dashed line is the maximum that the scale allows (a = 1). Raises the
    errors of :func:`sfqa.ratings.reliability.fit_sos`.
    """
    if not matrices:
        raise UserError("SOS: no dimension to draw")
    low, high = scale
    mos = np.linspace(low, high, 200)
    limit = np.sqrt((mos - low) * (high - mos))
    with mpl.rc_context(STYLE):
        size = (3.9 * len(matrices) + 0.3, 3.6)
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(1, len(matrices), squeeze=False, sharey=True)[0]
        for number, (axes, dimension) in enumerate(zip(panels, matrices, strict=True)):
            n, mean, sd = row_statistics(np.asarray(matrices[dimension], float))
            fit = fit_sos(matrices[dimension], low, high)
            used = n >= 2
            axes.plot(
                mean[used], sd[used], "o", markersize=3.5, alpha=0.25 if used.sum() > 300 else 0.6,
                color=COLOURS[number % len(COLOURS)], markeredgewidth=0,
                rasterized=bool(used.sum() > MANY_POINTS),
            )  # fmt: skip
            axes.plot(mos, np.sqrt(fit.a) * limit, color=_DARK, linewidth=1.8, label="fit")
            axes.plot(mos, limit, color=_DARK, linewidth=0.8, linestyle="--", label="a = 1")
            axes.set_title(in_words(dimension), weight="bold")
            axes.set_xlabel(
                f"MOS ({low:g} to {high:g})\n\na = {fit.a:.3f} (without the bias of few ratings "
                f"{fit.a_unbiased:.3f})\n{fit.n} samples"
            )
            axes.set_xlim(low, high)
            axes.set_ylim(0, 1.1 * max(float(limit.max()), float(sd[used].max())))
            axes.grid(color=_PALE, linewidth=0.6)
            axes.set_axisbelow(True)
        panels[0].set_ylabel("standard deviation over raters")
        panels[0].legend(frameon=False, loc="upper right", fontsize=8)
        set_title(figure, synthetic=synthetic)
        save_figure(figure, paths)


def plot_or_explain(plot: Callable[[Sequence[Path]], None], paths: Sequence[Path | str]) -> None:
    """Write a figure into the files, or the reason if ``plot`` raises :class:`UserError`."""
    files = [Path(path) for path in paths]
    try:
        plot(files)
    except UserError as error:
        with mpl.rc_context(STYLE):
            figure = Figure(figsize=(6, 1), layout="constrained")
            figure.text(0.5, 0.5, str(error), ha="center", va="center", wrap=True)
            save_figure(figure, files)
