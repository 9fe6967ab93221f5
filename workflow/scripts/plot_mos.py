"""Draw the MOS by method, image category, style and language."""

from pathlib import Path

import pyarrow.parquet as pq

from sfqa import store, tables
from sfqa.correlation.figures import mos_by_label
from sfqa.job import job

with job(snakemake.log[0]):
    synthetic = bool(store.read(tables.MOS, snakemake.input.mos)["synthetic"].any())
    paths = [Path(p) for p in (snakemake.output.svg, snakemake.output.png)]
    frame = pq.read_table(snakemake.input.table).to_pandas()
    order = list(snakemake.params.dimensions)
    order += sorted(set(frame["dimension"]) - set(order))
    mos_by_label(
        frame.sort_values("dimension", key=lambda d: d.map(order.index), kind="stable"),
        paths,
        synthetic,
    )
