"""Cut the clips of a sheet to masters at phrase ends."""

from pathlib import Path

import pandas as pd

from sfqa import media, sheets, store, tables
from sfqa.job import job
from sfqa.materials.clip_plot import plot_cut
from sfqa.materials.clips import prepare_clips
from sfqa.report.rejects import check_share

with job(snakemake.log[0]):
    sheet = sheets.read_sheet(snakemake.input.sheet, sheets.CLIP_COLUMNS, sheets.CLIP_CHOICES)
    out = Path(snakemake.output.clips)
    shortest, longest = snakemake.params.clip_sec
    rows = prepare_clips(
        sheet, out.parent / "clips", snakemake.params.sample_rate, shortest, longest
    )
    for row in rows:
        if row["status"] != tables.FAILED:
            samples = media.read_audio(row["original"], snakemake.params.sample_rate)
            picture = out.parent / "clips" / f"{row['clip_id']}.png"
            plot_cut(samples, snakemake.params.sample_rate, row, picture)
    check_share("clips", pd.DataFrame(rows), snakemake.params.max_failed)
    store.write(tables.CLIPS, rows, out)
