"""Pair images with clips and split the pairs without sharing material."""

from sfqa import store, tables
from sfqa.job import job
from sfqa.pairs.sampler import coverage, format_coverage, make_pairs

with job(snakemake.log[0]) as log:
    images = store.read(tables.IMAGES, snakemake.input.images)
    clips = store.read(tables.CLIPS, snakemake.input.clips)
    pairs = make_pairs(
        images, clips, snakemake.params.number, snakemake.params.ratio, snakemake.params.seed
    )
    store.write(tables.PAIRS, pairs, snakemake.output.pairs)
    table = store.read(tables.PAIRS, snakemake.output.pairs)
    log.info("pairs per split: %s", table["split"].value_counts().to_dict())
    log.info("coverage:\n%s", format_coverage(coverage(table, images, clips)))
