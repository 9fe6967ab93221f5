"""Correlate the predictions of all metrics with the MOS: overall, by method, metric by metric."""

from pathlib import Path

import sfqa.single_thread  # noqa: F401 - before numpy is loaded
from sfqa import store, tables
from sfqa.correlation.bootstrap import protocol_groups
from sfqa.correlation.fit_cache import FitCache
from sfqa.correlation.levels import method_rows
from sfqa.correlation.significance import significance_rows
from sfqa.correlation.summarise import Settings, correlation_rows, round_rows
from sfqa.job import run_job

with run_job(snakemake.log[0]) as log:
    params, out = snakemake.params, snakemake.output
    cache_file = Path(out.correlation).parent / "cache" / "fits.json"
    fits = FitCache(snakemake.threads, cache_file, params.version)
    arguments = (
        store.read(tables.PREDICTIONS, snakemake.input.predictions),
        store.read(tables.MOS, snakemake.input.mos),
        store.read(tables.SAMPLES, snakemake.input.samples),
        params.metrics,
        Settings(**params.settings, groups=protocol_groups(params.protocols)),
        fits,
    )
    for compute_rows, table, path in (
        (correlation_rows, tables.CORRELATION, out.correlation),
        (method_rows, tables.CORRELATION_BY_METHOD, out.by_method),
        (significance_rows, tables.SIGNIFICANCE, out.significance),
    ):
        rows = compute_rows(*arguments)
        log.info("%d rows of %s, %d fits computed", len(rows), table.name, fits.computed)
        store.write(table, round_rows(rows), path)
        fits.save()
