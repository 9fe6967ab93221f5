"""Write the manifest of the run: versions, hashes, configuration, seeds, hardware."""

from pathlib import Path

from sfqa.job import run_job
from sfqa.report.manifest import SAME, build_manifest, write_manifest

with run_job(snakemake.log[0]) as log:
    params, out = snakemake.params, Path(snakemake.output.manifest)
    folder = out.parents[1]
    files = [Path(path) for path in snakemake.input if Path(path).is_file()]
    manifest = build_manifest(
        folder,
        [path for path in files if path.suffix in (".parquet", ".csv", ".md", ".tex")],
        params.config,
        params.methods,
        map(Path, params.generators),
    )
    write_manifest(manifest, out)
    log.info("%d tables", len(manifest[SAME]["tables"]))
