"""Backbones of timm whose features are joined with frozen ones, as MiVQA's Swin-B."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import timm
import torch

from sfqa import store
from sfqa.errors import UserError
from sfqa.features import base
from sfqa.regression import heads, model_files
from sfqa.regression.fine_tuning import image
from sfqa.regression.fine_tuning.registry import JOINED_WIDTH, check_inputs
from sfqa.regression.fitting import ModelOrigin, fit_model
from sfqa.regression.head_inputs import assign_shapes
from sfqa.regression.problems import make_problem
from sfqa.regression.train import load_features
from small_backbones import draw_first_weights

HEAD = heads.load_head("fine_tuned")
MODEL, SIDE, ROWS, SEED = "test_vit.r160_in1k", 160, 4, 11
INPUTS = ["image-swin.frames", "slowfast.slowfast", "iqa-liqe.score", "fast_vqa.pooled"]
OPTIONS = {
    "backbone": "image", "model": MODEL, "loss": "mse", "mos": "as_is", "optimizer": "adam",
    "learning_rate": 2e-5, "weight_decay": 1e-7, "backbone_rate": 1.0, "warmup_epochs": 0.0,
    "cosine": False, "decay": 0.9, "decay_every": 2, "ema": 0.0, "select": "none",
    "batch_rows": ROWS,
}  # fmt: skip
FEATURES = {
    "image-swin": base.Feature("frames", "", ("frame", "colour", "row", "column"), "uint8"),
    "slowfast": base.Feature("slowfast", "", ("clip", "channel"), "float32"),
    "iqa-liqe": base.Feature("score", "", dtype="float64"),
    "fast_vqa": base.Feature("pooled", "", ("clip", "channel"), "float32"),
}


def draw_frames(rows):
    return np.random.default_rng(0).integers(0, 256, (rows, 2, 3, SIDE, SIDE), np.uint8)


def test_backbone_and_joined_features_are_trained_as_by_a_plain_loop(tmp_path):
    """MiVQA's optimiser and schedule: the whole network, and two layers on all features."""
    numbers = np.random.default_rng(1)
    frames, y = draw_frames(ROWS), numbers.uniform(1, 5, (ROWS, 1))
    joined = [numbers.normal(size=(ROWS, width)).astype(np.float32) for width in (5, 1, 3)]
    network = image.build({"model": MODEL, JOINED_WIDTH: 9})
    first = draw_first_weights(network)
    merged = heads.merge_options("fine_tuned", {**OPTIONS, "epochs": 5, "precision": "float64"})
    problem = replace(make_problem(range(ROWS), (), y, SEED), first_weights=first)
    blocks = dict(zip(INPUTS, [frames, *joined], strict=True))
    state = HEAD.fit(blocks, [problem], merged, tmp_path, "cpu").state(0)

    plain = timm.create_model(MODEL, num_classes=0).double()
    plain.load_state_dict(network.network.state_dict())
    layers = network.quality.double()
    config = plain.pretrained_cfg
    mean, std = (torch.tensor(config[n]).double().view(3, 1, 1) for n in ("mean", "std"))
    pictures = (torch.from_numpy(frames).double() / 255 - mean) / std
    others = [torch.from_numpy(block).double() for block in joined]
    parameters = [*plain.parameters(), *layers.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=2e-5, weight_decay=1e-7)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.9)
    for _ in range(5):
        pooled = plain(pictures.flatten(0, 1)).unflatten(0, (ROWS, 2)).mean(1)
        scores = layers(torch.cat([pooled, *others], 1))
        optimizer.zero_grad()
        ((scores - torch.from_numpy(y)) ** 2).mean().backward()
        optimizer.step()
        scheduler.step()
    for prefix, module in (("network.network.", plain), ("network.quality.", layers)):
        for name, value in module.state_dict().items():
            np.testing.assert_allclose(state[prefix + name], value.numpy(), rtol=0, atol=1e-6)
    moved = np.abs(layers[0].weight.detach().numpy()[:, -9:] - first["quality.0.weight"][:, -9:])
    assert moved.min() > 5e-5


