"""What the configuration says of raw videos, whose files do not state their size.

Imports no media library, because the table of samples is made without one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sfqa.errors import UserError
from sfqa.labels.files import fill_template
from sfqa.media_files import RAW_SUFFIXES, VIDEO_SUFFIXES, has_suffix
from sfqa.raw_form import parse_form
from sfqa.sample_fields import list_fields


def describe_raw(
    source: Mapping[str, Any], path: Path, folder: Path, columns: Mapping[str, str], where: str
) -> str | None:
    """Return the form of a raw video as JSON, None for a video that states its form itself.

    ``source["raw"]`` holds ``width``, ``height``, ``fps``, ``pixel_format`` and optionally
    ``audio``, the path of the sound below ``folder``: values, or templates
    (:func:`sfqa.labels.files.fill_template`) of ``{video}`` and the fields of the sample. Raises
    :class:`UserError` for a raw video without ``raw``, and for impossible values.
    """
    raw = source.get("raw")
    if not raw or has_suffix(path, VIDEO_SUFFIXES):
        if has_suffix(path, RAW_SUFFIXES):
            raise UserError(
                f"{where}: {path.name} is raw video, which does not state its size; write width, "
                "height, fps, pixel_format and, if it has sound, audio in import.raw"
            )
        return None
    is_inside = path.is_relative_to(folder)
    cells = {name: columns.get(column) or "" for name, column in list_fields(source).items()}
    cells["video"] = (path.relative_to(folder) if is_inside else path).as_posix()
    values = {name: fill_template(str(value), cells, where) for name, value in raw.items()}
    if values.get("audio"):
        values["audio"] = str(folder / values["audio"])
    elif "audio" in values:
        raise UserError(
            f"{where}: import.raw.audio is empty for it; name its sound, or leave it out"
        )
    return parse_form(values, f"{where}, import.raw").to_json()
