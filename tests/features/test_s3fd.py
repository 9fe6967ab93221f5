"""S3FD and the tracks made from it equal joonson/syncnet_python; numbers in official/s3fd.json.

The official code ran with the weights, pictures and detections that are drawn here.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from official_code import check_array, draw_bits, draw_weight, read_numbers
from sfqa.errors import UserError
from sfqa.faces import Box
from sfqa.features import base, face_track, reference_tracks, s3fd, scene_cuts
from sfqa.features.reference_tracks import ReferenceTracker, ShrunkClip, ShrunkReader
from sfqa.features.weights import Weights

#: Height and width of the three pictures.
SIZES = ((256, 320), (420, 300), (187, 241))
#: Factor of the drawn weights of the heads, so that some anchors are faces.
SPREAD = 9.0


def draw_state(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return drawn weights of every key; the scales of the normalised maps stay near their start."""
    state = {}
    for key, start in network.state_dict().items():
        drawn = draw_weight(key, tuple(start.shape))
        is_head = key.startswith("conf.") and key.endswith("weight")
        state[key] = drawn * (start if key.startswith("L2Norm") else SPREAD if is_head else 1.0)
    return state


def draw_picture(number: int) -> np.ndarray:
    """Return a picture (height, width, 3) of coarse squares with fine noise, uint8 RGB."""
    height, width = SIZES[number]
    coarse = draw_bits(f"s3fd/coarse/{number}", 40 * 40 * 3).reshape(40, 40, 3) >> np.uint64(56)
    fine = draw_bits(f"s3fd/fine/{number}", height * width * 3) >> np.uint64(59)
    enlarged = coarse.repeat(12, 0).repeat(12, 1)[:height, :width]
    return np.minimum(enlarged + fine.reshape(height, width, 3), 255).astype(np.uint8)


def draw_detections(frames: int) -> list[list[tuple[float, float, float, float]]]:
    """Return left, top, right and bottom of a moving face, a lost one and small ones, per frame."""
    steps = draw_bits("s3fd/steps", 4 * frames).reshape(frames, 4) >> np.uint64(60)
    detections = []
    for frame in range(frames):
        dx, dy, dw, dh = (float(np.float32(step) / np.float32(7)) for step in steps[frame])
        face = (60.0 + dx + frame / 8, 40.0 + dy, 180.0 + dw + frame / 8, 170.0 + dh)
        other = (260.0 + dx, 60.0 + dy, 300.0 + dx, 110.0 + dy)
        shifted = (face[0] + 25, face[1], face[2] + 25, face[3])
        boxes = [other, face] if frame % 3 else [face, other]
        if frame % 17 == 5:  # two boxes continue the track: the first counts
            boxes = [shifted, face]
        if 30 <= frame < 42 or frame % 11 == 3:
            boxes = [other]
        detections.append(boxes)
    return detections


def draw_frame(number: int) -> np.ndarray:
    """Return frame ``number`` of the video of :func:`draw_detections`, (240, 320, 3)."""
    y, x = np.mgrid[:240, :320]
    return (np.stack([x + 3 * number, y + number, x + y], axis=-1) % 251).astype(np.uint8)


@cache
def make_detector() -> s3fd.S3FD:
    network = s3fd.S3FD()
    network.load_state_dict(draw_state(network), strict=True)
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize("number", range(len(SIZES)))
def test_boxes_and_probabilities_equal_the_official_code(number: int) -> None:
    expected = read_numbers("s3fd")["pictures"][number]
    picture = draw_picture(number)
    small = reference_tracks.shrink_picture(picture)
    candidates = s3fd.run_detector(make_detector(), [small], "cpu")[0].numpy()
    check_array(candidates[:, 0], expected["probability"], 1e-4)
    check_array(candidates[:, 1:], expected["boxes"], 1e-4)
    height, width = picture.shape[:2]
    faces = s3fd.select_faces(candidates, width, height)
    rows = [(b.x, b.y, b.x + b.w, b.y + b.h, probability) for probability, b in faces]
    assert len(rows) == len(expected["faces"]) > 1
    np.testing.assert_allclose(rows, expected["faces"], rtol=1e-5, atol=1e-4)


def test_a_batch_equals_single_pictures() -> None:
    pictures = [draw_picture(0)[::4, ::4], draw_picture(0)[::-4, ::4]]
    batch = s3fd.run_detector(make_detector(), pictures, "cpu")
    for n, picture in enumerate(pictures):
        single = s3fd.run_detector(make_detector(), [picture], "cpu")[0]
        torch.testing.assert_close(batch[n], single, rtol=0, atol=1e-5)


