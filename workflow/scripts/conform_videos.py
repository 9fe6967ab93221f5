"""Convert the videos of one shard to the common format."""

from pathlib import Path

from sfqa import store, tables
from sfqa.conform.run import conform_shard
from sfqa.conform.video import Form
from sfqa.job import run_job

with run_job(snakemake.log[0]):
    wildcards = snakemake.wildcards
    videos = store.read_shard(
        tables.VIDEOS, snakemake.input.videos, wildcards.method, wildcards.shard
    )
    out = Path(snakemake.output.conformed)
    rows = conform_shard(videos, out.parent, Form(**snakemake.params.form))
    store.write(tables.CONFORMED, rows, out, {"form": dict(snakemake.params.form)})
