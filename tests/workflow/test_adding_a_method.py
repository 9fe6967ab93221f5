"""docs/adding_a_method.md, followed word by word: files written, commands run."""

from __future__ import annotations

import pandas as pd
import pytest

from flow import started
from pages import copy_project, follow_page
from sfqa import media, store, tables


@pytest.mark.thorough
@pytest.mark.slow
def test_the_page_adds_a_thirteenth_method_and_runs_nothing_else(tmp_path):
    copy_project(tmp_path)
    first, _, second, third = follow_page("adding_a_method.md", tmp_path)

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