def test_keys_are_the_official_ones(tmp_path: Path) -> None:
    keys = read_numbers("s3fd")["keys"]
    network = s3fd.S3FD()
    assert {k: list(v.shape) for k, v in network.state_dict().items()} == keys
    state = network.state_dict()
    del state["extras.3.bias"]
    torch.save(state, tmp_path / "sfd_face.pth")
    with pytest.raises(UserError, match=r"64 of 65 keys match, 1 missing \(extras\.3\.bias\)"):
        Weights("official", "x", tmp_path / "sfd_face.pth").load(s3fd.S3FD)


def test_tracks_and_crops_equal_the_official_code() -> None:
    expected = read_numbers("s3fd")["tracks"]
    detections = [
        (frame, [Box(x, y, right - x, bottom - y) for x, y, right, bottom in boxes])
        for frame, boxes in enumerate(draw_detections(expected["frames"]))
    ]
    tracks = reference_tracks.link_reference_tracks([detections], 100)
    assert [[t.first, t.last] for t in tracks] == expected["spans"]
    check_array(tracks[0].boxes[:, :2], expected["corners"], 1e-9)
    positions = face_track.smooth_track(tracks[0])
    images = (draw_frame(n)[..., ::-1] for n in range(tracks[0].first, tracks[0].last + 1))
    crops = np.stack(list(face_track.crop_faces(images, positions)))
    check_array(crops[::20], expected["crops"], 1e-9)


def test_small_faces_and_short_tracks_are_none() -> None:
    def count(side: float, frames: int) -> int:
        detections = [(n, [Box(10, 10, side, side - 5)]) for n in range(frames)]
        return len(reference_tracks.link_reference_tracks([detections], 100))

    assert [count(100.5, 101), count(100.0, 101), count(100.5, 100)] == [1, 0, 0]


