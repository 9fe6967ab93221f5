"""A rating study of own videos: a table with their paths becomes samples and media."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfqa import store
from sfqa.errors import UserError
from sfqa.ratings.screen.study_tables import make_media_row
from sfqa.tables import STUDY_MEDIA
from sfqa.user_tables.numbers import is_empty

if TYPE_CHECKING:
    import pandas as pd

#: Columns with paths, seen from the folder of the table.
FILE_COLUMNS = ("video", "image", "clip")
TEXT_COLUMNS = ("title", "language", "prompt", "style")
#: Method of videos whose table has no column ``method``.
_METHOD = "video"


def complete_samples(samples: pd.DataFrame, table: Path) -> pd.DataFrame:
    """Return samples with ``sample_id``, ``method`` and ``seconds`` for a table of videos.

    The name of a video without ``sample_id`` is its file name without the suffix. A length that is
    missing is read from the video. Raises :class:`UserError` for a file that is missing or cannot
    be read as a video.
    """
    frame = samples.copy()
    for column in FILE_COLUMNS:
        for index, cell in frame[column].items() if column in frame else ():
            if is_empty(cell):
                if column == "video":
                    raise UserError(f"{table}, row {index}, column video: empty; fill it")
            elif not (table.parent / str(cell)).is_file():
                raise UserError(
                    f"{table}, row {index}, column {column}: no file {str(cell)!r} (paths start at "
                    "the folder of the table); correct it"
                )
    if "sample_id" not in frame:
        frame["sample_id"] = [Path(str(cell)).stem for cell in frame["video"]]
    if "method" not in frame:
        frame["method"] = _METHOD
    if "seconds" not in frame:
        frame["seconds"] = None
    frame["seconds"] = [
        seconds if not is_empty(seconds) else _read_seconds(table, index, video)
        for index, seconds, video in zip(frame.index, frame["seconds"], frame["video"], strict=True)
    ]
    return frame


def _read_seconds(table: Path, index: Any, video: Any) -> float:
    from sfqa import media  # only here: it needs PyAV, which a plan with lengths does not

    try:
        return media.probe(table.parent / str(video)).duration_sec
    except media.MediaError as error:
        raise UserError(
            f"{table}, row {index}, column video: {str(video)!r} cannot be read as a video "
            f"({error}); replace it"
        ) from error


def write_own_media(samples: pd.DataFrame, table: Path, folder: Path) -> Path:
    """Write ``media.parquet`` of a study for the videos of a table, and return its path.

    Rows of an existing file are kept for samples that the table lacks.
    """
    path = folder / STUDY_MEDIA.file_name
    rows = {}
    if path.is_file():
        rows = {row["sample_id"]: row for row in store.to_records(store.read(STUDY_MEDIA, path))}
    base = table.parent.absolute()
    for row in store.to_records(samples):
        image, clip = (None if is_empty(row.get(c)) else base / row[c] for c in ("image", "clip"))
        title, language, prompt, style = (
            None if is_empty(row.get(c)) else str(row[c]) for c in TEXT_COLUMNS
        )
        sample = str(row["sample_id"])
        rows[sample] = make_media_row(
            folder.absolute(), sample, base / row["video"], image, clip,
            title=title, language=language, prompt=prompt, style=style,
        )  # fmt: skip
    store.write(STUDY_MEDIA, rows.values(), path)
    return path
