"""The square round the face, and its cutting out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sfqa.faces import Box
from sfqa.materials.crop import OFFSET_IN_BOXES, SIDE_IN_BOXES, Crop, choose_square, crop_picture


@st.composite
def pictures_with_a_face(draw):
    width, height = draw(st.integers(8, 3000)), draw(st.integers(8, 3000))
    size = draw(st.floats(4, min(width, height)))
    x = draw(st.floats(0, 1)) * (width - size)
    y = draw(st.floats(0, 1)) * (height - size)
    return width, height, Box(x, y, size, size)


@given(pictures_with_a_face())
def test_the_crop_is_a_square_in_the_picture_that_holds_the_face(case):
    width, height, box = case
    left, top, side = choose_square(width, height, box)
    assert all(isinstance(v, int) for v in (left, top, side))
    assert left >= 0
    assert top >= 0
    assert left + side <= width
    assert top + side <= height
    assert left <= box.x + 1
    assert box.x + box.w <= left + side + 1
    assert top <= box.y + 1
    assert box.y + box.h <= top + side + 1
    assert side == min(width, height) or side == round(SIDE_IN_BOXES * box.size)
    assert side <= min(width, height)


@given(pictures_with_a_face(), st.integers(0, 500), st.integers(0, 500))
def test_far_from_the_edges_the_crop_moves_with_the_face(case, du, dv):
    _, _, box = case
    wide, high = 3 * 3000 + 4000, 3 * 3000 + 4000
    still = Box(box.x + 4000, box.y + 4000, box.w, box.h)
    moved = still._replace(x=still.x + du, y=still.y + dv)
    a, b = choose_square(wide, high, still), choose_square(wide, high, moved)
    assert a.side == b.side
    assert abs(b.left - a.left - du) <= 1
    assert abs(b.top - a.top - dv) <= 1
    assert abs(a.left + a.side / 2 - still.cx) <= 1
    assert abs(a.top + a.side / 2 - (still.cy - OFFSET_IN_BOXES * still.size)) <= 1


@given(pictures_with_a_face(), st.floats(1, 3))
def test_a_larger_face_never_gives_a_smaller_crop(case, grow):
    width, height, box = case
    larger = Box(box.x, box.y, box.w * grow, box.h * grow)
    assert choose_square(width, height, box).side <= choose_square(width, height, larger).side


@given(pictures_with_a_face())
def test_the_crop_is_mirrored_with_the_picture(case):
    width, height, box = case
    mirrored = choose_square(width, height, box._replace(x=width - box.x - box.w))
    crop = choose_square(width, height, box)
    assert abs(width - crop.left - crop.side - mirrored.left) <= 1
    assert mirrored[1:] == crop[1:]


@pytest.mark.parametrize("crop", [Crop(0, 0, 50), Crop(7, 3, 40), Crop(10, 0, 50)])
@pytest.mark.parametrize("size", [16, 50, 111])
def test_cut_is_pillows_lanczos_of_the_square(crop, size):
    picture = np.random.default_rng(3).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    box = (crop.left, crop.top, crop.left + crop.side, crop.top + crop.side)
    plain = Image.fromarray(picture).crop(box).resize((size, size), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(np.asarray(crop_picture(picture, crop, size)), np.asarray(plain))


@pytest.mark.parametrize("period", [2, 3, 5])
def test_shrinking_does_not_alias(period):
    """Stripes far finer than the master's pixels become their mean, not moiré."""
    stripes = (np.arange(1800) % period < period / 2) * 255.0
    picture = np.repeat(np.tile(stripes, (1800, 1))[..., None], 3, axis=2).astype(np.uint8)
    inner = np.asarray(crop_picture(picture, Crop(0, 0, 1800), 150))[5:-5, 5:-5]
    np.testing.assert_allclose(inner, stripes.mean(), atol=3)


@given(st.integers(1, 4000), st.integers(1, 4000))
def test_without_a_face_the_crop_is_the_middle(width, height):
    left, top, side = choose_square(width, height, None)
    assert side == min(width, height)
    assert abs(2 * left + side - width) <= 1
    assert abs(2 * top + side - height) <= 1
