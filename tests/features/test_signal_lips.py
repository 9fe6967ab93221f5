"""The mouth, its loudness and their correlation, apart from any video."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfqa import identity
from sfqa.faces import Box
from sfqa.features import lip_sync_signal, mouth_signal
from sfqa.features.mouth_signal import MouthTracker

FACE = Box(20.0, 10.0, 80.0, 80.0)
RATE = 16000


def mouth(openness, gain=1.0, face=FACE):
    """A grey face whose mouth is a dark disc of the given half height, in shares of the face."""
    y, x = np.mgrid[:120, :120]
    picture = np.full((120, 120), 180.0)
    across = (x - face.cx) / (0.18 * face.w)
    down = (y - face.y - 0.82 * face.h) / max(openness * face.h, 1e-6)
    picture[across**2 + down**2 < 1] = 40
    return np.round(picture * gain).astype(np.uint8)


# The mouth


def test_opening_grows_with_the_mouth_and_not_with_the_light():
    values = [mouth_signal.measure_opening(mouth(o), FACE) for o in (0, 0.03, 0.06, 0.1, 0.15)]
    assert values[0] == pytest.approx(0, abs=1e-6)
    assert (np.diff(values) > 0.02).all()
    assert values[-1] < 1
    assert mouth_signal.measure_opening(mouth(0.1, 0.5), FACE) == pytest.approx(
        values[3], abs=0.005
    )


def test_opening_moves_with_the_face():
    wanted = mouth_signal.measure_opening(mouth(0.1), FACE)
    moved = Box(FACE.x + 7, FACE.y - 5, FACE.w, FACE.h)
    assert mouth_signal.measure_opening(mouth(0.1, face=moved), moved) == pytest.approx(
        wanted, abs=1e-6
    )
    smaller = Box(30.0, 20.0, 60.0, 60.0)
    assert mouth_signal.measure_opening(mouth(0.1, face=smaller), smaller) == pytest.approx(
        wanted, abs=0.02
    )


def test_opening_is_defined_in_black_and_beyond_the_edge():
    assert mouth_signal.measure_opening(np.zeros((40, 40), np.uint8), FACE) == 0.0
    assert np.isfinite(mouth_signal.measure_opening(mouth(0.1), Box(90.0, 90.0, 80.0, 80.0)))


def watched(looks, every=5, frames=None):
    """A watch over frames in which the looks, in order, find what is given."""
    answers = iter(looks)
    watch = MouthTracker(lambda image: next(answers), every)
    count = frames or every * (len(looks) - 1) + 1
    most = 0
    for n in range(count):
        picture = mouth(0.02 + 0.01 * (n % 7))
        watch.add_frame(picture, picture, last=n == count - 1)
        most = max(most, len(watch._waiting))
    assert most <= 2 * every
    return watch


def test_every_frame_is_measured_with_the_interpolated_box():
    there = Box(FACE.x + 10, FACE.y, FACE.w, FACE.h)
    watch = watched([[FACE], [there], [FACE]])
    first, opened = watch.longest_run()
    assert (first, len(opened)) == (0, 11)
    assert (watch.looks, watch.hits, watch.crowded) == (3, 3, 0)
    for n in range(11):
        box = Box(FACE.x + 2 * min(n, 10 - n), FACE.y, FACE.w, FACE.h)
        assert opened[n] == pytest.approx(
            mouth_signal.measure_opening(mouth(0.02 + 0.01 * (n % 7)), box)
        )


def test_one_miss_is_bridged_and_two_end_the_track():
    away = Box(0.0, 0.0, 30.0, 30.0)
    assert len(watched([[FACE], [], [FACE]]).longest_run().opening) == 11
    assert len(watched([[FACE], [away], [FACE]]).longest_run().opening) == 11
    twice = watched([[FACE], [], [], [FACE], [FACE], [FACE]]).longest_run()
    assert (twice.first, len(twice.opening)) == (15, 11)
    assert watched([[], [], [FACE]]).longest_run().first == 10
    assert watched([[], []]).longest_run().opening.size == 0


def test_after_a_loss_the_largest_face_is_followed():
    away = Box(0.0, 0.0, 30.0, 30.0)
    watch = watched([[FACE], [away], [away, FACE], [away], [away], [away]])
    # Seen at 0 and again at 10; then missed twice, until `away` is taken at 20.
    assert watch.longest_run().first == 0
    assert len(watch.longest_run().opening) == 11
    assert watch.crowded == 1


def test_the_last_frame_is_looked_at_too():
    watch = watched([[FACE], [FACE], [FACE]], every=5, frames=8)
    assert (watch.looks, len(watch.longest_run().opening)) == (3, 8)
    single = watched([[FACE]], frames=1)
    assert len(single.longest_run().opening) == 1


# The loudness


def test_loudness_is_the_level_of_each_frame():
    levels = np.array([0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.0, 0.0, 0.0])
    sound = np.repeat(levels, 640) * np.sqrt(2) * np.sin(np.arange(5760) * np.pi / 8)
    found = lip_sync_signal.compute_level(sound.astype(np.float32), RATE, 25.0)
    db = 20 * np.log10(0.5)
    wanted = [db, db, db - 6.02 / 4, 2 * db + 6.02 / 4, 2 * db, None, None, db - 20, db - 20]
    for one, other in zip(found, wanted, strict=True):
        if other is not None:
            assert one == pytest.approx(other, abs=0.01)


@pytest.mark.parametrize("fps", [12.0, 23.976, 25.0, 29.97, 60.0])
def test_loudness_has_one_value_per_whole_frame(fps):
    sound = np.ones(RATE * 3, np.float32)
    assert len(lip_sync_signal.compute_level(sound, RATE, fps)) == int(3 * fps)
    assert lip_sync_signal.compute_level(sound[:100], RATE, fps).size == 0


# Their correlation


def course(seed, frames=100):
    """Syllables of 3 to 7 frames of random strength."""
    rng = identity.random_generator("course", seed)
    steps = np.repeat(rng.uniform(0, 1, frames), rng.integers(3, 8, frames))
    return np.convolve(steps[: frames + 2], [0.25, 0.5, 0.25], "valid")


@settings(deadline=None, max_examples=40)
@given(late=st.integers(-15, 15), seed=st.integers(0, 999), gain=st.floats(0.01, 100))
def test_the_offset_is_how_late_the_lips_are(late, seed, gain):
    whole = course(seed, 160)
    lips, sound = whole[30 - late : 130 - late] * gain + 3, whole[30:130] * 7 - 2
    found = lip_sync_signal.compare_signals(lips, sound, 15, 9)
    assert found.offset == late
    assert found.correlation == pytest.approx(1)
    assert found.zero == found.correlation if late == 0 else found.zero < 1


def test_correlation_equals_numpy_at_every_shift():
    rng = identity.random_generator("pearson")
    lips, sound = rng.normal(size=(2, 60))
    found = lip_sync_signal.compare_signals(lips, sound, 10, 9)
    a, b = (plain_high_pass(v, 9) for v in (lips, sound))
    last = len(a)
    wanted = {
        s: np.corrcoef([a[t] for t in range(last) if 0 <= t - s < last],
                       [b[t - s] for t in range(last) if 0 <= t - s < last])[0, 1]
        for s in range(-10, 11)
    }  # fmt: skip
    assert found.offset == max(wanted, key=wanted.get)
    assert found.correlation == pytest.approx(max(wanted.values()))
    assert found.zero == pytest.approx(wanted[0])


def plain_high_pass(values, window):
    half = window // 2
    middle = range(half, len(values) - half)
    return np.array([values[n] - np.mean(values[n - half : n + half + 1]) for n in middle])


def test_what_does_not_change_cannot_be_compared():
    assert lip_sync_signal.compare_signals(np.ones(60), course(1, 60), 15, 9) is None
    assert lip_sync_signal.compare_signals(course(1, 60), np.full(60, -20.0), 15, 9) is None
    # Slow change alone is posture, not speech; it leaves next to nothing.
    slow = np.sin(np.arange(100) / 100 * np.pi)
    assert np.ptp(lip_sync_signal.high_pass(slow, 9)) < 0.02


def test_motion_range_is_local():
    assert lip_sync_signal.motion_range(np.linspace(0, 1, 101), 11) == pytest.approx(0.1)
    assert lip_sync_signal.motion_range(np.tile([0.0, 1.0], 30), 9) == 1
    assert lip_sync_signal.motion_range(np.array([0.3]), 9) == 0
    assert lip_sync_signal.motion_range(np.array([0.25, 0.75]), 9) == 0.5
