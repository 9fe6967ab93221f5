"""More figures: bars with intervals, metric against metric, failure cases, ranks with groups."""

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

from sfqa.correlation.fits import fit_mapping
from sfqa.figure_style import COLOURS, STYLE, in_words, save_figure, set_title, write_reason
from sfqa.statistics.functions import srcc, why_undefined
from sfqa.thumbnails import locate_file, read_thumbnail

VERSION = 1

MOS = "MOS"
#: So many cells across and more, numbers would not be read.
MANY_METRICS = 22
#: One colour per kind of metric.
KIND_COLOURS = {
    "zero_shot": COLOURS[0], "regressor": COLOURS[3], "imported": COLOURS[2], "control": "#9a9a9a",
}  # fmt: skip


def bars(
    rows: pd.DataFrame, protocol: str, dimensions: Sequence[str], paths: Sequence[Path]
) -> None:
    """Draw SRCC of every metric as bars with 95 % intervals, a panel per dimension.

    ``rows``: the correlation table; of level video the pooled rows where these have intervals
    (srcc_low, srcc_high), else the means over the trials. Metrics from high to low mean over the
    dimensions, the same in all panels; untrained ones are hatched.
    """
    own = rows[(rows["protocol"] == protocol) & (rows["level"] == "video")]
    has = "srcc_low" in own and own.loc[own["pooling"] == "pooled", "srcc_low"].notna().any()
    pooling = "pooled" if has else "mean"
    own = own[own["pooling"] == pooling]
    shown = [d for d in dimensions if (own["dimension"] == d).any()]
    order = _by_mean(own)
    with mpl.rc_context(STYLE):
        figure = Figure(
            figsize=(4.0 * max(1, len(shown)) + 1.4, 0.27 * max(3, len(order)) + 1.7),
            layout="constrained",
        )
        panels = figure.subplots(1, max(1, len(shown)), squeeze=False, sharey=True)[0]
        for axes, dimension in zip(panels, shown, strict=False):
            part = own[own["dimension"] == dimension].set_index("metric").reindex(order)
            _bar_panel(axes, part, order)
            axes.set_title(in_words(dimension), weight="bold")
        words = "all test samples" if pooling == "pooled" else "mean over the trials"
        if not order:
            write_reason(panels[0], "no metric to draw")
        kinds = [kind for kind in KIND_COLOURS if (own["kind"] == kind).any()]
        if kinds:
            handles = [Patch(color=KIND_COLOURS[kind], label=in_words(kind)) for kind in kinds]
            figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
        random = bool((own["weights"] == "random").any())
        title = f"SRCC, {in_words(protocol)} splits, {words}"
        set_title(figure, title, _synthetic(own), random)
        save_figure(figure, paths)


def _bar_panel(axes: Axes, part: pd.DataFrame, order: Sequence[str]) -> None:
    places = np.arange(len(order))
    values = part["srcc"].to_numpy(float)
    for place, (kind, weights, value) in enumerate(
        zip(part["kind"], part["weights"], values, strict=True)
    ):
        if np.isfinite(value):
            axes.barh(
                place,
                value,
                height=0.66,
                color=KIND_COLOURS.get(kind, COLOURS[5]),
                alpha=0.45 if weights == "random" else 0.85,
                hatch="////" if weights == "random" else None,
                edgecolor="white",
                linewidth=0,
            )
        else:
            axes.annotate("undefined", (0, place), (4, 0), textcoords="offset points", va="center")
    if "srcc_low" in part:
        ends = part[["srcc_low", "srcc_high"]].to_numpy(float)
        known = np.isfinite(ends).all(axis=1) & np.isfinite(values)
        # A percentile interval may leave its own value outside; an arm has no negative length.
        arms = np.maximum(np.abs(ends[known] - values[known, None]), 0).T
        axes.errorbar(
            values[known], places[known], xerr=arms, fmt="none", ecolor="#222222", capsize=2, lw=1
        )
    axes.axvline(0, color="#555555", linewidth=0.8)
    axes.set_xlim(min(-0.1, float(np.nanmin(np.append(values, 0))) - 0.1), 1.02)
    axes.set_yticks(places, order)
    axes.set_ylim(max(len(order), 1) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("SRCC")


def _by_mean(own: pd.DataFrame) -> list[str]:
    means = own.groupby("metric")["srcc"].mean().fillna(-np.inf)
    return sorted(means.index, key=lambda name: (-means[name], name))


def _synthetic(rows: pd.DataFrame) -> bool:
    return bool(len(rows) and rows["synthetic_mos"].any())


def metric_matrix(
    scores: Mapping[str, pd.DataFrame], paths: Sequence[Path], title: str = "", warned: str = ""
) -> None:
    """Draw SRCC of every metric with every other and with the MOS, a heat map per dimension.

    ``scores``: by dimension, a frame with a row per sample and a column per metric (sign put right,
    higher is better) and one named ``MOS``. Pairs use the samples that both have; a metric that is
    constant there has an empty row. Metrics stand in the order of a clustering, so that those that
    say the same stand together; the MOS comes first. ``warned``: 'synthetic', 'random' or both.
    """
    with mpl.rc_context(STYLE):
        most = max((frame.shape[1] for frame in scores.values()), default=2)
        side = 1.9 + 0.33 * most
        figure = Figure(
            figsize=(side * max(1, len(scores)) + 0.9, side + 0.6), layout="constrained"
        )
        panels = figure.subplots(1, max(1, len(scores)), squeeze=False)[0]
        drawn = None
        for axes, (dimension, frame) in zip(panels, scores.items(), strict=False):
            drawn = _heat(axes, frame)
            axes.set_title(in_words(dimension), weight="bold")
        if drawn is None:
            write_reason(panels[0], "no metric to draw")
        else:
            figure.colorbar(drawn, ax=list(panels), shrink=0.6, label="SRCC")
        set_title(figure, title, "synthetic" in warned, "random" in warned)
        save_figure(figure, paths)


def _heat(axes: Axes, frame: pd.DataFrame) -> Any:
    matrix = _correlate_columns(frame)
    order = [MOS, *_clustered(matrix.drop(index=MOS, columns=MOS))]
    values = matrix.loc[order, order].to_numpy(float)
    drawn = axes.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1)
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
    return drawn


