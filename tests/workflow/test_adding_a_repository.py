"""docs/adding_a_model.md, followed word by word: files written, commands run."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from flow import started
from pages import copy_project, follow_page


@pytest.mark.slow
@pytest.mark.thorough
def test_the_page_adds_a_model_that_is_a_repository(tmp_path):
    copy_project(tmp_path)
    _, first, again, compared = follow_page("adding_a_model.md", tmp_path)

    assert "repository: example/gleam at 0123456789abcdef" in first
    assert "score: zero-shot, higher is better" in first
    folder = tmp_path / "results/small/features/gleam"
    files = sorted(folder.glob("*/*.parquet"))
    counts = started(first)
    assert counts["fetch_model"] == 1
    assert counts["extract_features"] == len(files)
    rows = pd.concat(pd.read_parquet(path) for path in files if path.parent.name != "costs")
    assert rows["status"].tolist() == ["ok"] * 4, rows["detail"].tolist()
    assert rows["score"].between(0.05, 0.95).all()
    manifest = json.loads((tmp_path / "resources/models/Gleam/manifest.json").read_text())
    assert (manifest["repo"], manifest["label"]) == ("by_hand", "Gleam")
    assert "nothing is missing" in first
    # The second run reads all rows from the cache.
    assert started(again)["extract_features"] == len(files)
    logs = [p.read_text() for p in (tmp_path / "results/small/logs/features/gleam").rglob("*.log")]
    assert len(logs) == len(files)
    assert all(" 0 computed" in log for log in logs)
    assert "largest absolute difference: 0 " in compared
    assert "SRCC between both: 1.0000" in compared
    assert (
        "| sample_id | Gleam | Gleam (second) | difference |"
        in (tmp_path / "differences.md").read_text()
    )
