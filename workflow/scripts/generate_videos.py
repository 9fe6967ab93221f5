"""Animate the pairs of one shard with one method."""

from pathlib import Path

from sfqa import store, tables
from sfqa.generation import registry
from sfqa.generation.run import generate_shard
from sfqa.job import job

with job(snakemake.log[0]):
    samples = store.read(tables.SAMPLES, snakemake.input.samples)
    mine = samples[
        (samples["method"] == snakemake.wildcards.method)
        & (samples["shard"] == int(snakemake.wildcards.shard))
    ]
    out = Path(snakemake.output.videos)
    rows = generate_shard(
        mine,
        registry.from_dict(snakemake.params.method),
        out.parent,
        snakemake.params.seed,
        snakemake.params.size,
        snakemake.params.fps,
    )
    store.write(tables.VIDEOS, rows, out)
