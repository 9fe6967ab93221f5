"""Fit every n-th problem of a regressor, as one of n jobs; the rule predict reads the fits."""

import json
import shutil
from pathlib import Path

from sfqa import store, tables
from sfqa.device import lease_job_device
from sfqa.job import run_job
from sfqa.regression.first_weights import add_manifests
from sfqa.regression.train import RatedFeatures, load_features, train_part
from sfqa.regression.training_options import set_display_options

with run_job(snakemake.log[0]):
    params = snakemake.params
    metric = add_manifests(
        set_display_options(params.metric, snakemake.resources), snakemake.input.get("weights", [])
    )
    part, out = int(snakemake.wildcards.part), Path(snakemake.output.fits)
    mos = store.read(tables.MOS, snakemake.input.mos)
    samples = store.read(tables.SAMPLES, snakemake.input.samples)
    files = {
        name: [p for p in snakemake.input.features if f"/features/{name}/" in p]
        for name in metric["extractors"]
    }
    # The folder in which the rule predict looks for fits.
    work = out.parents[1] / "trials"
    # Blocks of features too large for memory are files: those of this job alone.
    blocks = work / f"part-{part}"
    design = load_features(metric, files, blocks)
    with lease_job_device(snakemake, "regression") as device:
        rated = RatedFeatures(design, samples, mos)
        fits = train_part(
            metric, rated, params.protocols, params.seed, work, part, params.jobs, device
        )
    shutil.rmtree(blocks, ignore_errors=True)
    content = {"metric": metric["name"], "part": part, "jobs": params.jobs, "fits": fits}
    with store.replacing(out) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
