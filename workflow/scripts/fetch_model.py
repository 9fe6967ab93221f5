"""Install the repository of a quality model, or check one that was installed by hand."""

from pathlib import Path

from sfqa.job import run_job
from sfqa.repositories.fetch import fetch_repository, write_manifest
from sfqa.repositories.sources import from_dict

with run_job(snakemake.log[0]) as log:
    manifest = Path(snakemake.output.manifest)
    source = from_dict(snakemake.params.source["source"])
    content = fetch_repository(
        snakemake.params.source["model"],
        source,
        manifest.parent,
        Path(source.environment),
        log.info,
        noun="model",
    )
    write_manifest(content, manifest)
