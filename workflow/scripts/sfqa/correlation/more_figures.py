"""More figures: bars with intervals, metric against metric, failure cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from sfqa.correlation.fits import DEFAULT, fit_mapping
from sfqa.figure_style import (
    COLOURS,
    STYLE,
    describe_splits,
    in_words,
    save_figure,
    set_title,
    write_reason,
)
from sfqa.statistics.functions import srcc, why_undefined
from sfqa.thumbnails import locate_file, read_thumbnail

VERSION = 4

MOS = "MOS"
#: Above this number of metrics the cells are too small for numbers.
MANY_METRICS = 22
#: One colour per kind of metric.
KIND_COLOURS = {
    "zero_shot": COLOURS[0], "regressor": COLOURS[3], "imported": COLOURS[2], "control": "#9a9a9a",
}  # fmt: skip


def draw_srcc_bars(
    rows: pd.DataFrame, protocol: str, dimensions: Sequence[str], paths: Sequence[Path]
) -> None:
    """Draw SRCC of every metric as bars with 95 % intervals, a panel per dimension.

    ``rows``: the correlation table; of level video the pooled rows where these have intervals
    (srcc_low, srcc_high) or where no trial has an SRCC, else the means over the trials. Metrics
    from high to low mean over the dimensions, the same in all panels; untrained ones are hatched.
    A dimension without any SRCC has no panel.
    """
    selected_rows = rows[(rows["protocol"] == protocol) & (rows["level"] == "video")]
    has_intervals = (
        "srcc_low" in selected_rows
        and selected_rows.loc[selected_rows["pooling"] == "pooled", "srcc_low"].notna().any()
    )
    has_means = selected_rows.loc[selected_rows["pooling"] == "mean", "srcc"].notna().any()
    pooling = "mean" if has_means and not has_intervals else "pooled"
    selected_rows = selected_rows[selected_rows["pooling"] == pooling]
    drawn_dimensions = [
        d
        for d in dimensions
        if selected_rows.loc[selected_rows["dimension"] == d, "srcc"].notna().any()
    ]
    order = _sort_by_mean(selected_rows)
    # The same scale in all panels, with room for all bars and intervals.
    shown_rows = selected_rows[selected_rows["dimension"].isin(drawn_dimensions)]
    ends = shown_rows[[name for name in ("srcc", "srcc_low") if name in shown_rows]]
    left = max(-1.02, min(0.0, float(np.nanmin(np.append(ends.to_numpy(float), 0.0)))) - 0.05)
    with mpl.rc_context(STYLE):
        figure = Figure(
            figsize=(4.0 * max(1, len(drawn_dimensions)) + 1.4, 0.27 * max(3, len(order)) + 1.7),
            layout="constrained",
        )
        panels = figure.subplots(1, max(1, len(drawn_dimensions)), squeeze=False, sharey=True)[0]
        for axes, dimension in zip(panels, drawn_dimensions, strict=False):
            part = (
                selected_rows[selected_rows["dimension"] == dimension]
                .set_index("metric")
                .reindex(order)
            )
            _draw_bar_panel(axes, part, order)
            axes.set_xlim(left, 1.02)
            axes.set_title(in_words(dimension), weight="bold")
        pooling_text = "all test samples" if pooling == "pooled" else "mean over the trials"
        if not drawn_dimensions:
            panels[0].axis("off")
            write_reason(panels[0], "no metric to draw")
        metric_kinds = [
            metric_kind
            for metric_kind in KIND_COLOURS
            if (selected_rows["kind"] == metric_kind).any()
        ]
        random = bool((selected_rows["weights"] == "random").any())
        if metric_kinds:
            handles = [
                Patch(color=KIND_COLOURS[metric_kind], label=in_words(metric_kind))
                for metric_kind in metric_kinds
            ]
            if random:
                style: Any = {"facecolor": "#c8c8c8", "edgecolor": "white", "hatch": "////"}
                handles.append(Patch(**style, label="random weights"))
            figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False)
        title = f"SRCC, {describe_splits(protocol)}, {pooling_text}"
        set_title(figure, title, _has_synthetic_mos(selected_rows), random)
        save_figure(figure, paths)


def _draw_bar_panel(axes: Axes, part: pd.DataFrame, order: Sequence[str]) -> None:
    positions = np.arange(len(order))
    values = part["srcc"].to_numpy(float)
    for position, (metric_kind, weights, value) in enumerate(
        zip(part["kind"], part["weights"], values, strict=True)
    ):
        if np.isfinite(value):
            axes.barh(
                position,
                value,
                height=0.66,
                color=KIND_COLOURS.get(metric_kind, COLOURS[5]),
                alpha=0.45 if weights == "random" else 0.85,
                hatch="////" if weights == "random" else None,
                edgecolor="white",
                linewidth=0,
            )
        else:
            axes.annotate(
                "undefined", (0, position), (4, 0), textcoords="offset points", va="center"
            )
    if "srcc_low" in part:
        ends = part[["srcc_low", "srcc_high"]].to_numpy(float)
        has_interval = np.isfinite(ends).all(axis=1) & np.isfinite(values)
        # A percentile interval need not contain the value; an error bar is never negative.
        arms = np.maximum(np.abs(ends[has_interval] - values[has_interval, None]), 0).T
        axes.errorbar(
            values[has_interval],
            positions[has_interval],
            xerr=arms,
            fmt="none",
            ecolor="#222222",
            capsize=2,
            lw=1,
        )
    axes.axvline(0, color="#555555", linewidth=0.8)
    axes.set_yticks(positions, order)
    axes.set_ylim(max(len(order), 1) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("SRCC")


def _sort_by_mean(srcc_rows: pd.DataFrame) -> list[str]:
    means = srcc_rows.groupby("metric")["srcc"].mean().fillna(-np.inf)
    return sorted(means.index, key=lambda name: (-means[name], name))


def _has_synthetic_mos(rows: pd.DataFrame) -> bool:
    return bool(len(rows) and rows["synthetic_mos"].any())


def draw_metric_matrix(
    scores: Mapping[str, pd.DataFrame], paths: Sequence[Path], title: str = "", warned: str = ""
) -> None:
    """Draw SRCC of every metric with every other and with the MOS, a heat map per dimension.

    ``scores``: by dimension, a frame with a row per sample and a column per metric (sign put right,
    higher is better) and one named ``MOS``. A pair uses the samples with both values; a metric that
    is constant on them has an empty row. The MOS comes first; metrics are ordered by hierarchical
    clustering, so that similar ones are neighbours. ``warned``: 'synthetic', 'random' or both.
    """
    with mpl.rc_context(STYLE):
        max_columns = max((frame.shape[1] for frame in scores.values()), default=2)
        side = 1.9 + 0.33 * max_columns
        figure = Figure(
            figsize=(side * max(1, len(scores)) + 0.9, side + 0.6), layout="constrained"
        )
        panels = figure.subplots(1, max(1, len(scores)), squeeze=False)[0]
        image = None
        for axes, (dimension, frame) in zip(panels, scores.items(), strict=False):
            image = _draw_heat_map(axes, frame)
            axes.set_title(in_words(dimension), weight="bold")
        if image is None:
            write_reason(panels[0], "no metric to draw")
        else:
            figure.colorbar(image, ax=list(panels), shrink=0.6, label="SRCC")
        set_title(figure, title, "synthetic" in warned, "random" in warned)
        save_figure(figure, paths)


def _draw_heat_map(axes: Axes, frame: pd.DataFrame) -> Any:
    matrix = _correlate_columns(frame)
    order = [MOS, *_order_by_clusters(matrix.drop(index=MOS, columns=MOS))]
    values = matrix.loc[order, order].to_numpy(float)
    image = axes.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1)
    axes.set_xticks(range(len(order)), order, rotation=90)
    axes.set_yticks(range(len(order)), order)
    axes.tick_params(length=0)
    for edge in axes.spines.values():
        edge.set_visible(False)
    axes.axhline(0.5, color="white", linewidth=2)
    axes.axvline(0.5, color="white", linewidth=2)
    if len(order) <= MANY_METRICS:
        for row, line in enumerate(values):
            for column, value in enumerate(line):
                text = f"{value:.2f}".replace("0.", ".").replace("-", "−")
                axes.text(
                    column,
                    row,
                    "" if np.isnan(value) else text.replace("1.00", "1"),
                    ha="center",
                    va="center",
                    fontsize=6,
                    color="white" if abs(value) > 0.6 else "#222222",
                )
    return image


def _correlate_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the SRCC of every two columns on their common rows, NaN if undefined."""
    columns = {str(name): frame[name].to_numpy(float) for name in frame}
    matrix = pd.DataFrame(np.nan, index=list(columns), columns=list(columns))
    for a, b in combinations_with_replacement(columns, 2):
        has_both = np.isfinite(columns[a]) & np.isfinite(columns[b])
        value = srcc(columns[a][has_both], columns[b][has_both])
        matrix.loc[a, b] = matrix.loc[b, a] = np.nan if value is None else value
    return matrix


