"""Train one regressor on the features and score every sample under all protocols."""

from pathlib import Path

from sfqa import store, tables
from sfqa.device import lease_job_device
from sfqa.job import run_job
from sfqa.regression import cross
from sfqa.regression.blocks import delete_blocks
from sfqa.regression.first_weights import add_manifests
from sfqa.regression.model_files import read
from sfqa.regression.train import RatedFeatures, load_features, train_metric
from sfqa.regression.training_options import set_display_options

with run_job(snakemake.log[0]) as log:
    params = snakemake.params
    metric = add_manifests(
        set_display_options(params.metric, snakemake.resources), snakemake.input.get("weights", [])
    )
    out = Path(snakemake.output.predictions)
    mos = store.read(tables.MOS, snakemake.input.mos)
    samples = store.read(tables.SAMPLES, snakemake.input.samples)
    metadata = {"metric": dict(params.metric)}
    files = {
        name: [p for p in snakemake.input.features if f"/features/{name}/" in p]
        for name in metric["extractors"]
    }
    work = out.parent / "trials"
    design = load_features(metric, files, work)
    with lease_job_device(snakemake, "regression") as device:
        rows = train_metric(
            metric, RatedFeatures(design, samples, mos), params.protocols, params.seed, work, device
        )
        protocols = cross.select_cross_protocols(params.protocols)
        for protocol, path in zip(protocols, snakemake.input.models, strict=True):
            model = read(path)
            cross.check_conform(model, params.cross["conform"])
            other = cross.load_model_features(model, files, work)
            rows += cross.score_cross_dataset(metric, protocol, model, other, samples, mos, device)
            metadata.setdefault("models", {})
            metadata["models"][protocol["name"]] = cross.describe_provenance(model)
            log.info("%s: %s", protocol["name"], cross.describe_model(model))
    store.write(tables.PREDICTIONS, rows, out, metadata)
    delete_blocks(work)