def make_tables(folder, rows):
    """Tables of every extractor; videos differ in their numbers of clips, and two are missing."""
    numbers = np.random.default_rng(2)
    values = {
        "image-swin": list(draw_frames(rows)),
        "slowfast": [numbers.normal(size=(3 + n % 2, 5)).astype(np.float32) for n in range(rows)],
        "iqa-liqe": list(numbers.uniform(1, 5, rows)),
        "fast_vqa": [numbers.normal(size=(4, 3)).astype(np.float32) for _ in range(rows)],
    }
    files = {}
    for number, (name, feature) in enumerate(FEATURES.items()):
        records = [
            {"sample_id": f"s{row}", "method": "m", "key": None, "status": "ok", "detail": "",
             feature.name: values[name][row]}
            for row in range(rows)
        ]  # fmt: skip
        if number in (1, 2):
            records[-number] |= {"status": "failed", "detail": f"broken: {name}"}
        files[name] = [folder / f"{name}.parquet"]
        about = {"extractor": name, "version": 1, "options": {}}
        weights = {"kind": "official", "identity": "ab" * 32}
        table = base.build_table([feature], records)
        store.write_arrow(table, files[name][0], {**about, "weights": weights})
    return values, files


def test_a_model_file_scores_from_views_and_the_means_of_joined_features(tmp_path):
    rows = 8
    values, files = make_tables(tmp_path, rows)
    names = [f"s{row}" for row in range(rows)]
    samples = pd.DataFrame({"sample_id": names, "method": "m", "image_id": names, "clip_id": None})
    mos = pd.DataFrame({
        "sample_id": names, "dimension": "quality", "mos": np.linspace(1, 5, rows),
        "synthetic": False, "status": "ok", "detail": "",
    })  # fmt: skip
    options = {**OPTIONS, "start": "random", "train": "last_stage", "epochs": 1, "steps": 2}
    metric = {
        "name": "joined", "kind": "regressor", "group": "g", "head": "fine_tuned", "direction": 1,
        "inputs": INPUTS, "dimensions": None, "extractors": list(FEATURES), "options": options,
    }  # fmt: skip
    design = load_features(metric, files, tmp_path)
    assert design.sample_ids == names[:6]
    assert [*design.dropped.values()] == ["broken: iqa-liqe", "broken: slowfast"]
    assert [block.shape[1:] for block in design.X.values()][1:] == [(5,), (1,), (3,)]
    origin = ModelOrigin("a", None, files)
    metadata, arrays = fit_model(metric, design, samples, mos, origin, 7, tmp_path)
    (stage,) = metadata["training"]["stages"]
    # The last block of a vision transformer, with the norm after it, and both layers.
    prefixes = ("network.blocks.5.", "network.norm.", "network.fc_norm.", "quality.")
    trained = {n[10:] for n in arrays if n[10:].startswith(prefixes)}
    assert set(stage["tensors"]) == trained
    path = tmp_path / "model.sfqa"
    model_files.write(path, metadata, arrays)
    scores = model_files.Scorer(model_files.read(path)).predict(design.X)[:, 0]

    network = image.build({"model": MODEL, JOINED_WIDTH: 9}).eval()
    state = {n.removeprefix("0/network."): torch.from_numpy(np.array(v)) for n, v in arrays.items()}
    network.load_state_dict({n: v for n, v in state.items() if n in network.state_dict()})
    inputs = {
        "frames": torch.from_numpy(np.stack(values["image-swin"][:6])),
        "joined0": torch.from_numpy(np.stack([v.mean(0) for v in values["slowfast"][:6]])),
        "joined1": torch.tensor(values["iqa-liqe"][:6], dtype=torch.float32)[:, None],
        "joined2": torch.from_numpy(np.stack([v.mean(0) for v in values["fast_vqa"][:6]])),
    }
    with torch.inference_mode():
        expected = network(inputs)[:, 0].numpy()
    np.testing.assert_allclose(scores, expected, atol=1e-4)


def test_views_come_first_and_only_networks_of_timm_join_others():
    options = {"backbone": "image"}
    shapes = ["views", "numbers", "numbers", "numbers"]
    assert assign_shapes("fine_tuned", options, INPUTS) == shapes
    assert assign_shapes("fine_tuned", options, INPUTS[:1]) == ["views"]
    check_inputs("image", INPUTS, "metric m")
    with pytest.raises(UserError, match=r"reads image\.frames, and frozen features after them"):
        check_inputs("image", INPUTS[::-1], "metric m")
    with pytest.raises(UserError, match=r"backbone fast_vqa reads fast_vqa\.view, and the inputs"):
        check_inputs("fast_vqa", ["fast_vqa.view", *INPUTS[1:]], "metric m")
