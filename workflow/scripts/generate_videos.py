"""Generate the videos of one shard with one method."""

from pathlib import Path

from sfqa import store, tables
from sfqa.generation import registry
from sfqa.generation.generate import write_shard
from sfqa.generation.ready import warn_about_unused_videos
from sfqa.generation.records import GenerationSettings
from sfqa.job import run_job
from sfqa.repositories.fetch import digest_installation

with run_job(snakemake.log[0]):
    params = snakemake.params
    samples = store.read(tables.SAMPLES, snakemake.input.samples)
    method_samples = samples[samples["method"] == snakemake.wildcards.method]
    shard = int(snakemake.wildcards.shard)
    shard_samples = method_samples[method_samples["shard"] == shard]
    method, generators = registry.from_dict(params.method), Path(params.generators)
    settings = GenerationSettings(
        seed=params.seed,
        size=params.size,
        fps=params.fps,
        generators=generators,
        attempts=params.attempts,
        require_gpu=params.require_gpu,
        installed=digest_installation(generators / method.label) if method.runs_command else "",
    )
    if method.kind == "import" and shard == method_samples["shard"].min():  # one job of each method
        warn_about_unused_videos(generators / method.label, store.to_records(method_samples))
    write_shard(shard_samples, method, snakemake.output.videos, settings)
