"""The figure of ranks: metrics from best to worst, with groups that do not differ."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sfqa.figure_style import (
    COLOURS,
    STYLE,
    describe_splits,
    in_words,
    save_figure,
    set_title,
    write_reason,
)

VERSION = 2


def find_equal_groups(
    order: Sequence[str], different: set[frozenset[str]]
) -> list[tuple[int, int]]:
    """Return the longest runs of the ranking in which no two metrics differ significantly.

    ``order``: metrics from best to worst; ``different``: pairs that differ significantly. A run is
    (first, last); one that lies inside another is left out, and so are single metrics.

    >>> find_equal_groups(["a", "b", "c"], {frozenset("ac")})
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


def draw_ranks(
    significance: pd.DataFrame,
    protocol: str,
    dimensions: Sequence[str],
    paths: Sequence[Path],
    untrained: Collection[str] = (),
) -> None:
    """Draw the metrics from best to worst SRCC; bars join those that do not differ.

    ``significance``: the table of that name; a panel per dimension that has an SRCC. A bar joins
    metrics of which no two differ significantly (paired bootstrap, Holm). ``untrained``: the
    metrics with random weights, whose names and the title say so.
    """
    selected_rows = significance[
        (significance["protocol"] == protocol) & (significance["statistic"] == "srcc")
    ]
    values_by_dimension = {
        d: _compute_median_srcc(selected_rows[selected_rows["dimension"] == d]) for d in dimensions
    }
    drawn_dimensions = [d for d in dimensions if values_by_dimension[d]]
    max_metrics = max((len(values_by_dimension[d]) for d in drawn_dimensions), default=3)
    drawn_metrics = {name for values in values_by_dimension.values() for name in values}
    random = not drawn_metrics.isdisjoint(untrained)
    with mpl.rc_context(STYLE):
        figure = Figure(
            figsize=(
                4.4 * max(1, len(drawn_dimensions)) + 0.4,
                (0.42 if random else 0.3) * max_metrics + 1.5,
            ),
            layout="constrained",
        )
        panels = figure.subplots(1, max(1, len(drawn_dimensions)), squeeze=False)[0]
        for axes, dimension in zip(panels, drawn_dimensions, strict=False):
            pairs = selected_rows[selected_rows["dimension"] == dimension]
            _draw_rank_panel(axes, pairs, values_by_dimension[dimension], untrained)
            axes.set_title(in_words(dimension), weight="bold")
        if not drawn_dimensions:
            panels[0].axis("off")
            write_reason(panels[0], "no pair of metrics was compared")
        synthetic = bool(len(selected_rows) and selected_rows["synthetic_mos"].any())
        set_title(figure, f"Ranks by SRCC, {describe_splits(protocol)}", synthetic, random)
        save_figure(figure, paths)


def _compute_median_srcc(pairs: pd.DataFrame) -> dict[str, float]:
    """Return each metric's SRCC: the median over its pairs, whose samples may differ slightly."""
    pair_values = pd.concat(
        [
            pairs[["metric_a", "value_a"]].set_axis(["metric", "value"], axis=1),
            pairs[["metric_b", "value_b"]].set_axis(["metric", "value"], axis=1),
        ]
    ).dropna()
    return {str(k): float(v) for k, v in pair_values.groupby("metric")["value"].median().items()}


def _draw_rank_panel(
    axes: Axes, pairs: pd.DataFrame, values: Mapping[str, float], untrained: Collection[str]
) -> None:
    order = sorted(values, key=lambda name: (-values[name], name))
    significant_pairs = pairs[pairs["significant"].astype(bool)]
    different = {
        frozenset(p)
        for p in zip(significant_pairs["metric_a"], significant_pairs["metric_b"], strict=True)
    }
    positions = np.arange(len(order))
    scores = [values[name] for name in order]
    axes.plot(scores, positions, "o", color=COLOURS[0], markersize=5)
    left, right = min([0.0, *scores]), 1.0
    # Pairs without a test, of too few groups, are not called equal.
    is_tested = "p_holm" not in pairs or bool(pairs["p_holm"].notna().any())
    runs = find_equal_groups(order, different) if is_tested else []
    for number, (first, last) in enumerate(runs):
        x = right + 0.05 + 0.045 * number
        axes.plot([x, x], [first - 0.25, last + 0.25], color="#444444", linewidth=3)
    labels = [f"{name}\n(random weights)" if name in untrained else name for name in order]
    axes.set_yticks(positions, [f"{n + 1}  {label}" for n, label in enumerate(labels)])
    axes.set_ylim(max(len(order), 1) - 0.4, -0.6)
    axes.set_xlim(left - 0.05, right + 0.08 + 0.045 * len(runs))
    step = 0.25 if left > -0.3 else 0.5
    axes.set_xticks(np.arange(np.ceil(left / step) * step, 1.01, step))
    axes.tick_params(axis="y", length=0)
    axes.grid(color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    bars = "a bar joins what cannot be told apart" if is_tested else "too few groups for a test"
    axes.set_xlabel(f"SRCC; {bars}")
