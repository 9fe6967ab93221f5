"""Extract one extractor's features for the videos of one shard."""

# ruff: noqa: E402
from sfqa.features import memory

memory.keep_freed()  # before the imports below start threads, each with memory of its own

from pathlib import Path

from sfqa import store, tables
from sfqa.device import lease_job_device
from sfqa.features.official import add_digests
from sfqa.features.pipeline import TIME_LIMIT_SEC
from sfqa.features.run import extract_rows
from sfqa.job import run_job

with run_job(snakemake.log[0]):
    wildcards = snakemake.wildcards
    spec = add_digests(snakemake.params.spec, snakemake.input.get("weights", []))
    shard_rows, metadata, costs = extract_rows(
        store.read_shard(
            tables.CONFORMED, snakemake.input.conformed, wildcards.method, wildcards.shard
        ),
        wildcards.extractor,
        spec,
        Path(snakemake.output.features).parents[1] / "cache",
        f"{wildcards.method}/{wildcards.shard}",
        lambda: lease_job_device(snakemake, "features"),
        workers=max(1, snakemake.threads - 1),
        time_limit_sec=spec.get("time_limit_sec", TIME_LIMIT_SEC),
    )
    if path := snakemake.output.get("costs"):
        store.write(tables.COSTS, costs, path)
    shard_rows.write(snakemake.output.features, metadata)
