"""Draw the MOS by method, image category, style and language."""

from pathlib import Path

from sfqa import store, tables
from sfqa.correlation.figures import mos_by_label
from sfqa.job import job
from sfqa.ratings.by_label import LABEL_KINDS

with job(snakemake.log[0]):
    synthetic = bool(store.read(tables.MOS, snakemake.input.mos)["synthetic"].any())
    paths = [Path(p) for p in (snakemake.output.svg, snakemake.output.png)]
    frame = store.read(tables.MOS_BY_LABEL, snakemake.input.table)
    order = list(snakemake.params.dimensions)
    order += sorted(set(frame["dimension"]) - set(order))
    frame = frame.sort_values("dimension", key=lambda d: d.map(order.index), kind="stable")
    frame = frame.sort_values("label_kind", key=lambda k: k.map(LABEL_KINDS.index), kind="stable")
    mos_by_label(frame, paths, synthetic)
