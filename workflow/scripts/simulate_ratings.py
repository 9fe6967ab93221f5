"""Simulate raters from the known defects of the procedural methods."""

from sfqa import store, tables
from sfqa.generation import registry
from sfqa.generation.known_quality import get_known_quality
from sfqa.job import run_job
from sfqa.ratings.simulate import simulate_scores

with run_job(snakemake.log[0]):
    params = snakemake.params
    videos = store.read(tables.CONFORMED, snakemake.input.videos)
    truths = {m["label"]: get_known_quality(registry.from_dict(m)) for m in params.methods}
    pairs = store.read(tables.SAMPLES, snakemake.input.samples)[["sample_id", "pair_id"]]
    rows = simulate_scores(
        videos[videos["status"] != tables.FAILED].merge(pairs, on="sample_id"),
        truths,
        params.raters,
        params.seed,
        params.careless,
        params.per_sample,
    )
    store.write(tables.SCORES, rows, snakemake.output.scores)
