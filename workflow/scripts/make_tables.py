"""Lay the correlations out as the tables of a paper."""

from pathlib import Path

from sfqa import store, tables
from sfqa.correlation.layout import render, render_leakage, select_rows
from sfqa.correlation.paper_layout import render_paper_table
from sfqa.job import run_job
from sfqa.splits.leaks import describe_leaks

with run_job(snakemake.log[0]):
    rows = store.read(tables.CORRELATION, snakemake.input.correlation)
    samples = store.read(tables.SAMPLES, snakemake.input.samples)
    params = snakemake.params
    leaks = {p["name"]: describe_leaks(samples, p, params.seed) for p in params.protocols}

    def make_caption(words: str) -> str:
        sentences = [f"Metrics against MOS on {params.dataset}, {words}.", leaks[params.protocol]]
        return " ".join(filter(None, sentences))

    def render_table(words: str, **which: str) -> dict[str, str]:
        selected_rows = select_rows(rows, params.protocol, **which)
        return render(selected_rows, make_caption(words), params.order, params.dimensions)

    leakage_caption = " ".join(
        [
            f"SRCC of the regressors on {params.dataset} under every protocol, mean over trials.",
            *filter(None, leaks.values()),
        ]
    )
    texts_of_table = {
        "metrics": render_table("mean over the trials", pooling="mean"),
        "metrics_pooled": render_table("all test samples at once"),
        "metrics_model_level": render_table("means of the methods", level="model"),
        "paper": render_paper_table(
            select_rows(rows, params.protocol, pooling="mean"),
            make_caption("mean over the trials"),
            params.paper_rows,
            params.dimensions,
        ),
        "leakage": render_leakage(rows, leakage_caption, pooling="mean"),
    }
    for path in sorted({Path(path) for path in snakemake.output}):
        with store.replacing(path) as temporary:
            temporary.write_text(texts_of_table[path.stem][path.suffix[1:]], encoding="utf-8")
