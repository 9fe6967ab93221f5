"""Build the dataset's site, a folder that opens from a file, and the RO-Crate of the results."""

from pathlib import Path

from sfqa.job import job
from sfqa.report.site import build_site, crate_file
from sfqa.report.site_data import Opening

with job(snakemake.log[0]) as log:
    params = snakemake.params
    site, crate = Path(snakemake.output.site), Path(snakemake.output.crate)
    opening = Opening(params.protocol, tuple(params.dimensions), tuple(params.metrics))
    files = [Path(path) for path in snakemake.input]
    shown = build_site(crate.parent, site, opening, files)
    crate_file(crate.parent, crate, site)
    log.info("%d samples", len(shown))
