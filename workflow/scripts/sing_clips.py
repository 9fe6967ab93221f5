"""Sing the clips of the embedded dataset and write their sheet."""

from pathlib import Path

import pandas as pd

from sfqa import sheets, store
from sfqa.job import run_job
from sfqa.materials.singer import sing_clips

with run_job(snakemake.log[0]):
    out = Path(snakemake.output.sheet)
    rows = sing_clips(
        out.parent, snakemake.params.number, snakemake.params.seed, snakemake.params.sample_rate
    )
    with store.replacing(out) as temporary:
        pd.DataFrame(rows, columns=list(sheets.CLIP_COLUMNS)).to_csv(temporary, index=False)
