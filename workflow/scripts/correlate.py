"""Correlate the predictions of all metrics with the MOS: overall, by method, metric by metric."""

from sfqa import store, tables
from sfqa.correlation.bootstrap import protocol_groups
from sfqa.correlation.levels import method_rows
from sfqa.correlation.significance import significance_rows
from sfqa.correlation.summarise import Settings, correlation_rows, round_rows
from sfqa.job import run_job

with run_job(snakemake.log[0]) as log:
    arguments = (
        store.read(tables.PREDICTIONS, snakemake.input.predictions),
        store.read(tables.MOS, snakemake.input.mos),
        store.read(tables.SAMPLES, snakemake.input.samples),
        snakemake.params.metrics,
        Settings(**snakemake.params.settings, groups=protocol_groups(snakemake.params.protocols)),
    )
    for compute_rows, table, path in (
        (correlation_rows, tables.CORRELATION, snakemake.output.correlation),
        (method_rows, tables.CORRELATION_BY_METHOD, snakemake.output.by_method),
        (significance_rows, tables.SIGNIFICANCE, snakemake.output.significance),
    ):
        rows = compute_rows(*arguments)
        log.info("%d rows of %s", len(rows), table.name)
        store.write(table, round_rows(rows), path)
