"""Videos that keep their bytes and whose frames have times of their own."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest

from sfqa import media, tables, timing
from sfqa.conform import video
from sfqa.features import run
from sfqa.features.base import Video, load_extractor
from sfqa.features.keyframes import timed_clips
from sfqa.generation import check
from thinned import mark_others_thorough

from .conftest import FORM, made, numbered, numbers, video_row, words

KEEP = video.Form(64, 25, 16000, 12, "ultrafast", mode="none", expect=())


def write_frames_at(path, times, base=Fraction(1, 90000), tone=True):
    """Write numbered frames that appear at given seconds, in the container of the path."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.time_base = 160, 64, "yuv420p", base
        stream.codec_context.time_base = base
        for picture, time in zip(numbered(len(times)), times, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = round(Fraction(time) / base), base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def list_times(*parts):
    """Return times of (count, rate) parts, one after the other."""
    times, start = [], Fraction(0)
    for count, rate in parts:
        times += [start + Fraction(n) / rate for n in range(count)]
        start += Fraction(count) / rate
    return times


def has_variable_rate(row):
    return run.make_video(dict.fromkeys(tables.CONFORMED.names) | row).variable_rate


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
@pytest.mark.parametrize(
    "parts",
    [
        ((60, 30), (40, 20)),
        ((25, 25), (48, 24), (25, 25), (10, 10)),
        ((30, 30), (1, Fraction(1, 2)), (30, 30)),  # one frame is held for 2 s
    ],
)
def test_a_variable_rate_is_a_flaw_with_the_largest_time_error(tmp_path, suffix, parts):
    times = list_times(*parts)
    source = write_frames_at(tmp_path / f"v.{suffix}", times)
    row = video.conform_row(video_row(source), tmp_path / "out", KEEP)
    assert "variable_rate" in words(row)
    error = max(abs(float(time) - n / row["fps"]) for n, time in enumerate(times))
    assert f"frames are up to {error:.2f} s from frame / " in row["detail"]
    assert media.read_frame_times(source) == pytest.approx([float(t) for t in times], abs=1e-3)
    interval = np.median(np.diff([float(time) for time in times]))
    assert row["duration_sec"] == pytest.approx(float(times[-1]) + interval, abs=2e-3)
    assert has_variable_rate(row)
    encoded = video.conform_row(video_row(source), tmp_path / "out", FORM)
    assert "variable_rate" not in words(encoded)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "mov", "flv"])
@pytest.mark.parametrize(
    "rate",
    mark_others_thorough(["25", "30000/1001", "24000/1001", "60000/1001", "12", "50"], 3),
)
def test_times_within_rounding_are_no_flaw(tmp_path, suffix, rate):
    source = tmp_path / "v.mp4"
    media.write_video(source, numbered(90), rate)
    if suffix != "mp4":
        codec = ("-c:v", "libx264") if suffix == "avi" else ("-c", "copy")
        source = made(tmp_path / f"w.{suffix}", "-i", source, *codec)
    row = video.conform_row(video_row(source), tmp_path / "out", KEEP)
    assert "variable_rate" not in words(row)
    assert row["fps"] == pytest.approx(float(Fraction(rate)), rel=1e-3)
    assert row["duration_sec"] == row["frames"] / row["fps"]
    assert check.find_problem(source, audio=False) == ""
    assert not has_variable_rate(row)


def test_a_rate_that_decord_misreads_shortens_no_video(tmp_path):
    media.write_video(tmp_path / "v.mp4", numbered(90), 25)
    source = made(tmp_path / "w.avi", "-i", tmp_path / "v.mp4", "-c", "copy")  # its rate is 600
    assert media.frame_times(source) == (90, 600)
    assert check.find_problem(source, audio=False, expected_sec=3.6, tolerance_sec=0.1) == ""
    row = video.conform_row(video_row(source), tmp_path / "out", KEEP)
    assert row["duration_sec"] == pytest.approx(3.6, abs=0.1)


def test_jitter_of_one_tick_is_no_flaw(tmp_path):
    rng = np.random.default_rng(1)
    times = [Fraction(n, 25) + Fraction(int(rng.integers(-1, 2)), 1000) for n in range(1, 101)]
    row = video.conform_row(
        video_row(write_frames_at(tmp_path / "v.mkv", times)), tmp_path / "out", KEEP
    )
    assert words(row) == []


def test_the_row_key_changes_only_for_a_variable_rate(tmp_path):
    fixed = Video("a", tmp_path / "a.mp4", "0" * 64, 25.0, 100)
    extractor = load_extractor("signal")
    keys = {run.make_row_key(extractor, {}, v) for v in (fixed, replace(fixed, prompt="x"))}
    assert len(keys) == 1
    assert run.make_row_key(extractor, {}, replace(fixed, variable_rate=True)) not in keys


def test_visible_frames_are_those_that_conform_shows(tmp_path):
    times = list_times((40, 30), (30, 20), (12, 8))
    source = write_frames_at(tmp_path / "v.mp4", times)
    out = video.list_files(tmp_path, "v")
    video.conform_video(source, media.read_presentation(source), out, FORM)
    shown = timing.list_shown_frames(source, 25)
    conformed = numbers(media.read_frames(out.video))
    assert shown.tolist() == conformed[: len(shown)]
    assert len(conformed) - len(shown) <= 3  # the last frame lasts 1/8 s
    seconds = np.array([float(times[n]) for n in shown[timed_clips(len(shown), 25)[0]]])
    assert np.ptp(np.diff(seconds)) < 0.15
