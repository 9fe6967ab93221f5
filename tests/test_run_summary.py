"""The last lines of a run: results, rows that are not ok with their reasons, errors of jobs."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from sfqa import run_summary, store, tables
from sfqa.run_summary import (
    FailedJob,
    Reject,
    describe_errors,
    describe_failure,
    describe_rejects,
    describe_success,
    locate_command,
    read_error,
    read_rejects,
)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results/small"


def write_rejects(results: Path, *rows: tuple[str, str, str, str]) -> None:
    names = ("stage", "item", "status", "detail")
    records: list[dict[str, Any]] = [
        {**dict(zip(names, row, strict=True)), "method": None} for row in rows
    ]
    store.write(tables.REJECTS, records, results / tables.REJECTS.path)


def test_a_complete_run_says_where_its_results_are_and_which_rows_are_not_ok(results: Path) -> None:
    write_rejects(
        results,
        ("conformed", "a", "failed", "no_video: there is no file a.mp4"),
        ("features_lse", "a", "failed", "no_video: there is no file a.mp4"),
        ("conformed", "b", "flawed", "silent: peak -90 dB; no_face: none in 8 frames"),
        *(("conformed", f"c{n}", "flawed", "no_face: none in 8 frames") for n in range(4)),
    )
    for name in ("correlation/metrics.md", "report/site/index.html", "report/rejects.html"):
        (results / name).parent.mkdir(parents=True, exist_ok=True)
        (results / name).write_text("")
    assert describe_success(results, is_complete=True).splitlines() == [
        "The run of the dataset small is complete.",
        f"Table                  {results}/correlation/metrics.md",
        f"Site                   {results}/report/site/index.html",
        f"Failed or flawed rows  {results}/report/rejects.html",
        f"To see the table here: {locate_command()} results show {results}",
        f"To make a report: snakemake --report {results}/report/report.html",
        "1 row failed:",  # the features of a video that cannot be read are no second failure
        "  1 x no_video, for example conformed a: there is no file a.mp4",
        "5 rows are flawed, but used:",
        "  5 x no_face, for example conformed b: none in 8 frames",
        "  1 x silent, for example conformed b: peak -90 dB",
    ]


def test_the_command_that_is_named_can_be_typed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = Path(run_summary.__file__).parents[3] / "sfqa"
    monkeypatch.setenv("PATH", "")
    monkeypatch.chdir(tmp_path)
    assert locate_command() == shlex.quote(str(program))
    monkeypatch.chdir(program.parent)
    assert locate_command() == "./sfqa"
    (tmp_path / "sfqa").symlink_to(program)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert locate_command() == "sfqa"


def test_three_reasons_and_the_number_of_the_others() -> None:
    counts = {"rare": 1, "silent": 7, "late": 3, "tiny": 1, "dark": 5}
    rejects = [
        Reject("clips", f"{word}{n}", "flawed", f"{word}: why")
        for word, count in counts.items()
        for n in range(count)
    ]
    lines = describe_rejects(rejects)
    assert [line.split()[2].rstrip(",") for line in lines[1:4]] == ["silent", "dark", "late"]
    assert lines[4:] == ["  and 2 other reasons"]
    assert (
        max(map(len, describe_rejects([Reject("clips", "a", "failed", f"x: {'y' * 999}")]))) < 250
    )


def test_all_rows_are_ok(results: Path) -> None:
    write_rejects(results)
    assert describe_success(results, is_complete=True).splitlines()[-1] == "All rows are ok."


def write_stage(path: Path, names: list[str], row: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    store.write_arrow(pa.table({n: [v] for n, v in zip(names, row, strict=True)}), path)


def test_before_the_rejects_are_collected_the_tables_of_the_stages_are_read(results: Path) -> None:
    write_rejects(results, ("conformed", "old", "failed", "of_an_earlier_run: x"))
    columns = ["sample_id", "method", "status", "detail"]
    lost = ["a", "sharp", "failed", "no_video: no file"]
    write_stage(results / "generation/sharp/0.parquet", columns, lost)
    write_stage(results / "conform/sharp/0.parquet", columns, lost)
    write_stage(
        results / "features/lse/sharp/0.parquet", columns, ["b", "sharp", "flawed", "dim: x"]
    )
    (results / "conform/sharp/1.parquet").write_text("half written")
    rejects = read_rejects(results, is_complete=False)
    assert [(r.stage, r.item) for r in rejects] == [("videos", "a"), ("features_lse", "b")]
    text = describe_failure(results, [FailedJob("predict")])
    assert text.splitlines()[0] == "The run of small failed in 1 job."
    assert "1 row failed so far:" in text
    assert "the same command again resumes there" in text


def test_a_run_that_was_interrupted_did_not_fail(results: Path) -> None:
    lines = describe_failure(results, []).splitlines()
    assert lines[0] == "The run of small stopped before its end."
    assert lines[1:] == ["What is finished is kept: the same command again resumes there."]


LOG = """2026-01-01 10:00:00 lse 1 of 2: a ok
2026-01-01 10:00:01 Error: config, ratings: the entry is missing:
  add it
2026-01-01 10:00:02 released
"""
TRACEBACK = """2026-01-01 10:00:00 Traceback (most recent call last):
  File "x.py", line 1, in <module>
ValueError: shapes differ
"""


def test_the_sentence_of_an_error_comes_from_the_log(tmp_path: Path) -> None:
    for name, text in (("a.log", LOG), ("b.log", TRACEBACK), ("c.log", "killed")):
        (tmp_path / name).write_text(text)
    assert read_error([str(tmp_path / "none"), str(tmp_path / "a.log")]) == (
        "config, ratings: the entry is missing:\n  add it"
    )
    assert read_error([str(tmp_path / "b.log")]) == "ValueError: shapes differ"
    assert read_error([str(tmp_path / "c.log")]).startswith("its log states no reason")


def test_equal_errors_are_printed_once_and_many_are_counted(tmp_path: Path) -> None:
    jobs = []
    for number in range(6):
        log = tmp_path / f"{number}.log"
        log.write_text(f"2026-01-01 10:00:00 Error: sentence {max(number, 1)}\n")
        jobs.append(FailedJob("conform_videos", (str(log),)))
    text = describe_errors(jobs)
    assert text.splitlines()[0] == "2 other errors are in the logs named above."
    assert f"Error in conform_videos (log: {tmp_path}/0.log and 1 more):\nsentence 1\n" in text
    assert text.splitlines()[-1] == "sentence 3"
