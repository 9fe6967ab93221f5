"""Bytes as Pillow's, whichever library made them."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate

from sfqa.features import resizing

PROVED = [
    (336, 224), (448, 224), (480, 224), (512, 224), (672, 224),
    (384, 256), (512, 256), (768, 256), (1024, 256),
]  # fmt: skip
REFUSED = [(256, 224), (360, 224), (720, 224), (768, 224), (720, 256), (480, 256)]


def pictures(height, width):
    """Noise, black and white, and shades so near each other that sums lie on halves."""
    rng = np.random.default_rng(height * width)
    shape = (height, width, 3)
    return np.stack(
        [
            rng.integers(0, 256, shape, dtype=np.uint8),
            255 * rng.integers(0, 2, shape, dtype=np.uint8),
            rng.integers(120, 123, shape, dtype=np.uint8),
        ]
    )


def pillow(frames, width, height):
    size, how = (width, height), Image.Resampling.BILINEAR
    return np.stack([np.asarray(Image.fromarray(f).resize(size, how)) for f in frames])


def by_torch(frames, width, height):
    x = torch.from_numpy(frames).permute(0, 3, 1, 2)
    x = interpolate(x, (height, width), mode="bilinear", antialias=True)
    return x.permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize(
    ("height", "width"),
    [(512, 512), (480, 512), (672, 336), (96, 128), (224, 512), (333, 257), (8, 1024)],
)
def test_every_size_is_pillows(height, width):
    frames = pictures(height, width)
    for to in (224, 256):
        wanted = pillow(frames, to, to)
        np.testing.assert_array_equal(resizing.resize_bilinear(frames, to, to), wanted)


@pytest.mark.parametrize(("source", "target"), PROVED)
def test_what_is_proved_holds_for_torch_itself(source, target):
    assert resizing.equal_in_torch(source, target)
    for width in {source, 2 * source, 3 * target}:
        frames = pictures(source, width)
        wanted = pillow(frames, target, target)
        np.testing.assert_array_equal(resizing.resize_bilinear(frames, target, target), wanted)
        if width >= source and resizing.equal_in_torch(width, target):
            np.testing.assert_array_equal(by_torch(frames, target, target), wanted)


@pytest.mark.parametrize(("source", "target"), REFUSED)
def test_what_is_not_proved_does_differ(source, target):
    assert not resizing.equal_in_torch(source, target)
    frames = pictures(source, source)
    assert (by_torch(frames, target, target) != pillow(frames, target, target)).any()


def test_a_larger_picture_is_left_to_pillow():
    assert not resizing.equal_in_torch(96, 224)
    assert resizing.equal_in_torch(224, 224)


def test_the_fast_way_is_taken_where_it_may(monkeypatch):
    frames = pictures(512, 512)
    wanted = resizing.resize_bilinear(frames, 224, 224)
    monkeypatch.setattr(resizing.Image, "fromarray", lambda _: pytest.fail("Pillow was used"))
    np.testing.assert_array_equal(resizing.resize_bilinear(frames, 224, 224), wanted)


def test_any_strides_and_read_only_frames_will_do():
    frames = pictures(512, 1024)[:, :, ::2][::-1]
    frames.flags.writeable = False
    np.testing.assert_array_equal(
        resizing.resize_bilinear(frames, 224, 224), pillow(np.ascontiguousarray(frames), 224, 224)
    )
