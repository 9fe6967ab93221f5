"""Files whose picture, sound or clock changes half-way: every frame in its place, sound in time."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from sfqa import media
from sfqa.conform import video
from sfqa.generation.check import find_problem
from thinned import mark_others_thorough

from .conftest import FORM, made, numbered, numbers, video_row, words

RATES = {"mono": 1, "stereo": 2, "5.1": 6}
H264 = ["-c:v", "libx264", "-qp", 14, "-g", 25, "-pix_fmt", "yuv420p"]
VP8 = ["-c:v", "libvpx", "-crf", 8, "-b:v", "1M", "-cpu-used", 8]
VP9 = ["-c:v", "libvpx-vp9", "-crf", 12, "-b:v", 0, "-cpu-used", 8]
AAC = ["-c:a", "aac", "-b:a", "128k"]


def click_sound(path, seconds=2.0, rate=48000, layout="stereo"):
    """A click of 20 ms in each second, at .5 s, in all channels."""
    click = "if(between(mod(t,1),0.5,0.52),0.7*sin(2*PI*1000*t),0)"
    source = f"aevalsrc='{'|'.join([click] * RATES[layout])}':s={rate}:c={layout}:d={seconds}"
    return made(path, "-f", "lavfi", "-i", source, "-c:a", "pcm_s16le")


def piece(folder, name, first, *codecs, size=(160, 64), rate=48000, layout="stereo", extra=()):
    """Two seconds of numbered frames from the number ``first`` on, with two clicks."""
    width, height = size
    frames = (
        cv2.resize(frame, size, interpolation=cv2.INTER_NEAREST)
        for number, frame in enumerate(numbered(first + 50))
        if number >= first
    )
    raw = folder / f"{name}.rgb"
    raw.write_bytes(b"".join(frame.tobytes() for frame in frames))
    wave = click_sound(folder / f"{name}.wav", rate=rate, layout=layout)
    return made(
        folder / name, "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", 25,
        "-i", raw, "-i", wave, *(codecs or [*H264, *AAC]), *extra,
    )  # fmt: skip


def concat(path, *pieces):
    """Join files with ffmpeg, on one clock, without encoding."""
    listing = path.with_suffix(".txt")
    listing.write_text("".join(f"file '{part}'\n" for part in pieces))
    return made(path, "-f", "concat", "-safe", 0, "-i", listing, "-c", "copy")


def cat(path, *pieces):
    """Put the bytes of files one after the other."""
    path.write_bytes(b"".join(part.read_bytes() for part in pieces))
    return path


def conformed(source, folder, form=FORM):
    row = video.conform_row(video_row(source), folder, form)
    assert row["status"] != "failed", row["detail"]
    return row


def find_clicks(path, threshold=0.2):
    """When clicks begin, in seconds."""
    loud = np.flatnonzero(np.abs(media.read_audio(path, 16000)) > threshold) / 16000
    return [float(b) for a, b in zip([-1, *loud], loud, strict=False) if b - a > 0.2]


def assert_in_time(row, count, tolerance=0.045):
    """All numbers are shown in order, and each click is heard with the frame of its time."""
    shown = numbers(media.read_frames(row["path"]))
    changes = [number for i, number in enumerate(shown) if i == 0 or number != shown[i - 1]]
    assert changes == list(range(count))
    assert len(shown) == pytest.approx(count, abs=2)
    expected = np.array([shown.index(frame) / 25 for frame in range(12, count, 25)]) + 0.02
    for path in (row["audio_path"], row["path"]):
        clicks = find_clicks(path)
        assert len(clicks) == len(expected), clicks
        assert np.abs(np.array(clicks) - expected).max() <= tolerance, (clicks, expected)


@pytest.mark.parametrize(
    ("suffix", "codecs"),
    [
        ("mp4", [*H264, *AAC]), ("mkv", [*H264, *AAC]), ("ts", [*H264, *AAC]),
        ("webm", [*VP8, "-c:a", "libopus"]), ("webm", [*VP9, "-c:a", "libopus"]),
    ],
)  # fmt: skip
def test_a_picture_that_changes_its_size_keeps_its_sound(tmp_path, suffix, codecs):
    parts = [
        piece(tmp_path, f"{i}.{suffix}", 50 * i, *codecs, size=size)
        for i, size in enumerate([(160, 64), (320, 128), (80, 32)])
    ]
    row = conformed(concat(tmp_path / f"joined.{suffix}", *parts), tmp_path / "o")
    assert_in_time(row, 150)
    assert "changing: the picture changes from 160x64 to 320x128 at 2.0" in row["detail"]
    assert (row["width"], row["height"]) == (160, 64)


def test_a_picture_of_another_shape_is_not_distorted(tmp_path):
    """A square stays a square: later frames get black bars."""
    sizes = [(96, 96), (192, 96)]
    parts = []
    for number, (width, height) in enumerate(sizes):
        frame = f"color=black:s={width}x{height}:r=25:d=1,drawbox=x={width // 2 - 24}:y=24:w=48:h=48:color=white:t=fill"
        parts.append(made(tmp_path / f"{number}.mp4", "-f", "lavfi", "-i", frame, *H264))
    row = conformed(concat(tmp_path / "joined.mp4", *parts), tmp_path / "o")
    frames = media.read_frames(row["path"])[..., 0] > 128
    assert (row["width"], row["height"]) == (64, 64)
    for frame, side in ((frames[10], 32), (frames[40], 16)):
        assert np.flatnonzero(frame.any(0)).size == pytest.approx(side, abs=2)
        assert np.flatnonzero(frame.any(1)).size == pytest.approx(side, abs=2)


SOUNDS = [
    ("mono", 48000, "stereo", 48000), ("stereo", 48000, "mono", 48000),
    ("stereo", 32000, "stereo", 48000), ("mono", 32000, "stereo", 44100),
    ("5.1", 48000, "stereo", 48000),
]  # fmt: skip


@pytest.mark.parametrize(
    ("layout", "rate", "later_layout", "later_rate"), mark_others_thorough(SOUNDS, 4)
)
@pytest.mark.parametrize("join", [concat, cat])
def test_a_sound_that_changes_its_form_stays_in_time(
    tmp_path, join, layout, rate, later_layout, later_rate
):
    first = piece(tmp_path, "a.ts", 0, layout=layout, rate=rate)
    later = piece(tmp_path, "b.ts", 50, layout=later_layout, rate=later_rate)
    row = conformed(join(tmp_path / "joined.ts", first, later), tmp_path / "o")
    assert_in_time(row, 100)
    assert f"from {layout} at {rate} Hz to {later_layout} at {later_rate} Hz" in row["detail"]
    assert ("joined" in words(row)) == (join is cat)


def test_a_mono_part_is_as_loud_as_a_stereo_part(tmp_path):
    parts = [piece(tmp_path, f"{i}.ts", 50 * i, layout=form) for i, form in enumerate(RATES)]
    row = conformed(concat(tmp_path / "joined.ts", *parts), tmp_path / "o")
    left, right = media.read_audio(row["path"], 16000, 2).T
    levels = [np.abs(left[k * 32000 + 16000 :][:16000]).max() for k in range(3)]
    assert levels == pytest.approx([0.7] * 3, abs=0.12)
    assert np.abs(left - right).max() < 0.1


@pytest.mark.thorough
@pytest.mark.parametrize("times", [2, 3])
@pytest.mark.parametrize(
    ("suffix", "codecs"),
    [("ts", [*H264, *AAC]), ("mpg", ["-c:v", "mpeg2video", "-q:v", 2, "-bf", 2, "-c:a", "mp2"]),
     ("vob", ["-c:v", "mpeg2video", "-q:v", 2, "-bf", 2, "-c:a", "ac3"])],
)  # fmt: skip
def test_recordings_one_after_the_other_are_all_kept(tmp_path, suffix, codecs, times):
    parts = [piece(tmp_path, f"{i}.{suffix}", 50 * i, *codecs) for i in range(times)]
    row = conformed(cat(tmp_path / f"joined.{suffix}", *parts), tmp_path / "o")
    assert_in_time(row, 50 * times)
    assert row["source_duration_sec"] == pytest.approx(2 * times, abs=0.05)
    assert words(row)[-1] == "joined"
    assert "the clock starts anew at 2.00 s" in row["detail"]


@pytest.mark.parametrize(
    ("with_sound", "heard"), [((False, True), [1]), ((True, False, True), [0, 2]), ((True, False), [0])]
)  # fmt: skip
def test_recordings_without_sound_shift_no_other_sound(tmp_path, with_sound, heard):
    parts = []
    for number, has_sound in enumerate(with_sound):
        part = piece(tmp_path, f"{number}.ts", 50 * number)
        silent = tmp_path / f"silent{number}.ts"
        parts.append(part if has_sound else made(silent, "-i", part, "-an", "-c", "copy"))
    row = conformed(cat(tmp_path / "joined.ts", *parts), tmp_path / "o")
    assert row["frames"] == pytest.approx(50 * len(with_sound), abs=2)
    expected = [2 * number + second for number in heard for second in (0.5, 1.5)]
    for path in (row["audio_path"], row["path"]):
        assert find_clicks(path) == pytest.approx(expected, abs=0.06)


@pytest.mark.thorough
@pytest.mark.parametrize(("mode", "late_sec"), [("encode", 0.6), ("none", 0.6), ("none", -0.6)])
def test_a_sound_that_changes_may_start_late_or_early(tmp_path, mode, late_sec):
    parts = [piece(tmp_path, f"{i}.mkv", 50 * i, layout=form) for i, form in enumerate(RATES)]
    adts = [made(part.with_suffix(".ts"), "-i", part, "-c", "copy") for part in parts]
    joined = concat(tmp_path / "joined.ts", *adts)
    source = made(
        tmp_path / "late.ts", "-itsoffset", max(0, -late_sec), "-i", joined, "-itsoffset",
        max(0, late_sec), "-i", joined, "-map", "0:v", "-map", "1:a", "-c", "copy",
    )  # fmt: skip
    presentation = media.read_presentation(source)
    out = video.list_files(tmp_path / "o", "x")
    video.conform_video(source, presentation, out, video.Form(64, 25, 16000, 12, "ultrafast", mode))
    expected = [second + late_sec + 0.5 for second in range(6)]
    # each part lasts 2.02 s, because its sound is longer than its picture
    assert find_clicks(out.sound)[-5:] == pytest.approx(expected[-5:], abs=0.08)


@pytest.mark.parametrize("later_sec", [-1.2, 1.5, 40.0, 5000.0, 2**33 / 90000 - 4])
def test_a_later_recording_may_have_any_clock(tmp_path, later_sec):
    """A clock of 33 bits ends after 26.5 hours and begins again; it may do so within a file."""
    first = piece(tmp_path, "a.ts", 0, extra=["-output_ts_offset", 2])
    later = piece(tmp_path, "b.ts", 50, extra=["-output_ts_offset", 2 + later_sec])
    row = conformed(cat(tmp_path / "joined.ts", first, later), tmp_path / "o")
    assert_in_time(row, 100)
    assert "joined" in words(row)


def test_a_clock_that_passes_its_end_is_one_recording(tmp_path):
    first, later = piece(tmp_path, "a.mkv", 0), piece(tmp_path, "b.mkv", 50)
    both = concat(tmp_path / "both.mkv", first, later)
    end = 2**33 / 90000
    source = made(
        tmp_path / "wrap.ts", "-i", both, "-c", "copy", "-output_ts_offset", end - 2.4, "-f", "mpegts"
    )  # fmt: skip
    row = conformed(source, tmp_path / "o")
    assert_in_time(row, 100)
    assert "joined" not in words(row)


def test_frames_that_come_too_late_are_counted(tmp_path):
    """Matroska has one clock, so that ffmpeg drops the frames of a second file put after it."""
    first, later = piece(tmp_path, "a.mkv", 0), piece(tmp_path, "b.mkv", 50)
    row = conformed(cat(tmp_path / "joined.mkv", first, later), tmp_path / "o")
    assert row["frames"] < 55
    assert "lost_frames" in words(row)
    lost = int(row["detail"].split(" frames come too late")[0].split()[-1])
    assert lost == pytest.approx(50, abs=5)


def test_a_video_without_changes_says_nothing(tmp_path):
    row = conformed(piece(tmp_path, "a.mp4", 0), tmp_path / "o")
    assert words(row) == ["no_face"]


def make_bar(folder, tag, seconds, name):
    """A bar that moves 8 pixels a field, in MPEG-2 of the field order ``tag``."""
    move = f"color=gray:s=128x96:r=50:d={seconds},geq=lum='if(between(mod(X-5*N,128),0,16),220,20)':cb=128:cr=128"
    interlaced = ["-flags", "+ildct+ilme"] if tag == "tff" else []
    return made(
        folder / name, "-f", "lavfi", "-i", move, "-vf",
        f"tinterlace=interleave_top,setfield={tag}", "-c:v", "mpeg2video", "-q:v", 2, *interlaced,
    )  # fmt: skip


def test_interlaced_frames_after_a_progressive_beginning_are_woven_out(tmp_path):
    still = made(
        tmp_path / "title.ts", "-f", "lavfi", "-i", "color=gray:s=128x96:r=25:d=0.4", "-c:v",
        "mpeg2video", "-q:v", 2,
    )  # fmt: skip
    bars = make_bar(tmp_path, "tff", 2, "bars.ts")

    def measure_comb(source):
        assert media.read_presentation(source).interlaced == (source.name != "progressive.ts")
        row = conformed(source, tmp_path / "o", video.Form(96, 25, 16000, 8, "ultrafast"))
        frames = media.read_frames(row["path"])[-20:].astype(int)[..., 0]
        return np.abs(frames[:, 1:-1] * 2 - frames[:, :-2] - frames[:, 2:]).mean()

    progressive = make_bar(tmp_path, "prog", 2, "progressive.ts")
    later = measure_comb(concat(tmp_path / "later.ts", still, bars))
    assert later == pytest.approx(measure_comb(bars), rel=0.1)
    assert later < 0.25 * measure_comb(progressive)


def test_a_later_high_dynamic_range_is_named(tmp_path):
    sizes = "color=gray:s=128x96:r=25:d=1"
    tags = "setparams=color_trc=smpte2084:color_primaries=bt2020:colorspace=bt2020nc"
    deep = ["-c:v", "libx264", "-qp", 10, "-pix_fmt", "yuv420p10le"]
    plain = made(tmp_path / "a.ts", "-f", "lavfi", "-i", sizes, *deep)
    bright = made(tmp_path / "b.ts", "-f", "lavfi", "-i", sizes, "-vf", tags, *deep)
    row = conformed(concat(tmp_path / "joined.ts", plain, bright), tmp_path / "o")
    assert "hdr" in words(row)
    assert row["frames"] == pytest.approx(50, abs=1)


def test_a_later_rotation_is_named(tmp_path):
    turn = ["-bsf:v", "h264_metadata=display_orientation=insert:rotate=90"]
    first = piece(tmp_path, "a.mp4", 0)
    later = piece(tmp_path, "b.mp4", 50)
    turned = made(tmp_path / "turned.mp4", "-i", later, "-c", "copy", *turn)
    row = conformed(concat(tmp_path / "joined.mkv", first, turned), tmp_path / "o")
    assert "the rotation changes from 0 to" in row["detail"]
    assert row["frames"] == pytest.approx(100, abs=2)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
@pytest.mark.parametrize("default", [0, 1])
def test_the_default_picture_and_sound_are_shown(tmp_path, suffix, default):
    """The other picture is larger, and the other sound has more channels."""
    sides = [160, 160]
    sides[1 - default] = 320
    layouts = ["mono", "mono"]
    layouts[1 - default] = "stereo"
    tones = [400, 3000]
    inputs = [
        argument
        for i in range(2)
        for argument in (
            "-f", "lavfi", "-i", f"testsrc2=s={sides[i]}x{sides[i]}:r=25:d=1",
            "-f", "lavfi", "-i", f"sine={tones[i]}:d=1,aformat=channel_layouts={layouts[i]}",
        )
    ]  # fmt: skip
    marks = [
        "-disposition:v:0",
        0,
        "-disposition:a:0",
        0,
        "-disposition:v:1",
        0,
        "-disposition:a:1",
        0,
    ]
    marks += [f"-disposition:v:{default}", "default", f"-disposition:a:{default}", "default"]
    source = made(
        tmp_path / f"two.{suffix}", *inputs, "-map", 0, "-map", 2, "-map", 1, "-map", 3, *H264,
        *AAC, *marks,
    )  # fmt: skip
    row = conformed(source, tmp_path / "o")
    assert (row["source_width"], row["source_height"]) == (160, 160)
    for path in (row["audio_path"], row["path"], source):
        spectrum = np.abs(np.fft.rfft(media.read_audio(path, 16000)[:16000]))
        assert np.argmax(spectrum) == pytest.approx(tones[default], abs=2)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("default", [0, 1])
@pytest.mark.parametrize("codec", mark_others_thorough(["mjpeg", "libx264"], 2))
def test_check_conform_and_frames_are_of_one_picture(tmp_path, suffix, default, codec):
    """decord, which knows no default, would show the preview or the larger picture."""
    inputs = [
        ("testsrc2=s=160x96:r=25:d=2", codec, 50), ("testsrc2=s=96x160:r=10:d=2", "libx264", 20)
    ]  # fmt: skip
    source = made(
        tmp_path / f"two.{suffix}", "-f", "lavfi", "-i", inputs[0][0], "-f", "lavfi", "-i",
        inputs[1][0], "-map", 0, "-map", 1, "-c:v:0", inputs[0][1], "-c:v:1", inputs[1][1],
        "-pix_fmt", "yuv420p", f"-disposition:v:{1 - default}", 0, f"-disposition:v:{default}",
        "default",
    )  # fmt: skip
    size, rate, count = [((160, 96), 25, 50), ((96, 160), 10, 20)][default]
    assert find_problem(source, audio=False) == ""
    assert media.frame_times(source) == (count, rate)
    assert media.read_frames(source, [count - 1]).shape[1:3] == size[::-1]
    for mode in ("encode", "none"):
        form = video.Form(96, 25, 16000, 12, "ultrafast", mode, expect=())
        row = conformed(source, tmp_path / mode, form)
        assert (row["source_width"], row["source_height"], row["source_fps"]) == (*size, rate)
        assert (row["width"] > row["height"]) == (size[0] > size[1])
        assert row["frames"] == (50 if mode == "encode" else count)
