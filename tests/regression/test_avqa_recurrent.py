import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from networks import count_parameters
from sfqa.errors import UserError
from sfqa.regression import heads
from sfqa.regression.blocks import Steps
from sfqa.regression.networks.audio_maps import AudioMaps, stack_maps
from sfqa.regression.networks.avqa import GeneralAvqa, StepScores
from sfqa.regression.problems import make_problem

HEAD = heads.load_head("avqa_recurrent")


def options(**changed):
    return heads.merge_options("avqa_recurrent", changed)


def steps_of(how, inputs):
    return [one.steps for one in HEAD.list_inputs(how, inputs)]


def test_the_published_sizes_have_as_many_numbers_as_their_layers_need():
    def linear(a, b):
        return a * b + b

    def stream(d):
        gru = linear(2048, 3 * 1024) + linear(1024, 3 * 1024)
        return linear(d, 2048) + gru + linear(1024, 512) + linear(512, 1)

    join = linear(48, 32) + linear(32, 16) + linear(16, 1)
    with torch.device("meta"):
        rnt, snd = StepScores(4096, 4096, 1), StepScores(4096, 1024, 1)
        general = GeneralAvqa(2048, (4, 128, 64), 1)
    assert count_parameters(rnt) == 2 * stream(4096) + join == 36_720_707
    assert count_parameters(snd) == stream(4096) + stream(1024) + join == 30_429_251

    def lstm(d, h):
        return 2 * (linear(d, 4 * h) + linear(h, 4 * h))

    memory = linear(2048, 2048) + lstm(2048, 128) + lstm(256, 128)
    memory += linear(256, 256) + lstm(256, 64) + lstm(128, 64) + linear(3840, 1024)
    # 128 channels of 8 x 16 are the published 16384.
    assert general.maps.out[0].in_features == 16384
    assert count_parameters(general.video) == count_parameters(general.audio) == memory
    assert count_parameters(general) == 58_251_233


def test_defaults_are_the_published_ones():
    with torch.device("meta"):
        dnn = HEAD.build({"video": (96, 4096), "audio": (96, 1024)}, 1, options())
        shapes = {"video": (30, 2048)} | {f"audio{n}": (30, 8192) for n in range(4)}
        general = HEAD.build(shapes, 1, options(model="general"))
    assert (count_parameters(dnn), count_parameters(general)) == (30_429_251, 58_251_233)
    assert steps_of(options(), ["v", "a"]) == [Steps(96)] * 2
    assert steps_of(options(model="general"), list("vabcd")) == [Steps(30)] * 5
    for model, rate in (("dnn", (5e-5, 100, 20)), ("general", (1e-4, 50, 16))):
        found = HEAD.complete_options(options(model=model))
        assert (found["learning_rate"], found["epochs"], found["batch_rows"]) == rate
    assert HEAD.complete_options(options(epochs=7))["epochs"] == 7


def test_a_video_is_the_mean_of_its_segments():
    torch.manual_seed(0)
    net = StepScores(5, 4, 2, steps=6, width=8).eval()
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.5)
    x = {"video": torch.randn(3, 24, 5), "audio": torch.randn(3, 24, 4)}
    parts = [net({k: v[:, n : n + 6] for k, v in x.items()}) for n in range(0, 24, 6)]
    torch.testing.assert_close(net(x), torch.stack(parts).mean(dim=0))
    turned = torch.cat([x["video"][:, 12:], x["video"][:, :12]], dim=1)
    sound = torch.cat([x["audio"][:, 12:], x["audio"][:, :12]], dim=1)
    torch.testing.assert_close(net({"video": turned, "audio": sound}), net(x))
    assert (net({**x, "audio": sound}) - net(x)).abs().max() > 1e-3


def test_maps_keep_bins_columns_and_kinds_apart():
    maps = [torch.randn(2, 3, 4, 6) for _ in range(2)]  # columns 4, bins 6
    got = stack_maps([m.flatten(2) for m in maps], 4)
    assert got.shape == (2, 3, 2, 6, 4)
    for kind in range(2):
        torch.testing.assert_close(got[:, :, kind], maps[kind].transpose(2, 3))


def test_a_rows_maps_do_not_depend_on_other_rows_once_trained():
    torch.manual_seed(0)
    net = AudioMaps(2, 16, 8, 5, (2, 3, 4)).eval()
    x = torch.randn(4, 3, 2, 16, 8)
    torch.testing.assert_close(net(x)[1:2], net(x[1:2]), rtol=1e-5, atol=1e-6)


