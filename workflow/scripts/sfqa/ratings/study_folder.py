"""Files of a rating study made from a dataset: the media of each sample, and study.yaml."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sfqa import store, tables
from sfqa.errors import UserError, hint
from sfqa.ratings.screen.study_tables import make_media_row
from sfqa.tables import STUDY_MEDIA

_STUDIES = Path(__file__).parent / "screen" / "studies"


def list_studies() -> list[str]:
    """Return the names of the predefined studies (dimensions and criteria).

    >>> list_studies()
    ['lgvq', 'sfqa']
    """
    return sorted(path.stem for path in _STUDIES.glob("*.yaml"))


def make_media_rows(dataset: Path, folder: Path, samples: Iterable[str]) -> list[dict[str, Any]]:
    """Return rows of ``STUDY_MEDIA`` for samples of a dataset (``results/<name>``).

    The video is the copy for raters if there is one, else the conformed video; the clip is the
    stereo master. Paths in a dataset's tables are relative to the folder that contains
    ``results``. Raises :class:`UserError` for a sample without a video.
    """
    base = dataset.absolute().parents[1]
    samples_table = store.to_records(store.read(tables.SAMPLES, dataset / tables.SAMPLES.path))
    videos = store.to_records(store.read(tables.CONFORMED, dataset / tables.CONFORMED.merged_path))
    row_by_id = {row["sample_id"]: row for row in samples_table}
    video_by_id = {row["sample_id"]: row["viewing_path"] or row["path"] for row in videos}
    clips = _read_clips(dataset)
    rows = []
    for sample in sorted(set(samples)):
        if sample not in row_by_id or not video_by_id.get(sample):
            raise UserError(f"{dataset}: no conformed video of {sample!r}; plan without it")
        row = row_by_id[sample]
        clip = clips.get(row["clip_id"] or "", {})
        clip_path = clip.get("stereo_path") or row["clip_path"]
        rows.append(
            make_media_row(
                folder.absolute(), sample, base / video_by_id[sample],
                base / row["image_path"] if row["image_path"] else None,
                base / clip_path if clip_path else None,
                title=clip.get("title"), language=row["language"], prompt=row["prompt"],
                style=row["style"],
            )
        )  # fmt: skip
    return rows


def write_study_files(
    dataset: Path, folder: Path, samples: Iterable[str], study: str = "sfqa"
) -> list[Path]:
    """Write ``media.parquet``, and ``study.yaml`` if it is missing; return the written files.

    ``study`` is the name of a predefined study (:func:`list_studies`) or the path of a YAML file.
    """
    find_study_file(study)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / STUDY_MEDIA.file_name
    store.write(STUDY_MEDIA, make_media_rows(dataset, folder, samples), path)
    return [path, *write_study_settings(folder, study)]


def find_study_file(study: str) -> Path:
    """Return the YAML file of a predefined study, or of a path; raises :class:`UserError`."""
    path = Path(study)
    source = path if path.suffix in (".yaml", ".yml") else _STUDIES / f"{study}.yaml"
    if not source.is_file():
        raise UserError(f"--study {study}: no such file or study; {hint(study, list_studies())}")
    return source


def write_study_settings(folder: Path, study: str) -> list[Path]:
    """Write ``study.yaml`` if it is missing; return the written file in a list."""
    path = folder / "study.yaml"
    if path.exists():
        return []
    shutil.copyfile(find_study_file(study), path)
    return [path]


def _read_clips(dataset: Path) -> dict[str, dict[str, Any]]:
    """Return the rows of the dataset's clips table by clip_id; empty without such a table."""
    path = dataset / tables.CLIPS.path
    if not path.is_file():
        return {}
    return {row["clip_id"]: row for row in store.to_records(store.read(tables.CLIPS, path))}
