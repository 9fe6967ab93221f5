"""docs/adding_a_method.md, followed word by word: files written, commands run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from flow import ROOT, started
from sfqa import media, store, tables

PAGE = ROOT / "docs" / "adding_a_method.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


def follow(folder: Path) -> list[str]:
    """Do what every block of the page says; return what its commands printed."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    said = []
    for kind, text in BLOCK.findall(PAGE.read_text()):
        if kind == "bash":
            done = subprocess.run(
                ["bash", "-euc", text], cwd=folder, env=environment, capture_output=True,
                text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
            said.append(done.stdout + done.stderr)
            continue
        first, rest = text.split("\n", 1)
        append, name = re.fullmatch(r"# (append to )?(\S+)", first).groups()
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if append:
            with path.open("a") as handle:
                handle.write("\n" + rest)
        else:
            path.write_text(rest if kind == "text" else text)
    return said


@pytest.mark.slow
def test_the_page_adds_a_thirteenth_method_and_runs_nothing_else(tmp_path):
    for name in ("workflow", "config", "profiles", "resources/demo"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", tmp_path)
    first, _, second, third = follow(tmp_path)

    samples = store.read(tables.SAMPLES, tmp_path / "results/small/samples.parquet")
    shards = samples[samples["method"] == "Nod"]["shard"].nunique()
    assert started(first)["prepare_images"] == 1
    assert started(second) == {
        "list_samples": 1, "fetch_generator": 1, "generate_videos": shards,
        "conform_videos": shards, "check_videos": 1, "dataset": 1,
    }  # fmt: skip
    folder = tmp_path / "results/small/generation/Nod"
    rows = pd.concat(store.read(tables.VIDEOS, p) for p in sorted(folder.glob("*.parquet")))
    assert (rows["status"] == "ok").all(), rows["detail"].tolist()
    assert len(rows) == 2
    for path in rows["path"]:
        facts = media.probe(tmp_path / path)
        assert (facts.fps, facts.has_audio) == (25.0, True)
    # Nothing failed, so that the last command makes no video again.
    assert started(third)["generate_videos"] >= shards
    logs = [p.read_text() for p in (tmp_path / "results/small/logs/generation").rglob("*.log")]
    assert sum(text.count("skipped") for text in logs) == len(samples)
