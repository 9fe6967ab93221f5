"""SlowFast against pytorchvideo's, the transforms against torchvision's, and pinned numbers.

Remake the pinned numbers after a bump of VERSION with
``PYTHONPATH=workflow/scripts:tests/support python tests/features/test_slowfast.py``.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from moving_blocks import draw_moving_blocks
from sfqa import media
from sfqa.errors import UserError
from sfqa.features import base
from sfqa.features.base import UnusableError, Video
from sfqa.features.extractors import slowfast
from sfqa.features.slowfast_net import SlowFast
from sfqa.features.weights import Weights

GOLDEN = Path(__file__).parent / "golden" / "slowfast.json"
RANDOM = Weights("random", "random:0")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = tmp_path_factory.mktemp("slowfast")
    yield made
    for path in made.iterdir():  # 140 MB of weights that pytest would keep three times
        path.unlink()


@pytest.fixture(scope="module")
def reference() -> torch.nn.Module:
    """The original network with random weights, no normalisation trivial, no branch near zero."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hub = pytest.importorskip("pytorchvideo.models.hub")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        net: torch.nn.Module = hub.slowfast_r50(pretrained=False)
    g = torch.Generator().manual_seed(4)
    for name, value in net.state_dict().items():
        if name.endswith("running_mean"):
            value.normal_(0, 0.1, generator=g)
        elif name.endswith("running_var") or (value.ndim == 1 and name.endswith("weight")):
            value.uniform_(0.5, 1.5, generator=g)
        elif "norm" in name and name.endswith("bias"):
            value.normal_(0, 0.1, generator=g)
    return net.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def official(reference: torch.nn.Module, folder: Path) -> Weights:
    """The reference's weights in a file laid out like the official one."""
    path = folder / "SLOWFAST_8x8_R50.pyth"
    torch.save({"model_state": reference.state_dict()}, path)
    return Weights("official", "0" * 64, path)


def by_reference(net: Any, clips: torch.Tensor) -> torch.Tensor:
    """Features by the original modules: its body, its pools, its global average."""
    body, pools, head = net.blocks[:5], net.blocks[5].pool, net.blocks[6]
    with torch.inference_mode():
        paths = [clips[:, :, [0, 4, 8, 13, 17, 22, 26, 31]], clips]
        for block in body:
            paths = block(paths)
        pooled = [head.output_pool(p(x)).flatten(1) for p, x in zip(pools, paths, strict=True)]
    return torch.cat(pooled, 1)


def test_the_official_keys_and_sizes(reference: torch.nn.Module) -> None:
    with torch.device("meta"):
        ours = SlowFast()
    assert len(ours.state_dict()) == 662
    assert sum(p.numel() for p in ours.parameters()) == 34_566_488
    shapes = {k: v.shape for k, v in ours.state_dict().items()}
    assert shapes == {k: v.shape for k, v in reference.state_dict().items()}


