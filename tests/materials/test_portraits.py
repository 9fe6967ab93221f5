"""Drawn portraits: right files and rows, the same bytes again, and faces that look like faces."""

from collections import Counter

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sfqa import faces, identity
from sfqa.materials import portraits, portraits_shape
from sfqa.materials.portraits_canvas import Canvas, curve, noise, window
from sfqa.materials.portraits_traits import CATEGORIES, draw_traits

SEED = 1
COUNT = 24


def _draw(number: int, size: int) -> tuple[np.ndarray, tuple[float, float], float]:
    """A portrait, and where its mouth and the bridge of its nose truly are."""
    image_id = f"portrait{number + 1:02d}"
    traits = draw_traits(CATEGORIES[number % len(CATEGORIES)], SEED, image_id, number)
    picture = portraits.render(traits, SEED, image_id, size, size)
    canvas = portraits.frame(traits, size, size)
    mouth, nose = canvas.pixels(np.array([[0.0, portraits_shape.MOUTH], [0.0, 0.2]]))
    return picture, tuple(mouth), tuple(nose)


def _check_face(number: int, size: int, shrink_to: int) -> None:
    picture, mouth, nose = _draw(number, size)
    small = cv2.resize(picture, (shrink_to, shrink_to), interpolation=cv2.INTER_AREA)
    for shown, scale in ((picture, 1.0), (small, shrink_to / size)):
        found = faces.detect_faces(shown)
        assert len(found) == 1, (number, shown.shape, found)
        face = found[0]
        assert abs(face.cx - nose[0] * scale) < 0.10 * face.w
        assert abs(face.cy - nose[1] * scale) < 0.15 * face.h
        place = faces.locate_mouth(face)
        assert abs(place.cx - mouth[0] * scale) < place.w / 4
        assert abs(place.cy - mouth[1] * scale) < place.h / 2


@pytest.mark.parametrize("number", range(COUNT))
def test_each_has_one_face_in_its_place_and_the_mouth_below(number):
    _check_face(number, 320, 256)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(COUNT))
def test_each_has_one_face_at_full_size_and_at_256(number):
    _check_face(number, 1024, 256)


def test_files_and_rows(tmp_path):
    rows = portraits.draw_portraits(tmp_path, 8, SEED, 96)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"portrait0{k}.png" for k in range(1, 9)]
    for row in rows:
        assert list(row) == ["image_id", "path", "source", "category", "licence"]
        assert row["path"] == f"{row['image_id']}.png"
        assert (row["source"], row["licence"]) == ("synthetic", "CC0-1.0")
        with Image.open(tmp_path / row["path"]) as picture:
            assert (picture.format, picture.mode) == ("PNG", "RGB")
            assert picture.size == ((96, 120) if row["image_id"] == "portrait06" else (96, 96))


def test_eight_cover_both_looks_and_every_category():
    names = [CATEGORIES[k % len(CATEGORIES)] for k in range(8)]
    assert set(names) == set(CATEGORIES)
    assert len(CATEGORIES) >= 6
    assert {name.split("_")[0] for name in names} == {"photo", "illustrated"}


