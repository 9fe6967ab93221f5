"""A study's folder out of a dataset: what raters see of each sample, and the words they read."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sfqa import store, tables
from sfqa.errors import UserError, hint
from sfqa.ratings.screen.study import media_row
from sfqa.tables import STUDY_MEDIA

_STUDIES = Path(__file__).parent / "screen" / "studies"


def studies() -> list[str]:
    """Return the names of the ready sets of dimensions and criteria.

    >>> studies()
    ['lgvq', 'sfqa']
    """
    return sorted(path.stem for path in _STUDIES.glob("*.yaml"))


def media_rows(dataset: Path, folder: Path, samples: Iterable[str]) -> list[dict[str, Any]]:
    """Return rows of ``STUDY_MEDIA`` for samples of a dataset (``results/<name>``).

    The video is the copy for raters where there is one, else the conformed one; the clip is the
    stereo master. Paths of a dataset's tables begin at the folder that holds ``results``. Raises
    :class:`UserError` for a sample whose video is not there.
    """
    base = dataset.absolute().parents[1]
    every = store.to_records(store.read(tables.SAMPLES, dataset / tables.SAMPLES.path))
    videos = store.to_records(store.read(tables.CONFORMED, dataset / tables.CONFORMED.merged_path))
    known = {row["sample_id"]: row for row in every}
    seen = {row["sample_id"]: row["viewing_path"] or row["path"] for row in videos}
    clips = _clips(dataset)
    rows = []
    for sample in sorted(set(samples)):
        if sample not in known or not seen.get(sample):
            raise UserError(f"{dataset}: no conformed video of {sample!r}; plan without it")
        row = known[sample]
        clip = clips.get(row["clip_id"] or "", {})
        heard = clip.get("stereo_path") or row["clip_path"]
        rows.append(
            media_row(
                folder.absolute(), sample, base / seen[sample],
                base / row["image_path"] if row["image_path"] else None,
                base / heard if heard else None,
                title=clip.get("title"), language=row["language"], prompt=row["prompt"],
            )
        )  # fmt: skip
    return rows


def fill_study(
    dataset: Path, folder: Path, samples: Iterable[str], words: str = "sfqa"
) -> list[Path]:
    """Write ``media.parquet``, and ``study.yaml`` where there is none; return what was written.

    ``words`` names a ready study (:func:`studies`) or is the path of a YAML file of one's own.
    """
    own = Path(words)
    source = own if own.suffix in (".yaml", ".yml") else _STUDIES / f"{words}.yaml"
    if not source.is_file():
        raise UserError(f"--study {words}: no such file or study; {hint(words, studies())}")
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / STUDY_MEDIA.file_name]
    store.write(STUDY_MEDIA, media_rows(dataset, folder, samples), written[0])
    if not (folder / "study.yaml").exists():
        shutil.copyfile(source, folder / "study.yaml")
        written.append(folder / "study.yaml")
    return written


def _clips(dataset: Path) -> dict[str, dict[str, Any]]:
    """The dataset's clips by name; none where it was imported."""
    path = dataset / tables.CLIPS.path
    if not path.is_file():
        return {}
    return {row["clip_id"]: row for row in store.to_records(store.read(tables.CLIPS, path))}
