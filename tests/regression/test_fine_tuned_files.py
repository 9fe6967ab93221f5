"""Model files of fine-tuned backbones: what they hold, scores of other videos, another start."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy

from sfqa import store
from sfqa.cli import main
from sfqa.errors import UserError
from sfqa.features import base
from sfqa.regression import cross, first_weights, heads, model_files
from sfqa.regression.fitting import ModelOrigin, fit_model
from sfqa.regression.train import load_features
from small_backbones import FRAMES, SIDE, use_small_backbones

FEATURE = base.Feature("view", "clips", ("clip", "colour", "frame", "row", "column"), "uint8")
#: As the features of fast_vqa: their weights are what a network starts from.
ABOUT = {
    "extractor": "fast_vqa", "version": 1, "options": {"views": 1},
    "weights": {"kind": "official", "identity": "ab" * 32},
}  # fmt: skip
METRIC = {
    "name": "tuned", "kind": "regressor", "group": "g", "head": "fine_tuned", "direction": 1,
    "inputs": ["fast_vqa.view"], "dimensions": None, "extractors": ["fast_vqa"],
    "options": {
        "start": "random", "epochs": 2, "train": "last_stage", "select": "none", "ema": 0.0,
        "warmup_epochs": 0.0,
    },
}  # fmt: skip


def make_dataset(folder, seed, rows=12):
    """A table of views that are darker or brighter, as their MOS says."""
    numbers = np.random.default_rng(seed)
    names = [f"s{seed}n{row:02}" for row in range(rows)]
    mos = numbers.uniform(1, 5, rows)
    records = [
        {"sample_id": name, "method": "m", "key": None, "status": "ok", "detail": "",
         "view": (40 * value + numbers.integers(0, 50, (2, 3, FRAMES, SIDE, SIDE))).astype("uint8")}
        for name, value in zip(names, mos, strict=True)
    ]  # fmt: skip
    path = folder / f"views-{seed}.parquet"
    store.write_arrow(base.build_table([FEATURE], records), path, ABOUT)
    samples = pd.DataFrame({"sample_id": names, "method": "m", "image_id": names, "clip_id": None})
    table = pd.DataFrame({
        "sample_id": names, "dimension": "quality", "mos": mos, "synthetic": False,
        "status": "ok", "detail": "",
    })  # fmt: skip
    return samples, table, {"fast_vqa": [path]}


def write_model(folder, dataset, metric=METRIC):
    samples, mos, files = dataset
    folder.mkdir(exist_ok=True)
    design = load_features(metric, files, folder)
    metadata, arrays = fit_model(
        metric, design, samples, mos, ModelOrigin("a", None, files), 7, folder
    )
    path = folder / "model.sfqa"
    model_files.write(path, metadata, arrays)
    return path


def test_a_model_file_holds_the_network_as_safetensors_and_scores_other_videos(
    tmp_path, monkeypatch
):
    use_small_backbones(monkeypatch)
    dataset = make_dataset(tmp_path, 0)
    path = write_model(tmp_path / "a", dataset)
    model = model_files.read(path)
    with zipfile.ZipFile(path) as archive:
        tensors = safetensors.numpy.load(archive.read("networks.safetensors"))
        metadata = json.loads(archive.read("model.json"))
    assert metadata["format"] == 2
    networks = {name for name in model.arrays if name.startswith("0/network.")}
    assert set(tensors) == networks
    assert all(np.array_equal(tensors[name], model.arrays[name]) for name in networks)
    (stage,) = metadata["training"]["stages"]
    assert (stage["train"], stage["epochs"]) == ("last_stage", 2)
    assert "network.vqa_head.fc_hid.weight" in stage["tensors"]
    assert not any("layers.0" in name for name in stage["tensors"])
    assert path.read_bytes() == write_model(tmp_path / "again", dataset).read_bytes()

    samples, mos, files = make_dataset(tmp_path, 1)
    design = cross.load_model_features(model, files, tmp_path)
    rows = cross.score_cross_dataset(
        METRIC,
        {"name": "from_a", "kind": "cross_dataset", "model": "a"},
        model,
        design,
        samples,
        mos,
    )
    assert [row["status"] for row in rows] == ["ok"] * 12
    scores = model_files.Scorer(model).predict(design.X)[:, 0]
    assert [row["prediction"] for row in rows] == pytest.approx(scores.tolist())
    output = tmp_path / "scores.csv"
    table = files["fast_vqa"][0]
    main(["score", "--features", str(table), "--model", str(path), "--out", str(output)])
    assert pd.read_csv(output)["tuned.quality"].tolist() == pytest.approx(scores.tolist())


def test_a_training_starts_from_a_model_file_of_ones_own(tmp_path, monkeypatch):
    use_small_backbones(monkeypatch)
    dataset = make_dataset(tmp_path, 0)
    path = write_model(tmp_path / "a", dataset)
    options = {**METRIC["options"], "start": str(path), "learning_rate": 0.0, "epochs": 1}
    metric = {**METRIC, "options": heads.merge_options("fine_tuned", options)}
    metric |= first_weights.select_sources(metric, {}, None)
    # Without a step the networks, and so the scores, are those of the file.
    again = model_files.read(write_model(tmp_path / "b", dataset, metric))
    first = model_files.read(path)
    for name in (name for name in first.arrays if name.startswith("0/network.")):
        np.testing.assert_array_equal(again.arrays[name], first.arrays[name])
    dover = {**metric, "inputs": ["dover.technical_view", "dover.aesthetic_view"]}
    dover["options"] = {**metric["options"], "backbone": "dover"}
    with pytest.raises(UserError, match="the head fine_tuned with the backbone fast_vqa; give a m"):
        first_weights.load_first_weights(dover, dover["options"])
