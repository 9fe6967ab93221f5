"""Lay the correlations out as the tables of a paper."""

from pathlib import Path

from sfqa import store, tables
from sfqa.correlation.layout import render, render_leakage, select_rows
from sfqa.job import run_job

with run_job(snakemake.log[0]):
    rows = store.read(tables.CORRELATION, snakemake.input.correlation)
    params = snakemake.params

    def render_table(words: str, **which: str) -> dict[str, str]:
        selected_rows = select_rows(rows, params.protocol, **which)
        caption = f"Metrics against MOS on {params.dataset}, {words}."
        return render(selected_rows, caption, params.order, params.dimensions)

    texts_of_table = {
        "metrics": render_table("mean over the trials", pooling="mean"),
        "metrics_pooled": render_table("all test samples at once"),
        "metrics_model_level": render_table("means of the methods", level="model"),
        "leakage": render_leakage(
            rows,
            f"SRCC of the regressors on {params.dataset} under every protocol, mean over trials.",
            pooling="mean",
        ),
    }
    for path in sorted({Path(path) for path in snakemake.output}):
        with store.replacing(path) as temporary:
            temporary.write_text(texts_of_table[path.stem][path.suffix[1:]], encoding="utf-8")
