"""The manifest of a run: what it holds, what counts as the same, and the sentences of a comparison."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from site_dataset import make

from sfqa import cli, identity, media, store, tables
from sfqa.errors import UserError
from sfqa.report import manifest
from sfqa.report.manifest import RUN, SAME, compare_manifests

CONFIG = {
    "dataset": "made",
    "seed": 3,
    "ratings": {"path": "scores.csv", "raters": 5},
    "pairs": {"seed": 4},
    "features": {"signal": {"weights": "none"}},
}
METHODS = [{"label": "late", "version": 2, "adapter_version": 1}]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    folder = make(tmp_path_factory.mktemp("run") / "results" / "made", methods=2, pairs=3, videos=0)
    image = {"image_id": "a", "source": "real", "category": "c", "status": "ok", "detail": "",
             "original": "x/a.png", "original_sha256": identity.digest("a")}  # fmt: skip
    store.write(tables.IMAGES, [image], folder / "materials/images.parquet")
    cost = {"method": "method00", "extractor": "signal", "prepare_sec": 1.5, "device_sec": 0.5,
            "device": "cpu: X", "computed": True}  # fmt: skip
    names = [f"face{n:03d}__song{n:03d}__method00" for n in (0, 2)]
    costs = [{**cost, "sample_id": s, "peak_memory_mb": 100.0 + n} for n, s in enumerate(names)]
    costs[1]["computed"] = False
    store.write(tables.COSTS, costs, folder / "features/signal/costs/method00/0.parquet")
    (folder / "correlation/metrics.csv").write_text("metric,srcc\n")
    return folder


def files(folder: Path) -> list[Path]:
    found = [p for p in folder.rglob("*.parquet") if "costs" not in p.parts]
    return [*found, folder / "correlation/metrics.csv"]


@pytest.fixture
def made(dataset, monkeypatch) -> dict:
    monkeypatch.chdir(dataset.parents[1])
    Path("scores.csv").write_text("rater,score\n")
    return manifest.build_manifest(dataset, files(dataset), CONFIG, METHODS)


def test_it_names_what_came_in_what_was_set_and_what_came_out(made, dataset):
    same = made[SAME]
    for path in files(dataset):
        name = path.relative_to(dataset).as_posix()
        assert same["tables"][name]["sha256"] == identity.sha256_file(path)
    assert len(same["tables"]) == len(files(dataset))
    assert same["tables"]["samples.parquet"]["rows"] == 6
    assert same["inputs"]["ratings.path"] == {
        "path": "scores.csv", "sha256": identity.sha256_file("scores.csv"),
    }  # fmt: skip
    assert same["inputs"]["materials/images.parquet"]["files"] == 1
    assert same["configuration"] == CONFIG
    assert same["seeds"] == {"seed": 3, "pairs.seed": 4}
    assert same["methods"]["late"]["adapter_version"] == 1
    (signal,) = same["versions"]["extractors"]["signal"]
    assert (signal["version"], signal["weights"]["kind"]) == (1, "none")
    assert same["versions"]["metrics"]["Sharpness"]["inputs"] == ["signal.sharpness"]
    assert same["versions"]["modules"]["report/manifest"] == manifest.VERSION
    assert {"numpy", "pyarrow", "torch"} <= set(same["code"]["packages"])
    assert same["code"]["ffmpeg"][0].isalnum()
    assert set(same["code"]["environments"]) >= {"tables", "torch", "media"}


def test_hardware_and_costs_are_of_this_run_alone(made):
    assert made[RUN]["machine"]["cores"] >= 1
    assert made[RUN]["machine"]["memory_bytes"] > 2**20
    assert made[RUN]["machine"]["processor"]
    assert made[RUN]["scored"] == {
        "signal": {"cpu: X": {"rows": 2, "computed": 1, "seconds": 4.0, "peak_memory_mb": 101.0}}
    }
    assert made[RUN]["machine"]["processor"] not in json.dumps(made[SAME])


def test_rows_of_a_cpu_and_of_a_gpu_are_a_difference(made, dataset):
    paths = []
    for shard, devices in enumerate(({"cpu": 3, "gpu": 1}, {"gpu": 4}, {})):
        paths.append(dataset / f"features/fake/m/{shard}.parquet")
        metadata = {"extractor": "fake", "version": 1, "devices": devices}
        store.write_arrow(pa.table({"x": [1.0]}), paths[-1], metadata)
    try:
        other = manifest.build_manifest(dataset, [*files(dataset)], CONFIG, METHODS)
    finally:
        shutil.rmtree(dataset / "features/fake")
    assert other[SAME]["devices"]["fake"] == {"cpu": 3, "gpu": 5}
    other[SAME]["tables"] = made[SAME]["tables"]
    other[SAME]["versions"] = made[SAME]["versions"]
    assert compare_manifests(made, other) == ["devices, fake: only in the second"]


def test_the_same_tables_give_the_same_half_and_no_difference(made, dataset, tmp_path):
    again = manifest.build_manifest(dataset, reversed(files(dataset)), CONFIG, METHODS)
    assert json.dumps(again[SAME], sort_keys=True) == json.dumps(made[SAME], sort_keys=True)
    again[RUN] = {"written": "another day", "machine": {}, "scored": {}}
    assert compare_manifests(made, again) == []
    manifest.write_manifest(made, tmp_path / "deep/a.json")
    assert manifest.read_manifest(tmp_path / "deep/a.json") == made


def test_metrics_keep_the_order_of_the_configuration(made, tmp_path):
    content = copy.deepcopy(made)
    content[SAME]["configuration"]["regression"] = {"metrics": {"b": {}, "a": {}}}
    manifest.write_manifest(content, tmp_path / "manifest.json")
    stored = manifest.read_manifest(tmp_path / "manifest.json")
    assert stored == content
    assert list(stored[SAME]["configuration"]["regression"]["metrics"]) == ["b", "a"]
    assert list(stored[SAME]) == sorted(stored[SAME])


def test_every_difference_is_a_sentence_causes_first(made):
    other = copy.deepcopy(made)
    same = other[SAME]
    same["code"]["packages"]["numpy"] = "0.1"
    same["configuration"]["ratings"]["raters"] = 6
    del same["inputs"]["ratings.path"]
    same["tables"]["samples.parquet"] |= {"sha256": "0" * 64, "rows": 7}
    same["tables"]["new.parquet"] = same["tables"].pop("rejects.parquet")
    same["identity"] = "other"
    numpy = made[SAME]["code"]["packages"]["numpy"]
    assert compare_manifests(made, other) == [
        f"code, packages, numpy: {numpy!r} in the first, '0.1' in the second",
        "configuration, ratings, raters: 5 in the first, 6 in the second",
        "inputs, ratings.path: only in the first",
        "tables, new.parquet: only in the second",
        "tables, rejects.parquet: only in the first",
        "tables, samples.parquet: different content (6 rows, 7 rows)",
    ]


def test_an_edited_file_of_the_workflow_is_seen_without_git(made, tmp_path, monkeypatch):
    workflow = tmp_path / "workflow"
    (workflow / "scripts/sfqa").mkdir(parents=True)
    (tmp_path / "Snakefile").write_text("")
    (workflow / "scripts/sfqa/a.py").write_text("x = 1\n")
    monkeypatch.setattr(manifest, "_WORKFLOW", workflow)
    before = manifest.describe_workflow()["files"]
    (workflow / "scripts/sfqa/__pycache__").mkdir()
    (workflow / "scripts/sfqa/__pycache__/a.py").write_text("")
    assert manifest.describe_workflow()["files"] == before
    (workflow / "scripts/sfqa/a.py").write_text("x = 2\n")
    assert manifest.describe_workflow()["files"] != before


def test_a_moved_input_folder_is_the_same_input_and_another_image_is_not(dataset, tmp_path):
    def digest_of(original: str, content: str) -> str:
        image = {"image_id": "a", "source": "real", "category": "c", "status": "ok", "detail": "",
                 "original": original, "original_sha256": identity.digest(content)}  # fmt: skip
        store.write(tables.IMAGES, [image], tmp_path / "materials/images.parquet")
        return str(manifest.hash_inputs(tmp_path)["materials/images.parquet"]["digest"])

    first = digest_of("x/a.png", "a")
    assert digest_of("/elsewhere/a.png", "a") == first
    assert digest_of("x/a.png", "b") != first


def test_ffmpeg_that_does_not_run_is_no_version(monkeypatch):
    monkeypatch.setattr(media, "ffmpeg_exe", lambda: "/no/such/ffmpeg")
    assert manifest.read_ffmpeg_version() is None


def test_the_command_line_compares_folders_and_files(made, tmp_path, capsys):
    folder, other = tmp_path / "results/made", tmp_path / "b.json"
    manifest.write_manifest(made, folder / "report/manifest.json")
    manifest.write_manifest(made, other)
    assert cli.main(["manifest", str(folder), str(other)]) == 0
    assert capsys.readouterr().out == "the same run\n"
    changed = copy.deepcopy(made)
    changed[SAME]["seeds"]["seed"] = 5
    manifest.write_manifest(changed, other)
    assert cli.main(["manifest", str(folder), str(other)]) == 1
    assert capsys.readouterr().out == "seeds, seed: 3 in the first, 5 in the second\n"
    assert cli.main(["manifest", str(tmp_path), str(other)]) == 2
    assert "not a manifest of a run" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"this run": {}}', None])
def test_what_is_no_manifest_is_refused_with_a_sentence(tmp_path, text):
    path = tmp_path / "m.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match="not a manifest of a run"):
        manifest.read_manifest(path)
