"""Spatial features against torchvision with forward hooks, its own transforms, and pinned numbers.

Remake the pinned numbers after a bump of VERSION with
``PYTHONPATH=workflow/scripts:tests/support python tests/features/test_spatial.py``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.models import resnet50, vit_b_16
from torchvision.transforms import CenterCrop, Compose, Normalize, Resize, ToTensor

from moving_blocks import draw_moving_blocks
from sfqa import identity, media
from sfqa.errors import UserError
from sfqa.features import base, spatial_net
from sfqa.features.base import UnusableError, Video
from sfqa.features.batches import Batching
from sfqa.features.extractors import spatial
from sfqa.features.weights import Weights, resolve_weights

GOLDEN = Path(__file__).parent / "golden" / "spatial.json"
RANDOM = Weights("random", "random:0")


def features(extractor: spatial.Extractor, pictures: media.Pixels) -> np.ndarray:
    seen = spatial.KeyFrames(pictures, np.zeros(len(pictures), np.float32))
    ((made, _),) = extractor.compute_features([seen])
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = tmp_path_factory.mktemp("spatial")
    yield made
    for path in made.iterdir():  # 100 MB of weights that pytest would keep three times
        path.unlink()


@pytest.fixture(scope="module")
def reference() -> nn.Module:
    """torchvision's ResNet-50 with random weights and no normalisation trivial."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        net: nn.Module = resnet50(weights=None)
    g = torch.Generator().manual_seed(4)
    for name, value in net.state_dict().items():
        if name.endswith("running_mean"):
            value.normal_(0, 0.1, generator=g)
        elif name.endswith("running_var") or (value.ndim == 1 and name.endswith("weight")):
            value.uniform_(0.5, 1.5, generator=g)
        elif value.ndim == 1 and name.endswith("bias"):
            value.normal_(0, 0.1, generator=g)
    return net.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def official(reference: nn.Module, folder: Path) -> Weights:
    """The reference's weights in a file like torchvision's: a plain state dict, with its sha256."""
    path = folder / "resnet50-0676ba61.pth"
    torch.save(reference.state_dict(), path)
    return resolve_weights({"weights": str(path), "sha256": identity.sha256_file(path)}, "spatial")


@pytest.fixture(scope="module")
def video(folder: Path) -> Video:
    path = folder / "a.mp4"
    media.write_video(path, draw_moving_blocks(50, 96, 128), 25.0)
    return Video("a", path, "0", fps=25.0, frames=50)


@pytest.fixture(scope="module")
def by_hand(reference: nn.Module, video: Video) -> np.ndarray:
    """SimpleVQA's recipe by torchvision: frames 0 and 25, hooks on the stages, own pooling."""
    transform = Compose(
        [
            Resize(520),
            CenterCrop(448),
            ToTensor(),
            Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    frames = media.read_frames(video.path)[[0, 25]]
    pictures = torch.stack([transform(Image.fromarray(frame)) for frame in frames])
    maps: dict[str, torch.Tensor] = {}

    def keeper(name: str) -> Any:
        return lambda _module, _given, made: maps.__setitem__(name, made.double())

    names = ("layer2", "layer3", "layer4")
    hooks = [getattr(reference, n).register_forward_hook(keeper(n)) for n in names]
    with torch.inference_mode():
        reference(pictures)
    for hook in hooks:
        hook.remove()
    parts = []
    for name in names:
        x = maps[name]
        places = x.shape[2] * x.shape[3]
        mean = x.sum((2, 3)) / places
        spread = ((x - mean[:, :, None, None]) ** 2).sum((2, 3)) / (places - 1)
        parts += [mean, spread.sqrt()]
    return torch.cat(parts, 1).numpy()


def test_simplevqa_by_hand(
    official: Weights, video: Video, by_hand: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor = base.build_extractor("spatial", {}, official, "cpu")
    exact: list[np.ndarray] = []
    features = extractor.compute_features

    def kept(prepared: Any) -> Iterator[Any]:
        for made, seconds in features(prepared):
            exact.append(made)
            yield made, seconds

    monkeypatch.setattr(extractor, "compute_features", kept)
    row = extractor.extract(video)
    assert by_hand.shape == exact[0].shape == (2, 7168)
    assert by_hand.std() > 0.1
    assert np.abs(by_hand[0] - by_hand[1]).max() > 0.1
    np.testing.assert_allclose(exact[0], by_hand, rtol=1e-5, atol=1e-5 * by_hand.std())
    np.testing.assert_array_equal(row["spatial"], exact[0].astype(np.float16))
    assert row["time_sec"].tolist() == [0, 1]

    again = extractor.extract(video)
    assert set(again) == {"spatial", "time_sec"}
    for name, values in row.items():
        np.testing.assert_array_equal(again[name], values)

    made = [{"sample_id": "a", "key": "k", "status": "ok", "detail": "", **row}]
    table = base.build_table(spatial.Extractor.FEATURES, made)
    back = base.read_tensor(table["spatial"], table.schema.field("spatial"), 0)
    np.testing.assert_array_equal(back, row["spatial"].astype(np.float32))


@pytest.mark.thorough
def test_bf16_is_near(official: Weights, video: Video, by_hand: np.ndarray) -> None:
    got = base.build_extractor("spatial", {"precision": "bf16"}, official, "cpu").extract(video)[
        "spatial"
    ]
    for start, stop in ((0, 1024), (1024, 3072), (3072, 7168)):
        wanted = by_hand[:, start:stop]
        error = np.abs(got[:, start:stop] - wanted).mean() / wanted.std()
        assert 1e-4 < error < 0.05


def test_known_numbers_and_their_order() -> None:
    """Stages of known maps: [1 2; 3 4] has the mean 2.5 and the unbiased deviation sqrt(5 / 3)."""

    class Scaled(nn.Module):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.factor = factor

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.factor

    net = nn.Module()
    for name in ("conv1", "bn1", "relu", "maxpool", "layer1"):
        setattr(net, name, nn.Identity())
    for name, factor in (("layer2", 2.0), ("layer3", 3.0), ("layer4", 5.0)):
        setattr(net, name, Scaled(factor))
    picture = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[7.0, 7.0], [7.0, 7.0]]]])
    got = spatial_net.multi_scale(net, picture)[0].tolist()
    scales = [f for f in (2, 6, 30) for _ in range(2)]
    one = [[2.5, 7.0], [(5 / 3) ** 0.5, 0.0]] * 3
    wanted = [s * v for s, pair in zip(scales, one, strict=True) for v in pair]
    assert got == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize(("height", "width"), [(96, 128), (128, 96), (520, 520), (777, 521)])
