"""Find an official weights file on this machine, or download it, and write its manifest."""

from pathlib import Path

from sfqa.job import run_job
from sfqa.models.fetching import fetch_weights, write_manifest
from sfqa.models.lock import WeightsLock
from sfqa.models.weights_files import from_dict

with run_job(snakemake.log[0]) as log:
    source = snakemake.params.source
    manifest = fetch_weights(
        from_dict(source["entry"]),
        Path(source["folder"]),
        source["mirrors"],
        WeightsLock(Path(source["lock"])),
        log.info,
    )
    write_manifest(manifest, Path(snakemake.output.manifest))
