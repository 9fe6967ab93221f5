"""Conform the videos of one shard, skipping what an earlier run has done."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pandas as pd

from sfqa import store, tables
from sfqa.conform.video import Form, conform_row
from sfqa.identity import digest, sha256_file

#: The columns of a row that name a file, each with the one of its sha256.
_FILES = (
    ("path", "sha256"),
    ("audio_path", "audio_sha256"),
    ("viewing_path", "viewing_sha256"),
)

log = logging.getLogger("sfqa")


def conform_shard(videos: pd.DataFrame, folder: Path, form: Form) -> list[dict[str, Any]]:
    """Return the conformed rows of a shard's videos (rows of the videos table).

    Videos go to ``folder/videos``, copies to look at to ``folder/viewing``, a record of each video
    to ``folder/records`` when it is whole. A record is used again where source, form and results
    are unchanged.
    """
    rows = []
    for number, video in enumerate(store.records(videos), 1):
        record = folder / "records" / f"{video['sample_id']}.json"
        key = digest(
            {
                "form": form.identity,
                **{c: video[c] for c in ("sha256", "clip_sha256", "status", "detail", "prompt")},
            }
        )
        row = _recorded(record, key)
        word = "kept"
        if row is None:
            word = "conformed"
            row = conform_row(video, folder, form)
            with store.replacing(record) as temporary:
                temporary.write_text(json.dumps({"key": key, "row": row}, sort_keys=True))
        row |= {"shard": video["shard"]}
        rows.append({key: value for key, value in row.items() if key in tables.CONFORMED.names})
        log.info(
            "%s %d of %d: %s %s %s",
            word, number, len(videos), video["sample_id"], row["status"], row["detail"],
        )  # fmt: skip
    return rows


def _recorded(record: Path, key: str) -> dict[str, Any] | None:
    """The row of an earlier run, if it was made of the same and its files are whole."""
    try:
        stored = json.loads(record.read_text())
        row: dict[str, Any] = stored["row"]
        if stored["key"] != key:
            return None
        for path, sha256 in _FILES:
            if row.get(path) and sha256_file(row[path]) != row[sha256]:
                return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return row
