"""The measures of single pictures and of motion, against references that share no code with them."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from siti_tools.siti import SiTiCalculator

from sfqa import identity
from sfqa.features import motion_signal, picture_signal, siti
from sfqa.features.motion_signal import Motion


def drawn(height, width, *seed):
    """A picture with edges, shades, grain and colours, uint8 RGB."""
    rng = identity.random_generator("signal_picture", *seed)
    y, x = np.mgrid[:height, :width]
    shade = np.stack([x * 3 % 256, y * 2 % 256, (x + y) % 200], axis=-1)
    shade[(x - width / 2) ** 2 + (y - height / 2) ** 2 < (height / 3) ** 2] = (210, 160, 130)
    return np.clip(shade + rng.normal(0, 6, shade.shape), 0, 255).astype(np.uint8)


def smooth(height=128, width=128):
    """A picture without edges or grain."""
    y, x = np.mgrid[:height, :width]
    return (128 + 60 * np.sin(x / 17) * np.cos(y / 23)).round().astype(np.uint8)


# SI and TI


def spatial_information(luma):
    """SI as the extractor measures it; a picture of one luma has no colour to measure."""
    return picture_signal.measure_picture(np.repeat(luma[..., None], 3, axis=-1), luma).si


def temporal_information(luma, luma_before):
    """TI as the extractor measures it."""
    motion = Motion()
    motion.add_frame(luma_before)
    motion.add_frame(luma)
    return motion.ti[0]


def p910(picture):
    """SI by hand, in floating point."""
    down, across = (ndimage.sobel(picture.astype(np.float64), axis=axis) for axis in (0, 1))
    return np.hypot(down, across)[1:-1, 1:-1].std()


@pytest.mark.parametrize("shape", [(16, 16), (17, 31), (97, 64), (145, 200)])
def test_si_and_ti_are_those_of_p910(shape):
    one, two = (siti.compute_luma(drawn(*shape, n)) for n in (0, 1))
    assert spatial_information(one) == pytest.approx(p910(one), rel=1e-6)
    wanted = (two.astype(float) - one).std()
    assert temporal_information(two, one) == pytest.approx(wanted, rel=1e-9)


def test_si_and_ti_equal_siti_tools():
    one, two = (siti.compute_luma(drawn(90, 120, n)) for n in (0, 1))
    exact = [p.astype(np.float64) for p in (one, two)]
    assert spatial_information(one) == pytest.approx(SiTiCalculator.si(exact[0]), rel=1e-6)
    assert temporal_information(two, one) == pytest.approx(SiTiCalculator.ti(*exact[::-1]))


def test_the_sums_behind_si_are_exact():
    """To the last bit, so that they cannot hang on the machine or on where the memory lies."""
    picture = siti.compute_luma(drawn(90, 123))
    down, across = (ndimage.sobel(picture.astype(np.int64), axis=axis) for axis in (0, 1))
    squares = (down**2 + across**2)[1:-1, 1:-1].ravel()
    sizes = [float(np.float32(math.sqrt(square))) for square in squares]
    wanted = (math.fsum(sizes) / squares.size, int(squares.sum()) / squares.size)
    assert siti.gradient_moments(picture) == wanted


def test_a_step_has_the_si_that_arithmetic_gives():
    picture = np.zeros((12, 22), np.uint8)
    picture[:, 11:] = 100
    # Inside, 2 of 20 columns have the gradient 4 * 100 and the others none.
    assert spatial_information(picture) == pytest.approx(400 * math.sqrt(0.09))


def test_luma_weighs_the_channels_by_the_matrix():
    pure = np.eye(3, dtype=np.uint8)[None] * 255
    for matrix, weights in siti.MATRICES.items():
        np.testing.assert_allclose(
            siti.compute_luma(pure, matrix)[0], np.array(weights) * 255, atol=0.51
        )
        assert sum(weights) == pytest.approx(1)
    assert siti.compute_luma(np.full((2, 2, 3), 255, np.uint8), "bt709").max() == 255


# Single pictures


@settings(deadline=None, max_examples=15)
@given(height=st.integers(16, 70), width=st.integers(16, 70), seed=st.integers(0, 99))
def test_all_measures_equal_their_definitions(height, width, seed):
    image = drawn(height, width, seed)
    luma = siti.compute_luma(image)
    found = picture_signal.measure_picture(image, luma)
    y = luma.astype(np.float64)
    down, across = (ndimage.sobel(y, axis=axis) for axis in (0, 1))
    r, g, b = np.moveaxis(image.astype(np.float64), -1, 0)
    rg, yb = r - g, (r + g) / 2 - b
    kernel = np.outer([1, -2, 1], [1, -2, 1])
    response = np.abs(ndimage.convolve(y, kernel)[1:-1, 1:-1]).mean()
    wanted = picture_signal.PictureMeasures(
        si=p910(luma),
        tenengrad=(down**2 + across**2)[1:-1, 1:-1].mean(),
        sharpness=ndimage.laplace(y, mode="mirror").var(),
        contrast=(y / 255).std(),
        brightness=y.mean(),
        colourfulness=np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean()),
        blockiness=blockiness(y),
        noise=math.sqrt(math.pi / 2) * response / 6,
    )
    assert found._asdict() == pytest.approx(wanted._asdict(), rel=1e-6)


def blockiness(y):
    """B / A of Wang, Sheikh and Bovik (2002), in the paper's notation, pixel by pixel."""

    def one_way(x):
        rows, columns = x.shape
        blocks = (columns - 1) // 8
        steps = [[abs(row[j + 1] - row[j]) for j in range(columns - 1)] for row in x.tolist()]
        border = sum(row[8 * k - 1] for row in steps for k in range(1, blocks + 1))
        border /= rows * blocks
        whole = sum(map(sum, steps))
        return border, (8 * whole / (rows * (columns - 1)) - border) / 7

    (b1, a1), (b2, a2) = one_way(y), one_way(y.T)
    return ((b1 + b2) / 2 + 0.01) / ((max(a1, 0) + max(a2, 0)) / 2 + 0.01)


