"""Build a DuckDB database with a view of every table of the dataset."""

from pathlib import Path

from sfqa.job import run_job
from sfqa.report.catalog import build_catalog

with run_job(snakemake.log[0]):
    out = Path(snakemake.output.catalog)
    build_catalog(out.parent, out)
