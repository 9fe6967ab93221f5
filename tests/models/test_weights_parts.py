"""An extractor with two networks: both weights files are found, checked, and part of the key."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml

from sfqa.cli import _extract
from sfqa.errors import UserError
from sfqa.features import base, official, run
from sfqa.features.s3fd import S3FD
from sfqa.features.syncnet import SyncNet
from sfqa.features.weights import resolve_weights
from sfqa.features.weights_plan import WeightsPlan
from sfqa.identity import sha256_file
from sfqa.models.fetching import fetch_weights, write_manifest
from sfqa.models.lock import WeightsLock

S3FD_OPTIONS = {"detector": "s3fd"}
VIDEO = base.Video("s", Path("v.mp4"), "0" * 64, 25.0, 44, Path("v.wav"), "1" * 64, 16000)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a registry of two files, ``w/lips.pth`` and ``w/faces.pth``."""
    for name in ("HF_HOME", "TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    common = {"publisher": "they", "licence": "MIT", "extractor": "lse", "by_hand": "ask them"}
    entries = {
        "lips": {**common, "file": "lips.pth"},
        "faces": {**common, "file": "faces.pth", "part": "detector", "options": S3FD_OPTIONS},
    }
    (tmp_path / "weights.yaml").write_text(yaml.safe_dump(entries, sort_keys=False))
    (tmp_path / "w").mkdir()
    (tmp_path / "w/lips.pth").write_bytes(b"lips")
    (tmp_path / "w/faces.pth").write_bytes(b"faces")
    monkeypatch.setattr(official, "FOLDER", tmp_path / "w")
    monkeypatch.setattr(official.load_registry, "__defaults__", (tmp_path / "weights.yaml",))
    return tmp_path


def make_plan(folder: Path, spec: dict[str, Any]) -> WeightsPlan:
    section = {"folder": str(folder / "w"), "registry": str(folder / "weights.yaml"), "mirrors": []}
    return WeightsPlan({"weights": section, "features": {"lse": spec}}, folder / "results")


def make_spec(weights: str = "official", **more: Any) -> dict[str, Any]:
    return {"weights": weights, "options": dict(S3FD_OPTIONS), **more}


def resolve(folder: Path, spec: dict[str, Any]) -> Any:
    return resolve_weights(make_plan(folder, spec).add_official(spec, "lse"), "lse")


def test_a_plan_has_the_files_that_the_options_need(folder: Path) -> None:
    job = SimpleNamespace(extractor="lse")
    plan = make_plan(folder, make_spec())
    assert list(plan.list_files()) == ["lips", "faces"]
    assert [Path(path).name for path in plan.list_manifests(job)] == ["faces.json", "lips.json"]
    assert {name: status.state for name, status in plan.find_files().items()} == {
        "lips": "there", "faces": "there"
    }  # fmt: skip
    plan = make_plan(folder, {"weights": "official", "options": {}})
    assert list(plan.list_files()) == ["lips"]
    assert "parts" not in plan.add_official({"weights": "official", "options": {}}, "lse")
    assert make_plan(folder, make_spec("random")).list_manifests(job) == []


def test_both_files_are_part_of_the_key(folder: Path) -> None:
    def make_key() -> str:
        identity = {"weights": resolve(folder, make_spec()).identity}
        return run.make_row_key(base.load_extractor("lse"), identity, VIDEO)

    keys = {make_key()}
    for file in ("lips.pth", "faces.pth"):
        (folder / "w" / file).write_bytes(b"another version of " + file.encode())
        keys.add(make_key())
    assert len(keys) == 3
    weights = resolve(folder, make_spec())
    lips, faces = (sha256_file(folder / "w" / name) for name in ("lips.pth", "faces.pth"))
    assert (weights.kind, weights.identity) == ("official", f"{lips} detector:{faces}")


def test_one_file_alone_has_the_key_of_before(folder: Path) -> None:
    weights = resolve(folder, {"weights": "official", "options": {}})
    assert weights.identity == sha256_file(folder / "w/lips.pth")


def test_a_job_refuses_another_version_of_either_file(folder: Path) -> None:
    plan = make_plan(folder, make_spec())
    lock = WeightsLock(plan.lock_path)
    for name, entry in plan.list_files().items():
        manifest = fetch_weights(entry, folder / "w", lock=lock, log=lambda line: None)
        write_manifest(manifest, folder / f"{name}.json")
    manifests = [folder / "faces.json", folder / "lips.json"]
    spec = official.add_digests(plan.add_official(make_spec(), "lse"), manifests)
    assert resolve_weights(spec, "lse").identity == resolve(folder, make_spec()).identity
    assert set(json.loads(plan.lock_path.read_text())) == {"lips", "faces"}
    (folder / "w/faces.pth").write_bytes(b"others")
    with pytest.raises(UserError, match=r"features\.lse\.parts\.detector: .*used before"):
        resolve_weights(spec, "lse")


def test_a_missing_second_file_says_how_to_get_it(folder: Path) -> None:
    (folder / "w/faces.pth").unlink()
    with pytest.raises(UserError, match=r"parts\.detector: .* faces \(faces\.pth\) are missing"):
        resolve(folder, make_spec())
    with pytest.raises(UserError, match=r"parts\.detector\.weights: give a file"):
        lips = folder / "w/lips.pth"  # a job whose configuration was not completed
        resolve_weights(make_spec(str(lips), sha256=sha256_file(lips)), "lse")


def test_each_network_can_have_a_file_of_its_own(folder: Path) -> None:
    own = folder / "own.pth"
    own.write_bytes(b"own")
    file = {"weights": str(own), "sha256": sha256_file(own)}
    assert list(make_plan(folder, make_spec(parts={"detector": file})).list_files()) == ["lips"]
    weights = resolve(folder, make_spec(parts={"detector": file}))
    assert weights.get_part("detector").path == own
    weights = resolve(folder, make_spec(**file))  # SyncNet's own, the official detector
    assert (weights.path, weights.get_part("detector").path) == (own, folder / "w/faces.pth")


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (make_spec(parts={"detectr": {"weights": "official"}}), "did you mean 'detector'?"),
        (
            {"weights": "official", "parts": {"detector": {"weights": "official"}}},
            "parts.detector: goes with the option detector: s3fd; leave it out",
        ),
        (
            make_spec("random", parts={"detector": {"weights": "official"}}),
            "random weights are random for all networks",
        ),
        (make_spec(parts={"detector": {"weights": "random"}}), "are random for all networks"),
        (make_spec(parts={"detector": {"weights": "f.pth"}}), "detector.sha256: it goes with"),
    ],
)
def test_mistakes_are_sentences(spec: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=re.escape(sentence)):
        base.check_entry("lse", spec)