def test_pure_red_has_the_colourfulness_that_arithmetic_gives():
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 255
    assert picture_signal.compute_colourfulness(red) == pytest.approx(0.3 * math.hypot(255, 127.5))


@pytest.mark.parametrize("sigma", [3, 8, 20])
def test_the_noise_of_a_smooth_picture_is_that_added(sigma):
    grain = identity.random_generator("noise", sigma).normal(0, sigma, (128, 128))
    noisy = np.clip(np.round(smooth() + grain), 0, 255).astype(np.uint8)
    assert picture_signal.estimate_noise(noisy) == pytest.approx(sigma, rel=0.03)
    assert picture_signal.estimate_noise(smooth()) < 0.8  # the rounding to whole levels


def test_blockiness_grows_with_jpeg_compression_and_needs_the_grid_in_place():
    picture = cv2.GaussianBlur(siti.compute_luma(drawn(128, 128)), (0, 0), 2)
    found = []
    for quality in (95, 50, 25, 10, 5):
        coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        blocky = cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE)
        found.append(picture_signal.compute_blockiness(blocky))
    assert found == sorted(found)
    assert found[-1] > 1.5 * found[0]
    assert picture_signal.compute_blockiness(blocky[3:, 3:]) < 1.1
    assert picture_signal.compute_blockiness(picture) == pytest.approx(1, abs=0.1)


def test_blur_lowers_every_kind_of_sharpness():
    image = drawn(96, 96)
    rows = []
    for sigma in (0, 0.7, 1.5, 3):
        blurred = cv2.GaussianBlur(image, (0, 0), sigma) if sigma else image
        rows.append(picture_signal.measure_picture(blurred, siti.compute_luma(blurred)))
    for name in ("si", "tenengrad", "sharpness", "noise"):
        values = [getattr(row, name) for row in rows]
        assert values == sorted(values, reverse=True)
        assert len(set(values)) == 4


