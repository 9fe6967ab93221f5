"""Import the published mean opinion scores of label files."""

from sfqa import store, tables
from sfqa.job import run_job
from sfqa.labels.scores import read_mos

with run_job(snakemake.log[0]) as log:
    samples = store.read(tables.SAMPLES, snakemake.input.samples)
    rows = read_mos(snakemake.params.source, samples["sample_id"])
    missing = sum(row["mos"] is None for row in rows)
    log.info("%d scores of %d samples, %d without a score", len(rows), len(samples), missing)
    store.write(tables.MOS, rows, snakemake.output.mos)
