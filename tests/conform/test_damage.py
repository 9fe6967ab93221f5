"""Pictures that stand still or are black, for known times."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfqa import media
from sfqa.conform import damage, video

from .conftest import FORM, made, video_row, words

SIDE = damage.SIDE


def pictures(numbers):
    """One grey picture per number: equal numbers are equal, others differ in one small block."""
    base = np.random.default_rng(0).integers(60, 200, (SIDE, SIDE)).astype(np.uint8)
    made_of = np.repeat(base[None], len(numbers), 0)
    for picture, number in zip(made_of, numbers, strict=True):
        picture[40:44, 20:24] = 10 + 20 * (number % 10)
    return made_of


def runs_of(numbers, fps):
    """The definition in plain Python."""
    lengths, start = [], 0
    for i in range(1, len(numbers) + 1):
        if i == len(numbers) or numbers[i] % 10 != numbers[start] % 10:
            lengths.append((i - start) / fps)
            start = i
    return [length for length in lengths if length >= 0.5]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=6), fps=st.sampled_from([25, 30]))
def test_runs_are_found_as_they_were_made(lengths, fps):
    numbers = [number for number, length in enumerate(lengths) for _ in range(length)]
    runs = runs_of(numbers, fps)
    found = damage.find_frozen_runs(pictures(numbers), fps)
    assert found.longest_sec == pytest.approx(max(runs, default=0))
    assert found.total_sec == pytest.approx(sum(runs))


def test_slow_motion_is_no_standstill():
    """Each picture is like the one before, but not like the first."""
    ramp = pictures([0] * 50).astype(np.int16) + (np.arange(50) // 2)[:, None, None]
    assert damage.find_frozen_runs(ramp.astype(np.uint8), 25).longest_sec == 0


@pytest.mark.parametrize(
    ("share", "level", "wanted"), [(1, 25, True), (0.97, 0, False), (1, 26, False)]
)
def test_black_is_98_percent_of_the_pixels_under_10_percent_of_the_range(share, level, wanted):
    picture = np.full(SIDE * SIDE, 200, np.uint8)
    picture[: round(share * picture.size)] = level
    assert damage.find_black(picture.reshape(1, SIDE, SIDE)).tolist() == [wanted]


def make_test_pattern(folder, seconds, name="m.mkv"):
    return made(
        folder / name, "-f", "lavfi", "-i", f"testsrc2=s=160x120:r=25:d={seconds}", "-c:v", "ffv1"
    )


def conformed(source, folder):
    return video.conform_row(video_row(source), folder, FORM)


@pytest.mark.parametrize("still", [0.6, 1.4, 2.0])
@pytest.mark.parametrize("crf", [12, 20])
def test_frozen_seconds_are_measured_through_lossy_codecs(tmp_path, still, crf):
    source = made(
        tmp_path / "f.mp4", "-i", make_test_pattern(tmp_path, 1.6), "-vf",
        f"loop=loop={round(still * 25) - 1}:size=1:start=20,setpts=N/25/TB", "-c:v", "libx264",
        "-crf", crf, "-g", 25, "-pix_fmt", "yuv420p",
    )  # fmt: skip
    row = conformed(source, tmp_path / "o")
    assert row["frozen_longest_sec"] == pytest.approx(still, abs=0.041)
    assert row["frozen_total_sec"] == pytest.approx(row["frozen_longest_sec"])
    assert ("frozen" in words(row)) == (still >= 1)


def test_frozen_time_grows_with_the_freeze(tmp_path):
    still = [20, 40, 60]
    found = []
    for count in still:
        numbers = [*range(20), *([20] * count), *range(21, 40)]
        found.append(damage.find_frozen_runs(pictures(numbers), 25).longest_sec)
    assert found == [count / 25 for count in still]


def test_lips_that_move_alone_are_no_freeze(tmp_path):
    """Three percent of the picture changes: the mean of the whole would miss it."""
    frames = np.full((50, 128, 128, 3), 120, np.uint8)
    rng = np.random.default_rng(1)
    frames[:, 80:96, 50:82] = rng.integers(90, 150, (50, 1, 1, 1))
    media.write_video(tmp_path / "v.mp4", frames, 25)
    assert conformed(tmp_path / "v.mp4", tmp_path / "o")["frozen_longest_sec"] == 0


def test_black_seconds_are_measured_and_named(tmp_path):
    source = made(
        tmp_path / "b.mp4", "-i", make_test_pattern(tmp_path, 2), "-vf",
        "drawbox=t=fill:c=black:enable='between(t,0.5,0.9)'", "-c:v", "libx264", "-pix_fmt", "yuv420p",
    )  # fmt: skip
    row = conformed(source, tmp_path / "o")
    assert row["black_total_sec"] == pytest.approx(10 / 25)
    assert "black: the picture is black for 0.40 s" in row["detail"]
    assert conformed(tmp_path / "m.mkv", tmp_path / "o")["black_total_sec"] == 0
