"""SimpleVQA's head in both conventions: the last second repeated, or every second once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from sfqa import store
from sfqa.errors import UserError
from sfqa.features.base import Feature, build_table
from sfqa.regression import heads
from sfqa.regression.blocks import Steps, load_blocks
from sfqa.regression.design import load_design
from sfqa.regression.problems import make_problem
from sfqa.regression.steps import choose_steps

GOLDEN = Path(__file__).parents[1] / "features" / "golden" / "simplevqa_official.json"
HEAD = heads.load_head("simplevqa")
FEATURES = [
    Feature("still", "", ("frame", "channel"), "float32"),
    Feature("motion", "", ("clip", "channel"), "float32"),
]
INPUTS = ["e.still", "e.motion"]


def write_features(path):
    """Write features of 3 to 12 seconds and return their rows."""
    numbers = np.random.default_rng(0)
    rows = [
        {"sample_id": f"s{n:02}", "method": "m", "key": None, "status": "ok", "detail": "",
         "still": numbers.normal(size=(3 + n % 10, 5)).astype(np.float32),
         "motion": numbers.normal(size=(3 + n % 10, 3)).astype(np.float32)}
        for n in range(50)
    ]  # fmt: skip
    store.write_arrow(build_table(FEATURES, rows), path)
    return rows


def read_steps(seconds, folder):
    options = heads.merge_options("simplevqa", {"seconds": seconds})
    steps = [head_input.steps for head_input in HEAD.list_inputs(options, INPUTS)]
    return load_blocks({"e": [folder / "t"]}, INPUTS, steps, folder).X


def test_the_mean_of_a_linear_head_is_the_official_score_in_both_conventions():
    """The head is linear, so its score of a mean is the mean of the golden scores of seconds."""
    scores = json.loads(GOLDEN.read_text())["pipeline"]["scores"]
    seconds = np.array(scores["per_second"])
    official = scores["training_convention_8_with_last_repeated"]
    eight = choose_steps(6, Steps(8, "mean_first"))
    assert eight.tolist() == [0, 1, 2, 3, 4, 5, 5, 5]
    assert seconds[eight].mean() == pytest.approx(official, abs=1e-6)
    assert seconds.mean() == pytest.approx(scores["mean_of_6_seconds"], abs=1e-6)
    assert abs(official - scores["mean_of_6_seconds"]) > 1e-5


def test_seconds_are_repeated_or_cut_and_joined(tmp_path):
    rows = write_features(tmp_path / "t")
    blocks = read_steps(8, tmp_path)
    for name, column in zip(INPUTS, ("still", "motion"), strict=True):
        for row, values in zip(rows, blocks[name], strict=True):
            steps = row[column][:8]
            padded = np.concatenate([steps, np.repeat(steps[-1:], 8 - len(steps), axis=0)])
            np.testing.assert_allclose(values, padded.mean(axis=0), atol=1e-6)
    once = read_steps(0, tmp_path)
    np.testing.assert_allclose(
        np.concatenate(list(once.values()), axis=1),
        load_design({"e": [tmp_path / "t"]}, INPUTS).X,
        atol=1e-6,
    )


def test_with_every_second_once_it_is_the_head_mlp(tmp_path):
    write_features(tmp_path / "t")
    blocks = read_steps(0, tmp_path)
    matrix = np.concatenate(list(blocks.values()), axis=1)
    problem = make_problem(range(30), range(30, 40), 50 + matrix[:, 0].astype(np.float64))
    training = {"loss": "mae + rank_simplevqa", "learning_rate": 1e-5, "decay": 0.9,
                "decay_every": 2, "batch_rows": 8, "epochs": 10}  # fmt: skip
    options = heads.merge_options("simplevqa", {"seconds": 0})
    plain = heads.merge_options("mlp", training)
    predictions = [
        heads.load_head(name).fit(x, [problem], chosen, tmp_path / name, "cpu").predict(x)
        for name, x, chosen in (("simplevqa", blocks, options), ("mlp", matrix, plain))
    ]
    np.testing.assert_allclose(predictions[0], predictions[1], rtol=0, atol=1e-9)
    assert np.ptp(predictions[0]) > 0


def test_it_needs_an_input():
    with pytest.raises(UserError, match="head simplevqa: no inputs"):
        HEAD.list_inputs(heads.merge_options("simplevqa", {}), [])


def test_the_published_size():
    with torch.device("meta"):
        net = HEAD.build({"a": (7168,), "b": (2304,)}, 1, heads.merge_options("simplevqa", {}))
    shapes = [tuple(p.shape) for p in net.parameters()]
    assert shapes == [(128, 9472), (128,), (1, 128), (1,)]
