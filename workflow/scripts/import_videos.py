"""Record the imported videos of one shard."""

from pathlib import Path

from sfqa import store, tables
from sfqa.generation.imported import import_shard
from sfqa.job import run_job

with run_job(snakemake.log[0]):
    samples = store.read(tables.SAMPLES, snakemake.input.samples)
    shard_samples = samples[
        (samples["method"] == snakemake.wildcards.method)
        & (samples["shard"] == int(snakemake.wildcards.shard))
    ]
    out = Path(snakemake.output.videos)
    method = snakemake.params.get("method")
    store.write(tables.VIDEOS, import_shard(shard_samples, out.parent, method), out)
