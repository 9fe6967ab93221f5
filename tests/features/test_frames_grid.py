"""DNN-RNT's patches of pictures and spectrogram against numbers of the official code.

Remake the pinned numbers after a bump of VERSION with
``PYTHONPATH=workflow/scripts:tests/support python tests/features/test_frames_grid.py``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from golden_weights import draw_video, fill_weights
from moving_blocks import draw_moving_blocks
from official_code import check_array, draw_song, read_numbers
from sfqa import media
from sfqa.errors import UserError
from sfqa.features import avqa_steps, base, official, patch_grid, sound_slices
from sfqa.features.base import UnusableError, Video
from sfqa.features.extractors import frames_grid
from sfqa.features.extractors.frames_grid import GridReader, GridSteps
from sfqa.features.weights import Weights

GOLDEN = Path(__file__).parent / "golden" / "frames_grid.json"
OFFICIAL = read_numbers("dnn_rnt")
RANDOM = Weights("random", "random:0")
VIDEO = Video("a", Path("none.mp4"), "0", 25.0, 150, audio_path=Path("none.wav"))


def build(**options: Any) -> frames_grid.Extractor:
    extractor = base.build_extractor("frames_grid", options, RANDOM, "cpu")
    assert isinstance(extractor, frames_grid.Extractor)
    return extractor


@pytest.fixture(scope="module")
def filled() -> frames_grid.Extractor:
    """The extractor with the weights of the goldens."""
    extractor = build()
    fill_weights(extractor.net)
    return extractor


def make_steps(pictures: media.Pixels, spectrogram: np.ndarray, starts: list[int]) -> GridSteps:
    corners = patch_grid.list_corners(*pictures.shape[1:3])
    indices = np.arange(len(pictures))
    return GridSteps(
        pictures, np.stack([corners] * len(pictures)), indices, spectrogram, np.array(starts),
        np.arange(len(starts)),
    )  # fmt: skip


def test_patches_are_those_of_the_official_loops() -> None:
    corners = patch_grid.list_corners(512, 512)
    assert corners[:, 0].tolist() == OFFICIAL["patch_rows"]
    assert corners[:, 1].tolist() == OFFICIAL["patch_columns_of_pictures"]
    # A row that fits exactly counts twice, a column once; 1080p has 6 rows of 10.
    assert patch_grid.list_corners(224, 224).tolist() == [[0, 0], [0, 0]]
    assert patch_grid.list_corners(424, 424)[:, 0].tolist() == [0, 0, 200, 200, 200, 200]
    assert len(patch_grid.list_corners(1080, 1920)) == 60
    with pytest.raises(UnusableError, match=r"^small: the picture has 512x223 pixels"):
        patch_grid.list_corners(223, 512)


def test_columns_of_the_sound_are_those_of_the_official_code() -> None:
    frames = {int(frame): bounds for frame, bounds in OFFICIAL["patch_columns"].items()}
    starts = frames_grid.select_columns(np.array(list(frames)) / 24, 1597)
    assert [[start, start + 224] for start in starts.tolist()] == list(frames.values())


def test_steps_are_every_other_frame_and_the_sound_between() -> None:
    frames = avqa_steps.list_picture_frames(VIDEO)
    assert frames[:75].tolist() == list(range(0, 150, 2))
    assert set(frames[75:].tolist()) == {149}
    times = avqa_steps.list_sound_times(VIDEO)
    np.testing.assert_allclose(times * 25, np.arange(1, 192, 2))
    longer = Video("a", Path("a.mp4"), "0", 24.0, 500)
    assert avqa_steps.list_picture_frames(longer).tolist() == list(range(0, 192, 2))
    with pytest.raises(UnusableError, match=r"^broken: the video has 0 frames"):
        avqa_steps.list_picture_frames(Video("a", Path("a.mp4"), "0", 25.0, 0))


def test_frames_of_a_variable_rate_have_their_own_times(monkeypatch: pytest.MonkeyPatch) -> None:
    stamps = np.array([0, 0.1, 0.2, 0.7, 0.8])
    monkeypatch.setattr(media, "read_frame_times", lambda _: stamps)
    video = Video("a", Path("a.mp4"), "0", 10.0, 5, variable_rate=True)
    np.testing.assert_allclose(avqa_steps.list_sound_times(video)[:4], [0.1, 0.7, 0.9, 1.1])


def test_the_official_features(filled: frames_grid.Extractor) -> None:
    """Pictures 0 and 2 and the sound of the frames 1, 95 and 191, at full size."""
    spectrogram = frames_grid.compute_spectrogram(draw_song(8, 48000))
    pictures = draw_video(0, 4, 512, 512)[::2]
    columns = frames_grid.select_columns(np.array([1, 95, 191]) / 24, spectrogram.shape[1])
    steps = make_steps(pictures, spectrogram, columns.tolist())
    ((_, of_pictures, of_sound),) = filled.compute_features([steps])
    outputs = OFFICIAL["outputs"]
    for name, features in (
        ("video features of frames 0, 2 (2,4096)", of_pictures),
        ("audio features of frames 1, 95, 191 (3,4096) mean then std", of_sound),
    ):
        check_array(features, outputs[name], 1e-5)


def test_the_checkpoint_is_torchvisions(filled: frames_grid.Extractor) -> None:
    assert len(filled.net.state_dict()) == 320
    files = official.find_official_files(
        official.load_registry(), "frames_grid", {"weights": "official", "options": {}}
    )
    assert files[""].file == "resnet50-0676ba61.pth"


def test_every_step_has_its_own_picture_and_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Distinct patches are computed once and put back in their places."""
    pictures = np.arange(150, dtype=np.uint8)[:, None, None, None] * np.ones(
        (1, 224, 225, 3), np.uint8
    )
    sound = np.linspace(-1, 1, 6 * 48000, dtype=np.float32)
    monkeypatch.setattr(sound_slices, "read_first_channel", lambda *_: sound)
    monkeypatch.setattr(media, "read_frames", lambda _, indices: pictures[indices])
    steps = GridReader("all").prepare(VIDEO)
    assert len(steps.pictures) == 76
    extractor = build()
    # In place of the network: the mean over the patch.
    extractor.pool = lambda _, x: x.mean((2, 3))[:, :1].repeat(1, 2)
    (row,) = extractor.score([steps])
    assert isinstance(row, dict)
    assert row["video"].dtype == row["audio"].dtype == np.float16
    frames = avqa_steps.list_picture_frames(VIDEO)
    np.testing.assert_allclose(row["video"][:, 0] * 255, frames, atol=0.05)
    columns = frames_grid.select_columns(avqa_steps.list_sound_times(VIDEO), 1197)
    means = [steps.spectrogram[:, start : start + 224].mean() for start in columns]
    np.testing.assert_allclose(row["audio"][:, 0], means, rtol=1e-3)


