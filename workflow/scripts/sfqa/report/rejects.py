"""Rows of any stage whose status is not ``ok``: collected, counted, and held to a limit."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from sfqa.errors import UserError
from sfqa.tables import FAILED, FLAWED, OK
from sfqa.templates import render_template

VERSION = 2

#: Columns that name a row's item. The first of these that a table has is used.
ITEM_COLUMNS = (
    "sample_id", "image_id", "clip_id", "rater", "metric", "dimension", "column", "table",
)  # fmt: skip

_TEMPLATE = Path(__file__).with_name("templates") / "rejects.html"
_LEGEND = (
    "Failed rows are left out of later stages, flawed rows are used. rejects.parquet lists every "
    "such row with its reason."
)
_NUMBER_HEADINGS = {"Rows", "OK", "Flawed", "Failed", "Failed share"}


def split_detail(detail: str) -> list[tuple[str, str]]:
    """Split a ``detail`` into its reasons, as ``(word, sentence)`` pairs.

    >>> split_detail("no_face: none in 8 frames; one looked at; silent: peak -80 dB")
    [('no_face', 'none in 8 frames; one looked at'), ('silent', 'peak -80 dB')]
    """
    parts = re.split(r"; (?=[a-z][a-z0-9_]*: )", detail)
    reasons = []
    for part in filter(None, parts):
        word, colon, sentence = part.partition(": ")
        reasons.append((word, sentence) if colon else ("other", part))
    return reasons


def collect_rejects(stage_frames: Mapping[str, pd.DataFrame]) -> list[dict[str, Any]]:
    """Return the rows of the rejects table: every row of every stage that is not ok.

    ``stage_frames`` maps a stage's name to a table with ``status`` and ``detail``. ``item`` is the
    row's sample, image, clip or rater. A table that repeats an item with the same reason (a sample
    in many trials) gives one row. Raises :class:`UserError` for a table that lacks these columns.

    >>> frame = pd.DataFrame({"clip_id": ["a", "b"], "status": ["ok", "failed"],
    ...                       "detail": ["", "silent: no sound"]})
    >>> collect_rejects({"clips": frame})[0]["item"]
    'b'
    """
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for stage, frame in stage_frames.items():
        item_column = _find_item_column(stage, frame)
        rejected = frame[frame["status"] != OK]
        methods = rejected["method"] if "method" in frame else [None] * len(rejected)
        for item, method, status, detail in zip(
            rejected[item_column], methods, rejected["status"], rejected["detail"], strict=True
        ):
            row = {
                "stage": stage,
                "item": str(item),
                "method": None if method is None or pd.isna(method) else str(method),
                "status": status,
                "detail": detail,
            }
            first_row = rows.setdefault((stage, row["item"], detail), row)
            if status == FAILED:
                first_row["status"] = FAILED
    return sorted(rows.values(), key=lambda r: (r["stage"], r["item"], r["detail"]))


def check_share(stage: str, rows: pd.DataFrame | Iterable[Mapping[str, Any]], limit: float) -> None:
    """Raise :class:`UserError` if more than ``limit`` (0 to 1) of a stage's rows failed.

    The message gives the stage, the numbers, the most frequent reason with an example, and the
    setting ``max_failed``. Flawed rows do not count. An empty table passes.

    >>> frame = pd.DataFrame({"clip_id": ["a", "b"], "status": ["ok", "failed"],
    ...                       "detail": ["", "silent: no sound"]})
    >>> check_share("clips", frame, 0.5)
    """
    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows))
    if frame.empty:
        return
    failed = frame[frame["status"] == FAILED]
    if len(failed) / len(frame) <= limit:
        return
    words = Counter(word for detail in failed["detail"] for word, _ in split_detail(detail))
    word, count = min(words.items(), key=lambda pair: (-pair[1], pair[0]))
    has_word = [any(w == word for w, _ in split_detail(detail)) for detail in failed["detail"]]
    example = failed[has_word].iloc[0]
    sentence = next(s for w, s in split_detail(example["detail"]) if w == word)
    raise UserError(
        f"stage {stage}: {len(failed)} of {len(frame)} rows failed "
        f"({_format_share(failed, frame)}), more than max_failed = {limit:g} allows. The most "
        f"frequent reason is {word} ({count}), for example "
        f"{example[_find_item_column(stage, frame)]}: {sentence}. "
        "Fix or remove these items, or raise max_failed in the configuration"
    )


def render_page(stage_frames: Mapping[str, pd.DataFrame]) -> str:
    """Return an HTML page that counts the rows per stage, and per stage and reason.

    A row with two reasons counts under both. The input is that of :func:`collect_rejects`.
    """
    stage_rows, reason_rows = [], []
    for stage, frame in stage_frames.items():
        item_column = _find_item_column(stage, frame)
        counts = [str(int((frame["status"] == status).sum())) for status in (OK, FLAWED, FAILED)]
        failed = frame[frame["status"] == FAILED]
        stage_rows.append([stage, str(len(frame)), *counts, _format_share(failed, frame)])
        examples: dict[tuple[str, str], list[str]] = {}
        rejected = frame[frame["status"] != OK]
        for item, status, detail in zip(
            rejected[item_column], rejected["status"], rejected["detail"], strict=True
        ):
            for word, sentence in split_detail(detail):
                examples.setdefault((status, word), []).append(f"{item}: {sentence}")
        ranked = sorted(examples.items(), key=lambda pair: (pair[0][0], -len(pair[1]), pair[0][1]))
        reason_rows += [
            [stage, status, word, str(len(sentences)), sentences[0]]
            for (status, word), sentences in ranked
        ]
    parts = [
        ("By stage", ["Stage", "Rows", "OK", "Flawed", "Failed", "Failed share"], stage_rows),
        ("By reason", ["Stage", "Status", "Reason", "Rows", "For example"], reason_rows),
    ]
    return render_template(_TEMPLATE, legend=_LEGEND, parts=parts, number_headings=_NUMBER_HEADINGS)


def _find_item_column(stage: str, frame: pd.DataFrame) -> str:
    missing = [c for c in ("status", "detail") if c not in frame]
    item_columns = [c for c in ITEM_COLUMNS if c in frame]
    if missing or not item_columns:
        raise UserError(
            f"stage {stage}: a table needs status, detail and one of {', '.join(ITEM_COLUMNS)}; "
            f"its columns are {', '.join(map(str, frame.columns))}"
        )
    return item_columns[0]


def _format_share(part: pd.DataFrame, frame: pd.DataFrame) -> str:
    return f"{100 * len(part) / len(frame):.1f} %" if len(frame) else "–"
