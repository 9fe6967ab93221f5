"""Every row of any stage that is not ok: collected, counted, and held against the limit."""

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

VERSION = 1

#: What a row of any table is called by: the first of these columns that the table has.
ITEMS = ("sample_id", "image_id", "clip_id", "rater", "metric", "dimension")


def reasons_of(detail: str) -> list[tuple[str, str]]:
    """Split a detail into its ``(word, sentence)`` parts.

    >>> reasons_of("no_face: none in 8 frames; one looked at; silent: peak -80 dB")
    [('no_face', 'none in 8 frames; one looked at'), ('silent', 'peak -80 dB')]
    """
    parts = re.split(r"; (?=[a-z][a-z0-9_]*: )", detail)
    found = []
    for part in filter(None, parts):
        word, colon, sentence = part.partition(": ")
        found.append((word, sentence) if colon else ("other", part))
    return found


def collect(stage_frames: Mapping[str, pd.DataFrame]) -> list[dict[str, Any]]:
    """Return the rows of the rejects table: all rows of all stages that are not ok, each once.

    ``stage_frames``: stage name to a table with ``status`` and ``detail``. ``item`` is the row's
    sample, image, clip or rater; a table that repeats an item with one and the same reason (a
    sample in many trials) gives one row. Raises :class:`UserError` for a table without these
    columns.

    >>> frame = pd.DataFrame({"clip_id": ["a", "b"], "status": ["ok", "failed"],
    ...                       "detail": ["", "silent: no sound"]})
    >>> collect({"clips": frame})[0]["item"]
    'b'
    """
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for stage, frame in stage_frames.items():
        item = _item_column(stage, frame)
        bad = frame[frame["status"] != OK]
        methods = bad["method"] if "method" in frame else [None] * len(bad)
        for name, method, status, detail in zip(
            bad[item], methods, bad["status"], bad["detail"], strict=True
        ):
            row = {
                "stage": stage,
                "item": str(name),
                "method": None if method is None or pd.isna(method) else str(method),
                "status": status,
                "detail": detail,
            }
            there = rows.setdefault((stage, row["item"], detail), row)
            if status == FAILED:
                there["status"] = FAILED
    return sorted(rows.values(), key=lambda r: (r["stage"], r["item"], r["detail"]))


def check_share(stage: str, rows: pd.DataFrame | Iterable[Mapping[str, Any]], limit: float) -> None:
    """Raise :class:`UserError` when more than ``limit`` (0..1) of a stage's rows have failed.

    The sentence names the stage, the numbers, the most frequent reason with an example, and the
    setting ``max_failed``. Flawed rows are used and do not count. A table without rows passes.

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
    words = Counter(word for detail in failed["detail"] for word, _ in reasons_of(detail))
    word, count = min(words.items(), key=lambda pair: (-pair[1], pair[0]))
    has = [any(w == word for w, _ in reasons_of(detail)) for detail in failed["detail"]]
    first = failed[has].iloc[0]
    sentence = next(s for w, s in reasons_of(first["detail"]) if w == word)
    raise UserError(
        f"stage {stage}: {len(failed)} of {len(frame)} rows failed ({_percent(failed, frame)}), "
        f"more than max_failed = {limit:g} allows. The most frequent reason is {word} ({count}), "
        f"for example {first[_item_column(stage, frame)]}: {sentence}. "
        "Mend or remove these items, or raise max_failed in the configuration"
    )


def summary(stage_frames: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """Return the counts per stage, and per stage and reason, as ``md`` and ``html`` pages.

    A row with two reasons counts under both. Same input as :func:`collect`, stages in its order.
    """
    stages, reasons = [], []
    for stage, frame in stage_frames.items():
        item = _item_column(stage, frame)
        counts = {s: int((frame["status"] == s).sum()) for s in (OK, FLAWED, FAILED)}
        failed = frame[frame["status"] == FAILED]
        stages.append([stage, str(len(frame)), *map(str, counts.values()), _percent(failed, frame)])
        found: dict[tuple[str, str], list[str]] = {}
        bad = frame[frame["status"] != OK]
        for name, status, detail in zip(bad[item], bad["status"], bad["detail"], strict=True):
            for word, sentence in reasons_of(detail):
                found.setdefault((status, word), []).append(f"{name}: {sentence}")
        ranked = sorted(found.items(), key=lambda pair: (pair[0][0], -len(pair[1]), pair[0][1]))
        reasons += [
            [stage, status, word, str(len(examples)), examples[0]]
            for (status, word), examples in ranked
        ]
    parts = [
        ("By stage", ["Stage", "Rows", "OK", "Flawed", "Failed", "Failed share"], stages),
        ("By reason", ["Stage", "Status", "Reason", "Rows", "For example"], reasons),
    ]
    page = render_template(_TEMPLATE, legend=_LEGEND, parts=parts, number_headings=_NUMBERS)
    return {"md": _markdown(parts), "html": page}


_TEMPLATE = Path(__file__).with_name("templates") / "rejects.html"
_LEGEND = (
    "Failed rows are left out of what follows, flawed rows are used; every one of them stands with "
    "its reason in rejects.parquet."
)
_NUMBERS = {"Rows", "OK", "Flawed", "Failed", "Failed share"}
_Parts = list[tuple[str, list[str], list[list[str]]]]


def _item_column(stage: str, frame: pd.DataFrame) -> str:
    missing = [c for c in ("status", "detail") if c not in frame]
    found = [c for c in ITEMS if c in frame]
    if missing or not found:
        raise UserError(
            f"stage {stage}: a table with status, detail and one of {', '.join(ITEMS)} is needed; "
            f"its columns are {', '.join(map(str, frame.columns))}"
        )
    return found[0]


def _percent(part: pd.DataFrame, whole: pd.DataFrame) -> str:
    return f"{100 * len(part) / len(whole):.1f} %" if len(whole) else "–"


def _markdown(parts: _Parts) -> str:
    lines = ["# Rejects", "", _LEGEND]
    for title, heads, rows in parts:
        lines += ["", f"## {title}", ""]
        if not rows:
            lines.append("None.")
            continue
        lines += [_md_row(heads), _md_row("--:" if h in _NUMBERS else ":--" for h in heads)]
        lines += [_md_row(re.sub(r"([\\|*_<>`])", r"\\\1", cell) for cell in row) for row in rows]
    return "\n".join(lines) + "\n"


def _md_row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
