"""Lay the correlations out as the tables of a paper."""

from pathlib import Path

from sfqa import store, tables
from sfqa.correlation.captions import describe_pooling
from sfqa.correlation.layout import render_leakage
from sfqa.correlation.main_table import render_main_table
from sfqa.correlation.main_view import MainView, choose_view, select_view
from sfqa.correlation.metric_statistics import MODEL, POOLED, VIDEO
from sfqa.correlation.paper_layout import render_paper_table
from sfqa.job import run_job
from sfqa.splits.leaks import describe_leaks

with run_job(snakemake.log[0]):
    configured = MainView(snakemake.params.protocol, snakemake.params.pooling)
    rows = store.read(tables.CORRELATION, snakemake.input.correlation)
    samples = store.read(tables.SAMPLES, snakemake.input.samples)
    params = snakemake.params
    leaks = {p["name"]: describe_leaks(samples, p, params.seed) for p in params.protocols}

    caption = f"Metrics against MOS on {params.dataset}."

    def render_table(view: MainView, level: str = VIDEO) -> dict[str, str]:
        return render_main_table(
            rows,
            view,
            caption,
            level,
            params.order,
            params.dimensions,
            leaks.get(params.protocol, ""),
        )

    paper_view = choose_view(rows, configured)
    paper_caption = " ".join(filter(None, [caption, leaks.get(paper_view.protocol, "")]))
    leakage_caption = " ".join(
        [
            f"SRCC of the regressors on {params.dataset} under every protocol, "
            f"{describe_pooling(params.pooling)}.",
            *filter(None, leaks.values()),
        ]
    )
    pooled = MainView(params.protocol, POOLED)
    texts_of_table = {
        "metrics": render_table(configured),
        "metrics_pooled": render_table(pooled),
        "metrics_model_level": render_table(pooled, MODEL),
        "paper": render_paper_table(
            select_view(rows, paper_view), paper_caption, params.paper_rows, params.dimensions
        ),
        "leakage": render_leakage(rows, leakage_caption, pooling=params.pooling),
    }
    for path in sorted({Path(path) for path in snakemake.output}):
        with store.replacing(path) as temporary:
            temporary.write_text(texts_of_table[path.stem][path.suffix[1:]], encoding="utf-8")
