"""A dataset that was published and imported again: the same tables, byte for byte."""

from __future__ import annotations

import pytest
import yaml

from flow import PROTOCOLS, SMALL, Flow
from sfqa.cli import main

#: tests/publishing shows the same of samples, scores, MOS and splits without a run.
pytestmark = [pytest.mark.slow, pytest.mark.thorough]

CONFIG = {
    **SMALL,
    "conform": {"short_side": 128},
    "features": {"signal": {"weights": "none"}},
    "correlation": {"bootstrap": 20},
    "regression": {
        "protocols": PROTOCOLS,
        "metrics": {
            # Not in the order of the alphabet: tables list metrics in this order.
            "ridge": {"kind": "regressor", "head": "ridge", "inputs": ["signal.brightness", "signal.contrast"]},
            "Sharpness": {"kind": "zero_shot", "inputs": ["signal.sharpness"]},
        },
    },
}  # fmt: skip
#: Tables that must be the same in bytes.
SAME = (
    "ratings/mos.parquet", "correlation/correlation.parquet", "correlation/by_method.parquet",
    "correlation/significance.parquet", "correlation/metrics.csv", "correlation/metrics_pooled.csv",
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    flow = Flow(tmp_path_factory.mktemp("published"), CONFIG)
    flow.run()
    return flow


def test_an_imported_publication_gives_the_same_tables(run, tmp_path, monkeypatch):
    monkeypatch.chdir(run.folder)
    shared = tmp_path / "shared"
    arguments = [
        "publish",
        "results/small",
        "--out",
        str(shared),
        "--licence",
        "CC0-1.0",
        "--features",
    ]
    assert main(arguments) == 0
    assert (shared / "features/signal.parquet").is_file()
    assert len(list(shared.glob("videos/*/*.mp4"))) == 8
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.chdir(other)
    assert main(["import", str(shared)]) == 0
    again = Flow(other, yaml.safe_load((other / "small.yaml").read_text()))
    again.run(*(f"results/small/{name}" for name in SAME))
    for name in SAME:
        assert (again.results / name).read_bytes() == (run.results / name).read_bytes(), name
