"""Draw the MOS by label: means with intervals, distributions, and which methods differ."""

from pathlib import Path

from sfqa import store, tables
from sfqa.correlation.figures import mos_by_label
from sfqa.job import run_job
from sfqa.ratings import figures
from sfqa.ratings.by_label import LABEL_KINDS, tagged

with run_job(snakemake.log[0]):
    given, made = snakemake.input, snakemake.output
    mos = store.read(tables.MOS, given.mos)
    synthetic = bool(mos["synthetic"].any())
    samples, tags = tagged(store.read(tables.SAMPLES, given.samples), snakemake.params.tags)
    frame = store.read(tables.MOS_BY_LABEL, given.table)
    order = list(snakemake.params.dimensions)
    order += sorted(set(frame["dimension"]) - set(order))
    kinds = [*LABEL_KINDS, *tags]
    frame = frame.sort_values("dimension", key=lambda d: d.map(order.index), kind="stable")
    frame = frame.sort_values("label_kind", key=lambda k: k.map(kinds.index), kind="stable")
    mos_by_label(frame, [Path(made.svg), Path(made.png)], synthetic)
    figures.drawn_or_said(
        lambda files: figures.distributions(mos, samples, files, tags, synthetic),
        [made.distributions, made.distributions_png],
    )
    differences = store.read(tables.LABEL_DIFFERENCES, given.differences)
    figures.drawn_or_said(
        lambda files: figures.differences(differences, "method", files, synthetic),
        [made.differences, made.differences_png],
    )
