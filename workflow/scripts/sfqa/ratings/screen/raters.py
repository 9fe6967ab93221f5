"""The raters of a study as a table: progress, profile, consent, checks, durations."""

from __future__ import annotations

import datetime
import json
import sqlite3
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sfqa import store
from sfqa.ratings.screen.completion import KEY, make_code
from sfqa.ratings.screen.database import SCREEN, get_setting
from sfqa.ratings.screen.study import Study
from sfqa.ratings.screen.study_options import CHECKS
from sfqa.tables import SCREEN_MEASURED, STUDY_RATERS
from sfqa.tables.schema import STRING, Column, Table

TableRow = dict[str, Any]
#: Expected score and tolerance of gold and trap clips, by sample and dimension.
Answers = Mapping[tuple[str, str], tuple[float, float]]

NOT_STARTED, STARTED, FINISHED, DROPPED_OUT = "not_started", "started", "finished", "dropped_out"

#: Files with the expected answers of gold and trap clips in a study's folder.
ANSWER_FILES = ("answers.csv", "answers.parquet")

_ANSWERS_QUERY = """
SELECT p.rater, p.session, p.role, p.sample_id, a.at, a.details, a.comment, p.id
FROM answers a JOIN presentations p ON p.id = a.presentation ORDER BY a.at, p.id
"""


@dataclass
class Record:
    """What a rater answered: times in the order of the answers, and results of attention checks.

    ``attention``: for gold and trap clips, the numbers of expected and of correct answers.
    ``remarks``: sample, text and time of every remark. ``session_ends``: time of the last answer
    of each session.
    """

    answered_at: list[float] = field(default_factory=list)
    video_sec: list[float] = field(default_factory=list)
    remarks: list[tuple[str, str, float]] = field(default_factory=list)
    session_ends: dict[int, float] = field(default_factory=dict)
    attention: dict[str, list[int]] = field(default_factory=dict)

    @property
    def median_video_sec(self) -> float | None:
        """Median of the time to play a video and the time to answer."""
        return statistics.median(self.video_sec) if self.video_sec else None


def read_expected_answers(folder: Path) -> Answers | None:
    """Return the expected answers of gold and trap clips of a study; None without such a file."""
    from sfqa.ratings.rater_report import read_answers

    path = next((folder / name for name in ANSWER_FILES if (folder / name).is_file()), None)
    if path is None:
        return None
    return {
        (row["sample_id"], row["dimension"]): (row["expected"], row["tolerance"])
        for row in store.to_records(read_answers(path))
    }


def read_records(
    connection: sqlite3.Connection, expected: Answers | None = None
) -> dict[str, Record]:
    """Return what each rater answered, by name; raters without an answer are missing."""
    scores: dict[str, dict[str, float]] = defaultdict(dict)
    for identity, dimension, score in connection.execute("SELECT * FROM scores"):
        scores[identity][dimension] = score
    records: dict[str, Record] = defaultdict(Record)
    for rater, session, role, sample, at, details, comment, identity in connection.execute(
        _ANSWERS_QUERY
    ):
        record = records[rater]
        record.answered_at.append(at)
        record.session_ends[session] = at
        measured = json.loads(details)
        seconds = [measured.get(name) for name in ("play_sec", "answer_sec")]
        if None not in seconds:
            record.video_sec.append(sum(seconds))
        if comment:
            record.remarks.append((sample, comment, at))
        if role in ("gold", "trap") and expected is not None:
            for dimension, score in scores[identity].items():
                if (sample, dimension) in expected:
                    value, tolerance = expected[sample, dimension]
                    counts = record.attention.setdefault(role, [0, 0])
                    counts[0] += 1
                    counts[1] += abs(score - value) <= tolerance
    return dict(records)


def read_checks(connection: sqlite3.Connection) -> dict[str, dict[str, Any]]:
    """Return the results of each rater's checks by name, with the size of the screen."""
    checks: dict[str, dict[str, Any]] = defaultdict(dict)
    for rater, name, result in connection.execute("SELECT rater, name, result FROM checks"):
        checks[rater][name] = json.loads(result)
    return dict(checks)


