"""Merge the conformed videos of all shards. Fails if too many videos have failed."""

from sfqa import store, tables
from sfqa.job import run_job
from sfqa.report.rejects import check_share

with run_job(snakemake.log[0]) as log:
    videos = store.read(tables.CONFORMED, snakemake.input.conformed)
    log.info("videos: %s", videos["status"].value_counts().to_dict())
    check_share("videos", videos, snakemake.params.max_failed)
    store.write(tables.CONFORMED, videos, snakemake.output.videos)