def test_same_seed_same_bytes_and_a_longer_list_repeats_the_shorter(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    rows = portraits.draw_portraits(one, 3, SEED, 96)
    more = portraits.draw_portraits(two, 5, SEED, 96)
    assert more[:3] == rows
    for row in rows:
        assert identity.sha256_file(one / row["path"]) == identity.sha256_file(two / row["path"])


def test_another_seed_draws_other_people(tmp_path):
    first = portraits.draw_portraits(tmp_path / "a", 2, 1, 96)
    second = portraits.draw_portraits(tmp_path / "b", 2, 2, 96)
    for a, b in zip(first, second, strict=True):
        left = np.asarray(Image.open(tmp_path / "a" / a["path"]), float)
        right = np.asarray(Image.open(tmp_path / "b" / b["path"]), float)
        assert np.abs(left - right).mean() > 5


def test_no_two_of_a_list_are_alike():
    people = [
        draw_traits(CATEGORIES[k % len(CATEGORIES)], SEED, f"portrait{k + 1:02d}", k)
        for k in range(COUNT)
    ]
    assert len(set(people)) == COUNT
    styles = Counter(p.hair_style for p in people)
    assert len(styles) >= 8
    assert max(styles.values()) <= COUNT // 4
    assert len({p.skin for p in people if not p.fantasy}) == 6


def test_too_small_and_unknown_are_refused(tmp_path):
    with pytest.raises(ValueError, match="64"):
        portraits.draw_portraits(tmp_path, 1, SEED, 63)
    with pytest.raises(ValueError, match="unknown category"):
        draw_traits("photo_cat", SEED, "a", 0)


def test_no_portraits_is_no_error(tmp_path):
    assert portraits.draw_portraits(tmp_path, 0, SEED, 96) == []


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(CATEGORIES), st.integers(0, 10**6), st.integers(0, 200))
def test_features_lie_inside_the_head_for_every_person(category, seed, number):
    traits = draw_traits(category, seed, "x", number)
    head = portraits_shape.outline(traits).astype(np.float32)
    eye = portraits_shape.eye(traits)
    upper, lower, line = portraits_shape.lips(traits)
    for points in (eye.opening, upper, lower, line, portraits_shape.brow(traits)):
        for u, v in points.astype(np.float32):
            assert cv2.pointPolygonTest(head, (float(u), float(v)), True) > 0.05
    assert eye.upper[:, 1].min() < eye.v < eye.lower[:, 1].max()
    assert eye.lower[:, 1].max() < upper[:, 1].min()
    assert upper[:, 1].min() < line[:, 1].min()
    assert lower[:, 1].max() > line[:, 1].max()


@given(st.floats(-0.3, 0.3), st.floats(-2, 2), st.floats(-2, 2))
def test_head_coordinates_and_pixels_are_inverse(tilt, u, v):
    canvas = Canvas(65, 49, (32.0, 24.0), 8.0, tilt)
    x, y = canvas.pixels(np.array([[u, v]]))[0]
    column, row = round(x), round(y)
    if 0 <= column < 65 and 0 <= row < 49:
        reach = (0.5 + 1e-3) * np.sqrt(2) / 8.0
        assert np.hypot(canvas.u[row, column] - u, canvas.v[row, column] - v) <= reach


def test_a_mask_covers_the_area_of_its_shape():
    canvas = Canvas(200, 200, (100.0, 100.0), 50.0, 0.4)
    square = np.array([[-1.0, -0.5], [1.0, -0.5], [1.0, 0.5], [-1.0, 0.5]])
    area, perimeter = 2 * 1 * 50**2, 6 * 50
    for soft in (0.0, 0.1):
        assert area <= float(canvas.mask(square, soft).sum()) <= area + perimeter


def test_paint_and_shade_do_what_they_say():
    canvas = Canvas(4, 3, (2.0, 1.0), 1.0, 0.0)
    cover = np.zeros((3, 4), np.float32)
    cover[1, 2] = 0.5
    canvas.paint(cover, (1.0, 0.5, 0.0))
    np.testing.assert_allclose(canvas.rgb[1, 2], [0.5, 0.25, 0.0], atol=1e-6)
    canvas.shade(cover, 0.0)
    np.testing.assert_allclose(canvas.rgb[1, 2], [0.25, 0.125, 0.0], atol=1e-6)
    assert np.count_nonzero(canvas.rgb) == 2


def test_window_of_nothing_is_nothing():
    assert window(np.zeros((3, 3), np.float32)) is None


def test_a_curve_passes_through_its_points():
    points = [(0.0, 0.0), (1.0, 2.0), (3.0, 1.0), (4.0, 4.0)]
    line = curve(points, 2001)
    for point in points:
        assert np.hypot(*(line - point).T).min() < 2e-3
    loop = curve(points, 50, closed=True)
    np.testing.assert_allclose(loop[0], loop[-1], atol=1e-9)


def test_noise_is_standardised_and_as_coarse_as_asked():
    rng = identity.generator(3)
    fine, coarse = noise(rng, 128, 128, 1.0), noise(rng, 128, 128, 16.0)
    for field in (fine, coarse):
        assert field.mean() == pytest.approx(0, abs=1e-4)
        assert field.std() == pytest.approx(1, rel=1e-4)
    assert np.abs(np.diff(coarse, axis=1)).mean() < 0.25 * np.abs(np.diff(fine, axis=1)).mean()