def task(rows, steps, seed=0):
    """Quality is the mean of the picture's first number and of the sound's.

    Both vary within a video, and more between videos, so that every segment shows the quality.
    """
    numbers = np.random.default_rng(seed)
    video, sound = (
        numbers.normal(size=(rows, 1, 3)) + 0.5 * numbers.normal(size=(rows, steps, 3))
        for _ in range(2)
    )
    y = video[:, :, 0].mean(axis=1) + sound[:, :, 0].mean(axis=1)
    x = {"v": video.astype(np.float32), "a": sound.astype(np.float32)}
    return x, 50 + 10 * y / y.std()


SMALL = {
    "dnn": {"steps": 12, "segment": 6, "width": 16},
    "general": {"model": "general", "steps": 6, "columns": 0, "state": 8, "vector": 8, "width": 8},
}


@pytest.mark.parametrize("model", ["dnn", pytest.param("general", marks=pytest.mark.thorough)])
def test_they_learn_from_both_and_together_is_as_one_by_one(model, tmp_path):
    # In float64, since rounding grows from step to step.
    how = options(
        dropout=0.0, learning_rate=1e-2, epochs=14, batch_rows=60, precision="float64",
        mos_divisor=0, **SMALL[model],
    )  # fmt: skip
    x, y = task(340, how["steps"])
    y = y[:, None]
    made = []
    for seed in range(2):
        order = np.random.default_rng(seed).permutation(300)
        made.append(make_problem(order[:240], order[240:], y, seed))
    models = HEAD.fit(x, made, how, tmp_path / "all", "cpu")
    found = models.predict(x)
    for n, one in enumerate(made):
        assert spearmanr(found[n, 300:, 0], y[300:, 0])[0] > 0.8
        alone = HEAD.fit(x, [one], how, tmp_path / str(n), "cpu").predict(x)[0]
        assert np.abs(found[n] - alone).max() < 1e-6 * y.std()
    full = spearmanr(found[0, 300:, 0], y[300:, 0])[0]
    for name in x:
        silent = models.predict({**x, name: np.zeros_like(x[name])})
        assert spearmanr(silent[0, 300:, 0], y[300:, 0])[0] < full - 0.05, name
    back = HEAD.restore([models.state(0)], how, "cpu").predict(x)
    np.testing.assert_allclose(back[0], found[0], rtol=1e-6, atol=1e-4)


def test_general_reads_maps_many_at_once(tmp_path):
    numbers = np.random.default_rng(0)
    x = {"v": numbers.normal(size=(40, 4, 3)).astype(np.float32)}
    x |= {f"m{n}": numbers.normal(size=(40, 4, 16 * 8)).astype(np.float32) for n in range(2)}
    y = x["m1"].mean(axis=(1, 2)).astype(np.float64)
    how = options(
        model="general", steps=4, columns=8, state=4, vector=4, width=6, channels=[2, 2, 2],
        epochs=2,
    )  # fmt: skip
    made = [make_problem(range(25), range(25, 35), y, seed) for seed in range(3)]
    models = HEAD.fit(x, made, how, tmp_path, "cpu")
    found = models.predict(x)
    assert found.shape == (3, 40, 1)
    assert np.isfinite(found).all()
    back = HEAD.restore([models.state(2)], how, "cpu").predict(x)
    np.testing.assert_allclose(back[0], found[2], rtol=1e-6, atol=1e-4)


def test_mistakes_are_sentences(tmp_path):
    with pytest.raises(UserError, match="options.model.*dnn or general"):
        HEAD.list_inputs(options(model="lstm"), ["v", "a"])
    with pytest.raises(UserError, match="100 is no multiple of segment"):
        HEAD.list_inputs(options(steps=100), ["v", "a"])
    for changed, inputs in (({}, ["v"]), ({}, ["v", "a", "b"]), ({"model": "general"}, ["v"])):
        with pytest.raises(UserError, match="in this order: video, audio"):
            HEAD.list_inputs(options(**changed), inputs)
    x = {"v": np.zeros((9, 4, 3), np.float32), "a": np.zeros((9, 4, 10), np.float32)}
    made = [make_problem([0, 1, 2, 3, 4], [5, 6], np.arange(9.0))]
    with pytest.raises(UserError, match="maps of sound"):
        HEAD.fit(x, made, options(model="general"), tmp_path, "cpu")
