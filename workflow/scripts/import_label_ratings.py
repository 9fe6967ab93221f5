"""Import the ratings of single raters from the label files of a published dataset."""

from sfqa import store, tables
from sfqa.job import run_job
from sfqa.labels.scores import read_ratings

with run_job(snakemake.log[0]) as log:
    samples = store.read(tables.SAMPLES, snakemake.input.samples)
    rows = read_ratings(snakemake.params.source, samples["sample_id"])
    log.info("%d ratings by %d raters", len(rows), len({row["rater"] for row in rows}))
    store.write(tables.SCORES, rows, snakemake.output.scores)
