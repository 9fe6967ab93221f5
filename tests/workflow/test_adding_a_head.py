"""docs/adding_a_head.md, followed word by word: files written, commands run."""

from __future__ import annotations

import csv

import pytest

from flow import started
from pages import copy_project, follow_page
from sfqa import store, tables


@pytest.mark.thorough
@pytest.mark.slow
def test_the_page_adds_a_head_that_predicts_and_makes_a_model_file(tmp_path):
    copy_project(tmp_path)
    predicted, scored, tested = follow_page("adding_a_head.md", tmp_path)

    assert started(predicted)["predict"] == 1
    folder = tmp_path / "results/small/regression/Seconds"
    rows = store.read(tables.PREDICTIONS, folder / "predictions.parquet")
    assert (rows["status"] == "ok").all(), rows["detail"].tolist()
    test = rows[rows["part"] == "test"]
    assert test.groupby("dimension")["sample_id"].nunique().tolist() == [16, 16]

    assert started(scored) == {"fit_model": 1}
    with (tmp_path / "scores.csv").open() as handle:
        assert len(list(csv.DictReader(handle))) == 8
    assert "4 passed" in tested