def _order_by_clusters(matrix: pd.DataFrame) -> list[str]:
    names = list(matrix.index)
    if len(names) < 3:
        return names
    distance = 1 - np.nan_to_num(matrix.to_numpy(float), nan=0.0)
    np.fill_diagonal(distance, 0)
    condensed = squareform((distance + distance.T) / 2, checks=False)
    leaf_order = leaves_list(linkage(np.round(condensed, 9), "average", optimal_ordering=True))
    return [names[n] for n in leaf_order]


def draw_failure_cases(
    points: pd.DataFrame,
    videos: Mapping[str, str | None],
    folder: Path,
    title: str,
    paths: Sequence[Path],
    warned: str = "",
    each: int = 6,
    mapping: str = DEFAULT,
) -> pd.DataFrame:
    """Draw the samples with the largest errors of a metric, with the middle frame of each video.

    ``points``: index sample_id, columns prediction (higher is better) and mos, as of
    :func:`sfqa.correlation.points.pool_points`. ``videos``: sample to the path in its table.
    The top row shows scores that are too high, the bottom row scores that are too low. A missing
    video is a grey square. ``mapping`` is that of the tables. Returns the drawn rows: sample_id,
    mos, mapped, error.
    """
    cases = _select_extremes(points, each, mapping)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(1.75 * each + 0.4, 5.4), layout="constrained")
        grid = figure.subplots(2, each, squeeze=False)
        for axes in grid.ravel():
            axes.axis("off")
        for row, (side, words) in enumerate(
            (("high", "metric too high"), ("low", "metric too low"))
        ):
            side_cases = cases[cases["side"] == side]
            for column, case in enumerate(side_cases.itertuples()):
                _draw_case(grid[row][column], case, videos.get(str(case.sample_id)), folder)
            grid[row][0].annotate(
                words, (0, 1), (0, 16), xycoords="axes fraction", textcoords="offset points",
                weight="bold",
            )  # fmt: skip
        if cases.empty:
            write_reason(grid[0][0], "no sample with a mapped score and a MOS")
        set_title(figure, title, "synthetic" in warned, "random" in warned)
        save_figure(figure, paths)
    return cases


