"""Rates, counts, starts and offsets: when a frame is seen and a sound heard."""

from __future__ import annotations

import math
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sfqa import media
from sfqa.conform import video

from .conftest import FORM, made, numbered, numbers, video_row


def conformed(source, folder, form=FORM):
    out = video.list_files(folder, source.stem)
    video.conform_video(source, media.read_presentation(source), out, form)
    return out


def on_screen(times, end, fps):
    """The rule, written from its definition: what is on the screen in the middle of each frame."""
    count = math.floor(end * fps + Fraction(1, 2))
    middles = [(k + Fraction(1, 2)) / fps for k in range(count)]
    return [max((i for i, t in enumerate(times) if t < middle), default=0) for middle in middles]


@pytest.mark.parametrize(
    ("rate", "count"),
    [("8", 21), ("12", 30), ("23", 47), ("24", 48), ("86/3", 57), ("30", 61), ("60000/1001", 121)],
)
def test_odd_rates_become_25_by_the_rule(tmp_path, rate, count):
    fps = Fraction(rate)
    media.write_video(tmp_path / "v.mp4", numbered(count), rate)
    seen = numbers(media.read_frames(conformed(tmp_path / "v.mp4", tmp_path / "o").video))
    assert seen == on_screen([i / fps for i in range(count)], count / fps, 25)


