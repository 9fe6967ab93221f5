"""Sizes, shapes, colours and streams of all kinds of files."""

from __future__ import annotations

import av
import cv2
import numpy as np
import pytest

from sfqa import media
from sfqa.conform import video

from .conftest import FORM, made, numbered, video_row, words

#: Eight colours in columns, none at the ends of the scale.
BARS = np.array(
    [(200, 30, 30), (30, 180, 40), (40, 50, 200), (220, 210, 40),
     (30, 190, 200), (190, 40, 180), (128, 128, 128), (225, 225, 225)], np.uint8,
)  # fmt: skip
CORNERS = [(230, 30, 30), (30, 200, 30), (30, 30, 230), (230, 230, 230)]


def raw(folder, frames, rate=25, name="raw.mkv"):
    """Lossless RGB of the frames."""
    height, width = frames[0].shape[:2]
    path = folder / "raw.rgb"
    path.write_bytes(b"".join(frame.tobytes() for frame in frames))
    return made(
        folder / name, "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", rate,
        "-i", path, "-c:v", "ffv1", "-pix_fmt", "gbrp",
    )  # fmt: skip


def bars(folder, count=5, height=96, width=128):
    frame = np.broadcast_to(np.repeat(BARS, width // 8, 0)[None], (height, width, 3))
    return raw(folder, [np.ascontiguousarray(frame)] * count)


def corners(folder, height=96, width=160, count=5):
    """Four quarters: red, green over blue, white."""
    frame = np.zeros((height, width, 3), np.uint8)
    for number, colour in enumerate(CORNERS):
        y, x = divmod(number, 2)
        frame[y * height // 2 : (y + 1) * height // 2, x * width // 2 : (x + 1) * width // 2] = (
            colour
        )
    return raw(folder, [frame] * count)


def conformed(source, folder, form=FORM):
    row = video.conform_row(video_row(source), folder, form)
    assert row["status"] != "failed", row["detail"]
    return row


def columns(row):
    frame = media.read_frames(row["path"], [0])[0].astype(int)
    step = frame.shape[1] / 8
    return np.array([frame[8:-8, round((i + 0.5) * step)].mean(0) for i in range(8)])


@pytest.mark.parametrize(
    ("matrix", "colour_range", "pix_fmt", "tagged"),
    [
        ("smpte170m", "tv", "yuv444p", True), ("bt709", "tv", "yuv444p", True),
        ("bt709", "tv", "yuv420p", True), ("smpte170m", "tv", "yuv420p", False),
        ("smpte170m", "pc", "yuvj420p", True), ("bt709", "pc", "yuv444p", True),
        ("bt709", "tv", "yuv420p10le", True), ("bt2020", "tv", "yuv420p10le", True),
        ("smpte170m", "tv", "yuv422p10le", False),
    ],
)  # fmt: skip
def test_no_matrix_range_or_depth_shifts_a_colour(tmp_path, matrix, colour_range, pix_fmt, tagged):
    tag = "bt2020nc" if matrix == "bt2020" else matrix
    tags = ["-colorspace", tag, "-color_range", colour_range] if tagged else []
    source = made(
        tmp_path / "v.mp4", "-i", bars(tmp_path), "-vf",
        f"scale=out_color_matrix={matrix}:out_range={colour_range},format={pix_fmt}",
        "-c:v", "libx264", "-qp", 4, *tags,
    )  # fmt: skip
    row = conformed(source, tmp_path / "o", video.Form(64, 25, 16000, 2, "ultrafast"))
    assert np.abs(columns(row) - BARS).max() <= 5
    # OpenCV does not read the tags: it must see the same colours
    found, frame = cv2.VideoCapture(row["path"]).read()
    assert found
    seen = np.array([frame[32, round((i + 0.5) * frame.shape[1] / 8), ::-1] for i in range(8)])
    assert np.abs(seen.astype(int) - BARS).max() <= 6
    with av.open(row["path"]) as container:
        context = container.streams.video[0].codec_context
        assert context.pix_fmt == "yuv420p"
        assert (context.colorspace, context.color_range) == (6, 1)


def test_a_high_dynamic_range_tag_changes_no_number_and_is_named(tmp_path):
    for pix_fmt in ("yuv420p", "yuv420p10le"):
        source = made(
            tmp_path / f"{pix_fmt}.mp4", "-i", bars(tmp_path), "-vf",
            f"scale=out_color_matrix=bt2020:out_range=tv,format={pix_fmt},"
            "setparams=color_trc=smpte2084:color_primaries=bt2020:colorspace=bt2020nc",
            "-c:v", "libx264", "-qp", 4,
        )  # fmt: skip
        row = conformed(source, tmp_path / "o")
        assert np.abs(columns(row) - BARS).max() <= 4
        assert ("hdr" in words(row)) == (pix_fmt == "yuv420p10le")


def test_colours_of_a_gif_are_kept(tmp_path):
    source = made(tmp_path / "v.gif", "-i", bars(tmp_path))
    assert np.abs(columns(conformed(source, tmp_path / "o")) - BARS).max() <= 6


@pytest.mark.parametrize(
    ("degrees", "order"), [(90, (1, 3, 0, 2)), (180, (3, 2, 1, 0)), (270, (2, 0, 3, 1))]
)
def test_a_rotation_tag_turns_the_picture(tmp_path, degrees, order):
    upright = made(tmp_path / "u.mp4", "-i", corners(tmp_path), "-c:v", "libx264", "-qp", 4,
                   "-pix_fmt", "yuv420p")  # fmt: skip
    source = made(tmp_path / "r.mp4", "-display_rotation", degrees, "-i", upright, "-c", "copy")
    row = conformed(source, tmp_path / "o")
    assert (row["width"], row["height"]) == ((106, 64) if degrees == 180 else (64, 106))
    frame = media.read_frames(row["path"], [0])[0]
    y, x = frame.shape[0] // 4, frame.shape[1] // 4
    seen = [frame[y, x], frame[y, 3 * x], frame[3 * y, x], frame[3 * y, 3 * x]]
    # counter-clockwise: what was top right comes to the top left
    wanted = [CORNERS[i] for i in order]
    assert np.abs(np.array(seen).astype(int) - np.array(wanted)).max() <= 12


@pytest.mark.parametrize(
    ("size", "pixel", "shown"),
    [
        ((160, 96), "1", (106, 64)), ((128, 96), "4/3", (114, 64)), ((96, 128), "1/2", (64, 170)),
        ((101, 75), "1", (86, 64)), ((48, 64), "1", (64, 86)), ((33, 47), "1", (64, 92)),
    ],
)  # fmt: skip
def test_odd_sizes_and_oblong_pixels_keep_their_aspect(tmp_path, size, pixel, shown):
    source = made(
        tmp_path / "v.mkv", "-f", "lavfi", "-i", f"testsrc2=s={size[0]}x{size[1]}:r=25:d=0.2",
        "-vf", f"setsar={pixel}", "-c:v", "ffv1",
    )  # fmt: skip
    row = conformed(source, tmp_path / "o")
    assert (row["width"], row["height"]) == shown
    with av.open(row["path"]) as container:
        assert container.streams.video[0].sample_aspect_ratio == 1


def test_a_narrow_video_is_read_without_conforming(tmp_path):
    """decord pads the rows of pictures 48 pixels wide and then refuses them."""
    source = made(
        tmp_path / "v.mp4", "-f", "lavfi", "-i", "testsrc2=s=48x64:r=25:d=1", "-pix_fmt", "yuv420p"
    )
    form = video.Form(64, 25, 16000, 12, "ultrafast", mode="none")
    row = conformed(source, tmp_path / "o", form)
    assert (row["width"], row["height"], row["frames"]) == (48, 64, 25)
    frames = media.read_frames(source, [20, 3])
    with av.open(str(source)) as container:
        wanted = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert np.array_equal(frames, np.stack([wanted[20], wanted[3]]))


def test_a_4k_video_comes_down(tmp_path):
    source = made(
        tmp_path / "v.mp4", "-f", "lavfi", "-i", "testsrc2=s=3840x2160:r=25:d=0.12", "-c:v",
        "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p",
    )  # fmt: skip
    row = conformed(source, tmp_path / "o")
    assert (row["width"], row["height"], row["frames"]) == (114, 64, 3)


def test_interlaced_lines_are_woven_out(tmp_path):
    """A bar that moves 8 pixels a field leaves a comb, unless it is deinterlaced."""
    bar = [np.full((96, 128, 3), 20, np.uint8) for _ in range(20)]
    for number, frame in enumerate(bar):
        frame[:, 8 + 5 * number : 24 + 5 * number] = 220
    fields = raw(tmp_path, bar, 50)

    def comb(tag):
        source = made(
            tmp_path / f"i{tag}.mp4", "-i", fields, "-vf",
            f"tinterlace=interleave_top,setfield={tag}", "-c:v", "libx264", "-qp", 4,
            "-pix_fmt", "yuv420p", *(["-flags", "+ildct+ilme"] if tag == "tff" else []),
        )  # fmt: skip
        assert media.read_presentation(source).interlaced == (tag == "tff")
        form = video.Form(96, 25, 16000, 8, "ultrafast")
        row = conformed(source, tmp_path / "o", form)
        assert row["frames"] == 10
        middle = media.read_frames(row["path"])[5].astype(int)[..., 0]
        return np.abs(middle[1:-1] * 2 - middle[:-2] - middle[2:]).mean()

    assert comb("tff") < 0.25 * comb("prog")


@pytest.mark.parametrize("codec", ["vp9", "prores"])
def test_what_is_transparent_is_black(tmp_path, codec):
    """Red everywhere, but the right half transparent."""
    frame = np.zeros((64, 64, 4), np.uint8)
    frame[...] = (200, 30, 30, 255)
    frame[:, 32:, 3] = 0
    (tmp_path / "raw.rgba").write_bytes(frame.tobytes() * 5)
    given = ["-f", "rawvideo", "-pix_fmt", "rgba", "-s", "64x64", "-r", 25,
             "-i", tmp_path / "raw.rgba"]  # fmt: skip
    if codec == "vp9":
        source = made(tmp_path / "v.webm", *given, "-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p",
                      "-crf", 4, "-b:v", 0)  # fmt: skip
    else:
        source = made(tmp_path / "v.mov", *given, "-c:v", "prores_ks", "-profile:v", 4,
                      "-pix_fmt", "yuva444p10le")  # fmt: skip
    row = conformed(source, tmp_path / "o")
    seen = media.read_frames(row["path"], [0])[0].astype(int)
    assert np.abs(seen[:, :28] - (200, 30, 30)).max() <= 10
    assert seen[:, 36:].max() <= 10


def test_cover_art_is_no_video_and_comes_before_none(tmp_path, talk):
    cover = made(tmp_path / "c.png", "-f", "lavfi", "-i", "color=red:s=50x50", "-frames:v", 1)
    media.write_video(tmp_path / "v.mp4", numbered(25), 25, talk)
    source = made(
        tmp_path / "art.mp4", "-i", cover, "-i", tmp_path / "v.mp4", "-map", 0, "-map", 1, "-c",
        "copy", "-disposition:v:0", "attached_pic",
    )  # fmt: skip
    row = conformed(source, tmp_path / "o")
    assert (row["width"], row["height"], row["frames"]) == (160, 64, 25)
    song = made(
        tmp_path / "song.m4a", "-i", cover, "-i", talk, "-map", 0, "-map", 1, "-c:v", "copy",
        "-disposition:v:0", "attached_pic", "-f", "mp4",
    )  # fmt: skip
    failed = video.conform_row(video_row(song), tmp_path / "o", FORM)
    assert "holds no moving picture" in failed["detail"]


def test_of_two_sounds_the_first_is_heard(tmp_path):
    media.write_video(tmp_path / "v.mp4", numbered(25), 25)
    source = made(
        tmp_path / "two.mkv", "-i", tmp_path / "v.mp4", "-f", "lavfi", "-i", "sine=400:d=1", "-f",
        "lavfi", "-i", "sine=3000:d=1", "-map", 0, "-map", 1, "-map", 2,
    )  # fmt: skip
    row = conformed(source, tmp_path / "o")
    for path in (row["audio_path"], row["path"]):
        spectrum = np.abs(np.fft.rfft(media.read_audio(path, 16000)[:16000]))
        assert np.argmax(spectrum) == pytest.approx(400, abs=2)


@pytest.mark.parametrize(
    ("layout", "levels", "mono"), [("mono", (0.5,), 0.5), ("stereo", (0.6, 0.2), 0.4), ("5.1", (0.3,) * 6, 0.3)]
)  # fmt: skip
def test_any_layout_becomes_stereo_to_hear_and_mono_to_measure(tmp_path, layout, levels, mono):
    media.write_video(tmp_path / "v.mp4", numbered(25), 25)
    tones = "|".join(f"{level}*sin(2*PI*500*t)" for level in levels)
    source = made(
        tmp_path / "s.mkv", "-i", tmp_path / "v.mp4", "-f", "lavfi", "-i",
        f"aevalsrc={tones}:c={layout}:s=48000:d=1", "-c:v", "copy", "-c:a", "pcm_s16le",
    )  # fmt: skip
    row = conformed(source, tmp_path / "o")
    facts = media.probe(row["path"])
    assert (facts.sample_rate, facts.channels) == (48000, 2)
    wave = media.read_audio(row["audio_path"], 16000)[3200:12800]
    heard = media.read_audio(row["path"], 48000, 2)[9600:38400]
    level = np.sqrt(2 * np.mean(np.square(wave)))
    left, right = np.sqrt(2 * np.mean(np.square(heard), 0))
    if layout != "5.1":
        assert level == pytest.approx(mono, rel=0.01)
        assert (left, right) == pytest.approx((levels[0], levels[-1]), rel=0.02)
    else:  # the centre and surrounds are added, and all scaled so that nothing clips
        assert 0.2 < level <= 0.301
        assert 0.2 < left <= 0.31
        assert left == pytest.approx(right, rel=0.01)


@pytest.mark.parametrize(
    ("suffix", "codecs"),
    [
        ("webm", ["-c:v", "libvpx-vp9", "-cpu-used", 8, "-c:a", "libopus"]),
        ("avi", ["-c:v", "mpeg4", "-c:a", "libmp3lame"]), ("mkv", ["-c:v", "ffv1", "-c:a", "flac"]),
        ("mpg", ["-c:v", "mpeg2video", "-c:a", "mp2"]), ("gif", []),
        ("mov", ["-c:v", "libx265", "-x265-params", "log-level=error", "-c:a", "aac"]),
    ],
)  # fmt: skip
def test_containers_and_codecs_come_in(tmp_path, suffix, codecs, talk):
    source = made(
        tmp_path / f"v.{suffix}", "-f", "lavfi", "-i", "testsrc2=s=96x64:r=25:d=1",
        *(["-i", talk, "-t", 1] if codecs else []), *codecs,
    )  # fmt: skip
    row = conformed(source, tmp_path / "o")
    assert (row["width"], row["height"]) == (96, 64)
    late = (
        media.read_presentation(source).video_start_sec - media.read_presentation(source).start_sec
    )
    wanted = (late + media.probe(source).duration_sec) * 25
    assert row["frames"] == pytest.approx(wanted, abs=0.51)
    assert ("audio_path" in row) == bool(codecs)
    assert "damaged" not in words(row)


def test_a_sound_stream_without_sound_is_silent(tmp_path, talk):
    """The header names a stream that holds no packet."""
    media.write_video(tmp_path / "v.mp4", numbered(25), 25, talk)
    source = made(
        tmp_path / "e.mp4", "-i", tmp_path / "v.mp4", "-c", "copy", "-bsf:a", "noise=drop=1"
    )
    row = conformed(source, tmp_path / "o")
    assert "silent" in words(row)
    assert "audio_path" not in row
