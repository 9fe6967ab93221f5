"""Install one generator, or check one that was installed by hand, and write its manifest."""

from pathlib import Path

from sfqa.generation.install.fetch import fetch_generator, write_manifest
from sfqa.generation.install.sources import from_dict
from sfqa.job import run_job

with run_job(snakemake.log[0]) as log:
    manifest = Path(snakemake.output.manifest)
    source = from_dict(snakemake.params.source)
    content = fetch_generator(
        snakemake.wildcards.method, source, manifest.parent, Path(source.environment), log.info
    )
    write_manifest(content, manifest)
