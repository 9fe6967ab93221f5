import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from networks import count_parameters
from sfqa.errors import UserError
from sfqa.regression import heads
from sfqa.regression.blocks import Steps
from sfqa.regression.networks.fusion import (
    AudioVisual,
    ChannelAttention,
    eca_kernel,
)
from sfqa.regression.problems import make_problem

VISUAL = heads.load_head("audio_visual_fusion")


def test_channel_attention_is_eca():
    torch.manual_seed(0)
    ours = ChannelAttention(64)
    conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)
    with torch.no_grad():
        conv.weight.copy_(ours.mix.weight[None])
    x = torch.randn(5, 6, 64)
    gate = torch.sigmoid(conv(x.reshape(30, 1, 64))).reshape(5, 6, 64)
    torch.testing.assert_close(ours(x), x * gate)
    assert [eca_kernel(c) for c in (128, 256, 512, 2048)] == [5, 5, 5, 7]


def test_pooled_features_are_exact_for_channel_attention():
    torch.manual_seed(0)
    ours, feature_map = ChannelAttention(64), torch.randn(3, 64, 7, 7)
    pooled = feature_map.mean(dim=(2, 3))
    gate = ours(pooled) / pooled
    torch.testing.assert_close(
        (feature_map * gate[:, :, None, None]).mean(dim=(2, 3)), ours(pooled), rtol=1e-4, atol=1e-6
    )


def test_audio_visual_has_as_many_numbers_as_its_layers_need():
    with torch.device("meta"):
        net = AudioVisual({"spatial": 768, "temporal": 2304}, (4, 128, 64), 1)
    assert count_parameters(net.attention) == 5
    assert count_parameters(net.memory) == 2 * (2048 * 512 + 512 + 128 * 512 + 512)
    joined = 768 + 2304 + 256
    assert count_parameters(net.join) == (joined * 512 + 512) + (512 * 128 + 128) + (128 + 1)
    assert count_parameters(net) == 37_982_438


def visual(**changed):
    small = {"width": 8, "state": 4, "hidden": [16], "columns": 0, "learning_rate": 1e-2,
             "epochs": 20, "batch_rows": 50}  # fmt: skip
    return heads.merge_options("audio_visual_fusion", {**small, **changed})


def task(rows, steps, seed=0):
    numbers = np.random.default_rng(seed)
    x = {name: numbers.normal(size=(rows, steps, 4)).astype(np.float32) for name in "abc"}
    y = sum(np.tanh(v[:, :, 0].mean(axis=1) * 2) for v in x.values())
    return x, 50 + 10 * y.astype(np.float64)


def test_all_three_help_and_together_is_as_one_by_one(tmp_path):
    head, how = VISUAL, visual(precision="float64", clips=4)
    switches = ("spatial", "temporal", "audio")
    x, y = task(450, 4)
    made = [make_problem(range(250), range(250, 330), y, seed) for seed in range(2)]

    def fitted(problems=made, **changed):
        place = tmp_path / str((changed, len(problems)))
        return head.fit(x, problems, {**how, **changed}, place, "cpu")

    def score(models):
        return np.mean([spearmanr(p[330:, 0], y[330:])[0] for p in models.predict(x)])

    full = fitted()
    assert score(full) > 0.9
    for switch in switches:
        less = fitted(**{switch: False})
        assert score(full) > score(less) + 0.05, switch
        back = head.restore([less.state(0)], {**how, switch: False}, "cpu")
        np.testing.assert_allclose(back.predict(x)[0], less.predict(x)[0], rtol=1e-6, atol=1e-4)
    alone = fitted(made[1:]).predict(x)
    assert np.abs(full.predict(x)[1] - alone[0]).max() < 1e-6 * y.std()


def test_audio_visual_reads_maps_many_at_once(tmp_path):
    numbers = np.random.default_rng(0)
    x = {name: numbers.normal(size=(40, 3, 5)).astype(np.float32) for name in "st"}
    x |= {f"m{n}": numbers.normal(size=(40, 4, 16 * 8)).astype(np.float32) for n in range(4)}
    y = x["s"].mean(axis=(1, 2)).astype(np.float64)
    how = visual(columns=8, channels=[2, 2, 2], epochs=2)
    made = [make_problem(range(25), range(25, 35), y, seed) for seed in range(2)]
    models = VISUAL.fit(x, made, how, tmp_path, "cpu")
    back = VISUAL.restore([models.state(1)], how, "cpu")
    np.testing.assert_allclose(back.predict(x)[0], models.predict(x)[1], rtol=1e-6, atol=1e-4)


def test_forms_and_mistakes():
    def steps_of(head, how, inputs):
        return [one.steps for one in head.list_inputs(how, list(inputs))]

    assert steps_of(VISUAL, visual(clips=6, columns=64), "stabcd") == [
        Steps(6, "cyclic"), Steps(6, "cyclic"), *[Steps(30)] * 4,
    ]  # fmt: skip
    for inputs in (["s", "t"], list("stab")):
        with pytest.raises(UserError, match="spatial, temporal, maps of sound"):
            VISUAL.list_inputs(visual(), inputs)
