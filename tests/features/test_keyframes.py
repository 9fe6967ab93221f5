"""Frame indices against the published rules, written here as plainly as their sources do."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfqa.features import keyframes as k

FRAMES = st.integers(1, 2000)
FPS = st.floats(1.0, 120.0)


@given(FRAMES, st.integers(1, 40))
def test_evenly_is_the_floor_rule(frames: int, count: int) -> None:
    got = k.select_evenly(frames, count)
    assert got.tolist() == [math.floor(frames * i / count + 1e-9) for i in range(count)]
    assert got[0] >= 0
    assert got[-1] < frames


def test_evenly_takes_every_frame_once_where_all_are_asked() -> None:
    assert k.select_evenly(7, 7).tolist() == list(range(7))
    assert k.select_evenly(3, 8).tolist() == [0, 0, 0, 1, 1, 1, 2, 2]


def _simplevqa(frames: int, fps: float) -> list[list[int]]:
    """SimpleVQA's reader: padded frame by frame at the tail, one clip per whole second."""
    rate = round(fps)
    made = []
    for i in range(frames // rate):
        clip = list(range(i * rate, min(i * rate + 32, frames)))
        while len(clip) < 32:
            clip.append(clip[-1])
        made.append(clip)
    return made


@given(FRAMES, FPS)
def test_second_clips_are_simplevqas(frames: int, fps: float) -> None:
    wanted = _simplevqa(frames, fps) or [[min(j, frames - 1) for j in range(32)]]
    assert k.second_clips(frames, fps).tolist() == wanted


def test_second_clips_at_known_rates() -> None:
    assert k.second_clips(150, 25.0).shape == (6, 32)
    assert k.second_clips(150, 25.0)[5].tolist() == [*range(125, 150), *[149] * 7]
    assert k.second_clips(360, 29.97)[:, 0].tolist() == list(range(0, 360, 30))
    assert k.second_clips(10, 25.0).tolist() == [[*range(10), *[9] * 22]]
    assert k.second_starts(5, 0.4).tolist() == [0, 1, 2, 3, 4]


def _pyslowfast(frames: int, fps: float, start: float) -> list[int]:
    """PySlowFast's temporal sampling of 32 frames at rate 2, target 30 frames per second."""
    end = start + 32 * 2 * fps / 30 - 1
    steps = [start + (end - start) * j / 31 for j in range(32)]
    return [min(max(math.floor(x + 1e-6), 0), frames - 1) for x in steps]


@given(FRAMES, FPS)
def test_timed_clips_cover_the_video_evenly(frames: int, fps: float) -> None:
    span = 64 / 30 * fps
    got = k.timed_clips(frames, fps)
    count = len(got)
    assert count == 1 or (count - 1) * span < frames
    assert count * span >= frames - 1e-3
    rest = max(frames - span, 0.0)
    for i, clip in enumerate(got):
        assert clip.tolist() == _pyslowfast(frames, fps, rest * i / max(count - 1, 1))
    assert got[0, 0] == 0
    assert got[-1, -1] >= frames - 1 if frames >= span else got[-1, -1] == frames - 1
    assert (np.diff(got, axis=1) >= 0).all()


def test_timed_clips_at_known_rates() -> None:
    assert k.timed_clips(64, 30.0).shape == (1, 32)
    assert k.timed_clips(65, 30.0)[:, 0].tolist() == [0, 1]
    assert k.timed_clips(128, 30.0)[:, 0].tolist() == [0, 64]
    # Half the rate, half the step: motion keeps its speed.
    assert k.timed_clips(32, 15.0)[0].tolist() == list(range(32))
    # Shorter than a clip: the last frame stands still rather than all being slowed down.
    assert k.timed_clips(16, 15.0)[0].tolist() == [*range(16), *[15] * 16]


@pytest.mark.parametrize(
    "call",
    [
        lambda: k.select_evenly(0, 8),
        lambda: k.select_evenly(8, 0),
        lambda: k.second_clips(0, 25.0),
        lambda: k.second_clips(10, 0.0),
        lambda: k.timed_clips(10, float("nan")),
        lambda: k.timed_clips(-1, 25.0),
    ],
)
def test_nothing_to_index_is_an_error(call) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="must be positive"):
        call()
