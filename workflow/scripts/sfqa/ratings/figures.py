"""Figures of a rating study: MOS distributions, which labels differ, raters, SOS; same bytes."""

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
from sfqa.ratings.by_label import LABEL_KINDS, labelled
from sfqa.ratings.reliability import sos_fit
from sfqa.ratings.screening import Matrix, row_statistics
from sfqa.store import to_records

VERSION = 1

Row = dict[str, Any]

_DARK, _PALE = "#222222", "#e4e4e4"
#: Below so many videos each one is drawn: a smooth shape would claim to know more.
_LEAST_FOR_A_SHAPE = 10
#: From blue over white to orange: apart for every kind of colour vision.
_BOTH_WAYS = "PuOr_r"


def histograms(mos: pd.DataFrame, paths: Sequence[Path], synthetic: bool = False) -> None:
    """Draw the distribution of the MOS of every dimension, with its mean (LGVQ, Fig. 5).

    ``mos`` has the columns of ``tables.MOS``. The widths of the bars follow Freedman and Diaconis.
    Raises :class:`UserError` where no sample has a MOS.
    """
    known = mos[mos["mos"].notna()]
    if known.empty:
        raise UserError("histograms: no sample has a MOS")
    dimensions = sorted(known["dimension"].unique())
    with mpl.rc_context(STYLE):
        size = (3.6 * len(dimensions) + 0.3, 2.9)
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(1, len(dimensions), squeeze=False, sharex=True)[0]
        for number, (axes, dimension) in enumerate(zip(panels, dimensions, strict=True)):
            values = known.loc[known["dimension"] == dimension, "mos"].to_numpy(float)
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


def distributions(
    mos: pd.DataFrame,
    samples: pd.DataFrame,
    paths: Sequence[Path],
    extra: Sequence[str] = (),
    synthetic: bool = False,
) -> None:
    """Draw the MOS of every label as a distribution, with mean and quartiles (SFQA, Fig. 4).

    ``mos``, ``samples`` and ``extra`` as in :func:`sfqa.ratings.by_label.mos_by_label`. One row of
    panels per kind of label, one column per dimension; labels from high to low mean over the
    dimensions. Raises :class:`UserError` where nothing can be drawn.
    """
    known = labelled(mos, samples)
    kinds = [k for k in (*LABEL_KINDS, *extra) if k in known and known[k].notna().any()]
    dimensions = sorted(known["dimension"].unique())
    if not kinds or not dimensions:
        raise UserError("distributions: no MOS has a label; check that both name the same samples")
    orders = {}
    for kind in kinds:
        mean = known.groupby([kind, "dimension"])["mos"].mean().groupby(level=0).mean()
        orders[kind] = sorted(mean.index, key=lambda label: (-mean[label], label))
    heights = [max(2, len(order)) + 1.4 for order in orders.values()]
    with mpl.rc_context(STYLE):
        size = (4.4 * len(dimensions) + 0.8, 0.34 * sum(heights) + 0.9)
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(
            len(kinds), len(dimensions), squeeze=False, sharex=True, sharey="row",
            height_ratios=heights,
        )  # fmt: skip
        for row, kind in enumerate(kinds):
            for column, dimension in enumerate(dimensions):
                axes, part = grid[row][column], known[known["dimension"] == dimension]
                _violins(axes, part, kind, orders[kind], COLOURS[column % len(COLOURS)])
                axes.tick_params(labelbottom=row == len(kinds) - 1)
                if row == 0:
                    axes.set_title(in_words(str(dimension)), weight="bold")
                if column == 0:
                    axes.set_ylabel(LABEL_TITLES.get(kind, in_words(kind).capitalize()))
        for axes in grid[-1]:
            axes.set_xlabel("MOS of a video (dot: mean, bar: middle half)")
        figure.align_ylabels(grid[:, 0])
        set_title(figure, synthetic=synthetic)
        save_figure(figure, paths)


