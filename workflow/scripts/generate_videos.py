"""Animate the pairs of one shard with one method."""

from pathlib import Path

from sfqa import store, tables
from sfqa.errors import stop_where_full
from sfqa.generation import registry
from sfqa.generation.install.fetch import installed_digest
from sfqa.generation.run import Settings, generate_shard
from sfqa.job import job

with job(snakemake.log[0]):
    params = snakemake.params
    samples = store.read(tables.SAMPLES, snakemake.input.samples)
    mine = samples[
        (samples["method"] == snakemake.wildcards.method)
        & (samples["shard"] == int(snakemake.wildcards.shard))
    ]
    out = Path(snakemake.output.videos)
    method, generators = registry.from_dict(params.method), Path(params.generators)
    settings = Settings(
        seed=params.seed,
        size=params.size,
        fps=params.fps,
        generators=generators,
        attempts=params.attempts,
        require_gpu=params.require_gpu,
        installed=installed_digest(generators / method.label) if method.runs_command else "",
    )
    rows = generate_shard(mine, method, out.parent, settings)
    stop_where_full(rows)
    store.write(tables.VIDEOS, rows, out)
