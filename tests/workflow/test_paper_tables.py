"""docs/paper_tables.md: every table runs whole on the demo's videos, with random weights."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from flow import Flow
from merged_configuration import read_configuration
from sfqa.regression.paper_rows import REDUCED

pytestmark = pytest.mark.thorough
STATISTICS = ("srcc", "plcc", "krcc")


def check_table(flow: Flow) -> None:
    """Every row has numbers or a reason, and the page says what its numbers are worth."""
    rows = pd.read_csv(flow.results / "correlation/paper.csv").fillna({"notes": ""})
    assert list(rows["metric"].sort_values()) == sorted(flow.config["regression"]["models"])
    assert set(rows["weights"]) == {"random"}
    for dimension in ("visual_quality", "audio_visual_consistency"):
        numbers = rows[[f"{dimension}_{name}" for name in STATISTICS]]
        assert (numbers.notna().all(axis=1) | rows["notes"].str.contains(dimension)).all()
    assert (rows["visual_quality_srcc"].notna()).any()
    page = (flow.results / "correlation/paper.md").read_text()
    assert "random weights" in page
    assert REDUCED in page


@pytest.mark.parametrize("name", ["ugvq_table5", "aigc_vqa"])
def test_an_ablation_runs_on_the_demos_videos(tmp_path: Path, name: str) -> None:
    flow = Flow(tmp_path, read_configuration(f"tables/{name}", "tables/demo"))
    flow.run()
    check_table(flow)


def test_models_of_one_half_of_the_demo_are_tested_on_the_other(tmp_path: Path) -> None:
    flow = Flow(tmp_path, read_configuration("tables/ugvq_lgvq", "tables/demo"))
    rows = flow.config["regression"]["models"]
    flow.run()
    check_table(flow)
    flow.run(*(f"results/tables_demo/regression/{name}/model.sfqa" for name in rows))
    table_6 = ("tables/ugvq_fetv", "tables/ugvq_table6_lgvq_to_fetv")
    flow.configure(read_configuration(*table_6, "tables/demo", "tables/demo_other"))
    flow.run()
    check_table(flow)
    predictions = pd.read_parquet(flow.results / "regression/UGVQ/predictions.parquet")
    assert set(predictions["protocol"]) == {"cross"}
    assert set(predictions["status"]) == {"ok"}  # no material is shared with the first half
