"""Make a small dataset with the package on the path and print where a statistic is shown, as JSON.

Arguments: an empty folder, the name of the statistic.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from site_dataset import DIMENSIONS, list_metrics, make

from sfqa import store, tables
from sfqa.challenge.leaderboard import build_leaderboard, rank_teams
from sfqa.challenge.phases import Phase
from sfqa.challenge.scoring import score_submission
from sfqa.challenge.submission import Submission
from sfqa.correlation.figures import draw_scatter
from sfqa.correlation.layout import render, select_rows
from sfqa.correlation.levels import method_rows
from sfqa.correlation.significance import significance_rows
from sfqa.correlation.summarise import Settings, correlation_rows, round_rows
from sfqa.regression import metrics as configured
from sfqa.report.site_data import DatasetTables, InitialView, collect_parts


def list_places(folder: Path, name: str) -> dict[str, Any]:
    """Return what the tables, pages, figures, leaderboards and the site have of a statistic."""
    dataset = make(
        folder / "results" / "toy", methods=6, metrics=5, protocols=1, evil=False, videos=0
    )
    files = sorted(dataset.glob("regression/*/predictions.parquet"))
    predictions = pd.concat(store.read(tables.PREDICTIONS, path) for path in files)
    mos = store.read(tables.MOS, dataset / tables.MOS.path)
    samples = store.read(tables.SAMPLES, dataset / tables.SAMPLES.path)
    data = (predictions, mos, samples, list_metrics(5), Settings(bootstrap=40))
    for table, table_rows in (
        (tables.CORRELATION, correlation_rows(*data)),
        (tables.CORRELATION_BY_METHOD, method_rows(*data)),
        (tables.SIGNIFICANCE, significance_rows(*data)),
    ):
        store.write(table, round_rows(table_rows), dataset / table.path)
    rows = store.read(tables.CORRELATION, dataset / tables.CORRELATION.path)
    by_method = store.read(
        tables.CORRELATION_BY_METHOD, dataset / tables.CORRELATION_BY_METHOD.path
    )
    tests = store.read(tables.SIGNIFICANCE, dataset / tables.SIGNIFICANCE.path)
    chosen = rows[
        (rows["metric"] == "Sharpness")
        & (rows["pooling"] == "pooled")
        & (rows["dimension"] == DIMENSIONS[0])
    ].set_index("level")
    mpl.rcParams["svg.fonttype"] = "none"
    figure = folder / "scatter.svg"
    draw_scatter(predictions, mos, samples, list_metrics(5)[2], DIMENSIONS, "disjoint", [figure])
    true = {f"v{n}": float(n % 7 + n / 9) for n in range(20)}
    submission = Submission({video: value**2 for video, value in true.items()}, {})
    team = score_submission(submission, Phase("p", true), "t")
    grid = build_leaderboard(rank_teams([team]), Phase("p", true), "cubic")
    entry = {"kind": "control", "head": "constant", "published": {"source": "a", name: 0.5}}
    source = DatasetTables(dataset, tuple(dataset.rglob("*.parquet")))
    meta = collect_parts(source, InitialView(), lambda path: path)["meta"]
    return {
        "columns": [column for column in rows if column.startswith(name)],
        "by_method": [column for column in by_method if column.startswith(name)],
        "intervals": {
            level: [chosen.loc[level, f"{name}{end}"] for end in ("_low", "", "_high")]
            for level in ("video", "model")
        },
        "compared": sorted(set(tests["statistic"])),
        "tested": int(tests.loc[tests["statistic"] == name, "p_holm"].notna().sum()),
        "page": render(select_rows(rows, "disjoint"), "C.")["md"],
        "figure": figure.read_text("utf-8"),
        "leaderboard": [head.name for head in grid.heads],
        "challenge": team[name],
        "published": configured.list_metrics({"m": entry}, {})[0]["published"],
        "site": [statistic["name"] for statistic in meta["statistics"]],
        "site_values": len(meta["correlation"][name]),
    }


if __name__ == "__main__":
    print(json.dumps(list_places(Path(sys.argv[1]), sys.argv[2])))
