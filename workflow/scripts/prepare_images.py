"""Crop and resize the images of a sheet to square masters."""

from pathlib import Path

import pandas as pd

from sfqa import sheets, store, tables
from sfqa.job import run_job
from sfqa.materials.images import draw_contact_sheet, prepare_images
from sfqa.materials.vocabulary import check_vocabulary
from sfqa.media_files import PICTURE_SUFFIXES, warn_about_unlisted_files
from sfqa.report.rejects import check_share

with run_job(snakemake.log[0]):
    sheet = sheets.read_sheet(snakemake.input.sheet, sheets.IMAGE_COLUMNS, sheets.IMAGE_CHOICES)
    check_vocabulary(sheet, snakemake.params.vocabulary, snakemake.input.sheet, sheet.row_numbers)
    paths = [row["path"] for row in sheet]
    warn_about_unlisted_files(snakemake.input.sheet, paths, PICTURE_SUFFIXES)
    out = Path(snakemake.output.images)
    rows = prepare_images(sheet, out.parent / "images", snakemake.params.size)
    draw_contact_sheet(rows, out.parent / "images.png")
    check_share("images", pd.DataFrame(rows), snakemake.params.max_failed)
    store.write(tables.IMAGES, rows, out)
