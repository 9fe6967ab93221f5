"""Pair images with clips and split the pairs without sharing material."""

from sfqa import store, tables
from sfqa.job import run_job
from sfqa.pairs.coverage import describe_pairs
from sfqa.pairs.material import read_kept_pairs
from sfqa.pairs.sampler import make_pairs

with run_job(snakemake.log[0]) as log:
    images = store.read(tables.IMAGES, snakemake.input.images)
    clips = store.read(tables.CLIPS, snakemake.input.clips)
    path = snakemake.input.get("keep")
    params = snakemake.params
    rows, proof = make_pairs(
        images,
        clips,
        params.number,
        params.ratio,
        params.seed,
        keep=read_kept_pairs(path) if path else None,
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
            text = f"{describe_pairs(table, images, clips)}\n\n{proof.format_proof(False)}\n"
            temporary.write_text(text, encoding="utf-8")
