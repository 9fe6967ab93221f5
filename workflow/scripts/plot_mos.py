"""Draw the MOS by method, image category, style and language."""

from pathlib import Path

import pyarrow.parquet as pq

from sfqa import store, tables
from sfqa.correlation.figures import mos_by_label
from sfqa.job import job

with job(snakemake.log[0]):
    synthetic = bool(store.read(tables.MOS, snakemake.input.mos)["synthetic"].any())
    paths = [Path(p) for p in (snakemake.output.svg, snakemake.output.png)]
    mos_by_label(pq.read_table(snakemake.input.table).to_pandas(), paths, synthetic)