def _correlate_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the SRCC of every two columns on the rows that both know, NaN where undefined."""
    columns = {str(name): frame[name].to_numpy(float) for name in frame}
    matrix = pd.DataFrame(np.nan, index=list(columns), columns=list(columns))
    for a, b in combinations_with_replacement(columns, 2):
        both = np.isfinite(columns[a]) & np.isfinite(columns[b])
        value = srcc(columns[a][both], columns[b][both])
        matrix.loc[a, b] = matrix.loc[b, a] = np.nan if value is None else value
    return matrix


def _clustered(matrix: pd.DataFrame) -> list[str]:
    names = list(matrix.index)
    if len(names) < 3:
        return names
    distance = 1 - np.nan_to_num(matrix.to_numpy(float), nan=0.0)
    np.fill_diagonal(distance, 0)
    condensed = squareform((distance + distance.T) / 2, checks=False)
    found = leaves_list(linkage(np.round(condensed, 9), "average", optimal_ordering=True))
    return [names[n] for n in found]


def failure_cases(
    points: pd.DataFrame,
    videos: Mapping[str, str | None],
    folder: Path,
    title: str,
    paths: Sequence[Path],
    warned: str = "",
    each: int = 6,
) -> pd.DataFrame:
    """Draw the samples that a metric misjudges most, with the middle frame of their videos.

    ``points``: index sample_id, columns prediction (higher is better) and mos, as of
    :func:`sfqa.correlation.points.pooled_points`. ``videos``: sample to the path in its table.
    Above those that it puts too high, below those too low; a video that is not there is a grey
    square. Returns the drawn rows: sample_id, mos, mapped, error.
    """
    found = _extremes(points, each)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(1.75 * each + 0.4, 5.4), layout="constrained")
        grid = figure.subplots(2, each, squeeze=False)
        for axes in grid.ravel():
            axes.axis("off")
        for row, (side, words) in enumerate(
            (("high", "metric too high"), ("low", "metric too low"))
        ):
            own = found[found["side"] == side]
            for column, case in enumerate(own.itertuples()):
                _case(grid[row][column], case, videos.get(str(case.sample_id)), folder)
            grid[row][0].annotate(
                words, (0, 1), (0, 16), xycoords="axes fraction", textcoords="offset points",
                weight="bold",
            )  # fmt: skip
        if found.empty:
            write_reason(grid[0][0], "no sample with a mapped score and a MOS")
        set_title(figure, title, "synthetic" in warned, "random" in warned)
        save_figure(figure, paths)
    return found


def _extremes(points: pd.DataFrame, each: int) -> pd.DataFrame:
    names = ["sample_id", "mos", "mapped", "error", "side"]
    signed, goal = points["prediction"].to_numpy(float), points["mos"].to_numpy(float)
    if why_undefined(signed, goal):
        return pd.DataFrame(columns=names)
    mapped = np.asarray(fit_mapping(signed, goal)(signed))
    frame = pd.DataFrame(
        {"sample_id": points.index, "mos": goal, "mapped": mapped, "error": mapped - goal}
    )
    # Rounded, so that the last bit of a fit does not choose between equal cases.
    frame["size"] = frame["error"].round(6)
    high = frame[frame["size"] > 0].sort_values(["size", "sample_id"], ascending=[False, True])
    low = frame[frame["size"] < 0].sort_values(["size", "sample_id"])
    return pd.concat([high.head(each).assign(side="high"), low.head(each).assign(side="low")])[
        names
    ]


def _case(axes: Axes, case: Any, path: str | None, folder: Path) -> None:
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


def groups_alike(order: Sequence[str], different: set[frozenset[str]]) -> list[tuple[int, int]]:
    """Return the runs of the ranking, longest possible, inside which no two metrics differ.

    ``order``: metrics from best to worst; ``different``: pairs that differ significantly. A run is
    (first, last); one that lies inside another is left out, and so are single metrics.

    >>> groups_alike(["a", "b", "c"], {frozenset("ac")})
    [(0, 1), (1, 2)]
    """
    runs: list[tuple[int, int]] = []
    for first in range(len(order)):
        last = first
        while last + 1 < len(order) and not any(
            frozenset((order[k], order[last + 1])) in different for k in range(first, last + 1)
        ):
            last += 1
        if last > first and (not runs or last > runs[-1][1]):
            runs.append((first, last))
    return runs


def ranks(
    significance: pd.DataFrame, protocol: str, dimensions: Sequence[str], paths: Sequence[Path]
) -> None:
    """Draw the metrics from best to worst SRCC, joined where no difference is significant.

    ``significance``: the table of that name; a panel per dimension. A bar joins metrics of which no
    two differ significantly (paired bootstrap, Holm).
    """
    own = significance[
        (significance["protocol"] == protocol) & (significance["statistic"] == "srcc")
    ]
    shown = [d for d in dimensions if (own["dimension"] == d).any()]
    most = max((len(_values(own[own["dimension"] == d])) for d in shown), default=3)
    with mpl.rc_context(STYLE):
        figure = Figure(
            figsize=(4.4 * max(1, len(shown)) + 0.4, 0.3 * most + 1.5), layout="constrained"
        )
        panels = figure.subplots(1, max(1, len(shown)), squeeze=False)[0]
        for axes, dimension in zip(panels, shown, strict=False):
            _rank_panel(axes, own[own["dimension"] == dimension])
            axes.set_title(in_words(dimension), weight="bold")
        if not shown:
            write_reason(panels[0], "no pair of metrics was compared")
        set_title(figure, f"Ranks by SRCC, {in_words(protocol)} splits", _synthetic(own))
        save_figure(figure, paths)


def _values(own: pd.DataFrame) -> dict[str, float]:
    """The metrics' SRCC: the median over their pairs, which may share slightly fewer samples."""
    both = pd.concat(
        [
            own[["metric_a", "value_a"]].set_axis(["metric", "value"], axis=1),
            own[["metric_b", "value_b"]].set_axis(["metric", "value"], axis=1),
        ]
    ).dropna()
    return {str(k): float(v) for k, v in both.groupby("metric")["value"].median().items()}


