"""Draw the portraits of the embedded dataset and write their sheet."""

from pathlib import Path

import pandas as pd

from sfqa import sheets, store
from sfqa.job import run_job
from sfqa.materials.portraits import draw_portraits

with run_job(snakemake.log[0]):
    out = Path(snakemake.output.sheet)
    rows = draw_portraits(
        out.parent, snakemake.params.number, snakemake.params.seed, snakemake.params.size
    )
    with store.replacing(out) as temporary:
        pd.DataFrame(rows, columns=list(sheets.IMAGE_COLUMNS)).to_csv(temporary, index=False)
