"""Formats that FFmpeg plays and decord does not read: accepted, conformed, and named in mode none."""

from __future__ import annotations

import subprocess

import ffmpeg
import pytest

from sfqa import any_video, media
from sfqa.conform import video
from sfqa.generation import check
from sfqa.generation.video_form import measure_form
from videos import make_video

from .conftest import FORM, made, numbered, numbers, video_row, words

#: Options of ffmpeg for each file name; 30 frames at 25 per second.
FORMATS = {
    "av1.mp4": ("-c:v", "libsvtav1", "-crf", "20"),
    "av1.webm": ("-c:v", "libsvtav1", "-crf", "20"),
    "av1.mkv": ("-c:v", "libsvtav1", "-crf", "20"),
    "av1.ivf": ("-c:v", "libsvtav1", "-crf", "20"),
    "vvc.mp4": ("-c:v", "libvvenc", "-qp", "20"),
    "animated.gif": (),
    "animated.apng": ("-plays", "0"),
    "raw.h264": ("-c:v", "libx264"),
    "raw.hevc": ("-c:v", "libx265", "-x265-params", "log-level=error"),
    "mpeg.ts": ("-c:v", "libx264"),
    "motion.mjpeg": ("-c:v", "mjpeg", "-q:v", "2", "-strict", "unofficial"),
}


def has_encoder(name: str) -> bool:
    command = [media.ffmpeg_exe(), "-hide_banner", "-encoders"]
    return f" {name} " in subprocess.run(command, capture_output=True, text=True, check=True).stdout


def write_format(folder, name):
    options = FORMATS[name]
    if "-c:v" in options and not has_encoder(options[1]):
        pytest.skip(f"this ffmpeg has no {options[1]}")
    source = folder / "source.mkv"
    media.write_video(folder / "source.mp4", numbered(30, 128, 160), 25, crf=0)
    made(source, "-i", folder / "source.mp4", "-c", "copy")
    return (
        made(folder / name, "-i", source, "-pix_fmt", "yuv420p", *options)
        if options
        else made(folder / name, "-i", source)
    )


@pytest.mark.parametrize("name", FORMATS)
def test_what_ffmpeg_plays_is_accepted_and_conformed(tmp_path, name):
    source = write_format(tmp_path, name)
    assert check.find_problem(source, audio=False) == ""
    assert any_video.count_frames(source) == (30, pytest.approx(25, rel=1e-3))
    assert numbers(any_video.read_frames(source, [0, 17, 29])) == [0, 17, 29]
    assert measure_form(source).fps == pytest.approx(25, rel=1e-3)
    row = video.conform_row(video_row(source), tmp_path / "out", FORM)
    assert row["status"] == "flawed", row["detail"]
    assert set(words(row)) <= {"silent", "no_face"}
    assert row["frames"] == 30
    assert row["source_duration_sec"] in (None, pytest.approx(1.2, abs=0.05))
    assert numbers(media.read_frames(row["path"])) == list(range(30))


@pytest.mark.parametrize("name", ["av1.mp4", "animated.gif", "raw.h264"])
def test_without_conforming_the_reason_says_what_to_do(tmp_path, name):
    source = write_format(tmp_path, name)
    form = video.Form(64, 25, 16000, 12, "ultrafast", mode="none")
    row = video.conform_row(video_row(source), tmp_path / "out", form)
    assert row["status"] == "failed"
    assert row["detail"].startswith("unreadable: ")
    assert "FFmpeg plays this video" in row["detail"]
    assert "conform it with 'conform: {mode: encode}'" in row["detail"]


def test_what_ffmpeg_does_not_decode_is_still_broken(tmp_path):
    source = write_format(tmp_path, "av1.mp4")
    cut = tmp_path / "cut.mp4"
    stream = ffmpeg.input(str(source)).output(str(cut), c="copy", movflags="faststart")
    media.run_ffmpeg(stream, cut)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 2 // 3])
    assert check.find_problem(cut, audio=False).startswith("broken: ")
    (tmp_path / "rubbish.gif").write_bytes(b"GIF89a" + b"rubbish" * 99)
    assert check.find_problem(tmp_path / "rubbish.gif", audio=False).startswith("broken: ")


def test_the_checks_of_a_picture_hold_for_these_formats_too(tmp_path):
    still = made(
        tmp_path / "still.gif", "-f", "lavfi", "-i", "color=gray:size=96x96:rate=25:duration=1"
    )
    assert check.find_problem(still, audio=False, moving=True).startswith("frozen: ")
    moving = make_video(tmp_path / "moving.mp4", frames=25, side=96, sound=False)
    picture = made(tmp_path / "moving.gif", "-i", moving)
    assert check.find_problem(picture, audio=False, moving=True) == ""
    assert check.find_problem(picture, audio=True).startswith("no_audio: ")
