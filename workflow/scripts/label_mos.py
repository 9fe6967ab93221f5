"""Average the MOS by method, image category, style, language and tags, and compare the labels."""

from sfqa import store, tables
from sfqa.job import run_job
from sfqa.ratings.by_label import mos_by_label, tagged
from sfqa.ratings.significance import label_differences

with run_job(snakemake.log[0]):
    mos = store.read(tables.MOS, snakemake.input.mos)
    samples = store.read(tables.SAMPLES, snakemake.input.samples)
    samples, tags = tagged(samples, snakemake.params.tags)
    store.write(
        tables.LABEL_DIFFERENCES,
        label_differences(mos, samples, tags),
        snakemake.output.differences,
    )
    store.write(tables.MOS_BY_LABEL, mos_by_label(mos, samples, tags), snakemake.output.table)