def test_the_pools_are_the_originals(reference: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wider than 224, so that the pools have more than one place."""
    g = torch.Generator().manual_seed(0)
    maps = torch.rand(2, 2048, 8, 8, 9, generator=g), torch.rand(2, 256, 32, 8, 9, generator=g)
    net = SlowFast.__new__(SlowFast)
    torch.nn.Module.__init__(net)
    monkeypatch.setattr(net, "compute_maps", lambda _: maps)
    pools, average = reference.blocks[5].pool, reference.blocks[6].output_pool
    wanted = [average(p(x)).flatten(1) for p, x in zip(pools, maps, strict=True)]
    got = net.compute_features(torch.empty(0))
    torch.testing.assert_close(got, torch.cat(wanted, 1), rtol=1e-5, atol=1e-6)
    assert (got[:, 0] - maps[0].mean((2, 3, 4))[:, 0]).abs().max() > 1e-4


@pytest.fixture(scope="module")
def video(folder: Path) -> Video:
    path = folder / "a.mp4"
    media.write_video(path, draw_moving_blocks(29, 96, 128), 25.0)
    return Video("a", path, "0", fps=25.0, frames=29)


@pytest.fixture(scope="module")
def by_hand(reference: torch.nn.Module, video: Video) -> np.ndarray:
    """The published recipe with torchvision and the original network, from the same file."""
    transform = transforms.Compose(
        [
            transforms.Resize([224, 224]),
            transforms.ToTensor(),
            transforms.Normalize([0.45] * 3, [0.225] * 3),
        ]
    )
    ready = [transform(Image.fromarray(frame)) for frame in media.read_frames(video.path)]
    clip = torch.stack(ready + 3 * ready[-1:], 1)[None]
    return by_reference(reference, clip).numpy()


def test_simplevqa_by_hand(
    official: Weights, video: Video, by_hand: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor = base.build_extractor("slowfast", {}, official, "cpu")
    exact = list(extractor.compute_features([extractor.reader.prepare(video)]))
    monkeypatch.setattr(extractor, "compute_features", lambda _: exact)
    row = extractor.extract(video)
    assert by_hand.std() > 0.1
    np.testing.assert_allclose(exact[0], by_hand, rtol=1e-5, atol=1e-5)
    assert set(row) == {"slowfast"}
    np.testing.assert_array_equal(row["slowfast"], exact[0].astype(np.float16))

    made = [{"sample_id": "a", "cache_key": "k", "status": "ok", "detail": "", **row}]
    table = base.build_table(slowfast.Extractor.FEATURES, made)
    back = base.read_tensor(table["slowfast"], table.schema.field("slowfast"), 0)
    np.testing.assert_array_equal(back, row["slowfast"].astype(np.float32))


@pytest.mark.thorough
def test_bf16_is_near(official: Weights, video: Video, by_hand: np.ndarray) -> None:
    extractor = base.build_extractor("slowfast", {"precision": "bf16"}, official, "cpu")
    got = extractor.extract(video)["slowfast"].astype(float)
    assert 1e-3 < np.abs(got - by_hand).mean() / by_hand.std() < 0.03


def test_a_pass_copies_nothing_but_its_clips_to_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of pageable memory makes a GPU wait in every pass; this counts copies."""
    copies: list[torch.Size] = []
    plain = torch.Tensor.to

    def counted(tensor: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
        if args and isinstance(args[0], torch.device | str):
            copies.append(tensor.shape)
        return plain(tensor, *args, **options)

    net = SlowFast().eval()
    assert "slow_frames" not in net.state_dict()
    monkeypatch.setattr(torch.Tensor, "to", counted)
    with torch.inference_mode():
        net.compute_maps(torch.zeros(1, 3, 32, 32, 32))
    assert copies == []


def test_a_clip_a_second(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "long.mp4"
    media.write_video(path, draw_moving_blocks(75, 32, 64), 25.0)
    made = _without_net(monkeypatch).extract(Video("a", path, "0", fps=25.0, frames=75))["slowfast"]
    assert made.shape == (3, 2304)
    assert len(np.unique(made[:, 0])) == 3


class _Mean(SlowFast):
    """In place of the network: each clip's weighted mean, so that order and content show."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)

    def compute_features(self, clips: torch.Tensor) -> torch.Tensor:
        weight = torch.linspace(0, 1, clips[0].numel()).view(clips.shape[1:])
        return (clips * weight).mean((1, 2, 3, 4))[:, None].repeat(1, 2304) / 4


def _without_net(monkeypatch: pytest.MonkeyPatch, **options: Any) -> slowfast.Extractor:
    monkeypatch.setattr("sfqa.features.slowfast_net.SlowFast", _Mean)
    return base.build_extractor("slowfast", options, RANDOM, "cpu")


def test_kinetics_by_hand(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    path = folder / "kinetics.mp4"
    media.write_video(path, draw_moving_blocks(70, 64, 98), 30.0)
    frames = media.read_frames(path)
    transform = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(256)])
    wanted = np.stack([np.asarray(transform(Image.fromarray(f))) for f in frames])
    np.testing.assert_array_equal(slowfast.resize_frames(frames, "kinetics", 256), wanted)

    extractor = _without_net(monkeypatch, convention="kinetics")
    row = extractor.extract(Video("a", path, "0", fps=30.0, frames=70))
    clips = extractor.reader.list_clips(70, 30.0)
    assert clips[:, [0, 1, 31]].tolist() == [[0, 2, 63], [6, 8, 69]]
    by_hand = ((torch.from_numpy(wanted[clips]).double() / 255 - 0.45) / 0.225).float()
    exact = extractor.net.compute_features(by_hand.permute(0, 4, 1, 2, 3)).numpy()
    np.testing.assert_allclose(row["slowfast"].astype(float), exact, rtol=1e-3)


@pytest.mark.parametrize(("height", "width"), [(96, 128), (128, 96), (256, 256), (333, 257)])
def test_shrink_is_torchvisions(height: int, width: int) -> None:
    frames = np.random.default_rng(1).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    images = [Image.fromarray(f) for f in frames]
    squash = transforms.Resize([224, 224])
    crop = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(256)])
    np.testing.assert_array_equal(
        slowfast.resize_frames(frames, "simplevqa", 224), [np.asarray(squash(i)) for i in images]
    )
    np.testing.assert_array_equal(
        slowfast.resize_frames(frames, "kinetics", 256), [np.asarray(crop(i)) for i in images]
    )


def test_unusable_videos(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    extractor = _without_net(monkeypatch)
    path = folder / "short.mp4"
    media.write_video(path, draw_moving_blocks(5, 32, 32), 25.0)
    assert extractor.extract(Video("a", path, "0", 25.0, 5))["slowfast"].shape == (1, 2304)
    noise = folder / "noise.mp4"
    noise.write_bytes(b"no video" * 99)
    for video in (
        Video("a", path, "0", 25.0, 0),
        Video("a", path, "0", 0.0, 5),
        Video("a", path, "0", 25.0, 9),
        Video("a", noise, "0", 25.0, 5),
        Video("a", folder / "nowhere.mp4", "0", 25.0, 5),
    ):
        with pytest.raises(UnusableError, match=r"^broken: ") as caught:
            extractor.extract(video)
        assert str(folder) not in str(caught.value)


def test_numbers_that_float16_cannot_hold(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    path = folder / "inf.mp4"
    media.write_video(path, draw_moving_blocks(3, 32, 32), 25.0)
    extractor = _without_net(monkeypatch)
    monkeypatch.setattr(_Mean, "compute_features", lambda _, x: torch.full((len(x), 2304), 1e6))
    with pytest.raises(UnusableError, match=r"^not_finite: "):
        extractor.extract(Video("a", path, "0", 25.0, 3))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("convention", "kinetic"),
        ("size", 112),
        ("precision", "fp16"),
        ("batch", 0),
        ("every_sec", 0),
    ],
)
def test_impossible_options(option: str, value: object) -> None:
    with pytest.raises(UserError, match=rf"features.slowfast.options.{option}"):
        base.build_extractor("slowfast", {option: value}, RANDOM, "cpu")


@pytest.mark.thorough
def test_rows_do_not_depend_on_the_pass_they_share() -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (2, 32, 224, 224, 3), dtype=np.uint8)
    two = slowfast.Clips(frames[0], np.stack([np.arange(32), np.arange(32)[::-1]]))
    one = slowfast.Clips(frames[1], np.arange(32)[None])
    single = list(base.build_extractor("slowfast", {}, RANDOM, "cpu").compute_features([two, one]))
    mixed = base.build_extractor("slowfast", {"batch": 2}, RANDOM, "cpu")
    other, same = mixed.compute_features([one, two])  # the first pass holds parts of both
    for got, wanted in ((same, single[0]), (other, single[1])):
        assert got.shape == wanted.shape
        assert np.linalg.norm(got - wanted) <= 1e-6 * np.linalg.norm(wanted)
    assert np.linalg.norm(single[0][0] - single[0][1]) > 1e-3 * np.linalg.norm(single[0][0])


def pinned() -> dict[str, Any]:
    """Some numbers of the whole path from frames to features, with random weights of seed 0."""
    extractor = base.build_extractor("slowfast", {}, RANDOM, "cpu")
    frames = slowfast.resize_frames(draw_moving_blocks(40, 96, 128), "simplevqa", 224)
    (exact,) = extractor.compute_features(
        [slowfast.Clips(frames, extractor.reader.list_clips(40, 25.0))]
    )
    made = exact.astype(float)
    assert made.shape == (1, 2304)
    slow, fast = made[0, :2048], made[0, 2048:]
    return {
        "version": slowfast.VERSION,
        "slow": [float(f"{v:.6g}") for v in [slow.mean(), slow.std(), *slow[:6]]],
        "fast": [float(f"{v:.6g}") for v in [fast.mean(), fast.std(), *fast[:6]]],
    }


def test_pinned_numbers() -> None:
    """A change of these numbers needs a new VERSION, which makes every cached row a miss."""
    wanted, got = json.loads(GOLDEN.read_text()), pinned()
    assert got["version"] == wanted["version"], "VERSION was raised: remake the pinned numbers"
    message = "the numbers changed: raise VERSION, then remake the pinned numbers"
    for part in ("slow", "fast"):
        assert got[part] == pytest.approx(wanted[part], rel=1e-3), message


def test_every_other_second_can_be_left_out() -> None:
    reader = slowfast.ClipReader("simplevqa", 224, every=2)
    assert reader.list_clips(150, 25)[:, 0].tolist() == [0, 50, 100]


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(pinned(), indent=1) + "\n")