def read_raters(
    connection: sqlite3.Connection, study: Study | None = None, expected: Answers | None = None
) -> tuple[Table, list[TableRow]]:
    """Return the table of raters and its rows: everyone in the plan, and who dropped out.

    The table is :data:`STUDY_RATERS` with a column ``id_<parameter>`` for each parameter of the
    address that was stored, and ``profile_<question>`` for each question of ``study`` and each
    stored answer.
    """
    records, checks = read_records(connection, expected), read_checks(connection)
    enrolments = {
        rater: (place_name, json.loads(ids), at, replaced_at)
        for rater, place_name, _, ids, at, replaced_at in connection.execute(
            "SELECT * FROM enrolments"
        )
    }
    planned = dict(connection.execute("SELECT rater, count(*) FROM presentations GROUP BY rater"))
    starts: dict[str, dict[int, float]] = defaultdict(dict)
    for rater, session, at in connection.execute("SELECT rater, session, at FROM sessions"):
        starts[rater][session] = at
    key = get_setting(connection, KEY) or ""
    questions: set[str] = set(study.profile) if study else set()
    parameters: set[str] = set()
    rows = []
    raters = "SELECT rater, language, theme, consented_at, profile FROM raters ORDER BY rater"
    for rater, language, theme, consented_at, profile in connection.execute(raters):
        if rater not in planned:
            continue
        record = records.get(rater, Record())
        place_name, ids, enrolled_at, replaced_at = enrolments.get(rater, (rater, {}, None, None))
        answers = json.loads(profile) if profile else {}
        questions |= set(answers)
        parameters |= set(ids)
        state = find_state(consented_at, len(record.answered_at), planned[rater], replaced_at)
        row: TableRow = {
            "rater": rater, "place": place_name, "state": state, "planned": planned[rater],
            "answered": len(record.answered_at), "language": language, "theme": theme,
            "enrolled_at": format_time(enrolled_at), "consented_at": format_time(consented_at),
            "dropped_out_at": format_time(replaced_at), "remarks": len(record.remarks),
            "video_sec_median": record.median_video_sec,
        }  # fmt: skip
        row |= _describe_durations(record, consented_at, starts[rater])
        row |= _describe_checks(record, checks.get(rater, {}))
        if state == FINISHED and study is not None:
            row["completion_code"] = make_code(study.completion, key, rater)
        row |= {f"id_{name}": value for name, value in ids.items()}
        row |= {f"profile_{name}": value for name, value in answers.items()}
        rows.append(row)
    return _add_columns(sorted(parameters), sorted(questions)), rows


def find_state(
    consented_at: float | None, answered: int, planned: int, replaced_at: float | None
) -> str:
    """Return how far a rater is.

    >>> find_state(None, 0, 8, None), find_state(1.0, 8, 8, None), find_state(1.0, 3, 8, 2.0)
    ('not_started', 'finished', 'dropped_out')
    """
    if replaced_at is not None:
        return DROPPED_OUT
    if answered and answered == planned:
        return FINISHED
    return STARTED if consented_at is not None else NOT_STARTED


def _describe_durations(
    record: Record, consented_at: float | None, starts: Mapping[int, float]
) -> TableRow:
    if not record.answered_at:
        return {}
    first, last = record.answered_at[0], record.answered_at[-1]
    sessions = [end - starts[n] for n, end in record.session_ends.items() if n in starts]
    total = None if consented_at is None else last - consented_at
    return {
        "first_answer_at": format_time(first),
        "last_answer_at": format_time(last),
        # Durations below 0 are unknown: the clock was set back meanwhile.
        "total_sec": None if total is None or total < 0 else round(total, 3),
        "session_sec": None if min(sessions, default=0) < 0 else round(sum(sessions), 3),
    }


def _describe_checks(record: Record, checks: Mapping[str, Any]) -> TableRow:
    row: TableRow = {}
    for role, name in (("gold", "gold"), ("trap", "traps")):
        if role in record.attention:
            row[name], row[f"{name}_passed"] = record.attention[role]
    for name in CHECKS:
        if name in checks:
            row |= {f"{name}_{part}": checks[name][part] for part in ("tasks", "correct", "passed")}
    screen = checks.get(SCREEN, {})
    return row | {name: screen.get(name) for name, *_ in SCREEN_MEASURED}


def _add_columns(parameters: Iterable[str], questions: Iterable[str]) -> Table:
    """Return the table of raters with the columns of one study."""
    meanings = {f"id_{name}": "parameter of the address" for name in parameters}
    meanings |= {f"profile_{name}": "answer to a question" for name in questions}
    columns = (Column(name, STRING, meaning, "", True) for name, meaning in meanings.items())
    return replace(STUDY_RATERS, columns=(*STUDY_RATERS.columns, *columns))


def format_time(seconds: float | None) -> str | None:
    """Return a time since the epoch as ISO 8601 text in UTC; None for None.

    >>> format_time(0.0)
    '1970-01-01T00:00:00.000+00:00'
    """
    if seconds is None:
        return None
    when = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return when.isoformat(timespec="milliseconds")
