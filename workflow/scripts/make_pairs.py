"""Pair images with clips and split the pairs without sharing material."""

import pandas as pd

from sfqa import store, tables
from sfqa.job import run_job
from sfqa.pairs.coverage import describe_pairs
from sfqa.pairs.sampler import make_pairs

with run_job(snakemake.log[0]) as log:
    images = store.read(tables.IMAGES, snakemake.input.images)
    clips = store.read(tables.CLIPS, snakemake.input.clips)
    path, keep = snakemake.input.get("keep"), None
    if path:
        keep = pd.read_csv(path, dtype=str) if path.endswith(".csv") else pd.read_parquet(path)
    params = snakemake.params
    rows, proof = make_pairs(
        images,
        clips,
        params.number,
        params.ratio,
        params.seed,
        keep=keep,
        **params.get("constraints", {}),
    )
    store.write(tables.PAIRS, rows, snakemake.output.pairs)
    table = store.read(tables.PAIRS, snakemake.output.pairs)
    log.info("%s", describe_pairs(table, images, clips))
    (log.info if proof.is_proven and proof.settled else log.warning)(
        "proof:\n%s", proof.format_proof()
    )
    if snakemake.output.get("report"):
        with store.replacing(snakemake.output.report) as temporary:
            temporary.write_text(describe_pairs(table, images, clips) + "\n", encoding="utf-8")
