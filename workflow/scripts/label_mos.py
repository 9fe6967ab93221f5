"""Average the MOS by method, image category, style and language."""

from sfqa import store, tables
from sfqa.job import job
from sfqa.ratings.by_label import mos_by_label

with job(snakemake.log[0]):
    frame = mos_by_label(
        store.read(tables.MOS, snakemake.input.mos),
        store.read(tables.SAMPLES, snakemake.input.samples),
    )
    store.write(tables.MOS_BY_LABEL, frame, snakemake.output.table)
