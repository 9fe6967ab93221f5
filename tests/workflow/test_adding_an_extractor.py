"""docs/adding_an_extractor.md, followed word by word: files written, commands run."""

from __future__ import annotations

import csv

import pyarrow.parquet as pq
import pytest

from flow import started
from pages import copy_project, follow_page
from sfqa import store

FOLDER = "results/small/features/saturation/sharp"


@pytest.mark.thorough
@pytest.mark.slow
def test_the_page_adds_an_extractor_and_computes_each_row_once(tmp_path):
    copy_project(tmp_path)
    first, by_hand, changed, tested = follow_page("adding_an_extractor.md", tmp_path)

    tables = sorted((tmp_path / FOLDER).glob("*.parquet"))
    rows = [row for path in tables for row in pq.read_table(path).to_pylist()]
    assert len(rows) == 4
    assert {row["status"] for row in rows} == {"ok"}
    assert all(0 < row["mean"] < 1 and len(row["course"]) > 5 for row in rows)
    about = store.read_metadata(tables[0])
    assert (about["version"], about["options"]) == (1, {"every": 10})
    assert about["weights"]["kind"] == "none"
    assert started(first)["extract_features"] == len(tables)

    assert "wrote saturation.csv" in by_hand
    with (tmp_path / "saturation.csv").open() as handle:
        assert len(list(csv.DictReader(handle))) == 4

    assert started(changed) == {"extract_features": 2 * len(tables), "features": 2}
    logs = "".join(p.read_text() for p in (tmp_path / "results/small/logs").rglob("*.log"))
    assert "0 computed" in logs
    assert "2 passed" in tested
