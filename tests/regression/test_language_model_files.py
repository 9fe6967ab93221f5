"""Model files of a tuned language model: adapters alone, the base beside them, no other base."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
import torch

from language_views import INPUTS, OPTIONS, SPEC, draw_language_view
from model_metadata import CONFORM
from qwen_files import save_published
from sfqa import cli, store
from sfqa.errors import UserError
from sfqa.features import base, qwen_omni_net
from sfqa.features.extractors import qwen_omni
from sfqa.features.qwen_omni_input import VideoWithSound
from sfqa.features.weights import Weights
from sfqa.regression import first_weights, heads, model_files
from sfqa.regression.fine_tuning.language_base import LanguageBase
from sfqa.regression.fitting import ModelOrigin, fit_model
from sfqa.regression.train import RatedFeatures, load_features, train_metric
from videos import make_video

DIMENSIONS = ["audio_visual_consistency", "visual_quality"]
FEATURES = base.merge_options("qwen_omni", SPEC["options"])
ABOUT = {
    "extractor": "qwen_omni", "version": qwen_omni.VERSION,
    "options": base.select_keyed_options("qwen_omni", FEATURES),
    "weights": {"kind": "random", "identity": "random:0"},
}  # fmt: skip
METRIC = {
    "name": "tuned", "kind": "regressor", "group": "g", "head": "fine_tuned", "direction": 1,
    "inputs": INPUTS, "dimensions": None, "extractors": ["qwen_omni"],
    "options": heads.merge_options("fine_tuned", {**OPTIONS, "epochs": 1}),
    first_weights.KEY: {"qwen_omni": SPEC},
}  # fmt: skip


def make_dataset(folder, rows=8, **views):
    """Views of videos of 6 to 12 tokens, except those given, and MOS of both dimensions."""
    names = [f"n{row}" for row in range(rows)]
    records = [
        {"sample_id": name, "method": "m", "key": None, "status": "ok", "detail": "",
         **draw_language_view(row, 6 + row % 7, 0.02 * row), **views}
        for row, name in enumerate(names)
    ]  # fmt: skip
    columns = [f for f in qwen_omni.Extractor.FEATURES if f.dtype == "uint8"]
    path = folder / "views.parquet"
    store.write_arrow(base.build_table(columns, records), path, ABOUT)
    samples = pd.DataFrame({"sample_id": names, "method": "m", "image_id": names, "clip_id": None})
    mos = pd.DataFrame([
        {"sample_id": name, "dimension": dimension, "mos": 1.0 + (row * (n + 1)) % 5,
         "synthetic": False, "status": "ok", "detail": ""}
        for n, dimension in enumerate(DIMENSIONS) for row, name in enumerate(names)
    ])  # fmt: skip
    return samples, mos, {"qwen_omni": [path]}


def write_model(folder, dataset, metric=METRIC):
    samples, mos, files = dataset
    folder.mkdir(exist_ok=True)
    origin = ModelOrigin("a", dict(CONFORM), files)
    design = load_features(metric, files, folder)
    metadata, arrays = fit_model(metric, design, samples, mos, origin, 7, folder)
    model_files.write(folder / "model.sfqa", metadata, arrays)
    return folder / "model.sfqa"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("language")
    dataset = make_dataset(folder)
    return dataset, write_model(folder / "a", dataset), folder


def test_a_model_file_holds_adapters_and_the_identity_of_their_base(trained):
    dataset, path, folder = trained
    model = model_files.read(path)
    assert path.stat().st_size < 1e6  # the language model has 39 MB
    with zipfile.ZipFile(path) as archive:
        tensors = safetensors.numpy.load(archive.read("networks.safetensors"))
        metadata = json.loads(archive.read("model.json"))
    (stage,) = metadata["training"]["stages"]
    assert (stage["train"], len(stage["tensors"])) == ("lora", 28)
    for fit, dimension in enumerate(DIMENSIONS):
        assert metadata["fits"][fit]["dimensions"] == [dimension]
        names = {n for n in tensors if n.startswith(f"{fit}/network.")}
        stored = {f"{fit}/network.{name}" for name in [*stage["tensors"], "base", "question"]}
        assert names == stored
    # In the order of the questions: visual quality first.
    assert [int(tensors[f"{fit}/network.question"][0]) for fit in range(2)] == [1, 0]
    identity = LanguageBase(Weights("random", "random:0"), "tiny", "fp32").compute_identity()
    np.testing.assert_array_equal(tensors["0/network.base"], identity)

    files = dataset[2]
    design = load_features(METRIC, files, folder)
    scores = model_files.Scorer(model, sources={"qwen_omni": SPEC}).predict(design.X)
    assert scores.shape == (8, 2)
    output = folder / "scores.csv"
    cli.main(["score", "--features", str(files["qwen_omni"][0]), "--model", str(path),
              "--weights", "qwen_omni=random", "--out", str(output)])  # fmt: skip
    table = pd.read_csv(output)
    for column, dimension in enumerate(DIMENSIONS):
        np.testing.assert_allclose(table[f"tuned.{dimension}"], scores[:, column], rtol=1e-6)


def test_another_base_is_refused_with_a_sentence(trained):
    path = trained[1]
    model = model_files.read(path)
    message = "trained beside another language model than the one here .random:1, fp32.; give the"
    with pytest.raises(UserError, match=message):
        model_files.Scorer(model, sources={"qwen_omni": {**SPEC, "weights_seed": 1}})
    with pytest.raises(UserError, match="the weights of qwen_omni, whose language model is tuned"):
        model_files.Scorer(model)
    metric = {**METRIC, "options": {**METRIC["options"], "start": str(path)}}
    sources = first_weights.starts.describe_file(metric["options"])
    metric[first_weights.KEY] = {**sources, "qwen_omni": {**SPEC, "weights_seed": 1}}
    with pytest.raises(UserError, match=r"start, .*model\.sfqa: its adapters were trained beside"):
        first_weights.load_first_weights(metric, first_weights.add_base(metric, metric["options"]))


@pytest.mark.parametrize(("option", "value"), [("lora_rank", 8), ("lora_alpha", 4.0)])
def test_adapters_of_another_rank_or_scale_are_no_first_weights(trained, option, value):
    options = {**METRIC["options"], "start": str(trained[1]), option: value}
    metric = {**METRIC, "options": options}
    metric[first_weights.KEY] = {
        **first_weights.starts.describe_file(options), "qwen_omni": SPEC,
    }  # fmt: skip
    sentence = rf"model\.sfqa were trained with {option}: .*, and the head has {option}: {value}; "
    with pytest.raises(UserError, match=sentence):
        first_weights.load_first_weights(metric, first_weights.add_base(metric, options))


@pytest.mark.thorough
def test_a_training_goes_on_from_the_adapters_of_a_model_file(trained):
    dataset, path, folder = trained
    options = {**METRIC["options"], "start": str(path), "learning_rate": 0.0}
    sources = first_weights.starts.describe_file(options)
    metric = {**METRIC, "options": options, "dimensions": ["audio_visual_consistency"]}
    metric[first_weights.KEY] = {**sources, "qwen_omni": SPEC}
    again = model_files.read(write_model(folder / "again", dataset, metric))
    first = model_files.read(path)
    for name in (name for name in again.arrays if name.startswith("0/network.")):
        np.testing.assert_array_equal(again.arrays[name], first.arrays[name])


@pytest.mark.thorough
def test_protocols_train_a_network_for_each_dimension(trained, tmp_path):
    samples, mos, files = trained[0]
    rated = RatedFeatures(load_features(METRIC, files, tmp_path), samples, mos)
    protocols = [{"name": "p", "kind": "random_kfold", "k": 2, "validation": 0}]
    rows = train_metric(METRIC, rated, protocols, 3, tmp_path)
    assert {(row["dimension"], row["status"]) for row in rows} == {(d, "ok") for d in DIMENSIONS}
    # The second run reads what the first one computed.
    assert train_metric(METRIC, rated, protocols, 3, tmp_path) == rows


@pytest.mark.thorough
def test_published_files_are_a_base(tmp_path):
    model = qwen_omni_net.load_thinker(Weights("random", "random:0"), "tiny", "fp32", "cpu")
    source = LanguageBase(save_published(tmp_path, model), "3b", "fp32")
    language, rows = source.load()
    empty, empty_rows = source.build_empty()
    shapes = {name: value.shape for name, value in empty.state_dict().items()}
    assert {name: value.shape for name, value in language.state_dict().items()} == shapes
    assert (rows.shape, empty_rows.device.type) == (empty_rows.shape, "meta")
    torch.testing.assert_close(rows, model.lm_head.weight[[9073, 1661, 6624, 7852, 3873]])


@pytest.mark.thorough
def test_a_real_video_is_scored_with_the_base_and_the_adapters(tmp_path):
    """The whole way: conformed, embeddings of the towers, the base by its seed, two questions."""
    metric = {**METRIC, "options": {**METRIC["options"], "tokens": 800}}
    extractor = base.build_extractor(
        "qwen_omni", SPEC["options"], Weights("random", "random:0"), "cpu"
    )
    frames = np.zeros((2, 112, 112, 3), np.uint8)
    (row,) = extractor.score([VideoWithSound(frames, None)])
    dataset = make_dataset(tmp_path, questions=row["questions"])
    path = write_model(tmp_path / "model", dataset, metric)
    videos = [make_video(tmp_path / "in" / f"n{n}.mp4", seed=n, side=112) for n in range(2)]
    output = tmp_path / "scores.csv"
    words = ["score", *map(str, videos), "--model", str(path), "--out", str(output)]
    assert cli.main(words) == 0
    scores = pd.read_csv(output)
    assert (scores["weights"] == "random (untrained)").all()
    for dimension in DIMENSIONS:
        assert np.isfinite(scores[f"tuned.{dimension}"]).all()
        assert scores[f"tuned.{dimension}"].nunique() == 2