def _select_extremes(points: pd.DataFrame, each: int, mapping: str) -> pd.DataFrame:
    names = ["sample_id", "mos", "mapped", "error", "side"]
    signed, goal = points["prediction"].to_numpy(float), points["mos"].to_numpy(float)
    if why_undefined(signed, goal):
        return pd.DataFrame(columns=names)
    mapped = np.asarray(fit_mapping(signed, goal, mapping)(signed))
    frame = pd.DataFrame(
        {"sample_id": points.index, "mos": goal, "mapped": mapped, "error": mapped - goal}
    )
    # Rounded, so that the last bit of a fit does not decide between equal errors.
    frame["size"] = frame["error"].round(6)
    high = frame[frame["size"] > 0].sort_values(["size", "sample_id"], ascending=[False, True])
    low = frame[frame["size"] < 0].sort_values(["size", "sample_id"])
    return pd.concat([high.head(each).assign(side="high"), low.head(each).assign(side="low")])[
        names
    ]


def _draw_case(axes: Axes, case: Any, path: str | None, folder: Path) -> None:
    video = locate_file(path, folder)
    picture = read_thumbnail(video) if video is not None and video.is_file() else None
    missing = picture is None
    axes.imshow(np.full((160, 160, 3), 225, np.uint8) if picture is None else picture)
    if missing:
        axes.text(80, 80, "no video", ha="center", va="center", color="#555555")
    digits = 1 if max(abs(case.mos), abs(case.mapped)) > 10 else 2
    name = str(case.sample_id)
    short = name if len(name) <= 24 else f"{name[:11]}…{name[-12:]}"
    axes.text(
        0,
        168,
        f"{short}\nMOS {case.mos:.{digits}f}, metric {case.mapped:.{digits}f}",
        va="top",
        fontsize=7,
        parse_math=False,
    )
