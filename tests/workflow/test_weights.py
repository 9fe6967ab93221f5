"""Official weights in the workflow: planned, fetched from a fake publisher, pinned, used."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
import yaml

from flow import SMALL, Flow, nothing_to_do
from loopback_server import Server, whole
from loopback_server import server as server
from sfqa.features.s3fd import S3FD
from sfqa.features.syncnet import SyncNet
from sfqa.identity import sha256_file
from sfqa.store import read_metadata


@pytest.fixture
def flow(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Flow:
    """A small dataset whose lip network's weights are published at the server."""
    for name in ("HF_HOME", "TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    entry = {
        "file": "lips.pth", "publisher": "they", "extractor": "lse",
        "licence": "CC BY-NC 4.0, non-commercial use only",
        "url": f"{server.url}/lips.pth", "keys": {"wrapper": "state", "prefix": "module."},
    }  # fmt: skip
    flow = Flow(
        tmp_path / "flow",
        {
            **SMALL,
            "pairs": {"count": 2},
            "generation": {"methods": ["sharp"], "size": 128},
            "weights": {"registry": "weights.yaml", "folder": "w"},
            "features": {"lse": {"weights": "official", "options": {"detect_every": 5}}},
        },
    )
    (flow.folder / "weights.yaml").write_text(yaml.safe_dump({"lips": entry}))
    return flow


def test_missing_weights_are_planned_and_fetched_by_their_own_target(
    flow: Flow, server: Server
) -> None:
    assert flow.planned()["fetch_weights_file"] == 1
    server.answers["/lips.pth"] = [whole(b"weights")]
    printed = flow.run("fetch_weights")
    assert "weights lips: licence: CC BY-NC 4.0, non-commercial use only" in printed
    log = (flow.results / "logs/weights/lips.log").read_text()
    assert 0 < log.index("non-commercial") < log.index("fetching http")
    manifest = json.loads((flow.results / "weights/lips.json").read_text())
    assert manifest["sha256"] == sha256_file(flow.folder / "w/lips.pth")
    assert json.loads((flow.results / "weights/lock.json").read_text()) == {
        "lips": manifest["sha256"]
    }
    assert nothing_to_do(flow.run("fetch_weights"))
    (flow.folder / "w/lips.pth").write_bytes(b"others!")
    printed = flow.run("features", ok=False)
    assert "which this dataset used before" in printed
    assert "rule prepare_images" not in printed


def test_weights_are_fetched_before_the_data_is_there(flow: Flow, server: Server) -> None:
    server.answers["/lips.pth"] = [whole(b"weights")]
    (flow.folder / "images.csv").unlink()
    flow.run("fetch_weights")
    assert (flow.results / "weights/lips.json").is_file()
    assert "there is no file 'images.csv'" in flow.run("-n", ok=False)


@pytest.mark.thorough
def test_features_are_computed_with_the_fetched_file(flow: Flow, server: Server) -> None:
    torch.manual_seed(3)
    state = {f"module.{key}": value for key, value in SyncNet().state_dict().items()}
    torch.save({"state": state}, flow.folder / "published.pth")
    server.answers["/lips.pth"] = [whole((flow.folder / "published.pth").read_bytes())]
    flow.run("features")
    assert nothing_to_do(flow.run("features"))
    path = flow.results / "features/lse/sharp/0.parquet"
    assert read_metadata(path)["weights"] == {
        "kind": "official",
        "identity": sha256_file(flow.folder / "w/lips.pth"),
    }
    assert set(pq.read_table(path)["status"].to_pylist()) <= {"ok", "flawed"}


@pytest.mark.thorough
def test_two_files_of_one_extractor_are_fetched_and_used(flow: Flow, server: Server) -> None:
    entries = yaml.safe_load((flow.folder / "weights.yaml").read_text())
    entries["faces"] = {
        "file": "faces.pth", "publisher": "they", "licence": "MIT", "extractor": "lse",
        "part": "detector", "options": {"detector": "s3fd"}, "url": f"{server.url}/faces.pth",
    }  # fmt: skip
    (flow.folder / "weights.yaml").write_text(yaml.safe_dump(entries))
    options = {"detector": "s3fd", "detect_every": 5}
    flow.configure(
        {**flow.config, "features": {"lse": {"weights": "official", "options": options}}}
    )
    torch.manual_seed(3)
    state = {f"module.{key}": value for key, value in SyncNet().state_dict().items()}
    torch.save({"state": state}, flow.folder / "published.pth")
    torch.save(S3FD().state_dict(), flow.folder / "published_faces.pth")
    server.answers["/lips.pth"] = [whole((flow.folder / "published.pth").read_bytes())]
    server.answers["/faces.pth"] = [whole((flow.folder / "published_faces.pth").read_bytes())]
    assert flow.planned()["fetch_weights_file"] == 2
    flow.run("features")
    assert nothing_to_do(flow.run("features"))
    path = flow.results / "features/lse/sharp/0.parquet"
    lips, faces = (sha256_file(flow.folder / "w" / name) for name in ("lips.pth", "faces.pth"))
    assert read_metadata(path)["weights"]["identity"] == f"{lips} detector:{faces}"
    assert set(pq.read_table(path)["status"].to_pylist()) <= {"ok", "flawed"}


def test_an_unknown_extractor_of_the_registry_stops_the_plan(flow: Flow) -> None:
    text = (flow.folder / "weights.yaml").read_text().replace("extractor: lse", "extractor: les")
    (flow.folder / "weights.yaml").write_text(text)
    assert "did you mean 'lse'?" in flow.run("-n", ok=False)