def _violins(axes: Axes, part: pd.DataFrame, kind: str, order: list[str], colour: str) -> None:
    values = [part.loc[part[kind] == label, "mos"].to_numpy(float) for label in order]
    for place, own in enumerate(values):
        if len(own) >= _LEAST_FOR_A_SHAPE and np.ptp(own) > 0:
            shape = axes.violinplot(
                [own], [place], orientation="horizontal", widths=0.85, showextrema=False
            )
            for body in shape["bodies"]:  # type: ignore[attr-defined]
                body.set(facecolor=colour, alpha=0.35, linewidth=0)
        elif len(own):
            axes.plot(own, np.full(len(own), place), "|", color=colour, markersize=9)
        if len(own):
            low, high = np.percentile(own, [25, 75])
            axes.plot(
                [low, high], [place, place], color=_DARK, linewidth=2.2, solid_capstyle="butt"
            )
            axes.plot(own.mean(), place, "o", color="white", markeredgecolor=_DARK, markersize=5)
        text = f"n={len(own)}" if len(own) else "no rating"
        axes.annotate(
            text, (1, place), (4, 0), xycoords=("axes fraction", "data"),
            textcoords="offset points", va="center", fontsize=7, color="#666666",
        )  # fmt: skip
    axes.set_yticks(range(len(order)), order)
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=_PALE, linewidth=0.6)
    axes.set_axisbelow(True)


def differences(
    frame: pd.DataFrame, kind: str, paths: Sequence[Path], synthetic: bool = False
) -> None:
    """Draw the differences of every two labels of a kind, those that are not significant in grey.

    ``frame`` has the columns of :func:`sfqa.ratings.significance.label_differences`. One panel per
    dimension, its labels from high to low mean; a cell is the row's label minus the column's, "?"
    where nothing could be tested. Raises :class:`UserError` where the kind has no two labels.
    """
    own = [row for row in to_records(frame) if row["label_kind"] == kind]
    if not own:
        raise UserError(f"differences: no two labels of {kind!r} to compare")
    panels_of: dict[str, list[Row]] = {}
    for row in own:
        panels_of.setdefault(str(row["dimension"]), []).append(row)
    most = max((abs(row["difference"]) for row in own if row["difference"] is not None), default=1)
    count = max(len(_high_to_low(rows)) for rows in panels_of.values())
    side = 0.45 * count + 1.7
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(side * len(panels_of) + 0.9, side + 0.1), layout="constrained")
        panels = figure.subplots(1, len(panels_of), squeeze=False)[0]
        for axes, (dimension, rows) in zip(panels, sorted(panels_of.items()), strict=True):
            order = _high_to_low(rows)
            image = _cells(axes, rows, order, most or 1.0)
            axes.set_title(in_words(dimension), weight="bold")
            # Nothing stands left of the first column and below the last row.
            axes.set_yticks(range(len(order) - 1), order[:-1])
            axes.set_xticks(range(1, len(order)), order[1:], rotation=45, ha="right")
        figure.colorbar(image, ax=list(panels), shrink=0.7, label="MOS, row minus column")
        tests = " and ".join(sorted({row["test"] for row in own}))
        figure.supxlabel(f"{tests}, Holm; grey: not significant at .05", fontsize=8)
        set_title(figure, synthetic=synthetic)
        save_figure(figure, paths)


def _high_to_low(rows: Sequence[Row]) -> list[str]:
    """The labels by the sum of their differences from all others."""
    lead: dict[str, float] = {}
    for row in rows:
        step = row["difference"] or 0.0
        for label, sign in ((row["label_a"], 1), (row["label_b"], -1)):
            lead[label] = lead.get(label, 0.0) + sign * step
    return sorted(lead, key=lambda label: (-lead[label], label))


def _cells(axes: Axes, rows: Sequence[Row], order: list[str], most: float) -> AxesImage:
    at = {label: k for k, label in enumerate(order)}
    values = np.full((len(order), len(order)), np.nan)
    digits = 0 if most >= 10 else 1 if most >= 1 else 2
    for row in rows:
        a, b = at[row["label_a"]], at[row["label_b"]]
        sign = 1 if a < b else -1
        a, b = min(a, b), max(a, b)  # the lower half would say the same again
        text, colour = "?", "#777777"
        if row["p"] is not None:
            step = sign * row["difference"]
            text = f"{step:.{digits}f}"
            if row["significant"]:
                values[a, b] = step
                colour = "white" if abs(step) > 0.6 * most else _DARK
        if np.isnan(values[a, b]):
            axes.add_patch(Rectangle((b - 0.5, a - 0.5), 1, 1, facecolor=_PALE, linewidth=0))
        axes.text(b, a, text, ha="center", va="center", fontsize=7, color=colour)
    image = axes.imshow(values, cmap=_BOTH_WAYS, vmin=-most, vmax=most, aspect="equal")
    axes.set(xlim=(0.5, len(order) - 0.5), ylim=(len(order) - 1.5, -0.5))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return image


