"""Draw the learning curves of all regressors, a panel per dimension."""

from pathlib import Path

from sfqa import store
from sfqa.correlation.learning_figure import draw_learning_curves
from sfqa.errors import UserError
from sfqa.job import run_job
from sfqa.tables import LEARNING

with run_job(snakemake.log[0]):
    params = snakemake.params
    if not params.metrics:
        raise UserError(
            "config, regression.metrics: no metric has the kind regressor, so there is no learning "
            "curve; add one"
        )
    rows = store.read(LEARNING, snakemake.input)
    order = list(params.dimensions)
    draw_learning_curves(
        rows,
        params.metrics,
        order + sorted(set(rows["dimension"]) - set(order)),
        params.protocol,
        [Path(p) for p in (snakemake.output.svg, snakemake.output.png)],
    )
