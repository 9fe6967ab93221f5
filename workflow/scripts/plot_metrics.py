"""Draw all metrics: SRCC bars, ranks, a heat map, and the largest errors of the best metric."""

from pathlib import Path

import pandas as pd

from sfqa import store, tables
from sfqa.correlation import more_figures
from sfqa.correlation.main_view import MainView, choose_view
from sfqa.correlation.metric_statistics import POOLED
from sfqa.correlation.points import pool_points
from sfqa.correlation.rank_figure import draw_ranks
from sfqa.figure_style import describe_splits
from sfqa.job import run_job

with run_job(snakemake.log[0]) as log:
    params, inputs, out = snakemake.params, snakemake.input, snakemake.output

    def list_files(name: str) -> list[Path]:
        return [Path(out[name]), Path(out[f"{name}_png"])]

    rows = store.read(tables.CORRELATION, inputs.correlation)
    mos = store.read(tables.MOS, inputs.mos)
    samples = store.read(tables.SAMPLES, inputs.samples)
    predictions = store.read(tables.PREDICTIONS, inputs.predictions)
    # All figures show one protocol: the main one, or all rated videos if it has no number.
    protocol = choose_view(rows, MainView(params.protocol, POOLED)).protocol
    predictions = predictions[predictions["protocol"] == protocol]
    rated = list(params.dimensions) + sorted(set(mos["dimension"]) - set(params.dimensions))
    rated = [d for d in rated if (mos["dimension"] == d).any()]
    panels = [*rated, "overall"]
    synthetic = ["synthetic"] if mos["synthetic"].any() else []

    more_figures.draw_srcc_bars(rows, protocol, panels, list_files("bars"))
    metrics = [m for m in params.metrics if m["kind"] != "control"]
    untrained_names = [m["name"] for m in metrics if m["weights"] == "random"]
    significance = store.read(tables.SIGNIFICANCE, inputs.significance)
    draw_ranks(significance, protocol, panels, list_files("ranks"), untrained_names)

    if protocol != params.protocol:
        metrics = [m for m in metrics if m["kind"] != "regressor"]
    points_by_metric = {
        (dimension, m["name"]): pool_points(predictions, mos, samples, m, dimension, protocol)
        for dimension in rated
        for m in metrics
    }
    scores = {}
    for dimension in rated:
        dimension_mos = mos[(mos["dimension"] == dimension) & (mos["status"] != tables.FAILED)]
        columns = {more_figures.MOS: dimension_mos.set_index("sample_id")["mos"]}
        columns |= {
            m["name"]: points_by_metric[dimension, m["name"]]["prediction"] for m in metrics
        }
        scores[dimension] = pd.DataFrame(columns).astype(float)
    untrained = ["random"] if any(m["weights"] == "random" for m in metrics) else []
    more_figures.draw_metric_matrix(
        scores,
        list_files("matrix"),
        f"Metric against metric, SRCC, {describe_splits(protocol)}",
        " ".join(synthetic + untrained),
    )

    best = rows[
        (rows["protocol"] == protocol)
        & (rows["level"] == "video")
        & (rows["pooling"] == "pooled")
        & (rows["kind"] != "control")
        & rows["dimension"].isin(rated)
    ].dropna(subset=["srcc"])
    best = best.sort_values(["srcc", "metric", "dimension"], ascending=[False, True, True])
    videos = {}
    if conformed := dict(inputs.items()).get("conformed"):
        frame = store.read(tables.CONFORMED, conformed)
        videos = dict(zip(frame["sample_id"], frame["path"], strict=True))
    if best.empty:
        points, title, warned = pd.DataFrame(columns=["prediction", "mos"]), "No metric", synthetic
    else:
        top = best.iloc[0]
        points = points_by_metric[top["dimension"], top["metric"]]
        title = f"Largest errors of {top['metric']}, {top['dimension'].replace('_', ' ')}"
        warned = synthetic + (["random"] if top["weights"] == "random" else [])
    folder = Path(inputs.samples).parent
    more_figures.draw_failure_cases(
        points,
        videos,
        folder,
        title,
        list_files("failures"),
        " ".join(warned),
        mapping=params.mapping,
    )
