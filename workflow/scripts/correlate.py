"""Correlate the predictions of all metrics with the MOS."""

from sfqa import store, tables
from sfqa.correlation.summarise import correlation_rows, rounded
from sfqa.job import job

with job(snakemake.log[0]) as log:
    rows = correlation_rows(
        store.read(tables.PREDICTIONS, snakemake.input.predictions),
        store.read(tables.MOS, snakemake.input.mos),
        store.read(tables.SAMPLES, snakemake.input.samples),
        snakemake.params.metrics,
    )
    log.info("%d rows", len(rows))
    store.write(tables.CORRELATION, rounded(rows), snakemake.output.correlation)
