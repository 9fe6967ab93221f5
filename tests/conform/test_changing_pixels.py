"""Pixels that change their shape or their kind half-way, and frames that alone are interlaced."""

from __future__ import annotations

import re
import subprocess

import numpy as np
import pytest

from sfqa import media
from sfqa.ffmpeg_program import find_ffmpeg

from .conftest import made
from .test_changes import H264, cat, concat, conformed


def make_interlaced(path, progressive):
    """MPEG-2 with two fields a frame; pictures of some types say that they are progressive."""
    source = made(
        path.with_name("all.m2v"), "-f", "lavfi", "-t", 2, "-i", "testsrc2=s=160x96:r=50", "-vf",
        "tinterlace=mode=interleave_top,setfield=tff", "-c:v", "mpeg2video", "-q:v", 2, "-g", 12,
        "-bf", 2, "-flags", "+ilme+ildct",
    )  # fmt: skip
    stream = bytearray(source.read_bytes())
    picture_type = 0
    start = stream.find(b"\0\0\1")
    while 0 <= start < len(stream) - 9:
        if stream[start + 3] == 0:
            picture_type = (stream[start + 5] >> 3) & 7
        is_extension = stream[start + 3] == 0xB5 and stream[start + 4] >> 4 == 8
        if is_extension and picture_type in progressive:
            stream[start + 8] |= 0x80
        start = stream.find(b"\0\0\1", start + 3)
    path.write_bytes(stream)
    return path


@pytest.mark.parametrize(
    ("progressive", "is_interlaced"), [((), True), ((1, 2), True), ((1, 2, 3), False)]
)
def test_interlaced_frames_are_seen_wherever_they_are(tmp_path, progressive, is_interlaced):
    """Types 1 and 2 are pictures to which others refer, 3 those to which none does."""
    source = make_interlaced(tmp_path / "fields.m2v", progressive)
    assert media.read_presentation(source).interlaced == is_interlaced
    picture = media.read_frames(conformed(source, tmp_path / "o")["path"]).astype(float)
    combs = (
        np.abs(np.diff(picture, axis=1)).mean() - np.abs(picture[:, 2:] - picture[:, :-2]).mean()
    )
    if is_interlaced:
        assert combs < -3.5


@pytest.mark.parametrize("b_frames", [0, 2])
@pytest.mark.parametrize(("suffix", "join"), [("ts", cat), ("mkv", concat)])
def test_pixels_that_change_their_shape_are_not_squeezed(tmp_path, suffix, join, b_frames):
    """A square of 48 pixels a side is stored 24 pixels wide where pixels are 2:1."""
    parts = []
    for number, (side, aspect) in enumerate([(48, 0), (24, 2)]):
        box = f"drawbox=x={64 - side // 2}:y=8:w={side}:h=48:color=white:t=fill,setsar={aspect}"
        parts.append(
            made(
                tmp_path / f"{number}.{suffix}", "-f", "lavfi", "-i",
                f"color=black:s=128x64:r=25:d=2,{box}", *H264, "-bf", b_frames,
            )
        )  # fmt: skip
    row = conformed(join(tmp_path / f"joined.{suffix}", *parts), tmp_path / "o")
    frames = media.read_frames(row["path"])[..., 0] > 128
    assert "the shape of pixels changes from 1:1 to 2:1 at 2.00 s" in row["detail"]
    # FFmpeg 7.1 shows all frames in the first shape; 9.0 looks at each frame's.
    first_line = subprocess.run(
        [find_ffmpeg().path, "-version"], capture_output=True, text=True, check=True
    ).stdout
    if int(re.search(r"version n?(\d+)", first_line)[1]) < 9:
        return
    for number, side in ((10, 48), (45, 48), (52, 24), (90, 24)):
        box = frames[number]
        assert np.flatnonzero(box.any(0)).size == pytest.approx(side, abs=2)
        assert np.flatnonzero(box.any(1)).size == pytest.approx(side, abs=2)
    reverse = conformed(join(tmp_path / f"reverse.{suffix}", *parts[::-1]), tmp_path / "o")
    assert "from 2:1 to 1:1 at 2.00 s, but all are shown as the first" in reverse["detail"]


@pytest.mark.parametrize("opaque_first", [True, False])
@pytest.mark.parametrize("later_side", [64, 128])
def test_transparent_parts_are_black_wherever_they_are(tmp_path, opaque_first, later_side):
    """Frames without transparency are opaque; those with it hide no colours."""
    parts = []
    for number, is_opaque in enumerate((opaque_first, not opaque_first)):
        side = later_side if number else 64
        pixels = "rgb24" if is_opaque else "rgba"
        hidden = f"format={pixels}" if is_opaque else f"format={pixels},colorchannelmixer=aa=0"
        parts.append(
            made(
                tmp_path / f"{number}.mov", "-f", "lavfi", "-i",
                f"color=0x808080:s={side}x{side}:r=25:d=1,{hidden}", "-c:v", "png", "-pix_fmt", pixels,
            )
        )  # fmt: skip
    row = conformed(concat(tmp_path / "joined.mkv", *parts), tmp_path / "o")
    halves = media.read_frames(row["path"], [10, 40]).mean(axis=(1, 2, 3))
    assert halves == pytest.approx([128, 0] if opaque_first else [0, 128], abs=3)
