"""The file that a video is conformed from; a raw video is joined with its sound first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sfqa import media
from sfqa.generation.raw_videos import compute_identity
from sfqa.identity import sha256_file
from sfqa.raw_form import parse_json


@contextmanager
def open_source(row: Mapping[str, Any], target: Path) -> Iterator[Path]:
    """Yield the file of a row of ``tables.VIDEOS``, after a check that its bytes are those hashed.

    A raw video (column ``raw``) is joined with its sound in a temporary file next to ``target``.
    Raises :class:`media.MediaError` for a missing or changed file; errors of the block name the
    video instead of the temporary file.
    """
    source = Path(row["path"])
    files = [source, *([Path(row["sound_path"])] if row.get("sound_path") else [])]
    for file in files:
        if not file.is_file():  # reading a pipe or a device may never end
            raise media.MediaError(f"{file}: is no file")
    hashes = [sha256_file(file) for file in files]
    form = parse_json(row["raw"]) if row.get("raw") else None
    identity = compute_identity(form, hashes[0], (*hashes, None)[1]) if form else hashes[0]
    if identity != row["sha256"]:
        raise media.MediaError(f"{source}: changed while the workflow ran; run it again")
    if form is None:
        yield source
        return
    joined = target.with_name(f".{target.name}.joined.nut")
    joined.parent.mkdir(parents=True, exist_ok=True)
    try:
        media.join_raw_video(source, form, joined)
        yield joined
    except media.MediaError as error:
        raise media.MediaError(str(error).replace(str(joined), str(source))) from error
    finally:
        joined.unlink(missing_ok=True)
