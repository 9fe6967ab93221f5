"""Extract one extractor's features for the videos of one shard."""

from pathlib import Path

from sfqa import store, tables
from sfqa.device import leased_device
from sfqa.features.run import extract_shard
from sfqa.job import job

with job(snakemake.log[0]):
    wildcards = snakemake.wildcards
    table, metadata = extract_shard(
        store.read(tables.CONFORMED, snakemake.input.conformed),
        wildcards.extractor,
        snakemake.params.spec,
        Path(snakemake.output.features).parents[1] / "cache",
        f"{wildcards.method}/{wildcards.shard}",
        lambda: leased_device(snakemake.threads),
    )
    store.write_arrow(table, snakemake.output.features, metadata)
