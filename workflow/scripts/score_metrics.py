"""Score every sample with all metrics that are not trained, under all protocols."""

from pathlib import Path

from sfqa.job import run_job
from sfqa.joint_job import make_items
from sfqa.regression.untrained import UntrainedMetrics

with run_job(snakemake.log[0]):
    inputs, params = snakemake.input, snakemake.params
    job = UntrainedMetrics(
        Path(inputs.samples), Path(inputs.mos), list(inputs.get("features", [])),
        list(inputs.get("trial_lists", [])), params.protocols, params.seed,
    )  # fmt: skip
    items = job.list_items(params.metrics, snakemake.output)
    make_items("score_metrics", "metrics", items, job.write_predictions)
