"""What an imported publication is made from: the same videos, samples, raw scores, MOS and splits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from finished_dataset import METHODS, make_dataset
from sfqa import store, tables
from sfqa.cli import main
from sfqa.configuration import complete_config
from sfqa.features.importing import import_table
from sfqa.generation.importing import list_videos
from sfqa.identity import sha256_file
from sfqa.labels.scores import read_mos
from sfqa.ratings.importing import describe_source, import_scores
from sfqa.ratings.mos import compute_mos
from sfqa.splits.protocols import make_splits

SCHEMA = Path(__file__).parents[2] / "workflow/schemas/config.schema.yaml"
LABELS = [
    "sample_id",
    "method",
    "pair_id",
    "image_id",
    "clip_id",
    "style",
    "language",
    "split",
    "shard",
]
PROTOCOL = {"name": "random", "kind": "random_kfold", "k": 2, "validation": 0}


def publish_and_import(*options: str) -> dict:
    """Publish results/mine, and return the complete configuration that an import writes."""
    assert main(["publish", "results/mine", "--out", "shared", "--licence", "MIT", *options]) == 0
    assert main(["import", "shared", "--dataset", "again"]) == 0
    return complete_config(yaml.safe_load(Path("again.yaml").read_text()), SCHEMA)


@pytest.mark.parametrize("scale", ["mean", "zscore", "bt500", "p913"])
def test_raw_scores_without_names_give_the_same_mos(
    dataset: Path, tmp_path: Path, scale: str
) -> None:
    config = publish_and_import()
    own = store.read(tables.SAMPLES, dataset / tables.SAMPLES.path)
    rows = list_videos(config["import"], config["shards"])
    store.write(tables.SAMPLES, rows, tmp_path / "samples.parquet")
    imported = store.read(tables.SAMPLES, tmp_path / "samples.parquet")
    assert imported[LABELS].equals(own[LABELS])
    assert [split.part for split in make_splits(imported, PROTOCOL, 1)] == [
        split.part for split in make_splits(own, PROTOCOL, 1)
    ]
    scores = import_scores(describe_source(config["ratings"]))
    store.write(tables.SCORES, scores, tmp_path / "scores.parquet")
    files = []
    for path in (dataset / tables.SCORES.path, tmp_path / "scores.parquet"):
        mos, _ = compute_mos(store.read(tables.SCORES, path), scale)
        files.append(tmp_path / f"{len(files)}.parquet")
        store.write(tables.MOS, mos, files[-1])
    assert files[0].read_bytes() == files[1].read_bytes()


def test_the_videos_are_those_of_the_dataset(dataset: Path) -> None:
    config = publish_and_import()
    digests = {
        row["sample_id"]: row["sha256"]
        for method in METHODS
        for row in store.to_records(
            store.read(tables.VIDEOS, dataset / tables.VIDEOS.fill_path(method=method, shard="0"))
        )
    }
    rows = list_videos(config["import"], 1)
    assert {row["sample_id"]: sha256_file(row["source_path"]) for row in rows} == digests


def test_simulated_raters_stay_marked(dataset: Path) -> None:
    path = dataset / tables.SCORES.path
    scores = store.read(tables.SCORES, path).assign(synthetic=True)
    store.write(tables.SCORES, scores, path)
    store.write(tables.MOS, compute_mos(scores, "mean")[0], dataset / tables.MOS.path)
    assert publish_and_import()["ratings"]["synthetic"] is True


def test_published_mos_come_back_with_their_intervals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    dataset = make_dataset(
        Path("results/mine"), {}, mode="import_videos", ratings={"source": "labels"},
        **{"import": {"folder": "x", "labels": {"files": "y"}}},
    )  # fmt: skip
    (dataset / tables.SCORES.path).unlink()
    for table in (tables.IMAGES, tables.CLIPS):
        (dataset / table.path).unlink()
    config = publish_and_import("--video-licence", "CC0")
    rows = list_videos(config["import"], 1)
    mos = read_mos(config["import"], [row["sample_id"] for row in rows])
    store.write(tables.MOS, mos, tmp_path / "again.parquet")
    own = store.read(tables.MOS, dataset / tables.MOS.path)
    again = store.read(tables.MOS, tmp_path / "again.parquet")
    assert own["ci95_low"].notna().all()
    assert again.equals(own)


def test_ready_features_come_back_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [f"{n:03d},{'ab'[n % 2]},{n / 7!r},{(n * 3 % 5) / 3!r},{n / 9!r}" for n in range(9)]
    Path("t.csv").write_text("name,method,niqe,sharp,score\n" + "\n".join(rows) + "\n")
    source = {
        "table": "t.csv",
        "id": "name",
        "columns": {"method": "method"},
        "mos": {"q": "score"},
    }
    folder = Path("results/mine")
    first = import_table(source, 1)
    store.write(tables.SAMPLES, first.samples, folder / tables.SAMPLES.path)
    store.write(tables.MOS, first.mos, folder / tables.MOS.path)
    features = tables.FEATURES.fill_path(extractor="imported", method="all", shard="0")
    store.write_arrow(first.features, folder / features)
    config = {
        "dataset": "mine", "mode": "import_features", "seed": 1, "shards": 1, "import": source,
        "ratings": {"source": "none"}, "regression": {"protocols": [PROTOCOL], "metrics": {}},
    }  # fmt: skip
    manifest = {"same everywhere": {"configuration": config}, "this run": {}}
    (folder / "report").mkdir()
    (folder / "report/manifest.json").write_text(json.dumps(manifest))
    Path("t.csv").unlink()
    again = import_table(publish_and_import()["import"], 1)
    for name, rows_of in (("samples", tables.SAMPLES), ("mos", tables.MOS)):
        store.write(rows_of, getattr(again, name), tmp_path / f"{name}.parquet")
        assert (tmp_path / f"{name}.parquet").read_bytes() == (folder / rows_of.path).read_bytes()
    assert again.features.equals(first.features)