@pytest.mark.parametrize(("short", "crop"), [(520, 448), (256, 224)])
def test_shrink_is_torchvisions(height: int, width: int, short: int, crop: int) -> None:
    frames = np.random.default_rng(1).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    transform = Compose([Resize(short), CenterCrop(crop)])
    wanted = [np.asarray(transform(Image.fromarray(f))) for f in frames]
    np.testing.assert_array_equal(spatial.resize_frames(frames, short, crop), wanted)


def test_the_input_is_torchvisions(monkeypatch: pytest.MonkeyPatch) -> None:
    extractor = _without_net(monkeypatch)
    pictures = draw_moving_blocks(3, 448, 448)
    transform = Compose([ToTensor(), Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])
    wanted = torch.stack([transform(Image.fromarray(p)) for p in pictures])
    torch.testing.assert_close(extractor._make_input(list(pictures)), wanted, rtol=0, atol=0)


@pytest.fixture(scope="module")
def vit() -> spatial.Extractor:
    return base.build_extractor("spatial", {"model": "vit_b_16"}, RANDOM, "cpu")


def test_vit_by_hand(vit: spatial.Extractor) -> None:
    pictures = draw_moving_blocks(2, 224, 224)
    got = features(vit, pictures)
    with torch.device("meta"):
        net = vit_b_16(weights=None)
    # As strict as the official file's loading: the extractor's network keeps its classifier.
    net.load_state_dict(vit.net.state_dict(), assign=True)
    net.heads = nn.Identity()
    with torch.inference_mode():
        wanted = net.eval()(vit._make_input(list(pictures))).numpy()
    assert got.shape == (2, 768)
    assert wanted.std() > 0.5
    assert np.abs(wanted[0] - wanted[1]).max() > 1e-3
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


class _Mean(nn.Module):
    """In place of the network: each picture's mean colours, so that order and content show."""


def _mean(_net: nn.Module, pictures: torch.Tensor) -> torch.Tensor:
    return pictures.mean((2, 3)).repeat(1, 2)


def _without_net(monkeypatch: pytest.MonkeyPatch, **options: Any) -> spatial.Extractor:
    stub = spatial_net.SpatialModel(_Mean, _mean, 520, 448, 6)
    monkeypatch.setitem(spatial_net.MODELS, "resnet50", stub)
    return base.build_extractor("spatial", options, RANDOM, "cpu")