def _rank_panel(axes: Axes, own: pd.DataFrame) -> None:
    values = _values(own)
    order = sorted(values, key=lambda name: (-values[name], name))
    told = own[own["significant"].astype(bool)]
    different = {frozenset(p) for p in zip(told["metric_a"], told["metric_b"], strict=True)}
    places = np.arange(len(order))
    scores = [values[name] for name in order]
    axes.plot(scores, places, "o", color=COLOURS[0], markersize=5)
    left, right = min([0.0, *scores]), 1.0
    runs = groups_alike(order, different)
    for number, (first, last) in enumerate(runs):
        x = right + 0.05 + 0.045 * number
        axes.plot([x, x], [first - 0.25, last + 0.25], color="#444444", linewidth=3)
    axes.set_yticks(places, [f"{n + 1}  {name}" for n, name in enumerate(order)])
    axes.set_ylim(max(len(order), 1) - 0.4, -0.6)
    axes.set_xlim(left - 0.05, right + 0.08 + 0.045 * len(runs))
    step = 0.25 if left > -0.3 else 0.5
    axes.set_xticks(np.arange(np.ceil(left / step) * step, 1.01, step))
    axes.tick_params(axis="y", length=0)
    axes.grid(color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("SRCC; a bar joins what cannot be told apart")
