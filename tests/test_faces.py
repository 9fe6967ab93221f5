"""Faces are found where they were put, and nowhere else."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import demo_material
from sfqa import faces
from sfqa.faces import Box, detect_faces, find_portrait_faces, locate_mouth, merge_boxes
from thinned import mark_others_thorough

REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "real" / "images"
SIDE = 256


@pytest.fixture(scope="module")
def portrait():
    return demo_material.load_portrait(3, SIDE)


def overlap(a: Box, b: Box) -> float:
    """Intersection over union, written from its definition."""
    wide = max(0.0, min(a.x + a.w, b.x + b.w) - max(a.x, b.x))
    high = max(0.0, min(a.y + a.h, b.y + b.h) - max(a.y, b.y))
    return wide * high / (a.w * a.h + b.w * b.h - wide * high)


def test_box_has_centre_and_size():
    box = Box(10, 20, 30, 50)
    assert (box.cx, box.cy, box.size) == (25, 45, 50)


def test_finds_the_face_where_it_was_drawn(portrait):
    (box,) = detect_faces(portrait)
    # Eyes at 0.455 and chin at 0.455 + 1.13 * 0.245 of the height: the box ends just above it.
    assert box.cx == pytest.approx(0.5 * SIDE, abs=0.04 * SIDE)
    assert box.y + box.h == pytest.approx((0.455 + 1.08 * 0.245) * SIDE, abs=0.06 * SIDE)
    assert box.y < 0.455 * SIDE - 0.3 * box.h


def test_mouth_box_holds_the_drawn_mouth(portrait):
    left, top, right, bottom = np.array(demo_material.FACES[3].lips) * SIDE / demo_material.SIDE
    (face,) = detect_faces(portrait)
    mouth = locate_mouth(face)
    assert mouth.x < left < right < mouth.x + mouth.w
    assert mouth.y < top < bottom < mouth.y + mouth.h
    assert mouth.w < 0.5 * face.w


def test_mouth_box_moves_and_grows_with_the_face():
    one, two = locate_mouth(Box(0, 0, 100, 100)), locate_mouth(Box(7, 9, 200, 200))
    np.testing.assert_allclose(two, np.array(one) * 2 + [7, 9, 0, 0], atol=1e-12)


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_boxes_are_in_the_pixels_of_the_input(portrait, factor):
    side = round(SIDE * factor)
    scaled = cv2.resize(portrait, (side, side), interpolation=cv2.INTER_LINEAR)
    (small,), (large,) = detect_faces(portrait), detect_faces(scaled)
    assert overlap(Box(*(v * factor for v in small)), large) > 0.7


def test_a_stretched_picture_keeps_both_scales(portrait):
    wide = np.full((SIDE, 3 * SIDE, 3), 120, np.uint8)
    wide[:, 2 * SIDE :] = portrait
    (box,) = detect_faces(wide, max_side=1000)
    assert box.cx == pytest.approx(2.5 * SIDE, abs=0.06 * SIDE)


def test_two_faces_come_largest_first(portrait):
    picture = np.full((SIDE, 2 * SIDE, 3), 128, np.uint8)
    half = cv2.resize(portrait, (SIDE // 2, SIDE // 2), interpolation=cv2.INTER_AREA)
    picture[SIDE // 4 : SIDE // 4 + SIDE // 2, SIDE // 4 : SIDE // 4 + SIDE // 2] = half
    picture[:, SIDE:] = portrait
    first, second = detect_faces(picture, max_side=512)
    assert first.cx > SIDE > second.cx
    assert first.size == pytest.approx(2 * second.size, rel=0.25)


@pytest.mark.parametrize("kind", ["flat", "noise", "gradient"])
def test_no_face_where_there_is_none(kind):
    rng = np.random.default_rng(5)
    picture = {
        "flat": np.full((200, 300, 3), 90, np.uint8),
        "noise": rng.integers(0, 256, (200, 300, 3), dtype=np.uint8),
        "gradient": np.repeat(
            np.tile(np.linspace(0, 255, 300).astype(np.uint8), (200, 1))[..., None], 3, axis=2
        ),
    }[kind]
    assert detect_faces(picture) == []


@pytest.mark.parametrize("shape", [(1, 1), (3, 400), (9, 9), (8, 3000)])
def test_tiny_and_thin_pictures_hold_no_face(shape):
    assert detect_faces(np.zeros((*shape, 3), np.uint8)) == []


@pytest.mark.parametrize(
    "picture",
    [np.zeros((64, 64), np.uint8), np.zeros((64, 64, 3)), np.zeros((64, 64, 4), np.uint8)],
)
def test_other_arrays_are_refused(picture):
    with pytest.raises(ValueError, match="uint8 RGB"):
        detect_faces(picture)


def test_same_answer_every_time_and_in_every_thread(portrait):
    expected = detect_faces(portrait)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(detect_faces, [portrait] * 8)) == [expected] * 8


def test_the_input_is_not_changed(portrait):
    before = portrait.copy()
    detect_faces(portrait)
    np.testing.assert_array_equal(portrait, before)


def test_the_frontal_path_is_the_first_and_the_profile_the_last(portrait, monkeypatch):
    asked = []
    run = faces._run_cascade

    def recorded(name, neighbours, grey):
        asked.append(name)
        return run(name, neighbours, grey)

    monkeypatch.setattr(faces, "_run_cascade", recorded)
    detect_faces(portrait)
    assert asked == ["haarcascade_frontalface_alt2.xml"]
    asked.clear()
    detect_faces(np.full((64, 64, 3), 7, np.uint8))
    assert asked[-2:] == ["haarcascade_profileface.xml"] * 2
    assert "haarcascade_profileface.xml" not in asked[:-2]


def test_the_portrait_finder_agrees_with_the_detector_on_a_plain_face(portrait):
    (plain,), (voted,) = detect_faces(portrait), find_portrait_faces(portrait)
    assert overlap(plain, voted) > 0.8


def test_the_portrait_finder_finds_a_photograph_and_its_mirror_image():
    path = Path(mpl.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    picture = np.asarray(Image.open(path).convert("RGB"))
    (box,) = find_portrait_faces(picture)
    assert overlap(box, Box(160, 100, 215, 215)) > 0.7  # by eye
    (mirrored,) = find_portrait_faces(np.ascontiguousarray(picture[:, ::-1]))
    assert overlap(mirrored, box._replace(x=picture.shape[1] - box.x - box.w)) > 0.8


@pytest.mark.parametrize("number", mark_others_thorough([3, 4, 5, 7], 4))
@pytest.mark.parametrize("degrees", [-28, 28])
def test_a_leaning_head_is_found_where_it_is(number, degrees):
    portrait = demo_material.load_portrait(number, SIDE)
    wide = cv2.copyMakeBorder(portrait, 60, 60, 60, 60, cv2.BORDER_REPLICATE)
    (upright,) = find_portrait_faces(wide)
    side = wide.shape[0]
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), degrees, 1)
    leaning = cv2.warpAffine(wide, turn, (side, side), borderMode=cv2.BORDER_REPLICATE)
    x, y = turn @ (upright.cx, upright.cy, 1)
    found = find_portrait_faces(leaning)[0]
    assert (found.cx, found.cy) == pytest.approx((x, y), abs=0.12 * upright.size)
    assert found.size == pytest.approx(upright.size, rel=0.2)


def test_the_portrait_finder_sees_small_faces_in_large_pictures(portrait):
    picture = np.full((900, 1200, 3), 120, np.uint8)
    picture[600:700, 800:900] = cv2.resize(portrait, (100, 100), interpolation=cv2.INTER_AREA)
    (box,) = find_portrait_faces(picture)
    assert (box.cx, box.cy) == pytest.approx((850, 650), abs=10)


@pytest.mark.parametrize("kind", ["flat", "noise", "stripes", "body", "blobs"])
def test_the_portrait_finder_sees_no_face_where_there_is_none(portrait, kind):
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:150, :200]
    picture = {
        "flat": np.full((150, 200), 90.0),
        "noise": rng.uniform(0, 255, (150, 200)),
        "stripes": 127 + 120 * np.sin(x / 9.0) * np.cos(y / 13.0),
        "body": np.repeat(np.repeat(portrait[210:, :, 1], 3, 0), 1, 1).astype(float),
        "blobs": cv2.GaussianBlur(rng.uniform(0, 255, (150, 200)), (0, 0), 6),
    }[kind]
    if kind == "blobs":
        picture = (picture - picture.min()) / np.ptp(picture) * 255
    assert find_portrait_faces(np.repeat(picture.astype(np.uint8)[..., None], 3, axis=2)) == []


@pytest.mark.parametrize("shape", [(1, 1), (3, 400), (9, 9), (8, 3000)])
def test_tiny_and_thin_pictures_hold_no_portrait(shape):
    assert find_portrait_faces(np.zeros((*shape, 3), np.uint8)) == []


def test_the_portrait_finder_refuses_other_arrays():
    with pytest.raises(ValueError, match="uint8 RGB"):
        find_portrait_faces(np.zeros((64, 64)))


def test_one_weak_vote_is_no_face_and_two_cascades_are(portrait, monkeypatch):
    place = Box(60.0, 60.0, 90.0, 90.0)
    voting = {"haarcascade_frontalface_alt2.xml": 3}
    monkeypatch.setattr(
        faces,
        "_raw_hits",
        lambda name, *_: [(place, voting[name])] if name in voting else [],
    )
    blank = np.zeros((256, 256, 3), np.uint8)
    assert find_portrait_faces(blank) == []  # 3 of 4 raw detections on two pictures: 1.5 votes
    voting["haarcascade_frontalface_default.xml"] = 3
    assert find_portrait_faces(blank) == [place]  # 1.5 + 2 * 3 / 6 = 2.5 votes


@pytest.mark.parametrize(
    ("hit", "count", "faces_left"),
    [
        (Box(34, 34, 64, 64), 8, 0),  # the place is shown from 24 to 104
        (Box(34, 34, 64, 64), 7, 1),
        (Box(40, 40, 50, 50), 99, 1),  # too narrow: an eye of the face
        (Box(70, 70, 64, 64), 99, 1),  # elsewhere
    ],
)
def test_a_face_that_is_an_eye_is_none(monkeypatch, hit, count, faces_left):
    place = Box(60.0, 60.0, 90.0, 90.0)
    monkeypatch.setattr(
        faces,
        "_raw_hits",
        lambda name, *_: [(hit, count)] if "eye" in name else [(place, 9)],
    )
    assert len(faces._find_faces(np.zeros((256, 256), np.uint8), 2.0)) == faces_left


def test_of_two_places_the_better_supported_comes_first(monkeypatch):
    small, large = Box(10.0, 10.0, 40.0, 40.0), Box(100.0, 100.0, 100.0, 100.0)
    monkeypatch.setattr(
        faces,
        "_raw_hits",
        lambda name, *_: [] if "eye" in name else [(small, 16), (large, 4)],
    )
    found = find_portrait_faces(np.zeros((256, 256, 3), np.uint8))
    np.testing.assert_allclose(found, [small, large], rtol=1e-12)


_boxes = st.lists(st.builds(Box, *[st.integers(0, 50)] * 2, *[st.integers(1, 40)] * 2), max_size=8)


@given(_boxes)
def test_merge_keeps_a_part_and_never_two_of_one_place(boxes):
    kept = merge_boxes(boxes)
    assert all(box in boxes for box in kept)
    assert bool(kept) == bool(boxes)
    areas = [box.w * box.h for box in kept]
    assert areas == sorted(areas, reverse=True)
    for k, box in enumerate(kept):
        for other in kept[:k]:
            wide = min(box.x + box.w, other.x + other.w) - max(box.x, other.x)
            high = min(box.y + box.h, other.y + other.h) - max(box.y, other.y)
            assert max(0, wide) * max(0, high) <= 0.4 * box.w * box.h
    assert merge_boxes(boxes[::-1]) == kept


def _real(name: str) -> np.ndarray:
    if not REAL.is_dir():
        pytest.skip("the real data beside the checkout is absent")
    return np.asarray(Image.open(REAL / name).convert("RGB"))


@pytest.mark.shared
def test_a_large_painted_eye_is_no_face():
    (box,) = find_portrait_faces(_real("sonic_anime1.png"))
    assert overlap(box, Box(150, 180, 185, 185)) > 0.7  # by eye; its left eye is the surest hit


@pytest.mark.shared
@pytest.mark.parametrize("name", ["st_art_10.png", "sonic_female_diaosu.png", "hallo2_5.jpg"])
def test_paintings_and_statues_have_one_face(name):
    picture = _real(name)
    (box,) = detect_faces(picture)
    assert 0.3 < box.cx / picture.shape[1] < 0.7


@pytest.mark.shared
def test_a_profile_is_found_whichever_way_it_looks():
    picture = _real("hallo3_0018.jpg")
    assert detect_faces(picture)
    (box,) = detect_faces(np.ascontiguousarray(picture[:, ::-1]))
    assert box.cx > picture.shape[1] / 2
