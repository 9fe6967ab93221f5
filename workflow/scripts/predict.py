"""Score every sample with one metric under all protocols."""

from pathlib import Path

from sfqa import store, tables
from sfqa.device import lease_torch_device
from sfqa.job import run_job
from sfqa.regression import cross
from sfqa.regression.controls import score_control
from sfqa.regression.model_files import read
from sfqa.regression.train import RatedFeatures, load_features, train_metric
from sfqa.regression.zero_shot import score_metric

with run_job(snakemake.log[0]) as log:
    metric, params = snakemake.params.metric, snakemake.params
    out = Path(snakemake.output.predictions)
    mos = store.read(tables.MOS, snakemake.input.mos)
    samples = store.read(tables.SAMPLES, snakemake.input.samples)
    about = {"metric": dict(metric)}
    if metric["kind"] == "control":
        rows = score_control(metric, samples, mos, params.protocols, params.seed)
    else:
        files = {
            name: [p for p in snakemake.input.features if f"/features/{name}/" in p]
            for name in metric["extractors"]
        }
        work = out.parent / "trials"
        design = load_features(metric, files, work)
        if metric["kind"] == "regressor":
            with lease_torch_device(snakemake.threads) as device:
                rows = train_metric(
                    metric, RatedFeatures(design, samples, mos), params.protocols, params.seed,
                    work, device,
                )  # fmt: skip
                protocols = cross.crossed(params.protocols)
                for protocol, path in zip(protocols, snakemake.input.models, strict=True):
                    model = read(path)
                    cross.check_form(model, params.cross["conform"])
                    found = cross.load_like(model, files, work)
                    rows += cross.cross_rows(metric, protocol, model, found, samples, mos, device)
                    about.setdefault("models", {})[protocol["name"]] = cross.provenance(model)
                    log.info("%s: %s", protocol["name"], cross.told(model))
        else:
            rows = score_metric(metric, design, samples, mos, params.protocols, params.seed)
    store.write(tables.PREDICTIONS, rows, out, about)
