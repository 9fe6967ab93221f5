"""Train one regressor on shares of its training groups."""

from pathlib import Path

from sfqa import store, tables
from sfqa.device import lease_job_device
from sfqa.job import run_job
from sfqa.regression.blocks import delete_blocks
from sfqa.regression.first_weights import add_manifests
from sfqa.regression.learning import check_has_learning_curve, compute_learning_curve
from sfqa.regression.train import RatedFeatures, load_features
from sfqa.regression.training_options import set_display_options
from sfqa.tables import LEARNING

with run_job(snakemake.log[0]) as log:
    params = snakemake.params
    metric = add_manifests(
        set_display_options(params.metric, snakemake.resources), snakemake.input.get("weights", [])
    )
    check_has_learning_curve(metric)
    out = Path(snakemake.output.learning)
    files = {
        name: [p for p in snakemake.input.features if f"/features/{name}/" in p]
        for name in metric["extractors"]
    }
    # The folder with the cached fits of the rule predict.
    work = out.parent / "trials"
    with lease_job_device(snakemake, "regression") as device:
        rows = compute_learning_curve(
            metric,
            params.label,
            RatedFeatures(
                load_features(metric, files, work),
                store.read(tables.SAMPLES, snakemake.input.samples),
                store.read(tables.MOS, snakemake.input.mos),
            ),
            params.protocol,
            params.seed,
            work,
            device,
            mapping=params.mapping,
        )
    store.write(LEARNING, rows, out, {"metric": dict(params.metric)})
    delete_blocks(work)