def test_black_needs_nearly_all_pixels_dark():
    picture = np.full((50, 50), 25, np.uint8)
    for bright, black in ((0, True), (50, True), (51, False)):
        picture.ravel()[:bright] = 255
        assert picture_signal.is_black(picture, float(picture.mean())) is black
    assert not picture_signal.is_black(np.full((50, 50), 26, np.uint8), 26.0)


# Motion


def fed(pictures):
    motion = Motion()
    for picture in pictures:
        motion.add_frame(picture)
    return motion


def flat(levels):
    return [np.full((32, 32), level, np.uint8) for level in levels]


def test_motion_equals_its_definitions():
    pictures = [siti.compute_luma(drawn(48, 40, n)) for n in range(5)]
    motion, y = fed(pictures), np.array(pictures, np.float64)
    np.testing.assert_allclose(motion.ti, np.diff(y, axis=0).std(axis=(1, 2)))
    np.testing.assert_allclose(motion.change, np.abs(np.diff(y, axis=0)).mean(axis=(1, 2)))
    residual = np.abs(y[1:-1] - (y[:-2] + y[2:]) / 2).mean(axis=(1, 2))
    np.testing.assert_allclose(motion.residual, residual)
    assert motion.compute_smoothness() == pytest.approx(1 - residual.mean() / 255)
    assert motion.compute_irregularity() == pytest.approx(residual.mean() / np.mean(motion.change))
    assert motion.frozen == [False] * 4


@pytest.mark.parametrize("amplitude", [0, 1, 7])
def test_flicker_is_the_amplitude_of_alternating_brightness(amplitude):
    motion = fed(flat([100 + amplitude * (-1) ** n for n in range(9)]))
    assert motion.compute_flicker() == pytest.approx(amplitude)


def test_even_change_is_smooth_and_repeats_are_not():
    even = fed(flat(range(20, 120, 5)))
    assert (even.compute_flicker(), even.compute_smoothness(), even.compute_irregularity()) == (
        0,
        1,
        0,
    )
    repeats = fed(flat(np.repeat(range(20, 120, 10), 2)))
    assert repeats.compute_irregularity() == pytest.approx(1, rel=0.1)
    assert repeats.compute_smoothness() == pytest.approx(1 - 5 / 255)
    assert np.mean(repeats.frozen) == 10 / 19
    still = fed(flat([50] * 4))
    assert (still.compute_flicker(), still.compute_smoothness(), still.compute_irregularity()) == (
        0,
        1,
        0,
    )
    assert still.frozen == [True] * 3


def test_few_pictures_have_no_motion_to_tell():
    for count in (1, 2):
        motion = fed(flat([9] * count))
        assert (
            motion.compute_flicker(),
            motion.compute_smoothness(),
            motion.compute_irregularity(),
        ) == (None,) * 3
        assert len(motion.ti) == count - 1


def test_moving_lips_in_a_still_picture_are_no_stand_still():
    difference = np.zeros((160, 160), np.uint8)
    assert motion_signal.is_frozen(difference)
    difference[96:112, 64:80] = 2  # one block by the level: coding noise
    assert motion_signal.is_frozen(difference)
    difference[96:98, 64:72] = 3
    assert not motion_signal.is_frozen(difference)
    assert difference.mean() < 0.5


@settings(deadline=None, max_examples=30)
@given(
    height=st.integers(16, 70),
    width=st.integers(16, 70),
    top=st.integers(1, 6),
    seed=st.integers(0, 99),
)
def test_standing_still_is_decided_by_the_block_that_changed_most(height, width, top, seed):
    difference = identity.random_generator("still", seed).integers(
        0, top, (height, width), np.uint8
    )
    rows, columns = height // 16, width // 16
    blocks = difference[: rows * 16, : columns * 16].reshape(rows, 16, columns, 16)
    assert motion_signal.is_frozen(difference) == (blocks.mean(axis=(1, 3)).max() <= 2)
