"""Cut the clips of a sheet to masters at phrase ends."""

from pathlib import Path

import pandas as pd

from sfqa import sheets, store, tables
from sfqa.job import run_job
from sfqa.materials.clips import prepare_clips
from sfqa.materials.vocabulary import check_vocabulary
from sfqa.media_files import (
    PICTURE_SUFFIXES,
    SOUND_SUFFIXES,
    VIDEO_SUFFIXES,
    warn_about_unlisted_files,
)
from sfqa.report.rejects import check_share

with run_job(snakemake.log[0]):
    sheet = sheets.read_sheet(snakemake.input.sheet, sheets.CLIP_COLUMNS, sheets.CLIP_CHOICES)
    check_vocabulary(sheet, snakemake.params.vocabulary, snakemake.input.sheet, sheet.row_numbers)
    paths = [row["path"] for row in sheet]
    suffixes = (SOUND_SUFFIXES | VIDEO_SUFFIXES) - PICTURE_SUFFIXES
    warn_about_unlisted_files(snakemake.input.sheet, paths, suffixes)
    out = Path(snakemake.output.clips)
    shortest, longest = snakemake.params.clip_sec
    rows = prepare_clips(
        sheet,
        out.parent / "clips",
        snakemake.params.sample_rate,
        shortest,
        longest,
        plots=True,
    )
    check_share("clips", pd.DataFrame(rows), snakemake.params.max_failed)
    store.write(tables.CLIPS, rows, out)
