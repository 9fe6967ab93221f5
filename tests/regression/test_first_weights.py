"""Heads that start from the head of a published checkpoint."""

from __future__ import annotations

import hashlib
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from sfqa.errors import UserError
from sfqa.features.map_networks import FastVqa
from sfqa.features.vqa_head_net import VqaHead
from sfqa.regression import first_weights, heads
from sfqa.regression.blocks import BlockDesign
from sfqa.regression.metrics import list_metrics
from sfqa.regression.networks.branches import RewardHead
from sfqa.regression.train import RatedFeatures, train_metric

ROWS, CHANNELS, HIDDEN = 60, 6, 5
PROTOCOLS = [{"name": "random", "kind": "random_kfold", "k": 2, "validation": 0.3}]
#: A learning rate of 0 leaves the head as it starts.
OPTIONS = {"start": "checkpoint", "hidden": HIDDEN, "epochs": 1, "learning_rate": 0.0}


def make_head(seed):
    torch.manual_seed(seed)
    return VqaHead(CHANNELS, HIDDEN).eval()


def store_checkpoint(path, *prefixes, seed=0):
    """Write a checkpoint with a head for each prefix; return the entry of ``first_weights``."""
    state = {"fragments_backbone.norm.weight": torch.ones(3)}
    for number, prefix in enumerate(prefixes):
        head = make_head(seed + number)
        state |= {prefix + key: value for key, value in head.state_dict().items()}
    torch.save({"state_dict": state}, path)
    return describe_file(path)


