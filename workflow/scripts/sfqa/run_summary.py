"""The last lines of a run: where its results are, which rows are not ok and why, what failed."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sfqa import store, tables
from sfqa.errors import UserError, format_count
from sfqa.project_files import PROJECT
from sfqa.report.rejects import ITEM_COLUMNS, split_detail
from sfqa.tables import FAILED, FEATURES, FLAWED, OK, REJECTS

#: Reasons that are printed for the failed rows, and as many for the flawed ones.
_REASONS = 3
#: Different errors that are printed for the failed jobs of a run.
_ERRORS = 3
_SENTENCE_CHARACTERS = 200
#: Results that a complete run has, in the order of the screen.
_RESULTS = (
    ("Table", "correlation/metrics.md"),
    ("Site", "report/site/index.html"),
    ("Report", "report/report.html"),
    ("Failed or flawed rows", "report/rejects.html"),
)
#: Tables that are read before the rejects of a run are collected.
_STAGE_TABLES = (tables.IMAGES, tables.CLIPS, tables.VIDEOS, tables.CONFORMED)
_LOG_TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d "
_LOG_ERROR = re.compile(rf"^{_LOG_TIME}Error: (.*?)(?=^{_LOG_TIME}|\Z)", re.MULTILINE | re.DOTALL)
_EXCEPTION = re.compile(r"^([A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit)\b.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Reject:
    """A row that is not ok: its stage, its item, its status and the reason."""

    stage: str
    item: str
    status: str
    detail: str


@dataclass(frozen=True)
class FailedJob:
    """A job of Snakemake that failed, with its log files."""

    rule: str
    logs: tuple[str, ...] = ()


def read_rejects(results: Path, is_complete: bool) -> list[Reject]:
    """Return the rows of a dataset that are not ok.

    A complete run has collected them in one table. Otherwise the tables of materials, videos and
    features are read that exist. Tables that cannot be read are left out: their job reports that.
    An item that later stages repeat with the same reason (a video without a file) is returned once.
    """
    rejects_file = results / REJECTS.path
    rejects: dict[tuple[str, str], Reject] = {}
    if is_complete and rejects_file.exists():
        columns = ["stage", "item", "status", "detail"]
        for row in store.load(rejects_file, columns).to_pylist():
            rejects.setdefault((row["item"], row["detail"]), Reject(**row))
        return list(rejects.values())
    for table in (*_STAGE_TABLES, FEATURES):
        for path in sorted(results.glob(table.glob())):
            if path.name.startswith("."):
                continue
            stage = f"features_{path.parents[1].name}" if table is FEATURES else table.name
            for reject in _read_stage(path, stage):
                rejects.setdefault((reject.item, reject.detail), reject)
    return list(rejects.values())


def _read_stage(path: Path, stage: str) -> list[Reject]:
    try:
        names = store.open_parquet(path).schema_arrow.names
        item_column = next(name for name in ITEM_COLUMNS if name in names)
        rows = store.load(path, [item_column, "status", "detail"]).to_pylist()
    except (UserError, StopIteration):
        return []
    return [
        Reject(stage, str(row[item_column]), row["status"], row["detail"])
        for row in rows
        if row["status"] != OK
    ]


def describe_rejects(rejects: Sequence[Reject], is_complete: bool = True) -> list[str]:
    """Return lines: how many rows failed or are flawed, with the most frequent reasons of each.

    >>> rejects = [Reject("clips", "a", "failed", "silent: peak -90 dB")]
    >>> print("\\n".join(describe_rejects(rejects)))
    1 row failed:
      1 x silent, for example clips a: peak -90 dB
    """
    if not rejects:
        return ["All rows are ok." if is_complete else "No row has failed so far."]
    lines = []
    for status, single, plural in (
        (FAILED, "row failed", "rows failed"),
        (FLAWED, "row is flawed, but used", "rows are flawed, but used"),
    ):
        rows = [reject for reject in rejects if reject.status == status]
        if not rows:
            continue
        so_far = "" if is_complete else " so far"
        lines.append(f"{len(rows):,} {single if len(rows) == 1 else plural}{so_far}:")
        lines += [f"  {line}" for line in _describe_reasons(rows)]
    return lines


def _describe_reasons(rows: Sequence[Reject]) -> list[str]:
    """Return a line for each of the most frequent reasons, with an example."""
    examples: dict[str, list[str]] = {}
    for row in rows:
        for word, sentence in split_detail(row.detail):
            examples.setdefault(word, []).append(f"{row.stage} {row.item}: {sentence}")
    ranked = sorted(examples.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    lines = [
        f"{len(sentences):,} x {word}, for example {_shorten(sentences[0])}"
        for word, sentences in ranked[:_REASONS]
    ]
    if len(ranked) > _REASONS:
        lines.append(f"and {format_count(len(ranked) - _REASONS, 'other reason')}")
    return lines


def list_results(results: Path) -> list[str]:
    """Return a line for each result of a complete run that exists."""
    width = max(len(name) for name, _ in _RESULTS)
    return [
        f"{name:<{width}}  {results / path}" for name, path in _RESULTS if (results / path).exists()
    ]


def locate_command() -> str:
    """Return what to type for the command ``sfqa``: the project's file, if none is on the PATH."""
    if shutil.which("sfqa"):
        return "sfqa"
    program = PROJECT.resolve() / "sfqa"
    if not program.is_file():
        return "python -m sfqa"  # installed for this Python, without the folder of its commands
    if program.parent == Path.cwd().resolve():
        return "./sfqa"
    return shlex.quote(str(program))