def raters(report: pd.DataFrame, paths: Sequence[Path], synthetic: bool = False) -> None:
    """Draw every rater's bias, inconsistency and agreement, those left out of the MOS marked.

    ``report`` has the columns of :func:`sfqa.ratings.rater_report.rater_report`. One row of panels
    per dimension, the raters from high to low agreement. Raises :class:`UserError` without rows.
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
            own = report[report["dimension"] == dimension]
            own = own.sort_values(["agreement_srcc", "rater"], ascending=[False, True])
            places = np.arange(len(own))
            out = own["rejected"].to_numpy(bool)
            odd = (own["status"] != "ok").to_numpy(bool) & ~out
            for column, (name, label) in enumerate(columns):
                axes = grid[row][column]
                values = own[name].to_numpy(float)
                axes.hlines(places, 0, np.nan_to_num(values), color="#bbbbbb", linewidth=1)
                for mask, mark, colour, word in (
                    (~out & ~odd, "o", COLOURS[0], "used"),
                    (odd, "D", COLOURS[1], "used, with remarks"),
                    (out, "X", WARNING, "left out"),
                ):
                    if mask.any():
                        axes.plot(values[mask], places[mask], mark, color=colour, label=word)
                axes.axvline(0, color=_DARK, linewidth=0.8)
                axes.grid(axis="x", color=_PALE, linewidth=0.6)
                axes.set_axisbelow(True)
                axes.set_xlabel(label)
                axes.set_yticks(places, own["rater"])
                axes.set_ylim(len(own) - 0.4, -0.6)
                axes.tick_params(axis="y", length=0)
            grid[row][0].set_title(in_words(dimension), weight="bold")
        found: dict[str, Any] = {}
        for axes in grid.flat:
            for handle, word in zip(*axes.get_legend_handles_labels(), strict=True):
                found.setdefault(word, handle)
        figure.legend(
            list(found.values()), list(found), loc="outside upper right", frameon=False, ncols=3
        )
        set_title(figure, synthetic=synthetic)
        save_figure(figure, paths)


def sos(
    matrices: dict[str, Matrix],
    scale: tuple[float, float],
    paths: Sequence[Path],
    synthetic: bool = False,
) -> None:
    """Draw each sample's standard deviation against its MOS, with the fit of the SOS hypothesis.

    ``matrices``: raw ratings (stimuli, raters) by dimension, on the scale from ``scale[0]`` to
    ``scale[1]``. The dashed line is the most that the scale allows (a = 1). Raises as
    :func:`sfqa.ratings.reliability.sos_fit` does.
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
            found = sos_fit(matrices[dimension], low, high)
            used = n >= 2
            axes.plot(
                mean[used], sd[used], "o", markersize=3.5, alpha=0.25 if used.sum() > 300 else 0.6,
                color=COLOURS[number % len(COLOURS)], markeredgewidth=0,
                rasterized=bool(used.sum() > MANY_POINTS),
            )  # fmt: skip
            axes.plot(mos, np.sqrt(found.a) * limit, color=_DARK, linewidth=1.8, label="fit")
            axes.plot(mos, limit, color=_DARK, linewidth=0.8, linestyle="--", label="a = 1")
            axes.set_title(in_words(dimension), weight="bold")
            axes.set_xlabel(
                f"MOS ({low:g} to {high:g})\n\na = {found.a:.3f} (without the bias of few ratings "
                f"{found.a_unbiased:.3f})\n{found.n} samples"
            )
            axes.set_xlim(low, high)
            axes.set_ylim(0, 1.1 * max(float(limit.max()), float(sd[used].max())))
            axes.grid(color=_PALE, linewidth=0.6)
            axes.set_axisbelow(True)
        panels[0].set_ylabel("standard deviation over raters")
        panels[0].legend(frameon=False, loc="upper right", fontsize=8)
        set_title(figure, synthetic=synthetic)
        save_figure(figure, paths)


def drawn_or_said(draw: Callable[[Sequence[Path]], None], paths: Sequence[Path | str]) -> None:
    """Draw a figure into the files, or, where its data allow none, the sentence that says why."""
    files = [Path(path) for path in paths]
    try:
        draw(files)
    except UserError as error:
        with mpl.rc_context(STYLE):
            figure = Figure(figsize=(6, 1), layout="constrained")
            figure.text(0.5, 0.5, str(error), ha="center", va="center", wrap=True)
            save_figure(figure, files)
