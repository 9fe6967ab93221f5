"""Check and hash raw videos, whose sound is in a file of its own."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from sfqa import identity, tables
from sfqa.generation import check
from sfqa.raw_form import VERSION, RawForm, parse_json
from sfqa.tables import flaw


def import_raw_video(sample: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return the columns of ``tables.VIDEOS`` of a raw video that depend on its files.

    The sha256 of the row covers both files and the form. A file whose size is not a whole number of
    frames, that is too short, or whose sound is missing gives a failed row.
    """
    form = parse_json(str(sample["raw"]))
    sound = Path(form.sound) if form.sound else None
    reason = _find_problem(path, sound, form)
    if reason:
        return {"status": tables.FAILED, "detail": reason, "path": str(path)}
    hashes = {
        "raw_sha256": identity.sha256_file(path),
        "sound_sha256": identity.sha256_file(sound) if sound else None,
    }
    return {
        **hashes,
        "status": tables.OK,
        "detail": "",
        "path": str(path),
        "raw": form.to_json(),
        "sound_path": str(sound) if sound else None,
        "sha256": compute_identity(form, hashes["raw_sha256"], hashes["sound_sha256"]),
        "size_bytes": path.stat().st_size + (sound.stat().st_size if sound else 0),
    }


def compute_identity(form: RawForm, picture_sha256: str | None, sound_sha256: str | None) -> str:
    """Return a digest of the content of both files and the form, wherever they are."""
    return identity.digest(
        {
            "version": VERSION,
            "picture": picture_sha256,
            "sound": sound_sha256,
            "size": [form.width, form.height],
            "fps": str(Fraction(form.fps)),
            "pixel_format": form.pixel_format,
        }
    )


def _find_problem(path: Path, sound: Path | None, form: RawForm) -> str:
    if not path.is_file():
        return flaw("no_video", f"there is no file {path}")
    size = path.stat().st_size
    frames, rest = divmod(size, form.frame_bytes)
    if rest or not frames:
        return flaw(
            "raw_size",
            f"{path} has {size} bytes, which is no whole number of frames of {form.describe()} "
            f"({form.frame_bytes} bytes each): correct width, height or pixel_format in import.raw",
        )
    if form.frames is not None and frames != form.frames:
        return flaw(
            "raw_size",
            f"{path} has {frames} frames of {form.describe()} where {form.frames} are expected: "
            "correct width, height, pixel_format or frames in import.raw",
        )
    reason = check.check_length(path, frames, float(Fraction(form.fps)))
    if reason or sound is None:
        return reason
    if not sound.is_file():
        return flaw("no_audio", f"there is no file {sound} with the sound of {path}")
    return check.find_sound_problem(sound)
