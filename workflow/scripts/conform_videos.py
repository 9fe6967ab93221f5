"""Bring the videos of one shard to the common form."""

from pathlib import Path

from sfqa import store, tables
from sfqa.conform.run import conform_shard
from sfqa.conform.video import Form
from sfqa.job import job

with job(snakemake.log[0]):
    videos = store.read(tables.VIDEOS, snakemake.input.videos)
    out = Path(snakemake.output.conformed)
    rows = conform_shard(videos, out.parent, Form(**snakemake.params.form))
    store.write(tables.CONFORMED, rows, out, {"form": dict(snakemake.params.form)})