def describe_success(results: Path, is_complete: bool) -> str:
    """Return the text at the end of a run that succeeded.

    ``is_complete``: the run made everything, not only some targets.
    """
    lines = ["The files that were asked for are complete."]
    if is_complete:
        lines = [f"The run of the dataset {results.name} is complete."]
        lines += list_results(results)
        if (results / _RESULTS[0][1]).exists():
            lines.append(f"To see the table here: {locate_command()} results show {results}")
        if not (results / "report/report.html").exists():
            lines.append(f"To make a report: snakemake --report {results}/report/report.html")
    lines += describe_rejects(read_rejects(results, is_complete), is_complete)
    return "\n".join(lines)


def describe_failure(results: Path, failed_jobs: Sequence[FailedJob]) -> str:
    """Return the text at the end of a run that failed or was stopped, without its errors."""
    if failed_jobs:
        lines = [f"The run of {results.name} failed in {format_count(len(failed_jobs), 'job')}."]
    else:
        lines = [f"The run of {results.name} stopped before its end."]
    lines.append("What is finished is kept: the same command again resumes there.")
    if rejects := read_rejects(results, is_complete=False):
        lines += describe_rejects(rejects, is_complete=False)
    return "\n".join(lines)


def describe_errors(failed_jobs: Iterable[FailedJob]) -> str:
    """Return the errors of failed jobs as their logs state them; equal errors are printed once."""
    by_error: dict[str, list[FailedJob]] = {}
    for job in failed_jobs:
        by_error.setdefault(read_error(job.logs), []).append(job)
    lines = []
    for error, jobs in list(by_error.items())[:_ERRORS]:
        more = f" and {len(jobs) - 1} more" if len(jobs) > 1 else ""
        log = f" (log: {jobs[0].logs[0]}{more})" if jobs[0].logs else ""
        lines.append(f"Error in {jobs[0].rule}{log}:\n{error}")
    if len(by_error) > _ERRORS:
        lines.insert(0, f"{len(by_error) - _ERRORS} other errors are in the logs named above.")
    return "\n".join(lines)


def read_error(logs: Iterable[str]) -> str:
    """Return the sentence of a job's error from its log files."""
    for path in map(Path, logs):
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        if errors := _LOG_ERROR.findall(text):
            return str(errors[-1]).strip()
        if exceptions := _EXCEPTION.findall(text):
            return str(exceptions[-1]).strip()
    return "its log states no reason; look above for what the job printed"


def _shorten(sentence: str) -> str:
    if len(sentence) <= _SENTENCE_CHARACTERS:
        return sentence
    return sentence[: _SENTENCE_CHARACTERS - 3].rstrip() + "..."
