"""The heads of NTIRE 2025's teams: what their layers compute, that they learn, and what they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor

from sfqa.errors import UserError
from sfqa.regression import heads, losses
from sfqa.regression.blocks import Steps
from sfqa.regression.networks.adapters import AdapterFusion
from sfqa.regression.networks.nextvlad import FrameEnsemble, NextVlad
from sfqa.regression.networks.separate_scores import average_losses
from sfqa.regression.problems import make_problem

QUICK = {"learning_rate": 1e-2, "epochs": 25, "batch_rows": 40, "precision": "float64"}
#: Small versions of each head, and the number of its inputs.
HEADS: dict[str, tuple[dict[str, Any], int]] = {
    "frame_ensemble": (
        {"frames": [2, 4], "clusters": 4, "groups": 2, "hidden": 8, "learning_rate": 3e-3}, 2,
    ),
    "adapter_fusion": ({"width": 8, "hidden": 8, "gate": True, "branch_scores": True}, 3),
    "cross_attention": ({"frames": 4, "clips": 3, "width": 8, "heads": 2, "hidden": 8}, 2),
}  # fmt: skip


def draw_features(count: int, inputs: int) -> tuple[dict[str, Any], np.ndarray]:
    """Return noisy features of four steps that all show the quality, and the quality."""
    numbers = np.random.default_rng(4)
    quality = np.repeat(numbers.normal(size=count // 2), 2) + 0.5 * numbers.normal(size=count)
    blocks = {}
    for name in "abc"[:inputs]:
        noise = numbers.normal(size=(count, 4, 12))
        loadings = numbers.normal(size=12)
        blocks[name] = (quality[:, None, None] * loadings + 1.5 * noise).astype(np.float32)
    return blocks, quality


def fit(name: str, folder: Path, quality: np.ndarray, blocks: Any, seeds: int = 1) -> Any:
    """Train on 160 rows and select on 40; rows from 200 on are test rows."""
    options = heads.merge_options(name, QUICK | HEADS[name][0])
    mos = 50 + 10 * quality
    problems = [make_problem(range(160), range(160, 200), mos, seed) for seed in range(seeds)]
    return options, heads.load_head(name).fit(blocks, problems, options, folder, "cpu")


@pytest.mark.thorough
@pytest.mark.parametrize("name", list(HEADS))
def test_each_learns_and_shuffled_labels_show_nothing(name: str, tmp_path: Path) -> None:
    """Pairs of rows share most of their quality; no pair is in train and test."""
    blocks, quality = draw_features(400, HEADS[name][1])
    _, models = fit(name, tmp_path / "true", quality, blocks)
    assert spearmanr(models.predict(blocks)[0, 200:, 0], quality[200:]).statistic > 0.9
    shuffled = np.random.default_rng(1).permutation(quality)
    _, models = fit(name, tmp_path / "shuffled", shuffled, blocks)
    assert abs(spearmanr(models.predict(blocks)[0, 200:, 0], shuffled[200:]).statistic) < 0.2


@pytest.mark.parametrize("name", list(HEADS))
def test_batched_is_single_and_a_model_file_predicts_the_same(name: str, tmp_path: Path) -> None:
    blocks, quality = draw_features(240, HEADS[name][1])
    options, models = fit(name, tmp_path, quality, blocks, seeds=2)
    together = models.predict(blocks)
    for row in (0, 7, 239):
        single = models.predict({key: x[row : row + 1] for key, x in blocks.items()})
        np.testing.assert_allclose(single[:, 0], together[:, row], rtol=1e-6)
    restored = heads.load_head(name).restore([models.state(1)], options, "cpu")
    np.testing.assert_allclose(restored.predict(blocks)[0], together[1], rtol=1e-6)


#: Predictions of three rows after two epochs, by head and VERSION.
GOLDEN: dict[tuple[str, int], list[float]] = {
    ("frame_ensemble", 1): [52.13172431726393, 53.53905846767148, 44.00799304956828],
    ("adapter_fusion", 1): [53.87447839429749, 55.55196614223155, 49.57205622976781],
    ("cross_attention", 1): [53.539918064023965, 55.99926541454829, 48.016796927757184],
}


@pytest.mark.parametrize("name", list(HEADS))
def test_numbers_change_only_with_the_version(name: str, tmp_path: Path) -> None:
    blocks, quality = draw_features(240, HEADS[name][1])
    head = heads.load_head(name)
    options = heads.merge_options(name, {**QUICK, **HEADS[name][0], "epochs": 2})
    problem = make_problem(range(160), range(160, 200), 50 + 10 * quality, 0)
    models = head.fit(blocks, [problem], options, tmp_path, "cpu")
    computed = models.predict(blocks)[0, [0, 120, 239], 0]
    np.testing.assert_allclose(computed, GOLDEN[name, heads.read_version(name)], rtol=1e-6)


def test_nextvlad_is_the_sum_of_its_definition() -> None:
    """sum over steps and groups of alpha_g(x) a_gk(x) (x_g - c_k), each cluster of length 1."""
    torch.manual_seed(0)
    layer, x = NextVlad(6, 3, 2, 2), torch.randn(4, 5, 6)
    expected = torch.zeros(4, 3, 6)
    for row in range(4):
        for step in range(5):
            wide = layer.expand(x[row, step])
            attention = torch.sigmoid(layer.attention(wide))
            for group, part in enumerate(wide.reshape(2, 6)):
                shares = torch.softmax(layer.assignment(wide).reshape(2, 3)[group], dim=0)
                for cluster in range(3):
                    difference = part - layer.centres[cluster]
                    expected[row, cluster] += attention[group] * shares[cluster] * difference
    unit = expected / expected.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(layer(x), layer.norm(unit.flatten(1)))
    assert layer.outputs == 18


def test_the_ensemble_is_the_mean_of_models_that_are_trained_apart() -> None:
    torch.manual_seed(0)
    network = FrameEnsemble({"frames": 8, "video0": 5}, 1, [2, 4], 3, 2, 2, 6, 0.0)
    x = {"frames": torch.randn(7, 4, 8), "video0": torch.randn(7, 5)}
    joined = network.train()(x)
    assert joined.shape == (7, 3)
    torch.testing.assert_close(network.eval()(x)[:, 0], joined.mean(dim=1))
    torch.testing.assert_close(
        network.sequence_models[0](x["frames"][:, [0, 2]])[:, 0], joined[:, 0]
    )
    target, known = torch.randn(7, 1), torch.ones(7, 1, dtype=torch.bool)
    average_losses(losses.mse)(joined, target, known).backward()
    gradient = network.video_models["video0"].weight.grad
    network.zero_grad()
    losses.mse(network.video_models["video0"](x["video0"]), target, known).backward()
    torch.testing.assert_close(gradient * 3, network.video_models["video0"].weight.grad)


def test_adapters_join_branches_and_score_each() -> None:
    torch.manual_seed(0)
    widths = {"branch0_1": 5, "branch0_2": 3, "branch1_3": 4}
    branches = [["branch0_1", "branch0_2"], ["branch1_3"]]
    network = AdapterFusion(widths, branches, 2, 6, 7, True, True, 0.0)
    x: dict[str, Tensor] = {role: torch.randn(9, width) for role, width in widths.items()}
    assert network.train()(x).shape == (9, 6)  # the joint score and two branches, of two dimensions
    torch.testing.assert_close(network.train()(x)[:, :2], network.eval()(x))
    first, gate = network.adapters[0]
    projected = first(torch.cat([x["branch0_1"], x["branch0_2"]], dim=1))
    expected = network.scores[0](projected * torch.sigmoid(gate.linear(projected)))
    torch.testing.assert_close(network.train()(x)[:, 2:4], expected)


def test_inputs_and_mistakes() -> None:
    def list_inputs(name: str, inputs: str, **options: Any) -> list[tuple[str, Steps]]:
        listed = heads.load_head(name).list_inputs(heads.merge_options(name, options), list(inputs))
        return [(head_input.role, head_input.steps) for head_input in listed]

    assert list_inputs("frame_ensemble", "abc") == [
        ("frames", Steps(8)), ("video0", Steps(0)), ("video1", Steps(0))
    ]  # fmt: skip
    assert [role for role, _ in list_inputs("adapter_fusion", "abc", with_previous=[3])] == [
        "branch0_1", "branch1_2", "branch1_3"
    ]  # fmt: skip
    assert list_inputs("cross_attention", "ab")[1] == ("clips", Steps(8))
    for name, inputs, options, sentence in (
        ("frame_ensemble", "", {}, "it reads, in this order: frames, then vectors"),
        ("frame_ensemble", "a", {"frames": []}, "option frames: empty"),
        ("adapter_fusion", "ab", {"with_previous": [3]}, "3 is no position of 2 inputs"),
        ("cross_attention", "a", {}, "it reads 2, in this order: frames, clips"),
    ):
        with pytest.raises(UserError, match=sentence):
            list_inputs(name, inputs, **options)
