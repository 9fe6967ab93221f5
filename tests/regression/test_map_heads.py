"""Heads on whole maps: FAST-VQA's, DOVER's two, AIGC-VQA's three branches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from golden_weights import fill_weights
from networks import count_parameters
from sfqa.errors import UserError
from sfqa.features.vqa_head_net import VqaHead
from sfqa.regression import heads
from sfqa.regression.blocks import Steps
from sfqa.regression.model_metrics import load_checked_models
from sfqa.regression.networks.branches import BranchSum, MapHead, RewardHead
from sfqa.regression.problems import make_problem

VQA, AIGC = (heads.load_head(name) for name in ("vqa_head", "aigc_vqa"))
#: Number of maps and of tokens of a model. Its head and training are those of its entry; the
#: features here are drawn and smaller, so the head starts from random weights.
INPUTS = {"FAST-VQA": (1, 0), "DOVER": (2, 0), "AIGC-VQA": (2, 1)}
MODELS = load_checked_models()
TRAIN, VALIDATION, ROWS = 160, 220, 340


def make_maps(seed, maps, tokens, channels=32):
    """Maps and tokens in which the quality is one of eight factors; four rows are a group."""
    numbers = np.random.default_rng(seed)
    groups = np.repeat(numbers.normal(size=(ROWS // 4, 8)), 4, axis=0)
    factors = 0.7 * (groups + numbers.normal(size=(ROWS, 8)))
    x = {}
    for n in range(maps):
        shift = 3 * factors @ numbers.normal(size=(8, channels)) / np.sqrt(channels)
        noise = numbers.normal(size=(ROWS, 2, channels, 2, 1, 2))
        x[f"map{n}"] = (noise + shift[:, None, :, None, None, None]).astype(np.float16)
    for n in range(tokens):
        noise = numbers.normal(size=(ROWS, 16))
        x[f"token{n}"] = (noise + factors @ numbers.normal(size=(8, 16))).astype(np.float32)
    return x, 50 + 10 * factors[:, 0]


def fit_model(folder, name, x, y, seed=0, **changed):
    options = heads.merge_options(name, changed)
    problem = make_problem(range(TRAIN), range(TRAIN, VALIDATION), y, seed)
    return heads.load_head(name).fit(x, [problem], options, folder, "cpu"), options


@pytest.mark.thorough
@pytest.mark.parametrize("model", list(INPUTS))
def test_the_published_training_learns_and_labels_of_other_rows_teach_nothing(model, tmp_path):
    name, changed = MODELS[model].head, {**MODELS[model].options, "start": "random"}
    maps, tokens = INPUTS[model]
    real, shuffled = [], []
    for seed in range(1 if tokens else 2):  # 50 epochs, where the others have 10
        x, y = make_maps(seed, maps, tokens)
        _, labels_of_others = make_maps(seed + 10, maps, tokens)
        for labels, srcc in ((y, real), (labels_of_others, shuffled)):
            folder = tmp_path / f"{seed} {len(srcc)} {labels is y}"
            models, _ = fit_model(folder, name, x, labels, seed, **changed)
            predicted = models.predict(x)[0, VALIDATION:, 0]
            srcc.append(spearmanr(predicted, labels[VALIDATION:])[0])
            if labels is y:
                # In MOS units, although the scores of the network have a scale of their own.
                assert np.abs(predicted - y[VALIDATION:]).mean() < 4
    assert min(real) > 0.9
    # An SRCC of 120 rows has a standard deviation of .09 if there is nothing.
    assert abs(np.mean(shuffled)) < 0.2


def test_rows_are_scored_alike_alone_and_together(tmp_path):
    x, y = make_maps(0, 2, 1)
    models, options = fit_model(tmp_path, "aigc_vqa", x, y, epochs=1)
    together = models.predict(x)[0]
    alone = [
        models.predict({role: block[row : row + 1] for role, block in x.items()})[0, 0]
        for row in (0, 150, 339)
    ]
    np.testing.assert_allclose(together[[0, 150, 339]], alone, atol=1e-4)
    restored = AIGC.restore([models.state(0)], options, "cpu")
    np.testing.assert_allclose(restored.predict(x)[0], together, atol=1e-4)


def test_the_score_is_that_of_the_extractors_head_on_the_same_map():
    torch.manual_seed(0)
    maps = torch.randn(3, 4, 8, 2, 3, 3)
    head = VqaHead(channels=8).eval()
    branch = MapHead(channels=8).eval()
    branch.load_state_dict(head.state_dict())
    expected = torch.stack([head.score_maps(clips).mean(dim=0) for clips in maps])
    torch.testing.assert_close(branch(maps), expected, rtol=0, atol=1e-6)
    # The head on the pooled map is another number, so the whole map has to be kept.
    pooled = branch(maps.mean(dim=(3, 4, 5), keepdim=True))
    assert (pooled - branch(maps)).abs().max() > 1e-3


def test_branches_are_summed_and_apart_in_training():
    torch.manual_seed(0)
    x = {"technical": torch.randn(5, 3, 8, 1, 2, 2), "alignment": torch.randn(5, 6)}
    net = BranchSum({"technical": MapHead(8, 4, 0.0), "alignment": RewardHead(6, 1)}, separate=True)
    assert net.train()(x).shape == (5, 2)
    scores = net.eval().compute_scores(x)
    torch.testing.assert_close(net(x), scores["technical"] + scores["alignment"])
    summed = BranchSum({"technical": MapHead(8, 4, 0.0)}, separate=False).train()
    assert summed(x).shape == (5, 1)


def test_heads_have_the_sizes_of_the_published_ones():
    options = heads.merge_options("aigc_vqa", {})
    with torch.device("meta"):
        shapes = {"technical": (3, 768, 16, 7, 7), "aesthetic": (1, 768, 16, 7, 7)}
        net = AIGC.build({**shapes, "alignment": (768,)}, 1, options)
    vqa_head, reward = 768 * 64 + 64 + 64 + 1, 927_969
    assert count_parameters(net) == 2 * vqa_head + reward
    assert list(net.heads) == ["technical", "aesthetic", "alignment"]


def test_the_alignment_head_is_imagerewards_published_one():
    """Its score before the official standardisation, with the goldens' weights."""
    head = RewardHead(768, 1).eval()
    fill_weights(head, prefix="mlp.")
    with torch.no_grad():
        raw = float(head(torch.zeros(1, 768)))
    mean, deviation, reward_of_zero_vector = 0.16717362830052426, 1.0333394966054072, -0.1304197
    assert (raw - mean) / deviation == pytest.approx(reward_of_zero_vector, abs=1e-6)


