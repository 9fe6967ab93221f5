"""Joined recordings whose sound is longer than its picture, or begins before it, are heard whole."""

from __future__ import annotations

import numpy as np
import pytest

from sfqa import media

from .conftest import made, numbers
from .test_changes import AAC, H264, cat, conformed, find_clicks, piece


def assert_heard_with(row, frames, heard):
    """The frames are shown in order, and each click is heard with the frame of its time."""
    shown = numbers(media.read_frames(row["path"]))
    changes = [number for i, number in enumerate(shown) if i == 0 or number != shown[i - 1]]
    assert changes == frames
    expected = [shown.index(frame) / 25 + 0.02 for frame in heard]
    for path in (row["audio_path"], row["path"]):
        assert find_clicks(path) == pytest.approx(expected, abs=0.05)


def cut_picture(part, trim):
    """Leave out pictures, but no sound."""
    return made(
        part.with_suffix(".cut.ts"), "-i", part, "-vf", f"trim={trim}", "-fps_mode", "passthrough",
        *H264, "-bf", 2, *AAC,
    )  # fmt: skip


@pytest.mark.parametrize("picture_sec", [1.2, 1.6])
def test_a_later_recording_begins_after_the_sound_before_it(tmp_path, picture_sec):
    count = round(25 * picture_sec)
    first = cut_picture(piece(tmp_path, "a.mkv", 0), f"end={picture_sec}")
    source = cat(tmp_path / "joined.ts", first, piece(tmp_path, "b.ts", 50))
    row = conformed(source, tmp_path / "o")
    shown = numbers(media.read_frames(row["path"]))
    assert [shown.index(number) for number in (62, 87)] == pytest.approx([62, 87], abs=2)
    clicks = find_clicks(row["path"])
    assert clicks == pytest.approx([0.5, 1.5, 2.53, 3.53], abs=0.05)
    assert find_clicks(row["audio_path"]) == pytest.approx(clicks, abs=0.02)
    changes = [number for i, number in enumerate(shown) if i == 0 or number != shown[i - 1]]
    assert changes == [*range(count), *range(50, 100)]
    assert row["source_duration_sec"] == pytest.approx(4.03, abs=0.06)
    gaps = np.diff(media.read_frame_times(source))
    assert gaps.argmax() == count - 1
    assert gaps.max() == pytest.approx(2.05 - picture_sec + 0.04, abs=0.06)
    assert "the clock starts anew at 2.0" in row["detail"]


def test_a_later_recording_may_begin_with_its_sound(tmp_path):
    later = cut_picture(piece(tmp_path, "b.mkv", 50), "start=0.48")
    source = cat(tmp_path / "joined.ts", piece(tmp_path, "a.ts", 0), later)
    row = conformed(source, tmp_path / "o")
    assert_heard_with(row, [*range(50), *range(62, 100)], [12, 37, 62, 87])
    assert np.diff(media.read_frame_times(source)).max() == pytest.approx(0.52, abs=0.06)


def test_padding_of_the_sound_delays_no_picture(tmp_path):
    """The sound of the first recording ends 0.02 s after its picture."""
    first = piece(tmp_path, "a.ts", 0)
    source = cat(tmp_path / "joined.ts", first, piece(tmp_path, "b.ts", 50))
    presentation = media.read_presentation(source)
    assert presentation.picture_delays == ()
    assert presentation.jump_times == pytest.approx([2.0], abs=0.01)
