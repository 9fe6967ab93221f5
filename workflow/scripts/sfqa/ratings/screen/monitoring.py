"""What the organiser's page shows of a running study: progress, checks, remarks, agreement."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sfqa.ratings.screen import enrolment, export, raters
from sfqa.ratings.screen.progress import StudyState
from sfqa.ratings.screen.raters import Answers, Record
from sfqa.ratings.screen.study_options import CHECKS, Enrolment

Json = dict[str, Any]

#: Largest number of remarks on the page, the latest first; the export has all of them.
MAX_REMARKS = 100


@dataclass(frozen=True)
class Snapshot:
    """What is computed from the database for the page.

    ``agreement``: per dimension and rater, the SRCC with the mean of the others. ``checks``:
    results of the checks of equipment. ``overdue``: raters whose place may be given away.
    """

    agreement: Json = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    checks: dict[str, Json] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    free_places: int = 0
    overdue: frozenset[str] = frozenset()


def read_snapshot(
    connection: sqlite3.Connection,
    expected: Answers | None,
    rules: Enrolment,
    now: float,
    open_since: float,
    seen: Mapping[str, float],
) -> Snapshot:
    """Return the current snapshot of a study from its database."""
    holders = enrolment.list_holders(connection, rules, now, open_since, seen)
    overdue = frozenset(holder.rater for holder in holders if holder.is_overdue)
    return Snapshot(
        export.compute_agreement(export.read_scores(connection)),
        raters.read_records(connection, expected),
        raters.read_checks(connection),
        dict(connection.execute("SELECT rater, place FROM enrolments")),
        len(enrolment.list_unused_places(connection)) + len(overdue),
        overdue,
    )


def describe_raters(state: StudyState, snapshot: Snapshot, now: float) -> list[Json]:
    """Return an entry for each rater of the plan and each who dropped out."""
    linked = set(state.tokens.values())
    entries = []
    for name in sorted(state.raters):
        rater = state.raters[name]
        if not rater.order:
            continue
        current, record = rater.current, snapshot.records.get(name, Record())
        checks = snapshot.checks.get(name, {})
        entries.append(
            {
                "rater": name,
                "done": rater.next,
                "of": len(rater.order),
                "session": rater.session_ranges[current.session][0] if current else None,
                "sessions": len(rater.session_ranges),
                "linked": name in linked,
                "enrolled": name in snapshot.places,
                "consented": rater.consented,
                "dropped_out": rater.is_replaced,
                "idle": name in snapshot.overdue,
                "seen_sec": now - rater.seen_at if rater.seen_at else None,
                "answered_sec": now - rater.last_at if rater.last_at else None,
                "video_sec": record.median_video_sec,
                "attention": _sum_attention(record),
                "equipment": {
                    check: [checks[check]["correct"], checks[check]["tasks"]]
                    for check in CHECKS
                    if check in checks
                },
                "remarks": len(record.remarks),
                "agreement": {d: by.get(name) for d, by in snapshot.agreement.items()},
            }
        )
    return entries


def _sum_attention(record: Record) -> list[int] | None:
    """Return the numbers of correct and of judged answers to gold and trap clips."""
    if not record.attention:
        return None
    judged, passed = (sum(counts) for counts in zip(*record.attention.values(), strict=True))
    return [passed, judged]


def list_remarks(snapshot: Snapshot, now: float) -> list[Json]:
    """Return the latest remarks of all raters, the newest first."""
    remarks = [
        {"rater": name, "sample_id": sample, "text": text, "ago_sec": max(0.0, now - at)}
        for name, record in snapshot.records.items()
        for sample, text, at in record.remarks
    ]
    remarks.sort(key=lambda entry: (entry["ago_sec"], entry["rater"]))
    return remarks[:MAX_REMARKS]
