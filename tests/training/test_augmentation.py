"""Flips and crops of views: the same for all frames of a step, drawn anew for each row and epoch."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from killed_training import kill_training
from sfqa.regression import losses
from sfqa.training.augmentation import ViewReading, augment, crop_centre
from sfqa.training.rows import TensorRows
from sfqa.training.settings import TrainingSettings
from sfqa.training.trainer import Trainer, TrainingData


def seed(number: int) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def draw_views(*shape: int) -> Tensor:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return torch.from_numpy(pixels)


def find_change(pictures: Tensor, changed: Tensor) -> tuple[bool, int, int]:
    """Return whether a step was mirrored, and where it was cut; all of its frames agree on it."""
    height, width = changed.shape[-2:]
    changes = [
        (mirrored, top, left)
        for mirrored in (False, True)
        for top in range(pictures.shape[-2] - height + 1)
        for left in range(pictures.shape[-1] - width + 1)
        if torch.equal(
            changed.flip(-1) if mirrored else changed,
            pictures[..., top : top + height, left : left + width],
        )
    ]
    assert len(changes) == 1
    return changes[0]


def test_frames_of_a_clip_are_changed_alike_and_clips_differently() -> None:
    batch = draw_views(40, 3, 3, 5, 8, 9)  # rows, clips, colours, frames, rows, columns
    changed = augment(batch, seed(0), flip=True, crop=6)
    assert changed.shape == (40, 3, 3, 5, 6, 6)
    assert changed.dtype == torch.uint8
    changes = [find_change(batch[n, c], changed[n, c]) for n in range(40) for c in range(3)]
    assert 40 <= sum(mirrored for mirrored, _, _ in changes) <= 80  # of 120
    places = Counter((top, left) for _, top, left in changes)
    assert set(places) == {(top, left) for top in range(3) for left in range(4)}
    assert torch.equal(changed, augment(batch, seed(0), flip=True, crop=6))
    assert not torch.equal(changed, augment(batch, seed(1), flip=True, crop=6))


def test_frames_of_a_picture_sequence_are_steps_of_their_own() -> None:
    batch = draw_views(1, 60, 3, 7, 7)
    changed = augment(batch, seed(3), flip=True)
    mirrored = [find_change(batch[0, n], changed[0, n])[0] for n in range(60)]
    assert 15 < sum(mirrored) < 45


def test_torch_own_numbers_are_drawn_without_a_generator() -> None:
    batch = draw_views(4, 2, 3, 8, 8)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        first = augment(batch, None, flip=True, crop=5)
        torch.manual_seed(5)
        assert torch.equal(first, augment(batch, None, flip=True, crop=5))


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 3), steps=st.integers(1, 3), height=st.integers(2, 9),
    width=st.integers(2, 9), flip=st.booleans(), number=st.integers(0, 2**32),
    data=st.data(),
)  # fmt: skip
def test_every_step_is_a_window_of_itself(
    rows: int, steps: int, height: int, width: int, flip: bool, number: int, data: Any
) -> None:
    crop = data.draw(st.none() | st.integers(2, min(height, width)))
    batch = draw_views(rows, steps, 3, 2, height, width)
    before = batch.clone()
    changed = augment(batch, seed(number), flip, crop)
    assert torch.equal(batch, before)
    size = (height, width) if crop is None else (crop, crop)
    assert changed.shape == (rows, steps, 3, 2, *size)
    for row in range(rows):
        for step in range(steps):
            mirrored, _, _ = find_change(batch[row, step], changed[row, step])
            assert flip or not mirrored
    if not flip and crop is None:
        assert torch.equal(changed, batch)


@pytest.mark.parametrize("crop", [0, 9])
def test_a_crop_that_does_not_fit(crop: int) -> None:
    batch = draw_views(1, 1, 3, 8, 10)
    message = f"a crop of {crop} pixels out of pictures of 10x8"
    with pytest.raises(ValueError, match=message):
        augment(batch, seed(0), crop=crop)
    with pytest.raises(ValueError, match=message):
        crop_centre(batch, crop)


@pytest.mark.parametrize(
    ("size", "crop", "place"),
    [((520, 520), 448, (36, 36)), ((9, 12), 4, (2, 4)), ((7, 7), 4, (2, 2)), ((7, 7), 7, (0, 0))],
)
def test_the_centre_is_that_of_torchvision(
    size: tuple[int, int], crop: int, place: tuple[int, int]
) -> None:
    """The places are those of ``torchvision.transforms.CenterCrop``, which rounds half to even."""
    batch = draw_views(1, 2, 3, *size)
    top, left = place
    assert torch.equal(crop_centre(batch, crop), batch[..., top : top + crop, left : left + crop])


READING = {"x": ViewReading(flip=True, crop=6, scored_steps=2)}


def make_source(views: Tensor, **more: Any) -> TensorRows:
    return TensorRows(
        {"x": views}, {}, {}, "cpu", False, dtype=torch.float32, seed=4, readings=READING, **more
    )


def test_a_row_is_changed_alike_in_any_batch_and_anew_in_every_epoch() -> None:
    views = draw_views(12, 4, 3, 8, 8)
    source = make_source(views)
    rows = torch.arange(12)
    (together,) = source.iterate([rows], 3)
    pieces = list(source.iterate(list(rows.flip(0).split(5)), 3))
    assert isinstance(together, Tensor)
    assert torch.equal(torch.cat(pieces).flip(0), together)  # type: ignore[arg-type]
    assert together.shape == (12, 4, 3, 6, 6)
    (later,) = source.iterate([rows], 4)
    assert not torch.equal(together, later)  # type: ignore[arg-type]
    (scored,) = source.iterate([rows], 0)
    assert torch.equal(scored, views[:, :2, :, 1:7, 1:7])  # type: ignore[arg-type]


class SmallBackbone(nn.Module):
    """Normalises the pixels of (rows, steps, 3, 6, 6), and scores the mean over the steps."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(64, 1)
        )

    def forward(self, views: Tensor) -> Tensor:
        assert views.dtype == torch.uint8
        assert views.shape[2:] == (3, 6, 6)
        pixels = views.flatten(0, 1).to(self.layers[0].weight.dtype) / 127.5 - 1
        return self.layers(pixels).view(*views.shape[:2], 1).mean(1)


