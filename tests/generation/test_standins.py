"""The twelve generators, each as a stand-in repository that plays the official failures in turn."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sfqa import identity, media, store, tables
from sfqa.generation import registry
from sfqa.generation.generate import generate_shard
from sfqa.generation.records import GenerationSettings
from sfqa.repositories.process import Timeouts
from thinned import mark_others_thorough

ROOT = Path(__file__).parents[2]
HOME = Path(__file__).parent / "standins"
METHODS = {
    label: method
    for label, method in registry.load_methods(ROOT / "config" / "methods.yaml").items()
    if method.runs_command
}
SECONDS = 6.0
#: How each act ends: the status, and the word that its detail begins with.
ENDS = {
    "ok": ("ok", ""),
    "no_output": ("failed", "no_output"),
    "late": ("ok", ""),
    "later_name": ("ok", ""),
    "truncated": ("failed", "broken"),
    "silent": ("failed", "no_audio"),
    "exit1": ("failed", "exit_code"),
    "hang": ("failed", "timed_out"),
    "disk_full": ("failed", "disk_full"),
}


@pytest.fixture(scope="session")
def videos(tmp_path_factory) -> dict[str, str]:
    """Ready videos of six seconds that move and sound: square, silent, and AniPortrait's strip."""
    folder = tmp_path_factory.mktemp("ready")
    rate = 16000
    seconds = np.arange(round(SECONDS * rate)) / rate
    sound = folder / "song.wav"
    media.write_wave(sound, (0.3 * np.sin(2 * np.pi * 220 * seconds)).astype(np.float32), rate)

    def frames(width: int, height: int, fps: int):
        for number in range(round(SECONDS * fps)):
            frame = np.full((height, width, 3), 90, np.uint8)
            place = 4 * (number % 40) * height // 200
            frame[place : place + height // 5, width // 4 : 3 * width // 4] = 200
            yield frame

    media.write_video(folder / "VIDEO.mp4", frames(128, 128, 25), 25, sound)
    media.write_video(folder / "SILENT.mp4", frames(128, 128, 25), 25)
    media.write_video(folder / "STRIP.mp4", frames(1544, 516, 30), 30, sound, preset="ultrafast")
    media.write_video(folder / "STRIP_SILENT.mp4", frames(1544, 516, 30), 30, preset="ultrafast")
    found = {f"SFQA_STANDIN_{p.stem}": str(p) for p in folder.glob("*.mp4")}
    return found | {"SFQA_STANDIN_HOME": str(HOME), "sound": str(sound)}


class Stage:
    """One installed stand-in, samples for it, and the environment that it reads."""

    def __init__(self, folder: Path, label: str, videos: dict[str, str], portrait: Path) -> None:
        self.folder, self.label = folder, label
        self.calls = folder / "calls.txt"
        self.environment = {
            **{k: v for k, v in videos.items() if k != "sound"},
            "SFQA_STANDIN_LOG": str(self.calls),
        }
        self.clip, self.portrait = Path(videos["sound"]), portrait
        # Half a minute is enough for any stand-in, and two seconds for the one that hangs.
        self.method = replace(METHODS[label], minutes=0.5)
        install(folder / "generators", self.method)

    def samples(self, count: int = 1, shard: int = 0) -> pd.DataFrame:
        rows = []
        for number in range(count):
            pair = identity.pair_id(f"img{shard}{number}", "song.v1")
            row = dict.fromkeys(tables.SAMPLES.names) | {
                "sample_id": identity.sample_id(pair, self.label), "method": self.label,
                "pair_id": pair, "shard": shard, "image_path": str(self.portrait),
                "clip_path": str(self.clip), "image_sha256": "0" * 64, "clip_sha256": "1" * 64,
            }  # fmt: skip
            rows.append(row)
        return pd.DataFrame(rows)

    def settings(self, **changes: Any) -> GenerationSettings:
        given = {
            "seed": 7, "size": 128, "fps": 25.0, "generators": self.folder / "generators",
            "attempts": 1, "require_gpu": False, "installed": "x",
        }  # fmt: skip
        return GenerationSettings(**(given | changes))

    def run(self, act: str, monkeypatch, samples: pd.DataFrame | None = None, **changes: Any):
        for name, value in {**self.environment, "SFQA_STANDIN_ACT": act}.items():
            monkeypatch.setenv(name, value)
        method = replace(self.method, minutes=2 / 60) if act == "hang" else self.method
        rows = generate_shard(
            self.samples() if samples is None else samples, method, self.folder / "made",
            self.settings(**changes), lambda said: None, Timeouts(late_sec=1.5, grace_sec=1.0),
        )  # fmt: skip
        store.to_arrow(tables.VIDEOS, rows)
        return rows

    def called(self) -> int:
        return len(self.calls.read_text().splitlines()) if self.calls.exists() else 0


def install(folder: Path, method: registry.Method) -> None:
    """The stand-in where the generator is looked for: repository, weights, environment."""
    place = folder / method.label
    shutil.copytree(
        HOME / method.label, place / "repo", ignore=shutil.ignore_patterns("__pycache__")
    )
    assert method.source is not None
    for name in method.source.weights.files:
        path = place / "repo" / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
            path = path / "placeholder"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    python = place / "env" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)


