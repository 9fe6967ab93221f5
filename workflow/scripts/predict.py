"""Score every sample with one metric under all protocols."""

from pathlib import Path

from sfqa import store, tables
from sfqa.device import leased_device
from sfqa.job import job
from sfqa.regression import heads
from sfqa.regression.blocks import load_blocks
from sfqa.regression.controls import control_metric
from sfqa.regression.design import load_design
from sfqa.regression.train import train_metric
from sfqa.regression.zero_shot import score_metric

with job(snakemake.log[0]):
    metric, params = snakemake.params.metric, snakemake.params
    out = Path(snakemake.output.predictions)
    mos = store.read(tables.MOS, snakemake.input.mos)
    samples = store.read(tables.SAMPLES, snakemake.input.samples)
    if metric["kind"] == "control":
        rows = control_metric(metric, samples, mos, params.protocols, params.seed)
    else:
        files = {
            name: [p for p in snakemake.input.features if f"/features/{name}/" in p]
            for name in metric["extractors"]
        }
        head, work = metric["head"], out.parent / "trials"
        if metric["kind"] == "regressor" and heads.design(head) == "blocks":
            options = heads.merged_options(head, metric["options"])
            forms = heads.load(head).forms(options, metric["inputs"])
            design = load_blocks(files, metric["inputs"], forms, work)
        else:
            design = load_design(files, metric["inputs"])
        if metric["kind"] == "regressor":
            with leased_device(snakemake.threads) as device:
                rows = train_metric(
                    metric, design, samples, mos, params.protocols, params.seed,
                    work, device,
                )  # fmt: skip
        else:
            rows = score_metric(metric, design, samples, mos, params.protocols, params.seed)
    store.write(tables.PREDICTIONS, rows, out, {"metric": dict(metric)})
