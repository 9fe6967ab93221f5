"""The figure of learning curves: SRCC against the number of training rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from sfqa.figure_style import (
    COLOURS,
    MARKERS,
    STYLE,
    in_words,
    save_figure,
    set_title,
    write_reason,
)

VERSION = 1


def draw_learning_curves(
    rows: pd.DataFrame,
    metrics: Sequence[str],
    dimensions: Sequence[str],
    protocol: str,
    paths: Sequence[Path],
) -> None:
    """Draw SRCC of regressors against their number of training rows, one panel per dimension.

    ``rows``: the table ``learning`` (metric, dimension, protocol, rows, trials, srcc, srcc_sd,
    weights, synthetic_mos). Lines are in the order of ``metrics``; the band shows the mean plus and
    minus one standard deviation over the fits. Regressors on untrained features are dashed. A share
    without an SRCC is not drawn; a panel without any SRCC contains a sentence instead.
    """
    protocol_rows = rows[(rows["protocol"] == protocol) & rows["metric"].isin(metrics)]
    drawn_dimensions = [d for d in dimensions if (protocol_rows["dimension"] == d).any()]
    with mpl.rc_context(STYLE):
        figure = Figure(
            figsize=(4.3 * max(1, len(drawn_dimensions)) + 1.9, 4.4), layout="constrained"
        )
        panels = figure.subplots(1, max(1, len(drawn_dimensions)), squeeze=False, sharey=True)[0]
        for axes, dimension in zip(panels, drawn_dimensions, strict=False):
            dimension_rows = protocol_rows[protocol_rows["dimension"] == dimension]
            _draw_panel(axes, dimension_rows, metrics)
            axes.set_title(in_words(dimension), weight="bold")
        if not drawn_dimensions:
            write_reason(panels[0], "no learning curve to draw")
        panels[0].set_ylabel("SRCC on the test rows")
        synthetic = bool(len(protocol_rows) and protocol_rows["synthetic_mos"].any())
        random = bool((protocol_rows["weights"] == "random").any())
        set_title(figure, f"Learning curves, {in_words(protocol)} splits", synthetic, random)
        handles = {
            label: handle
            for axes in panels
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        if handles:
            order = [name for name in metrics if name in handles]
            figure.legend(
                [handles[name] for name in order], order, loc="outside right upper", frameon=False
            )
        save_figure(figure, paths)


def _draw_panel(axes: Axes, dimension_rows: pd.DataFrame, metrics: Sequence[str]) -> None:
    drawn = dimension_rows.dropna(subset=["srcc"])
    for number, metric in enumerate(metrics):
        curve = drawn[drawn["metric"] == metric].sort_values("rows")
        if curve.empty:
            continue
        colour = COLOURS[number % len(COLOURS)]
        x, y = curve["rows"].to_numpy(float), curve["srcc"].to_numpy(float)
        axes.plot(
            x,
            y,
            color=colour,
            marker=MARKERS[number % len(MARKERS)],
            markersize=5,
            linewidth=1.5,
            linestyle="--" if (curve["weights"] == "random").any() else "-",
            label=metric,
        )
        # The standard deviation of a single fit is undefined, so the band ends there.
        spread = curve["srcc_sd"].to_numpy(float)
        alpha = 0.15 if len(metrics) <= 3 else 0.07
        axes.fill_between(x, y - spread, y + spread, color=colour, alpha=alpha, linewidth=0)
    if drawn.empty:
        write_reason(axes, "no share has an SRCC")
    else:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=_choose_ticks(drawn["rows"].to_numpy(float))))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
    fits = drawn["trials"].astype(int)
    counts = "" if fits.empty else _format_range(int(fits.min()), int(fits.max()))
    axes.set_xlabel(f"rows learnt from (log scale)\n\nmean over {counts or 'the'} fits, band ± SD")
    axes.grid(color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)


def _choose_ticks(rows: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[float, ...]:
    """Return the ticks within a decade: more of them if the numbers of rows span a small range."""
    span = float(rows.max() / rows.min())
    if span > 100:
        return (1.0,)
    return (1.0, 2.0, 5.0) if span > 12 else (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)


def _format_range(low: int, high: int) -> str:
    return str(high) if low == high else f"{low} to {high}"