def test_a_part_that_no_extractor_has_is_refused(folder: Path) -> None:
    text = (folder / "weights.yaml").read_text().replace("part: detector", "part: detectors")
    (folder / "weights.yaml").write_text(text)
    with pytest.raises(UserError, match="has no part 'detectors'; did you mean 'detector'"):
        official.load_registry(folder / "weights.yaml")


def test_the_command_line_takes_a_file_for_each_network(folder: Path) -> None:
    own = folder / "own.pth"
    own.write_bytes(b"own")
    settings = ["detector=s3fd"]
    spec = _extract.make_specs(["lse"], ["official"], None, settings)["lse"]
    assert resolve_weights(spec, "lse").get_part("detector").path == folder / "w/faces.pth"
    files = ["official", f"lse.detector={own}"]
    spec = _extract.make_specs(["lse"], files, None, settings)["lse"]
    assert resolve_weights(spec, "lse").get_part("detector").path == own
    with pytest.raises(UserError, match="goes with the option detector: s3fd"):
        _extract.make_specs(["lse"], files, None, [])
    with pytest.raises(UserError, match="no such file; give the weights of lse, detector,"):
        _extract.make_specs(["lse"], ["official", "lse.detector=x.pth"], None, settings)
    known = {"lse": S3FD_OPTIONS}
    assert "parts" in _extract.make_specs(["lse"], ["official"], None, [], known)["lse"]


def test_each_network_loads_its_own_file(folder: Path) -> None:
    torch.manual_seed(5)
    lips, faces = SyncNet(), S3FD()
    torch.nn.init.constant_(faces.loc[0].bias, 7.0)  # type: ignore[arg-type]
    torch.save(lips.state_dict(), folder / "w/lips.pth")
    torch.save(faces.state_dict(), folder / "w/faces.pth")
    weights = resolve(folder, make_spec())
    extractor: Any = base.build_extractor("lse", S3FD_OPTIONS, weights, "cpu")
    assert torch.equal(extractor.net.netfcaud[0].weight, lips.netfcaud[0].weight)
    assert extractor.tracker.net.loc[0].bias.tolist() == [7.0] * 4
    torch.save(lips.state_dict(), folder / "w/faces.pth")
    with pytest.raises(UserError, match="these weights do not fit S3FD: 0 of 65 keys match"):
        base.build_extractor("lse", S3FD_OPTIONS, resolve(folder, make_spec()), "cpu")