def draw_scene_frame(number: int) -> np.ndarray:
    """Return a frame (60, 804, 3), RGB; scenes begin at 3, 10, 20, 50, 58 and 70."""
    scene = sum(number >= start for start in (3, 10, 20, 50, 58, 70))
    colour = draw_bits(f"s3fd/scene/{scene}", 60 * 804 * 3).reshape(60, 804, 3) >> np.uint64(56)
    shade = np.uint64(number % 5)
    return np.minimum(colour // np.uint64(1 + scene % 2) + shade, 255).astype(np.uint8)


def test_cuts_equal_those_of_the_official_detector() -> None:
    expected = read_numbers("s3fd")["cuts"]
    pictures = [scene_cuts.convert_to_hsv(draw_scene_frame(n)) for n in range(80)]
    changes = [scene_cuts.measure_change(b, a) for a, b in pairwise(pictures)]
    np.testing.assert_allclose(changes, expected["changes"], rtol=1e-12)
    assert scene_cuts.find_cuts(enumerate(changes, start=1)) == expected["frames"]


# The extractor


def make_clip(frames: int, every: int = 1) -> ShrunkClip:
    video = base.Video("s", Path("v.mp4"), "0" * 64, 25.0, frames, Path("v.wav"), "1" * 64, 16000)
    searched = face_track.list_searched_frames(frames, every)
    pictures = np.zeros((len(searched), 64, 64, 3), np.uint8)
    sound = (np.arange(frames * 640) % 999).astype(np.int16)
    shown, scenes = list(range(frames)), [(0, frames)]
    return ShrunkClip(video, sound, shown, searched, pictures, (256, 256), scenes)


@pytest.fixture
def frames_from_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def iterate(path: Path, indices: Any) -> Any:
        return (draw_frame(n) for n in indices)

    monkeypatch.setattr("sfqa.media.iterate_frames", iterate)
    monkeypatch.setattr("sfqa.media.read_audio", lambda path, rate: np.full(44 * 640, 0.1, "f4"))


def make_tracker(monkeypatch: pytest.MonkeyPatch, hits: list[int], **more: int) -> ReferenceTracker:
    """Return a tracker whose detector shows one face in the searched pictures ``hits``."""

    def run_detector(net: Any, pictures: Any, device: str) -> torch.Tensor:
        candidates = torch.zeros(len(pictures), 3, 5)
        candidates[:, 0] = torch.tensor([0.95, 0.2, 0.2, 0.8, 0.9])
        return candidates

    def select_faces(rows: Any, width: int, height: int) -> list[tuple[float, Box]]:
        return [(0.95, Box(50, 50, 150, 160))] if next(order) in hits else []

    order = iter(range(10_000))
    monkeypatch.setattr(s3fd, "run_detector", run_detector)
    monkeypatch.setattr(s3fd, "select_faces", select_faces)
    return ReferenceTracker(
        torch.nn.Linear(1, 1), "cpu", **{"min_track": 100, "max_shift": 15} | more
    )


def test_a_short_clip_has_no_track_as_in_the_reference(
    monkeypatch: pytest.MonkeyPatch, frames_from_memory: None
) -> None:
    clip = make_tracker(monkeypatch, list(range(101))).make_face_clip(make_clip(101))
    assert (clip.windows, clip.facts["track_frames"], clip.facts["detail"]) == (96, 101, "")
    with pytest.raises(
        base.UnusableError, match=r"no_face: .*more than 100 detections needed, 100"
    ):
        make_tracker(monkeypatch, list(range(100))).make_face_clip(make_clip(100))


def test_a_track_ends_at_a_cut(monkeypatch: pytest.MonkeyPatch, frames_from_memory: None) -> None:
    whole = make_clip(240)
    split = replace(whole, scenes=[(0, 120), (120, 240)])
    clip = make_tracker(monkeypatch, list(range(240))).make_face_clip(split)
    assert (clip.facts["track_frames"], clip.facts["tracks"]) == (120, 2)
    # A scene of fewer than 100 frames is left out.
    short = replace(whole, scenes=[(0, 99), (99, 240)])
    clip = make_tracker(monkeypatch, list(range(240)), min_track=98).make_face_clip(short)
    assert (clip.facts["track_frames"], clip.facts["tracks"]) == (141, 2)
    clip = make_tracker(monkeypatch, list(range(240))).make_face_clip(short)
    assert (clip.facts["track_frames"], clip.facts["tracks"]) == (141, 1)


def test_the_reader_finds_cuts_where_frames_are_shown(
    monkeypatch: pytest.MonkeyPatch, frames_from_memory: None
) -> None:
    def iterate(path: Path, indices: Any) -> Any:
        return (np.full((120, 120, 3), 0 if n < 11 else 250, np.uint8) for n in indices)

    monkeypatch.setattr("sfqa.media.iterate_frames", iterate)
    video = base.Video("s", Path("v.mp4"), "0" * 64, 12.5, 22, Path("v.wav"), "1" * 64, 16000)
    clip = ShrunkReader(1, 15).prepare(video)  # each frame is shown twice
    cut = clip.frames_shown.index(11)
    assert clip.scenes == [(0, cut), (cut, 44)]


def test_every_fifth_frame_needs_a_fifth_of_the_detections(
    monkeypatch: pytest.MonkeyPatch, frames_from_memory: None
) -> None:
    tracker = make_tracker(monkeypatch, list(range(27)))
    clip = tracker.make_face_clip(make_clip(130, every=5))
    assert (clip.facts["track_frames"], clip.facts["face_share"]) == (130, 1.0)


def test_untrained_weights_follow_a_box_and_scores_keep_the_order(
    monkeypatch: pytest.MonkeyPatch, frames_from_memory: None
) -> None:
    options = base.merge_options("lse", {"detector": "s3fd", "min_track": 9, "max_shift": 2})
    random = Weights("random", "random:0", seed=0)
    extractor: Any = base.load_extractor("lse")(options, random, "cpu")
    video = base.Video("s", Path("v.mp4"), "0" * 64, 25.0, 10, Path("v.wav"), "1" * 64, 16000)
    clip = extractor.reader.prepare(video)
    assert clip.pictures.shape == (10, 60, 80, 3)
    lost = make_clip(1)
    rows = list(extractor.score([lost, clip, lost, lost, clip, lost]))
    assert [isinstance(row, base.UnusableError) for row in rows] == [1, 0, 1, 1, 0, 1]
    assert rows[1]["track_frames"] == 10
    assert rows[1]["lse_d"] == rows[4]["lse_d"] > 0


def test_pictures_that_are_too_small_say_so(
    monkeypatch: pytest.MonkeyPatch, frames_from_memory: None
) -> None:
    monkeypatch.setattr("sfqa.media.iterate_frames", lambda p, n: (draw_frame(i)[:104] for i in n))
    video = base.Video("s", Path("v.mp4"), "0" * 64, 25.0, 44, Path("v.wav"), "1" * 64, 16000)
    with pytest.raises(base.UnusableError, match="too_small: .* 320 x 104 pixels; .* sides of 112"):
        ShrunkReader(1, 15).prepare(video)
