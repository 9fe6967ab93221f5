"""docs/table2.md: the rows of Table 2 with random weights, then with files from a server on loopback."""

from __future__ import annotations

import pandas as pd
import pytest
import yaml

from flow import ROOT, Flow
from loopback_server import server as server
from loopback_server import whole
from standin_weights import write_standins

ROWS = ["SimpleVQA", "FAST-VQA", "DOVER"]


def read_demo():
    return yaml.safe_load((ROOT / "config/table2_demo.yaml").read_text())


def test_the_page_plans_its_configuration(tmp_path):
    page = (ROOT / "docs/table2.md").read_text()
    assert page.count("--configfile config/table2_demo.yaml") == 4
    demo = read_demo()
    planned = Flow(tmp_path, demo).planned()
    assert demo["regression"]["models"] == ["LSE-C", "LSE-D", *ROWS]
    assert (planned["predict"], planned["score_metrics"]) == (3, 1)
    assert "fetch_weights_file" not in planned
    with_weights = demo | {"weights": {"models": "official"}}
    assert Flow(tmp_path, with_weights).planned()["fetch_weights_file"] == 6


@pytest.mark.thorough
def test_the_rows_with_random_weights_and_with_weights_from_a_server(tmp_path, server, monkeypatch):
    """Small videos and networks of reduced depth; docs/table2.md has them at full size."""
    for name in ("HF_HOME", "TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    registry = tmp_path / "models.yaml"
    text = (ROOT / "config/models.yaml").read_text()
    registry.write_text(text.replace("blocks: official", "blocks: reduced"))
    config = read_demo() | {
        "materials": {"images": "images.csv", "clips": "clips.csv", "image_px": 128},
        "generation": {"methods": ["sharp", "blurry"], "size": 128},
        "conform": {"short_side": 128},
    }
    config["regression"] |= {"models": ROWS, "registry": str(registry)}
    flow = Flow(tmp_path, config)
    flow.run()
    first = read_table(flow)
    assert set(first.loc[first["metric"].isin(ROWS), "weights"]) == {"random"}
    assert set(ROWS) <= set(first["metric"])
    write_standins(tmp_path / "test.yaml", tmp_path / "stand-ins", server.url)
    for path in (tmp_path / "stand-ins").glob("*.pth"):
        server.answers[f"/{path.name}"] = [whole(path.read_bytes())]
    for path in (tmp_path / "stand-ins").glob("*.pyth"):
        server.answers[f"/{path.name}"] = [whole(path.read_bytes())]
    described = yaml.safe_load((tmp_path / "stand-ins/config.yaml").read_text())
    flow.configure(config | described)
    flow.run()
    second = read_table(flow)
    assert len(server.seen) == 4
    assert set(second.loc[second["metric"].isin(ROWS), "weights"]) == {"official"}
    assert set(ROWS) <= set(second["metric"])


def read_table(flow: Flow) -> pd.DataFrame:
    return pd.read_parquet(flow.results / "correlation/correlation.parquet")