def test_a_patch_is_0_to_1_and_a_spectrogram_three_channels() -> None:
    from torchvision.transforms.functional import to_tensor

    patch = draw_video(1, 1, 224, 224)[0]
    ours = torch.from_numpy(frames_grid.make_input(patch)).permute(2, 0, 1)
    torch.testing.assert_close(ours, to_tensor(patch), rtol=0, atol=0)
    column = np.random.default_rng(0).normal(size=(224, 224)).astype(np.float32)
    assert (frames_grid.make_input(column) == column[..., None]).all()


def test_salient_patches_are_where_something_is(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = np.full((700, 1300, 3), 90, np.uint8)
    picture[420:500, 900:980] = np.random.default_rng(0).integers(0, 256, (80, 80, 3))
    corners = patch_grid.list_corners(700, 1300)
    chosen = patch_grid.select_salient(picture, corners, 6)
    row, column = chosen[0]
    assert row <= 420 <= row + 224 - 80
    assert column <= 900 <= column + 224 - 80
    assert len(corners) == 28
    assert len(patch_grid.select_salient(picture, corners)) == 25
    assert len(patch_grid.select_salient(picture, corners[:9])) == 9
    monkeypatch.setattr(sound_slices, "read_first_channel", lambda *_: np.zeros(96000, np.float32))
    monkeypatch.setattr(media, "read_frames", lambda _, indices: picture[None].repeat(2, 0))
    steps = GridReader("spectral_residual").prepare(Video("a", Path("a.mp4"), "0", 25.0, 3))
    assert steps.corners.shape == (2, 25, 2)
    assert steps.corners[0, 0].tolist() == patch_grid.select_salient(picture, corners)[0].tolist()


def test_what_cannot_be_used_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnusableError, match=r"^silent: the video has no sound"):
        GridReader("all").prepare(Video("a", Path("none.mp4"), "0", 25.0, 150))
    with pytest.raises(UnusableError, match=r"^short: the sound lasts 1.13 s.* 1.135 s"):
        frames_grid.compute_spectrogram(np.ones(54479, np.float32))
    assert frames_grid.compute_spectrogram(np.ones(54480, np.float32)).shape == (224, 224)
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(b"no video" * 99)
    sound = draw_song(2, 48000)
    monkeypatch.setattr(sound_slices, "read_first_channel", lambda *_: sound)
    with pytest.raises(UnusableError, match=r"^broken: not all 50 frames decode"):
        GridReader("all").prepare(Video("a", noise, "0", 25.0, 50, audio_path=noise))
    with pytest.raises(UserError, match=r"features.frames_grid.options.patches"):
        build(patches="fes")


def pinned() -> dict[str, Any]:
    """A picture of four patches and one patch of sound, with random weights of seed 0."""
    spectrogram = frames_grid.compute_spectrogram(draw_song(2, 48000))
    steps = make_steps(draw_moving_blocks(1, 224, 260), spectrogram, [20])
    ((_, *features),) = build().compute_features([steps])
    numbers: dict[str, Any] = {"version": frames_grid.VERSION}
    for name, rows in zip(("video", "audio"), features, strict=True):
        row = rows[0].astype(float)
        numbers[name] = [float(f"{v:.6g}") for v in [row.std(), *row[:: len(row) // 8]]]
    return numbers


def test_pinned_numbers() -> None:
    """A change of these numbers needs a new VERSION, which makes every cached row a miss."""
    expected, computed = json.loads(GOLDEN.read_text()), pinned()
    assert computed["version"] == expected["version"], (
        "VERSION was raised: remake the pinned numbers"
    )
    message = "the numbers changed: raise VERSION, then remake the pinned numbers"
    for name in ("video", "audio"):
        assert computed[name] == pytest.approx(expected[name], rel=1e-3, abs=1e-4), message


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(pinned(), indent=1) + "\n")
