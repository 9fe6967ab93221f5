"""Draw the MOS by label: means with intervals, distributions, and which methods differ."""

from pathlib import Path

from sfqa import store, tables
from sfqa.correlation.figures import draw_mos_by_label
from sfqa.job import run_job
from sfqa.ratings import figures
from sfqa.ratings.by_label import LABEL_KINDS, read_tags

with run_job(snakemake.log[0]):
    inputs, outputs = snakemake.input, snakemake.output
    mos = store.read(tables.MOS, inputs.mos)
    synthetic = bool(mos["synthetic"].any())
    samples, tags = read_tags(store.read(tables.SAMPLES, inputs.samples), snakemake.params.tags)
    frame = store.read(tables.MOS_BY_LABEL, inputs.table)
    order = list(snakemake.params.dimensions)
    order += sorted(set(frame["dimension"]) - set(order))
    kinds = [*LABEL_KINDS, *tags]
    frame = frame.sort_values("dimension", key=lambda d: d.map(order.index), kind="stable")
    frame = frame.sort_values("label_kind", key=lambda k: k.map(kinds.index), kind="stable")
    draw_mos_by_label(frame, [Path(outputs.svg), Path(outputs.png)], synthetic)
    figures.plot_or_explain(
        lambda files: figures.plot_distributions(mos, samples, files, tags, synthetic),
        [outputs.distributions, outputs.distributions_png],
    )
    differences = store.read(tables.LABEL_DIFFERENCES, inputs.differences)
    figures.plot_or_explain(
        lambda files: figures.plot_differences(differences, "method", files, synthetic),
        [outputs.differences, outputs.differences_png],
    )
