"""Draw one metric's scores against MOS, a panel per dimension."""

from pathlib import Path

from sfqa import store, tables
from sfqa.correlation.figures import draw_scatter
from sfqa.job import run_job

with run_job(snakemake.log[0]):
    mos = store.read(tables.MOS, snakemake.input.mos)
    order = list(snakemake.params.dimensions)
    draw_scatter(
        store.read(tables.PREDICTIONS, snakemake.input.predictions),
        mos,
        store.read(tables.SAMPLES, snakemake.input.samples),
        snakemake.params.metric,
        order + sorted(set(mos["dimension"]) - set(order)),
        snakemake.params.protocol,
        [Path(p) for p in (snakemake.output.svg, snakemake.output.png)],
        snakemake.params.mapping,
    )
