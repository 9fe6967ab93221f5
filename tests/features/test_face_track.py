import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfqa import identity
from sfqa.faces import Box, compute_iou
from sfqa.features import face_track as ft


def still(frames):
    return [(frame, [Box(10, 10, 20, 20)]) for frame in frames]


def test_iou_of_known_boxes():
    assert compute_iou(Box(0, 0, 4, 4), Box(0, 0, 4, 4)) == 1
    assert compute_iou(Box(0, 0, 4, 4), Box(4, 0, 4, 4)) == 0
    assert compute_iou(Box(0, 0, 4, 4), Box(2, 2, 4, 4)) == pytest.approx(4 / 28)
    assert compute_iou(Box(0, 0, 0, 0), Box(0, 0, 0, 0)) == 0


def test_an_iou_of_one_half_is_not_enough():
    half, more = Box(0, 0, 10, 20), Box(0, 0, 10, 19)
    first = Box(0, 0, 10, 10)
    assert len(ft.link_tracks([(0, [first]), (1, [half])], 1)) == 0
    assert len(ft.link_tracks([(0, [first]), (1, [more])], 1)) == 1


@pytest.mark.parametrize(("gap", "lengths"), [(25, [35]), (26, [10, 1])])
def test_a_track_survives_gaps_of_25_frames(gap, lengths):
    found = still([*range(10), 9 + gap])
    assert [len(t.boxes) for t in ft.link_tracks(found, 0)] == lengths


def test_a_track_needs_more_than_the_least():
    assert ft.link_tracks(still(range(50)), 50) == []
    (track,) = ft.link_tracks(still(range(51)), 50)
    assert (track.first, track.last, track.found) == (0, 50, 51)


def test_gaps_are_filled_linearly():
    found = [(3, [Box(0, 0, 40, 40)]), (7, [Box(4, 2, 40, 44)])]
    (track,) = ft.link_tracks(found, 1)
    assert track.first == 3
    np.testing.assert_allclose(track.boxes[:, 0], [0, 1, 2, 3, 4])
    np.testing.assert_allclose(track.boxes[2], [2, 1, 40, 42])


def test_two_faces_stay_apart_whatever_the_order_of_boxes():
    rng = identity.random_generator("two faces")
    found = []
    for frame in range(40):
        boxes = [Box(10 + frame, 20, 60, 60), Box(150 - frame, 30, 30, 30)]
        found.append((frame, [boxes[i] for i in rng.permutation(2)]))
    large, small = ft.link_tracks(found, 30)
    np.testing.assert_allclose(large.boxes[:, 0], 10 + np.arange(40))
    np.testing.assert_allclose(small.boxes[:, 0], 150 - np.arange(40))
    assert large.overlaps_with(small)


def test_the_longest_track_comes_first():
    left, right = Box(0, 0, 10, 10), Box(100, 0, 50, 50)
    found = [(f, [right, left] if f < 20 else [left]) for f in range(30)]
    assert [len(t.boxes) for t in ft.link_tracks(found, 0)] == [30, 20]


def test_tracks_after_each_other_do_not_overlap():
    first, second = ft.link_tracks(still([*range(10), *range(60, 65)]), 0)
    assert not first.overlaps_with(second)
    assert not second.overlaps_with(first)


def test_link_leaves_its_input_alone():
    found = still(range(5))
    ft.link_tracks(found, 0)
    assert found == still(range(5))


@pytest.mark.parametrize(
    ("frames", "looks", "wanted"), [(150, 150, 50), (62, 62, 49), (36, 36, 28), (150, 31, 10)]
)
def test_needed(frames, looks, wanted):
    assert ft.count_needed_detections(50, frames, looks) == wanted


def test_looking_at_some_frames_gives_the_boxes_of_all_in_even_motion():
    def box(i):
        return Box(10 + i, 20, 40 + i / 2, 40)

    every = ft.link_tracks([(i, [box(i)]) for i in range(60)], 0)[0]
    some = ft.link_tracks([(i, [box(i)]) for i in ft.list_searched_frames(60, 5)], 0)[0]
    np.testing.assert_allclose(some.boxes, every.boxes)
    assert some.found == 13


def slow_median(values):
    """Median of 13 with zeros beyond the ends, from the definition."""
    padded = [0.0] * 6 + list(values) + [0.0] * 6
    return [sorted(padded[i : i + 13])[6] for i in range(len(values))]


@settings(max_examples=30, deadline=None)
@given(length=st.integers(7, 40), seed=st.integers(0, 100))
def test_smooth_is_a_median_of_13(length, seed):
    boxes = identity.random_generator("smooth", seed).uniform(20, 80, (length, 4))
    found = ft.smooth_track(ft.Track(0, boxes, length))
    x, y, w, h = boxes.T
    np.testing.assert_allclose(found[:, 0], slow_median(np.maximum(w, h) / 2))
    np.testing.assert_allclose(found[:, 1], slow_median(x + w / 2))
    np.testing.assert_allclose(found[:, 2], slow_median(y + h / 2))
    assert (found > 0).all()


def test_smooth_of_a_very_short_track_is_no_zero():
    found = ft.smooth_track(ft.Track(0, np.tile([0.0, 0, 10, 20], (6, 1)), 6))
    np.testing.assert_allclose(found, np.tile([10, 5, 10], (6, 1)))


@settings(max_examples=60, deadline=None)
@given(half=st.floats(4, 60), x=st.floats(0, 99), y=st.floats(0, 79), seed=st.integers(0, 3))
def test_crop_equals_padding_the_whole_picture(half, x, y, seed):
    image = identity.random_generator("crop", seed).integers(0, 256, (80, 100, 3), dtype=np.uint8)
    pad = int(half * 1.8)
    wide = np.full((80 + 2 * pad, 100 + 2 * pad, 3), 110, np.uint8)
    wide[pad : pad + 80, pad : pad + 100] = image
    top, bottom = int(y + pad - half), int(y + pad + half * 1.8)
    left, right = int(x + pad - half * 1.4), int(x + pad + half * 1.4)
    wanted = cv2.resize(wide[top:bottom, left:right], (224, 224))
    assert np.array_equal(ft.crop_face(image, half, x, y), wanted)


def test_crop_reaches_further_down_than_up():
    """Of 2.8 half sizes, the face's centre lies 1 below the top and in the middle sideways."""
    image = np.zeros((400, 400, 3), np.uint8)
    cv2.circle(image, (200, 200), 4, (255, 255, 255), -1)
    rows, columns = np.nonzero(ft.crop_face(image, 80, 200, 200)[..., 0] > 128)
    assert rows.mean() == pytest.approx(224 / 2.8, abs=1)
    assert columns.mean() == pytest.approx(112, abs=1)


def test_outside_the_picture_is_grey_110():
    made = ft.crop_face(np.zeros((100, 100, 3), np.uint8), 50, 50, 50)
    assert (made[-10:] == 110).all()
    assert (made[:, :10] == 110).all()
    assert (made[:100, 60:160] == 0).all()


def test_crops_are_bgr():
    image = np.zeros((100, 100, 3), np.uint8)
    image[..., 0] = 200  # red in RGB
    (made,) = ft.crop_faces([image], np.array([[20.0, 50, 50]]))
    assert made.shape == (224, 224, 3)
    assert made.dtype == np.uint8
    assert (made[112, 112] == (0, 0, 200)).all()
