"""Tables of a study: the plan (who rates what in which order) and the media of the samples."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from sfqa.errors import UserError
from sfqa.shareable_files import describe_unshareable, explain_unshareable
from sfqa.tables import ROLES, STUDY_MEDIA
from sfqa.untrusted.parquet import load_table
from sfqa.user_tables import read_table

Json = dict[str, Any]

_PLAN_COLUMNS = ("rater", "session", "position", "sample_id", "role", "block", "seconds")
_RATER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class PlannedVideo:
    """One row of the plan: a video that is shown to a rater, with session and position."""

    rater: str
    session: int
    position: int
    sample_id: str
    role: str
    block: int
    seconds: float


@dataclass(frozen=True)
class Media:
    """The files of one sample, and the texts shown with them."""

    files: Mapping[str, Path]
    title: str | None
    language: str | None
    prompt: str | None
    style: str | None = None


def read_plan(path: Path) -> list[PlannedVideo]:
    """Return the plan's rows in presentation order; raises :class:`UserError` for a wrong row."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; create the plan of the study first, with sfqa plan")
    table = load_table(path)
    missing = [name for name in _PLAN_COLUMNS if name not in table.schema.names]
    if missing:
        raise UserError(f"{path}: no column {missing[0]!r}; a plan has {', '.join(_PLAN_COLUMNS)}")
    rows = []
    for number, row in enumerate(table.select(_PLAN_COLUMNS).to_pylist()):
        if row["role"] not in ROLES:
            raise UserError(f"{path}, row {number}: the role {row['role']!r} is not one of {ROLES}")
        if not isinstance(row["rater"], str) or not _RATER.fullmatch(row["rater"]):
            raise UserError(
                f"{path}, row {number}: {row['rater']!r} is not a valid name of a rater; "
                "use letters, digits, '_', '.' and '-'"
            )
        if None in row.values() or not row["seconds"] >= 0:
            raise UserError(f"{path}, row {number}: a cell is empty or below 0; fill it")
        rows.append(PlannedVideo(**row))
    rows.sort(key=lambda r: (r.rater, r.session, r.position))
    for before, after in pairwise(rows):
        if (before.rater, before.session, before.position) == (
            after.rater, after.session, after.position,
        ):  # fmt: skip
            raise UserError(
                f"{path}: rater {after.rater}, session {after.session}: the position "
                f"{after.position} is repeated; number the rows"
            )
    return rows


def read_media(
    folder: Path, samples: Iterable[str], media_folders: Sequence[Path] | None = None
) -> dict[str, Media]:
    """Return the files of the samples from a study's ``media.parquet`` (:data:`STUDY_MEDIA`).

    ``media.csv`` with the same columns is read if there is no ``media.parquet``. Raises
    :class:`UserError` for a sample without a row, for a missing file, and for a file that must not
    be shown: its name does not end as that of a video, picture or sound, or it lies outside of
    ``media_folders``, if they are given. Links are resolved.
    """
    path = folder / STUDY_MEDIA.file_name
    if not path.is_file():
        path = folder / "media.csv"
    if not path.is_file():
        raise UserError(
            f"{folder / STUDY_MEDIA.file_name}: no such file, and no media.csv; it lists the "
            "videos of the samples, with the columns sample_id and video"
        )
    table = read_table(path, "media", named=STUDY_MEDIA.names)
    missing_columns = [c.name for c in STUDY_MEDIA.columns[:2] if c.name not in table.columns]
    if missing_columns:
        raise UserError(f"{path}: no column {missing_columns[0]!r}; it needs sample_id and video")
    names = [name for name in STUDY_MEDIA.names if name in table.columns]
    cells = zip(*(table.columns[name] for name in names), strict=True)
    rows = {row["sample_id"]: row for row in (dict(zip(names, c, strict=True)) for c in cells)}
    media: dict[str, Media] = {}
    missing = []
    refused: list[tuple[str, str]] = []
    for sample in sorted(set(samples)):
        if sample not in rows:
            missing.append(f"no row for the sample {sample!r}")
            continue
        row = rows[sample]
        files = {}
        for name in ("video", "image", "clip"):
            if row.get(name):
                files[name] = file_path = folder / row[name]
                if not file_path.is_file():
                    missing.append(f"sample {sample!r}: no file {file_path}")
                elif reason := explain_unshareable(file_path, media_folders):
                    refused.append((str(file_path), reason))
                else:
                    files[name] = file_path.resolve()
        if "video" not in files:
            missing.append(f"sample {sample!r} has no video")
        texts = (row.get(name) or None for name in ("title", "language", "prompt", "style"))
        media[sample] = Media(files, *texts)
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise UserError(f"{path}: {missing[0]}{more}; add it, or plan without these samples")
    if refused:
        raise UserError(f"{path}: {describe_unshareable(refused, '--media')}")
    return media


def make_media_row(
    folder: Path,
    sample_id: str,
    video: Path | str,
    image: Path | str | None = None,
    clip: Path | str | None = None,
    **texts: str | None,
) -> Json:
    """Return a row of :data:`STUDY_MEDIA` with paths relative to the study's folder.

    ``texts`` may have ``title``, ``language``, ``prompt`` and ``style``.

    >>> folder = Path("results/demo/ratings/study")
    >>> make_media_row(folder, "a", "results/demo/conform/a.mp4")["video"]
    '../../conform/a.mp4'
    """
    row: Json = {"sample_id": sample_id, **texts}
    for name, path in (("video", video), ("image", image), ("clip", clip)):
        row[name] = Path(os.path.relpath(path, folder)).as_posix() if path else None
    return row
