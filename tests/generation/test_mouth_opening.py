import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sfqa.generation.mouth_opening import (
    delay_frames,
    estimate_opening,
    freeze_blocks,
    measure_frame_rms,
)


@pytest.mark.parametrize("fps", [25.0, 30.0, 12.5])
def test_rms_is_that_of_each_frame(fps):
    sound = np.random.default_rng(0).normal(0, 0.2, 16000).astype(np.float32)
    edges = [round(n * 16000 / fps) for n in range(round(fps) + 1)]
    expected = [
        np.sqrt(np.mean(sound[a:b].astype(float) ** 2))
        for a, b in itertools.pairwise(edges)
        if a < 16000
    ]
    got = measure_frame_rms(sound, 16000, fps)
    assert len(got) == round(fps)
    np.testing.assert_allclose(got, expected[: len(got)], rtol=1e-9)


def test_a_clip_of_nothing_has_one_frame():
    assert measure_frame_rms(np.zeros(3, np.float32), 16000, 25.0).tolist() == [0.0]


@given(arrays(float, st.integers(3, 60), elements=st.floats(0.01, 1)), st.floats(0.5, 20))
def test_openness_is_in_range_and_ignores_the_volume(rms, gain):
    course = estimate_opening(rms)
    assert course.min() >= 0
    assert course.max() <= 1
    np.testing.assert_allclose(estimate_opening(rms * gain), course, atol=1e-6)


def test_openness_uses_the_whole_range_and_silence_stays_shut(loudness):
    course = estimate_opening(loudness)
    assert course.min() == 0
    assert course.max() == 1
    assert estimate_opening(np.full(9, 5e-4)).max() == 0


@given(st.integers(-30, 30), st.integers(1, 20))
def test_delay_shifts_and_holds_the_ends(frames, count):
    values = np.arange(count, dtype=float)
    assert delay_frames(values, frames).tolist() == [
        min(max(n - frames, 0), count - 1) for n in range(count)
    ]


@given(st.integers(1, 60), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_frozen_share_freezes_the_same_frames_and_more(count, first, second):
    values = np.arange(1, count + 1, dtype=float)

    def still(share: float) -> set[int]:
        course = freeze_blocks(values, share, 5, np.random.default_rng(3))
        return set(np.flatnonzero(course != values).tolist())

    small, large = sorted([first, second])
    assert still(small) <= still(large)
    assert not still(0.0)
    assert len(still(1.0)) == count - 1