def make_trainer(views: Tensor, **changed: Any) -> Trainer:
    rows = torch.arange(len(views))
    source = make_source(views, draws={"x": 1})
    target = views.double().mean(dim=(1, 2, 3, 4))[:, None] / 10
    data = TrainingData(source, target, rows[:18], rows[18:])
    options = {"epochs": 4, "patience": 4, "batch_rows": 4, "ema": 0.9, "learning_rate": 0.01}
    chosen = TrainingSettings(**{**options, **changed})
    return Trainer(SmallBackbone, data, losses.parse("mse"), chosen, 7, "cpu")


def test_a_killed_training_ends_at_the_same_numbers(tmp_path: Path) -> None:
    views = draw_views(24, 4, 3, 8, 8)
    expected = make_trainer(views).run(tmp_path / "a.pt")

    with kill_training(after_steps=8):  # in the middle of the second epoch
        make_trainer(views).run(tmp_path / "b.pt")
    resumed = make_trainer(views).run(tmp_path / "b.pt")
    assert expected.keys() == resumed.keys()
    assert all(torch.equal(expected[name], resumed[name]) for name in expected)
    other = Trainer(
        SmallBackbone, make_trainer(views).data, losses.parse("mse"),
        make_trainer(views).settings, 8, "cpu",
    ).run(tmp_path / "c.pt")  # fmt: skip
    assert not torch.equal(other["layers.0.weight"], expected["layers.0.weight"])


def test_pieces_of_a_batch_are_changed_as_the_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nn.Dropout, "forward", lambda _, x: x)
    views = draw_views(24, 4, 3, 8, 8)
    together = make_trainer(views, precision="float64").run(tmp_path / "a.pt")
    pieces = make_trainer(views, precision="float64", piece_rows=1).run(tmp_path / "b.pt")
    for name, value in together.items():
        torch.testing.assert_close(pieces[name], value, atol=1e-9, rtol=0)
