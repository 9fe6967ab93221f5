"""Fit one metric on the whole dataset and write its model file."""

import shutil
from pathlib import Path

from sfqa import store, tables
from sfqa.device import lease_job_device
from sfqa.job import run_job
from sfqa.regression import model_files
from sfqa.regression.cross import describe_model
from sfqa.regression.first_weights import add_manifests
from sfqa.regression.fitting import ModelOrigin, check_is_trained, fit_model
from sfqa.regression.train import load_features
from sfqa.regression.training_options import set_display_options
from sfqa.training.curves import keep_curves

with run_job(snakemake.log[0]) as log:
    metric = add_manifests(
        set_display_options(snakemake.params.metric, snakemake.resources),
        snakemake.input.get("weights", []),
    )
    out = Path(snakemake.output.model)
    check_is_trained(metric)
    files = {
        name: [p for p in snakemake.input.features if f"/features/{name}/" in p]
        for name in metric["extractors"]
    }
    work = out.parent / "model.work"
    with lease_job_device(snakemake, "regression") as device:
        metadata, arrays = fit_model(
            metric,
            load_features(metric, files, work),
            store.read(tables.SAMPLES, snakemake.input.samples),
            store.read(tables.MOS, snakemake.input.mos),
            ModelOrigin(snakemake.wildcards.dataset, snakemake.params.conform, files),
            snakemake.params.seed,
            work,
            device,
        )
    model_files.write(out, metadata, arrays)
    keep_curves(work, out.parent / "trials")
    shutil.rmtree(work)
    log.info("%s", describe_model(model_files.read(out)))