def test_a_branch_that_is_off_is_not_read(tmp_path):
    x, y = make_maps(0, 2, 1)
    switches = {"aesthetic": False, "alignment": False, "epochs": 1}
    models, _ = fit_model(tmp_path / "a", "aigc_vqa", x, y, **switches)
    others = {**x, "map1": 0 * x["map1"], "token0": 0 * x["token0"]}
    np.testing.assert_array_equal(models.predict(x), models.predict(others))
    off = dict.fromkeys(("technical", "aesthetic", "alignment"), False)
    with pytest.raises(UserError, match="leave one"):
        AIGC.list_inputs(heads.merge_options("aigc_vqa", off), list(x))


def test_inputs_that_are_no_maps_are_a_sentence(tmp_path):
    options = heads.merge_options("vqa_head", {})
    assert [i.steps for i in VQA.list_inputs(options, ["a", "b"])] == [Steps(keep_axes=True)] * 2
    with pytest.raises(UserError, match="no inputs"):
        VQA.list_inputs(options, [])
    with pytest.raises(UserError, match=r"technical, aesthetic, alignment"):
        AIGC.list_inputs(heads.merge_options("aigc_vqa", {}), ["a"])
    pooled = {"a": np.zeros((8, 4, 768), np.float32)}
    with pytest.raises(UserError, match=r"reads maps .* and a row is \(4, 768\)"):
        VQA.fit(
            pooled, [make_problem(range(5), range(5, 8), np.arange(8.0))], options, tmp_path, "cpu"
        )