@pytest.fixture
def stage(tmp_path, videos, portrait):
    def make(label: str) -> Stage:
        # A dot and a space in the path: the field's scripts break at both.
        return Stage(tmp_path / "my results.v2", label, videos, portrait)

    return make


#: The methods, of which the fast tiers try every fourth.
EVERY_FOURTH = mark_others_thorough(list(METHODS), 4)


def test_there_are_twelve():
    assert len(METHODS) == 12


@pytest.mark.parametrize("act", ENDS)
@pytest.mark.parametrize("label", EVERY_FOURTH)
def test_each_failure_ends_as_the_right_row_and_is_made_up_for(label, act, stage, monkeypatch):
    here = stage(label)
    status, word = ENDS[act]
    if (label, act) == ("hallo2", "silent"):
        status, word = "flawed", "sound_added"
    (row,) = here.run(act, monkeypatch)
    assert row["status"] == status, row["detail"]
    assert row["detail"].split(":")[0] == word
    made = here.folder / "made" / "videos"
    assert len(list(made.glob("*"))) == (status != "failed")
    if status == "failed":
        assert row["path"] is None
        (row,) = here.run("ok", monkeypatch)
        assert row["status"] == "ok", row["detail"]
        assert here.called() == 2
    before = here.called()
    (again,) = here.run("ok", monkeypatch)
    assert again == row
    assert here.called() == before
    assert media.probe(row["path"]).has_audio


@pytest.mark.thorough
@pytest.mark.parametrize("label", EVERY_FOURTH)
def test_one_bad_pair_stops_no_other_and_only_it_is_tried_again(label, stage, monkeypatch):
    here = stage(label)
    samples = here.samples(3)
    broken = samples["sample_id"].iloc[1]
    monkeypatch.setenv("SFQA_STANDIN_ONLY", stem_of(broken))
    rows = {r["sample_id"]: r for r in here.run("exit1", monkeypatch, samples, attempts=2)}
    assert [rows[name]["status"] for name in samples["sample_id"]] == ["ok", "failed", "ok"]
    before = here.called()
    rows = here.run("ok", monkeypatch, samples)
    assert {r["status"] for r in rows} == {"ok"}
    assert here.called() == before + 1


def stem_of(sample: str) -> str:
    """What the names of a sample's staged files hold."""
    return identity.digest(sample)[:12]


PROCESS = """
import sys, pickle
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import pandas as pd
from sfqa.generation.generate import generate_shard
from sfqa.generation.records import GenerationSettings
with open(sys.argv[2], "rb") as handle:
    samples, method, folder, settings = pickle.load(handle)
rows = generate_shard(samples, method, folder, settings, lambda said: None)
print([row["status"] for row in rows])
"""


@pytest.mark.thorough
@pytest.mark.parametrize("label", ["SadT", "AniP", "EchoM", "fantasy", "hallo3"])
def test_four_in_parallel_do_not_collide(label, stage, monkeypatch, tmp_path):
    """Those that name their results by the second or the minute, at the same second."""
    here = stage(label)
    environment = {**os.environ, **here.environment, "SFQA_STANDIN_ACT": "ok"}
    running = []
    for shard in range(4):
        job = tmp_path / f"job{shard}.pickle"
        given = (here.samples(2, shard), here.method, here.folder / "made", here.settings())
        job.write_bytes(pickle.dumps(given))
        command = [sys.executable, "-c", PROCESS, str(ROOT / "workflow/scripts"), str(job)]
        running.append(
            subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        )
    for process in running:
        said, complaint = process.communicate(timeout=120)
        assert said.strip() == "['ok', 'ok']", complaint[-3000:]
    calls = here.calls.read_text().splitlines()
    assert len(calls) == 8
    videos = sorted((here.folder / "made" / "videos").glob("*.mp4"))
    assert len(videos) == 8
    if label != "AniP":  # whose result is cut out of a strip, and so written anew
        for path in videos:
            assert stem_of(path.stem).encode() in path.read_bytes(), "another pair's video"
    assert not any((here.folder / "made" / "work").iterdir())
