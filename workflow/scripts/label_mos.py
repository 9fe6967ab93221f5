"""Average the MOS by method, image category, style, language and tags, and compare the labels."""

from sfqa import store, tables
from sfqa.job import run_job
from sfqa.ratings.by_label import average_by_label, read_tags
from sfqa.ratings.significance import compare_labels

with run_job(snakemake.log[0]):
    mos = store.read(tables.MOS, snakemake.input.mos)
    samples = store.read(tables.SAMPLES, snakemake.input.samples)
    samples, tags = read_tags(samples, snakemake.params.tags)
    store.write(
        tables.LABEL_DIFFERENCES,
        compare_labels(mos, samples, tags),
        snakemake.output.differences,
    )
    store.write(tables.MOS_BY_LABEL, average_by_label(mos, samples, tags), snakemake.output.table)