def test_key_frames_in_batches(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    path = folder / "long.mp4"
    media.write_video(path, draw_moving_blocks(35, 32, 64), 5.0)
    video = Video("a", path, "0", fps=5.0, frames=35)
    extractor = _without_net(monkeypatch)
    whole = extractor.extract(video)
    assert whole["time_sec"].tolist() == [0, 1, 2, 3, 4, 5, 6]
    frames = spatial.resize_frames(media.read_frames(path)[::5], 520, 448) / 255.0
    wanted = (frames.mean((1, 2)) - spatial.MEAN) / spatial.STD
    np.testing.assert_allclose(whole["spatial"][:, :3].astype(float), wanted, atol=2e-3)
    assert len(np.unique(whole["spatial"][:, 0])) == 7
    parts = _without_net(monkeypatch, batch=2).extract(video)
    np.testing.assert_array_equal(parts["spatial"], whole["spatial"])


def test_batches_cross_videos(resnet: spatial.Extractor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of mixed passes of 2 are those of each video by itself, whoever the neighbours are."""
    videos = [
        spatial.KeyFrames(draw_moving_blocks(n, 64, 64)[::-1][:n], np.arange(n, dtype=np.float32))
        for n in (1, 3, 2)
    ]
    monkeypatch.setattr(resnet, "batching", Batching(2, True))
    together = list(resnet.score(videos))
    for seen, row in zip(videos, together, strict=True):
        assert not isinstance(row, UnusableError)
        (single,) = resnet.score([seen])
        assert not isinstance(single, UnusableError)
        np.testing.assert_array_equal(row["time_sec"], seen.seconds)
        np.testing.assert_allclose(row["spatial"], single["spatial"], rtol=2e-3, atol=1e-3)


def test_unusable_videos(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    extractor = _without_net(monkeypatch)
    path = folder / "short.mp4"
    media.write_video(path, draw_moving_blocks(5, 32, 32), 25.0)
    assert extractor.extract(Video("a", path, "0", 25.0, 5))["spatial"].shape == (1, 6)
    noise = folder / "noise.mp4"
    noise.write_bytes(b"no video" * 99)
    for video in (
        Video("a", path, "0", 25.0, 0),
        Video("a", path, "0", 0.0, 5),
        Video("a", path, "0", 2.0, 9),
        Video("a", noise, "0", 25.0, 5),
        Video("a", folder / "nowhere.mp4", "0", 25.0, 5),
    ):
        with pytest.raises(UnusableError, match=r"^broken: ") as caught:
            extractor.extract(video)
        assert str(folder) not in str(caught.value)


def test_numbers_that_float16_cannot_hold(monkeypatch: pytest.MonkeyPatch, video: Video) -> None:
    extractor = _without_net(monkeypatch)
    monkeypatch.setattr(extractor, "_forward", lambda p: torch.full((len(p), 6), 1e6))
    with pytest.raises(UnusableError, match=r"^not_finite: "):
        extractor.extract(video)


def test_weights_of_another_network_are_refused(folder: Path) -> None:
    path = folder / "other.pth"
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, path)
    with pytest.raises(UserError, match="do not fit ResNet"):
        base.build_extractor("spatial", {}, Weights("official", "0" * 64, path), "cpu")


@pytest.mark.parametrize(
    ("option", "value"), [("model", "resnet5"), ("precision", "fp16"), ("batch", 0)]
)
def test_impossible_options(option: str, value: object) -> None:
    with pytest.raises(UserError, match=rf"features.spatial.options.{option}"):
        base.build_extractor("spatial", {option: value}, RANDOM, "cpu")


def pinned(*extractors: spatial.Extractor) -> dict[str, Any]:
    """Some numbers of the whole path from frames to features, with random weights of seed 0."""
    made: dict[str, Any] = {"version": spatial.VERSION}
    for name, extractor in zip(("resnet50", "vit_b_16"), extractors, strict=True):
        model = extractor.model
        frames = spatial.resize_frames(draw_moving_blocks(1, 96, 128), model.short_side, model.crop)
        row = features(extractor, frames).astype(float)[0]
        assert row.shape == (model.channels,)
        made[name] = [float(f"{v:.6g}") for v in [row.std(), *row[:: len(row) // 12]]]
    return made


def test_pinned_numbers(resnet: spatial.Extractor, vit: spatial.Extractor) -> None:
    """A change of these numbers needs a new VERSION, which makes every cached row a miss."""
    wanted, got = json.loads(GOLDEN.read_text()), pinned(resnet, vit)
    assert got["version"] == wanted["version"], "VERSION was raised: remake the pinned numbers"
    message = "the numbers changed: raise VERSION, then remake the pinned numbers"
    for part in ("resnet50", "vit_b_16"):
        assert got[part] == pytest.approx(wanted[part], rel=1e-3, abs=1e-4), message


@pytest.fixture(scope="module")
def resnet() -> spatial.Extractor:
    return base.build_extractor("spatial", {}, RANDOM, "cpu")


def test_random_weights_are_of_their_seed(resnet: spatial.Extractor) -> None:
    other = base.build_extractor("spatial", {}, Weights("random", "random:1", seed=1), "cpu")
    pictures = draw_moving_blocks(1, 64, 64)
    rows = [features(e, pictures) for e in (resnet, other)]
    assert np.abs(rows[0] - rows[1]).max() > 0.1


if __name__ == "__main__":
    made = [
        base.build_extractor("spatial", {"model": name}, RANDOM, "cpu")
        for name in spatial_net.MODELS
    ]
    GOLDEN.write_text(json.dumps(pinned(*made), indent=1) + "\n")
