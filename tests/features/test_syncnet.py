import numpy as np
import pytest
import torch

from sfqa import identity
from sfqa.features import batches, syncnet
from sfqa.features.batches import Batching
from sfqa.features.syncnet import LipStream, SyncNet
from sfqa.features.weights import Weights


@pytest.fixture(scope="module")
def net():
    """SyncNet with normalisations that are not the identity, as trained ones are not."""
    torch.manual_seed(3)
    made = SyncNet().eval().requires_grad_(False)
    for module in made.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_()
    return made


@pytest.fixture(scope="module")
def crops():
    rng = identity.random_generator("test_syncnet")
    return rng.integers(0, 256, (14, 224, 224, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def per_window(net, crops):
    """The published way: every window of five frames through the network by itself."""
    clip = torch.from_numpy(crops).float().permute(3, 0, 1, 2)
    with torch.inference_mode():
        return net.encode_lip(torch.stack([clip[:, v : v + 5] for v in range(10)])).numpy()


def compute_lip_features(stream, crops, windows, size=syncnet.LIP_PASS):
    """The features (windows, 1024) of one clip, in passes as the extractor makes them on a CPU."""
    ((_, rows),) = batches.run_batched(
        [crops],
        lambda clip: syncnet.list_lip_windows(clip, windows),
        lambda part: syncnet.run_lip_network(stream, part, "cpu"),
        Batching(size, mixed=False),
    )
    return np.stack(rows)


def compute_audio_features(net, mfcc, windows):
    """The features (windows, 1024) of one clip, in passes as the extractor makes them on a CPU."""
    ((_, rows),) = batches.run_batched(
        [mfcc],
        lambda columns: syncnet.list_audio_windows(columns, windows),
        lambda part: syncnet.run_audio_network(net, part, "cpu"),
        Batching(syncnet.AUDIO_PASS, mixed=False),
    )
    return np.stack(rows)


def relative(found, wanted):
    return np.linalg.norm(found - wanted, axis=1) / np.linalg.norm(wanted, axis=1)


def test_has_the_published_number_of_parameters(net):
    assert sum(p.numel() for p in net.parameters()) == 13_631_616


def test_has_the_keys_of_the_official_file(net):
    convolutions = {
        "netcnnaud": {
            0: (64, 1, 3, 3), 4: (192, 64, 3, 3), 8: (384, 192, 3, 3), 11: (256, 384, 3, 3),
            14: (256, 256, 3, 3), 18: (512, 256, 5, 4),
        },
        "netcnnlip": {
            0: (96, 3, 5, 7, 7), 4: (256, 96, 1, 5, 5), 8: (256, 256, 1, 3, 3),
            11: (256, 256, 1, 3, 3), 14: (256, 256, 1, 3, 3), 18: (512, 256, 1, 6, 6),
        },
        "netfcaud": {0: (512, 512), 3: (1024, 512)},
        "netfclip": {0: (512, 512), 3: (1024, 512)},
    }  # fmt: skip
    wanted = {}
    for part, layers in convolutions.items():
        for place, shape in layers.items():
            wanted[f"{part}.{place}.weight"] = shape
            wanted[f"{part}.{place}.bias"] = shape[:1]
            if place == 3:
                continue  # the last layer of a head has no normalisation behind it
            for name in ("weight", "bias", "running_mean", "running_var"):
                wanted[f"{part}.{place + 1}.{name}"] = shape[:1]
            wanted[f"{part}.{place + 1}.num_batches_tracked"] = ()
    assert {k: tuple(v.shape) for k, v in net.state_dict().items()} == wanted


def test_loads_a_file_of_the_official_form(net, tmp_path):
    torch.save(net.state_dict(), tmp_path / "syncnet_v2.model")
    loaded = Weights("official", "x", tmp_path / "syncnet_v2.model").load(SyncNet)
    for key, value in net.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key
    assert not loaded.training


def test_the_whole_clip_equals_the_single_windows(net, crops, per_window):
    whole = compute_lip_features(LipStream(net), crops, 10)  # crosses a chunk's end at window 8
    assert whole.shape == (10, 1024)
    assert whole.dtype == np.float32
    assert relative(whole, per_window).max() <= 1e-5
    # Windows are told apart far more sharply than that.
    assert relative(per_window[1:], per_window[:-1]).min() > 1e-3


def test_chunks_do_not_change_the_numbers(net, crops):
    stream = LipStream(net)
    wanted = compute_lip_features(stream, crops, 7)
    assert relative(compute_lip_features(stream, crops, 7, size=3), wanted).max() <= 1e-5


def test_channels_come_first_in_float32_on_a_gpu(net, crops, monkeypatch):
    """cuDNN has no fast float32 kernels for 15 channels that come last."""
    last, first = LipStream(net), LipStream(net, "fp32", "cuda:0")
    windows = torch.from_numpy(crops[:7])
    made = first.make_windows(windows)
    assert made.is_contiguous()
    assert first.convs[0].weight.is_contiguous()
    assert not last.make_windows(windows).is_contiguous()
    assert torch.equal(made, last.make_windows(windows))
    assert LipStream(net, "bf16", "cuda:0").channels_last
    features = [stream.compute_features(made).detach().numpy() for stream in (first, last)]
    assert relative(*features).max() <= 1e-5


@pytest.mark.thorough
def test_bf16_is_close_and_not_the_same(net, crops, per_window):
    rounded = compute_lip_features(LipStream(net, "bf16"), crops, 10)
    assert rounded.dtype == np.float32
    assert 1e-5 < relative(rounded, per_window).max() < 0.03


def test_the_stream_leaves_the_network_as_it_was(net, crops):
    before = {k: v.clone() for k, v in net.state_dict().items()}
    compute_lip_features(LipStream(net, "bf16"), crops, 1)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_audio_windows_are_20_columns_every_4(net):
    columns = identity.random_generator("mfcc").normal(size=(57, 13))
    found = compute_audio_features(net, columns, 10)
    with torch.inference_mode():
        one = [
            net.encode_audio(
                torch.tensor(columns[4 * v : 4 * v + 20].T[None, None], dtype=torch.float32)
            )
            for v in range(10)
        ]
    assert found.shape == (10, 1024)
    assert relative(found, torch.cat(one).numpy()).max() <= 1e-5
    # A column beyond the last window's 20 changes nothing, its last column does.
    columns[56] += 1
    assert np.array_equal(compute_audio_features(net, columns, 10), found)
    columns[55] += 1
    changed = relative(compute_audio_features(net, columns, 10), found)
    assert changed[-1] > 1e-4
    assert changed[:-1].max() == 0


def test_untrained_networks_depend_on_the_seed_alone():
    first, same, other = (Weights("random", "r", seed=s).load(SyncNet) for s in (0, 0, 1))
    key = "netcnnlip.0.weight"
    assert torch.equal(first.state_dict()[key], same.state_dict()[key])
    assert not torch.equal(first.state_dict()[key], other.state_dict()[key])