def describe_file(path):
    return {"weights": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def make_rated(*names):
    numbers = np.random.default_rng(0)
    ids = [f"s{n:02}" for n in range(ROWS)]
    samples = pd.DataFrame({"sample_id": ids, "method": "m", "image_id": ids, "clip_id": ids})
    samples[["pair_id", "prompt", "split"]] = None
    mos = pd.DataFrame(
        {"sample_id": ids, "dimension": "quality", "mos": numbers.normal(size=ROWS),
         "synthetic": False, "status": "ok", "detail": ""}
    )  # fmt: skip
    maps = {
        name: numbers.normal(size=(ROWS, 2, CHANNELS, 2, 2, 2)).astype(np.float16) for name in names
    }
    return RatedFeatures(BlockDesign(ids, maps, {}), samples, mos)


def predict(folder, rated, sources, head="vqa_head", **changed):
    metric = {
        "name": "m", "head": head, "inputs": list(rated.design.X),
        "options": {**OPTIONS, **changed}, first_weights.KEY: sources,
    }  # fmt: skip
    rows = train_metric(metric, rated, PROTOCOLS, 0, folder)
    frame = pd.DataFrame(rows)
    assert set(frame["status"]) == {"ok"}
    return frame[frame["trial"] == 0].set_index("sample_id")["prediction"].sort_index()


def score_maps(maps, head):
    """Return the head's mean score of the clips of every row."""
    clips = torch.from_numpy(maps.astype(np.float32)).flatten(0, 1)
    with torch.no_grad():
        return head.score_maps(clips).unflatten(0, (ROWS, 2)).mean(dim=1)[:, 0].numpy()


def correlate(predictions, rated, *scorers):
    """Return Pearson's correlation with the sum of the heads' scores."""
    scores = sum(map(score_maps, rated.design.X.values(), scorers))
    rows = [rated.design.sample_ids.index(sample) for sample in predictions.index]
    return np.corrcoef(predictions, scores[rows])[0, 1]


def test_without_a_step_it_predicts_as_the_published_head(tmp_path):
    rated = make_rated("fast_vqa.map")
    spec = store_checkpoint(tmp_path / "a.pth", "vqa_head.")
    predictions = predict(tmp_path / "w", rated, {"fast_vqa": spec})
    assert correlate(predictions, rated, make_head(0)) == pytest.approx(1, abs=1e-9)
    drawn = predict(tmp_path / "w", rated, {}, start="random")
    assert abs(correlate(drawn, rated, make_head(0))) < 0.99


def test_both_heads_of_dover_and_their_sum(tmp_path):
    rated = make_rated("dover.technical", "dover.aesthetic")
    spec = store_checkpoint(tmp_path / "a.pth", "technical_head.", "aesthetic_head.")
    predictions = predict(tmp_path / "w", rated, {"dover": spec})
    assert correlate(predictions, rated, make_head(0), make_head(1)) == pytest.approx(1, abs=1e-9)
    assert correlate(predictions, rated, make_head(1), make_head(0)) < 0.99


def test_the_three_branches_of_aigc_vqa_and_their_sum(tmp_path):
    names = ["dover.technical", "dover.aesthetic", "blip.cls"]
    rated = make_rated(*names)
    tokens = np.random.default_rng(1).normal(size=(ROWS, 768)).astype(np.float32)
    rated.design.X["blip.cls"] = tokens
    torch.manual_seed(2)
    reward = RewardHead(768, 1).eval()
    torch.save({f"mlp.{k}": v for k, v in reward.state_dict().items()}, tmp_path / "reward.pt")
    (tmp_path / "vocabulary.txt").write_text("[PAD]\n")
    vocabulary, blip = (describe_file(tmp_path / n) for n in ("vocabulary.txt", "reward.pt"))
    sources = {
        "dover": store_checkpoint(tmp_path / "a", "technical_head.", "aesthetic_head."),
        "blip": {**blip, "parts": {"vocabulary": vocabulary}},
    }
    predictions = predict(tmp_path / "w", rated, sources, head="aigc_vqa")
    with torch.no_grad():
        scores = reward(torch.from_numpy(tokens))[:, 0].numpy()
        for name, head in zip(names, (make_head(0), make_head(1)), strict=False):
            scores = scores + score_maps(rated.design.X[name], head)
    rows = [rated.design.sample_ids.index(sample) for sample in predictions.index]
    assert np.corrcoef(predictions, scores[rows])[0, 1] == pytest.approx(1, abs=1e-9)


def test_another_file_is_another_fit_and_the_same_one_is_reused(tmp_path):
    rated = make_rated("fast_vqa.map")
    first = predict(
        tmp_path / "w", rated, {"fast_vqa": store_checkpoint(tmp_path / "a", "vqa_head.")}
    )
    count = len(list((tmp_path / "w").glob("*.npz")))
    moved = store_checkpoint(tmp_path / "elsewhere", "vqa_head.")
    assert predict(tmp_path / "w", rated, {"fast_vqa": moved}).equals(first)
    assert len(list((tmp_path / "w").glob("*.npz"))) == count
    other = store_checkpoint(tmp_path / "b", "vqa_head.", seed=5)
    assert not predict(tmp_path / "w", rated, {"fast_vqa": other}).equals(first)
    assert len(list((tmp_path / "w").glob("*.npz"))) == 2 * count


def test_random_weights_start_from_the_extractors_untrained_head():
    spec = {"weights": "random", "weights_seed": 3, "options": {"blocks": "reduced"}}
    metric = {
        "name": "m", "head": "vqa_head", "inputs": ["fast_vqa.map"],
        "options": {"start": "checkpoint"}, first_weights.KEY: {"fast_vqa": spec},
    }  # fmt: skip
    weights = first_weights.load_first_weights(metric, heads.merge_options("vqa_head", {}))
    torch.manual_seed(3)
    expected = FastVqa(True).vqa_head.state_dict()
    assert sorted(weights) == [f"heads.map0.{name}" for name in sorted(expected)]
    for name, value in expected.items():
        np.testing.assert_array_equal(weights[f"heads.map0.{name}"], value.numpy())


def test_files_without_the_head_and_heads_of_another_size_are_sentences(tmp_path):
    rated = make_rated("fast_vqa.map")
    with pytest.raises(UserError, match=r"no head vqa_head\.\*.*start: random"):
        predict(tmp_path, rated, {"fast_vqa": store_checkpoint(tmp_path / "a", "other.")})
    spec = store_checkpoint(tmp_path / "b", "vqa_head.")
    with pytest.raises(
        UserError, match=r"fc_hid\.weight has the shape \(5, 6.* and in the head \(9, 6"
    ):
        predict(tmp_path, rated, {"fast_vqa": spec}, hidden=9)
    with pytest.raises(UserError, match="has the sha256"):
        predict(tmp_path, rated, {"fast_vqa": {**spec, "sha256": "0" * 64}})


def test_an_input_without_a_published_head_is_an_error_before_the_first_job():
    entry = {"kind": "regressor", "head": "vqa_head", "options": {"start": "checkpoint"}}
    columns = {"fast_vqa": None, "spatial": None}
    list_metrics({"A": {**entry, "inputs": ["fast_vqa.map"]}}, columns)
    with pytest.raises(UserError, match=r"A\.options\.start: no published head reads spatial"):
        list_metrics({"A": {**entry, "inputs": ["spatial"]}}, columns)
    wide = {**entry, "options": {"start": "checkpoint", "hidden": 32}, "inputs": ["fast_vqa.map"]}
    with pytest.raises(UserError, match="have a hidden layer of 64, and hidden is 32"):
        list_metrics({"A": wide}, columns)


def test_a_job_depends_on_the_weights_and_their_digest(tmp_path):
    """The sources are parameters and the manifests inputs, so that other weights run it again."""
    metric = {"options": {"start": "checkpoint"}, "extractors": ["fast_vqa"]}
    weights = SimpleNamespace(
        add_official=lambda spec, name: {**spec, "official": {"entry": {"name": "fast_vqa_b"}}},
        list_manifests_of=lambda names: [f"{name}.json" for name in names],
    )
    features = {"fast_vqa": {"weights": "official", "options": {}, "time_limit_sec": 5}}
    sources = first_weights.select_sources(metric, features, weights)
    assert sources[first_weights.KEY]["fast_vqa"].keys() == {"weights", "options", "official"}
    assert first_weights.list_manifests(metric, weights) == ["fast_vqa.json"]
    manifest = tmp_path / "fast_vqa_b.json"
    manifest.write_text(json.dumps({"name": "fast_vqa_b", "sha256": "ab"}))
    job_metric = first_weights.add_manifests({**metric, **sources}, [str(manifest)])
    assert job_metric[first_weights.KEY]["fast_vqa"]["sha256"] == "ab"
    plain = {"options": {"start": "random"}, "extractors": ["fast_vqa"]}
    assert first_weights.select_sources(plain, features, weights) == {}
    assert first_weights.list_manifests(plain, weights) == []
    assert first_weights.add_manifests(plain, []) == plain


FINE_TUNED = {"backbone": "fast_vqa", "blocks": "reduced"}


def describe_fine_tuned(**options):
    merged = heads.merge_options("fine_tuned", {**FINE_TUNED, **options})
    inputs = ["fast_vqa.view"]
    return {"name": "m", "head": "fine_tuned", "inputs": inputs, "options": merged,
            "extractors": ["fast_vqa"]}  # fmt: skip


def test_a_fine_tuned_network_starts_from_the_whole_network_of_the_extractor():
    metric = describe_fine_tuned()
    spec = {"weights": "random", "weights_seed": 3, "options": {"blocks": "reduced"}}
    metric[first_weights.KEY] = {"fast_vqa": spec}
    weights = first_weights.load_first_weights(metric, metric["options"])
    torch.manual_seed(3)
    expected = FastVqa(True).state_dict()
    assert sorted(weights) == [f"network.{name}" for name in sorted(expected)]
    for name, value in expected.items():
        np.testing.assert_array_equal(weights[f"network.{name}"], value.numpy())
    metric[first_weights.KEY] = {"fast_vqa": {**spec, "options": {}}}
    with pytest.raises(UserError, match="fast_vqa has blocks: official, and the head blocks: red"):
        first_weights.load_first_weights(metric, metric["options"])


def test_a_fine_tuned_network_starts_from_a_checkpoint_of_ones_own(tmp_path):
    torch.manual_seed(8)
    network = FastVqa(True)
    path = tmp_path / "own.pth"
    torch.save({"state_dict": network.state_dict()}, path)
    metric = describe_fine_tuned(start=str(path))
    metric |= first_weights.select_sources(metric, {}, SimpleNamespace())
    ((key, source),) = metric[first_weights.KEY].items()
    assert source == describe_file(path)
    assert first_weights.list_manifests(metric, SimpleNamespace()) == []
    assert first_weights.add_manifests(metric, []) == metric
    weights = first_weights.load_first_weights(metric, metric["options"])
    state = network.state_dict()
    assert all(np.array_equal(weights[f"network.{name}"], state[name].numpy()) for name in state)
    torch.save({"vqa_head.fc_hid.bias": torch.zeros(64)}, path)
    with pytest.raises(UserError, match="was changed since the run was planned"):
        first_weights.load_first_weights(metric, metric["options"])
    metric[first_weights.KEY] = {key: describe_file(path)}
    with pytest.raises(UserError, match=r"do not fit FastVqa: 1 of \d+ keys match"):
        first_weights.load_first_weights(metric, metric["options"])


def test_a_network_from_random_weights_is_labelled_so_and_wrong_inputs_are_sentences():
    drawn = describe_fine_tuned(start="random")
    assert first_weights.draws_backbone(drawn)
    assert first_weights.load_first_weights(drawn, drawn["options"]) is None
    assert not first_weights.draws_backbone(describe_fine_tuned())
    assert not first_weights.draws_backbone({"options": {"start": "random"}})
    entry = {"kind": "regressor", "head": "fine_tuned", "inputs": ["fast_vqa.map"]}
    with pytest.raises(UserError, match=r"metrics\.A, inputs: the backbone fast_vqa reads fast_vq"):
        list_metrics({"A": entry}, {"fast_vqa": None})
    stages = {"options": {"stages": [{"train": {"sound": "all"}, "epochs": 1}], "start": "random"}}
    with pytest.raises(UserError, match=r"fast_vqa has no branch 'sound'; there are technical"):
        list_metrics({"A": {**entry, "inputs": ["fast_vqa.view"], **stages}}, {"fast_vqa": None})
    missing = {**entry, "inputs": ["fast_vqa.view"], "options": {"start": "none.pth"}}
    with pytest.raises(UserError, match=r"A\.options\.start: there is no file none\.pth; write ch"):
        list_metrics({"A": missing}, {"fast_vqa": None})