@settings(
    max_examples=12, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(
    rate=st.fractions(2, 61, max_denominator=3),
    count=st.integers(1, 70),
    fps=st.sampled_from([25, 24, 30]),
)
def test_the_count_is_the_length_times_the_rate(tmp_path, rate, count, fps):
    source = tmp_path / "p.mp4"
    media.write_video(source, numbered(count), str(rate))
    form = video.Form(64, fps, 16000, 12, "ultrafast")
    seen = numbers(media.read_frames(conformed(source, tmp_path / "o", form).video))
    assert seen == on_screen([i / rate for i in range(count)], count / rate, fps)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_variable_rate_keeps_every_frame_in_its_place(tmp_path, suffix):
    media.write_video(tmp_path / "c.mp4", numbered(90), 30)
    source = made(
        tmp_path / f"v.{suffix}", "-i", tmp_path / "c.mp4", "-vf",
        "select='lt(n,20)+not(mod(n,7))+gt(n,60)'", "-fps_mode", "vfr", "-qp", 1,
    )  # fmt: skip
    with av.open(str(source)) as container:
        frames = list(container.decode(video=0))
        times = [frame.pts * frame.time_base for frame in frames]
        shown = numbers(np.stack([frame.to_ndarray(format="rgb24") for frame in frames]))
    seen = numbers(media.read_frames(conformed(source, tmp_path / "o").video))
    wanted = [shown[i] for i in on_screen(times, times[-1] + Fraction(1, 30), 25)]
    assert seen == wanted
    assert len(set(np.diff([float(t) for t in times]).round(3))) > 1


def flash_and_click(folder, rate=25, at=1.0):
    """Two seconds, one white frame and one click at the same moment."""
    white = round(at * rate)
    stills = (np.full((64, 64, 3), 230 if i == white else 20, np.uint8) for i in range(2 * rate))
    click = np.zeros(2 * 16000, np.float32)
    click[round(at * 16000) : round(at * 16000) + 80] = 0.9
    media.write_wave(folder / "click.wav", click, 16000)
    media.write_video(folder / "flash.mp4", stills, rate)
    return folder / "flash.mp4", folder / "click.wav"


def seen_and_heard(out):
    """When in seconds the flash is seen and the click is heard, in the video and in the wave."""
    frames = media.read_frames(out.video).mean((1, 2, 3))
    flash = int(np.argmax(frames > 120)) / 25
    both = [media.read_audio(path, 16000) for path in (out.sound, out.video)]
    return flash, *(float(np.argmax(np.abs(sound) > 0.3)) / 16000 for sound in both)


def offset_file(folder, suffix, late_sound=0.0, late_picture=0.0):
    flash, click = flash_and_click(folder)
    codecs = ["-c:v", "libx264", "-bf", 2, "-qp", 12, "-c:a", "aac"]
    if suffix == "webm":
        codecs = ["-c:v", "libvpx-vp9", "-crf", 12, "-cpu-used", 8, "-c:a", "libopus"]
    elif suffix == "avi":
        codecs = ["-c:v", "mjpeg", "-q:v", 3, "-c:a", "pcm_s16le"]
    return made(
        folder / f"late.{suffix}", "-itsoffset", late_picture, "-i", flash, "-itsoffset",
        late_sound, "-i", click, "-map", "0:v", "-map", "1:a", *codecs,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("suffix", "late_sound", "late_picture"),
    [
        ("mp4", 0.0, 0.0), ("mp4", 0.33, 0.0), ("mp4", -0.4, 0.0), ("mp4", 0.0, 0.4),
        ("mov", 0.52, 0.0), ("mkv", 0.25, 0.0), ("mkv", -0.3, 0.0), ("webm", 0.2, 0.0),
        ("ts", 0.31, 0.0), ("ts", 0.0, 0.36), ("avi", 0.0, 0.0), ("flv", 0.28, 0.0),
    ],
)  # fmt: skip
def test_picture_and_sound_stay_in_place(tmp_path, suffix, late_sound, late_picture):
    source = offset_file(tmp_path, suffix, late_sound, late_picture)
    flash, wave, heard = seen_and_heard(conformed(source, tmp_path / "o"))
    assert abs(wave - heard) <= 0.001
    assert wave - flash == pytest.approx(late_sound - late_picture, abs=0.0251)
    if suffix == "ts":  # its clock begins at 1.4 s, its sound with the encoder's delay
        first = min(late_sound, late_picture)
        assert flash == pytest.approx(1 + late_picture - first, abs=0.0251 + 1024 / 16000)


@pytest.mark.parametrize("cut", [0.3, 0.62])
def test_an_edit_list_is_honoured(tmp_path, cut):
    """-ss with copy keeps frames from the last key frame on, hidden by an edit list."""
    flash, click = flash_and_click(tmp_path)
    whole = made(
        tmp_path / "whole.mp4", "-i", flash, "-i", click, "-c:v", "libx264", "-g", 50, "-c:a", "aac",
    )  # fmt: skip
    source = made(tmp_path / "cut.mp4", "-ss", cut, "-i", whole, "-c", "copy")
    flash_sec, wave, heard = seen_and_heard(conformed(source, tmp_path / "o"))
    assert flash_sec == pytest.approx(1 - cut, abs=0.0251)
    assert wave == pytest.approx(1 - cut, abs=0.005)
    assert wave - flash_sec == pytest.approx(0, abs=0.0251)
    assert abs(wave - heard) <= 0.001


def test_a_gap_in_the_sound_is_filled(tmp_path):
    flash, click = flash_and_click(tmp_path)
    source = made(
        tmp_path / "gap.mkv", "-i", flash, "-i", click, "-c:v", "copy", "-c:a", "pcm_s16le",
        "-af", "asetnsamples=320", "-bsf:a", "noise=drop='between(n,10,11)'",
    )  # fmt: skip
    _, wave, heard = seen_and_heard(conformed(source, tmp_path / "o"))
    assert wave == pytest.approx(1.0, abs=0.002)
    assert abs(wave - heard) <= 0.001


@pytest.mark.parametrize(("sound_sec", "picture_sec"), [(3.0, 2.0), (1.0, 2.0)])
def test_neither_picture_nor_sound_is_cut_to_the_other(tmp_path, talk, sound_sec, picture_sec):
    made(tmp_path / "a.wav", "-i", talk, "-t", sound_sec)
    media.write_video(tmp_path / "v.mp4", numbered(round(25 * picture_sec)), 25, tmp_path / "a.wav")
    out = conformed(tmp_path / "v.mp4", tmp_path / "o")
    assert media.frame_times(out.video)[0] == 25 * picture_sec
    for path in (out.video, out.sound):
        assert len(media.read_audio(path, 16000)) / 16000 == pytest.approx(sound_sec, abs=0.07)


def test_without_conforming_the_wave_begins_with_the_first_frame(tmp_path):
    """Features take frame i of the file to be at i / fps of the wave."""
    source = offset_file(tmp_path, "mkv", 0.0, 0.4)
    form = video.Form(64, 25, 16000, 12, "ultrafast", mode="none")
    before = source.read_bytes()
    row = video.conform_row(video_row(source), tmp_path / "o", form)
    assert source.read_bytes() == before
    assert (row["path"], row["sha256"]) == (str(source), row["source_sha256"])
    flash = int(np.argmax(media.read_frames(row["path"]).mean((1, 2, 3)) > 120)) / 25
    wave = np.argmax(np.abs(media.read_audio(row["audio_path"], 16000)) > 0.3) / 16000
    assert wave - flash == pytest.approx(-0.4, abs=0.002)
    assert not (tmp_path / "o/videos/late.mp4").exists()
