"""Quality models of kind command against stand-in repositories that play every failure."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sfqa import identity, tables
from sfqa.errors import UnusableError, UserError
from sfqa.features.base import Feature, Video
from sfqa.features.command_calls import (
    check_result,
    find_number,
    index_results,
    read_json_lines,
)
from sfqa.features.command_model import CommandExtractor
from sfqa.features.run import extract_shard
from sfqa.features.weights import Program, Weights
from sfqa.repositories.process import LOG_BYTES, Timeouts
from sfqa.workers import LostTaskError
from standin_repositories import install_standin, plan_acts, read_calls, write_standin_manifest
from waiting import wait_until

SAMPLES = ["a", "b", "c", "d"]
QUICK = Timeouts(late_sec=0.3, grace_sec=0.5, settle_sec=0.05)


class ListExtractor(CommandExtractor):
    """Scores all its videos in one process, which appends a line for each."""

    FEATURES = (Feature("score", "a number", dtype="float64"),)
    streams = True

    def prepare(self, run):
        (run.work / "list.txt").write_text("\n".join(str(item.video) for item in run.items))

    def build_command(self, run):
        if any("unspeakable" in item.prompt for item in run.items):
            raise UserError("the prompt cannot be said; reword it")
        return [str(run.python), "score_list.py", str(run.work / "list.txt"),
                str(run.work / "results.jsonl")]  # fmt: skip

    def read_results(self, run):
        rows = read_json_lines(run.work / "results.jsonl")
        unusable = UnusableError("template: the answer was 'about half'")
        return index_results(
            (row["video"], unusable if row["score"] == "template" else {"score": row["score"]})
            for row in rows
        )


@pytest.fixture
def home(tmp_path, monkeypatch):
    folder = tmp_path / "models" / "Standin"
    folder.mkdir(parents=True)
    monkeypatch.setenv("SFQA_STANDIN_HOME", str(folder))
    return folder


@pytest.fixture
def videos(tmp_path):
    for name in SAMPLES:
        (tmp_path / f"{name}.mp4").write_bytes(name.encode() * 100)
    return [make_video(tmp_path, name) for name in SAMPLES]


def make_video(folder: Path, name: str, **changes: Any) -> Video:
    path = folder / f"{name}.mp4"
    return Video(name, path, identity.sha256_file(path), 25.0, 25, **changes)


def make_extractor(home: Path, minutes: float = 0.5) -> ListExtractor:
    program = Program("Standin", home, "pretrained_weights", minutes, home / "work" / "m" / "0")
    extractor = ListExtractor({}, Weights("official", "x", program=program), "cpu")
    extractor.timeouts = QUICK
    return extractor


def words(rows: list[Any]) -> list[str]:
    return [str(r).split(":")[0] if isinstance(r, UnusableError) else "ok" for r in rows]


def test_one_process_scores_all_videos(home, videos):
    install_standin(home, "score_list.py")
    rows = list(make_extractor(home).score(videos))
    assert words(rows) == ["ok"] * 4
    assert all(0 <= row["score"] < 1 for row in rows)
    assert len({row["score"] for row in rows}) == 4
    assert (home / "work/m/0/program.log").read_text().count("== 4 videos") == 1
    assert not (home / "work/m/0/run").exists()


FAILURES = {
    "exit1": ("exit_code", "ended with exit code 1, the log ends with: cannot decode the video"),
    "memory": ("out_of_memory", "Tried to allocate 2.00 GiB"),
    "nan": ("not_finite", "its score is nan"),
    "nothing": ("no_output", "it ended with exit code 0, without a result"),
    "other": ("other_video", "its result is of 'v000000000000'"),
    "template": ("template", "the answer was 'about half'"),
    "twice": ("two_results", "there is more than one result of this video"),
}  # fmt: skip


@pytest.mark.parametrize("act", FAILURES)
def test_each_failure_is_its_row_and_the_others_are_scored(home, videos, act):
    install_standin(home, "score_list.py")
    plan_acts(home, b=act)
    rows = list(make_extractor(home).score(videos))
    word, sentence = FAILURES[act]
    assert words(rows) == ["ok", word, "ok", "ok"]
    assert sentence in str(rows[1])
    # What the model says of the video is final; any other failure is tried again.
    assert isinstance(rows[1], LostTaskError) == (act != "template")
    assert "/sfqa" not in str(rows[1])
    # A process that died is called again for the videos behind the one that it died at.
    assert read_calls(home, SAMPLES) == SAMPLES


def test_a_second_result_after_the_row_was_kept_is_a_warning(home, videos, caplog):
    install_standin(home, "score_list.py")
    plan_acts(home, c="again")
    rows = list(make_extractor(home).score(videos))
    assert words(rows) == ["ok"] * 4
    assert rows[0]["score"] != 0.5
    assert "a got a second result after its row was kept" in caplog.text


def test_a_long_output_is_kept_at_its_ends(home, videos):
    install_standin(home, "score_list.py")
    plan_acts(home, b="loud", c="loud", d="exit1")
    rows = list(make_extractor(home).score(videos))
    assert words(rows) == ["ok", "ok", "ok", "exit_code"]
    assert "the log ends with: in between | last line | cannot decode the video" in str(rows[3])
    log = (home / "work/m/0/program.log").read_text()
    assert len(log) <= LOG_BYTES + 200
    assert log.startswith("== 4 videos: ")
    assert "first line\nin between\n" in log[:400]
    assert log.count("the middle of a long output is left out here") == 1
    for _ in range(2):
        plan_acts(home, a="loud")
        list(make_extractor(home).score(videos[:1]))
    assert (home / "work/m/0/program.log").stat().st_size <= 2 * LOG_BYTES
    text = (home / "work/m/0/program.log").read_text()
    assert text.startswith("== 4 videos: ")
    assert "== 1 video: " in text


def test_a_hang_is_stopped_after_the_limit_of_one_video(home, videos):
    install_standin(home, "score_list.py")
    plan_acts(home, c="hang")
    start = time.monotonic()
    rows = list(make_extractor(home, minutes=0.05).score(videos))
    assert time.monotonic() - start < 20
    assert words(rows) == ["ok", "ok", "timed_out", "ok"]
    assert "it was stopped: 0.05 minutes after its last result" in str(rows[2])


def test_a_full_disk_stops_the_other_videos(home, videos):
    install_standin(home, "score_list.py")
    plan_acts(home, b="full")
    rows = list(make_extractor(home).score(videos))
    assert words(rows) == ["ok", "disk_full", "disk_full", "disk_full"]
    assert read_calls(home, SAMPLES) == ["a", "b"]


def test_a_program_that_never_works_is_not_started_for_every_video(home, tmp_path):
    install_standin(home, "score_list.py")
    names = [f"s{n}" for n in range(8)]
    for name in names:
        (tmp_path / f"{name}.mp4").write_bytes(name.encode())
    plan_acts(home, **dict.fromkeys(names, "exit1"))
    rows = list(make_extractor(home).score([make_video(tmp_path, name) for name in names]))
    assert words(rows) == ["exit_code"] * 8
    assert read_calls(home, names) == names[:5]
    assert "not tried after 5 failures" in str(rows[-1])


def test_one_bad_prompt_spoils_no_list(home, videos, tmp_path):
    install_standin(home, "score_list.py")
    videos[1] = make_video(tmp_path, "b", prompt="unspeakable")
    rows = list(make_extractor(home).score(videos))
    assert words(rows) == ["ok", "not_prepared", "ok", "ok"]


def test_rows_come_while_the_program_runs(home, videos):
    install_standin(home, "score_list.py")
    plan_acts(home, b="slow", c="slow", d="slow")
    rows = make_extractor(home).score(videos)
    next(rows)
    assert len(read_calls(home, SAMPLES)) < 4
    rows.close()
    time.sleep(0.2)
    assert len(read_calls(home, SAMPLES)) < 4


def conformed(videos: list[Video]) -> pd.DataFrame:
    rows = []
    for video in videos:
        row = dict.fromkeys(tables.CONFORMED.names)
        rows.append(row | {
            "sample_id": video.sample_id, "method": "m", "shard": 0, "status": "ok", "detail": "",
            "path": str(video.path), "sha256": video.sha256, "fps": 25.0, "frames": 25,
        })  # fmt: skip
    return pd.DataFrame(rows, dtype=object)


def extract(videos: list[Video], home: Path, weights: str = "official") -> list[dict[str, Any]]:
    spec = {"weights": weights, "options": {}, "command": {
        "model": "Standin", "home": str(home), "weights": "pretrained_weights", "minutes": 0.5}}  # fmt: skip
    table, metadata, _ = extract_shard(
        conformed(videos), "dover_official", spec, home.parent / "features/cache", "m/0",
        lambda: nullcontext("cpu"),
    )  # fmt: skip
    assert metadata["weights"]["kind"] == weights
    return table.to_pylist()


def test_rows_are_cached_by_content_and_a_second_run_scores_what_is_missing(home, videos):
    install_standin(home, "evaluate_one_video.py")
    plan_acts(home, b="exit1", c="template")
    rows = extract(videos, home)
    assert [row["status"] for row in rows] == ["ok", "failed", "failed", "ok"]
    assert [row["detail"].split(":")[0] for row in rows[1:3]] == ["exit_code", "bad_result"]
    assert 0.5 < rows[0]["score"] < 0.75
    assert rows[0]["score"] == pytest.approx(1 / (1 + 2.718281828 ** -rows[0]["exponent"]))
    plan_acts(home)
    again = extract(videos, home)
    assert [row["status"] for row in again] == ["ok"] * 4
    assert read_calls(home, SAMPLES) == ["a", "b", "c", "d", "b", "c"]
    assert extract(videos, home) == again
    assert len(read_calls(home, SAMPLES)) == 6
    # Other weights are other rows, and the same ones, declared untrained, too.
    (home / "repo/pretrained_weights/DOVER.pth").write_bytes(b"other weights")
    write_standin_manifest(home)
    extract(videos[:1], home)
    extract(videos[:1], home, "random")
    assert read_calls(home, SAMPLES)[6:] == ["a", "a"]


def test_a_score_that_is_printed_twice_is_none(home, videos):
    install_standin(home, "evaluate_one_video.py")
    plan_acts(home, b="twice")
    rows = extract(videos, home)
    assert [row["status"] for row in rows] == ["ok", "failed", "ok", "ok"]
    assert rows[1]["detail"].startswith("bad_result: ")
    assert "2 lines of its output match" in rows[1]["detail"]
    with pytest.raises(ValueError, match="no line of its output"):
        find_number("score:", r"score: (\S+)")


def test_a_full_disk_writes_no_table(home, videos):
    install_standin(home, "evaluate_one_video.py")
    plan_acts(home, b="full")
    with pytest.raises(UserError, match="3 videos found the disk full"):
        extract(videos, home)
    plan_acts(home)
    extract(videos, home)
    assert read_calls(home, SAMPLES) == ["a", "b", "b", "c", "d"]


def test_a_model_that_is_not_installed_is_a_sentence(home, videos):
    with pytest.raises(UserError, match="run snakemake fetch_models"):
        extract(videos, home)
    install_standin(home, "evaluate_one_video.py")
    (home / "env/bin/python").unlink()
    with pytest.raises(UserError, match="model Standin: its environment is missing"):
        extract(videos, home)


KILLED = """
import sys
sys.path[:0] = {paths!r}
from pathlib import Path
from test_command_models import SAMPLES, extract, make_video
home = Path({home!r})
extract([make_video(home.parents[1], name) for name in SAMPLES], home)
"""


def test_a_killed_job_resumes_where_it_was(home, videos):
    install_standin(home, "evaluate_one_video.py")
    plan_acts(home, c="hang")
    paths = [str(Path(__file__).parent), *sys.path]
    code = KILLED.format(paths=paths, home=str(home))
    job = subprocess.Popen([sys.executable, "-c", code], env=os.environ)
    wait_until(lambda: len(read_calls(home, SAMPLES)) == 3, process=job)
    job.kill()
    job.wait()
    plan_acts(home)
    assert [row["status"] for row in extract(videos, home)] == ["ok"] * 4
    assert read_calls(home, SAMPLES) == ["a", "b", "c", "c", "d"]


def test_what_is_wrong_with_a_result():
    features = [
        Feature("score", "s", dtype="float64"), Feature("levels", "l", ("level",), "float32"),
        Feature("answer", "a", dtype="string"),
    ]  # fmt: skip
    good = {"score": 1, "levels": [1.0, 2.0], "answer": "x"}
    assert check_result(good, features) == ""
    assert check_result(good | {"score": None}, features, ("score",)) == ""
    assert check_result(good | {"score": None}, features) == "incomplete: its score is empty"
    for value in ("0.5", "0,5", True, 10**400, [[1.0], 2.0]):
        fault = check_result(good | {"score": value}, features)
        assert fault.startswith("bad_result: its score is ")
        assert fault.endswith(" not a number")
    assert check_result(0.5, features) == "bad_result: '0.5' is no mapping of columns to values"
    assert check_result({"score": 1}, features).startswith("incomplete: its result has no levels")
    assert check_result(good | {"score": "high"}, features).startswith("bad_result: its score")
    assert check_result(good | {"levels": 1.0}, features).startswith("bad_result: its levels has 0")
    assert check_result(good | {"levels": [1, float("inf")]}, features).startswith("not_finite: ")
