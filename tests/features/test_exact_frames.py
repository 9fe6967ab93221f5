"""The frames that extractors see are ffmpeg's, to the last bit; in any order in the common form.

decord's jumps to a frame are off by some where groups of pictures are open (MPEG-4 and MPEG-2 with
B frames) or times are missing (AVI, MPEG-PS): such files are exact when read in order, and once
they are conformed.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from sfqa import identity, media
from sfqa.conform.video import Form, conform_row

MOVING = "-f lavfi -i testsrc2=size={}:rate=25:duration=1"
#: Size, codec and container of one second each.
FILES = {
    "b_frames": ("256x144", "-c:v libx264 -bf 3 -g 9 -pix_fmt yuv420p", "mp4"),
    "one_key_frame": ("128x96", "-c:v libx264 -g 999 -pix_fmt yuv420p", "mp4"),
    "narrow": ("48x64", "-c:v libx264 -pix_fmt yuv420p", "mp4"),
    "uneven": ("98x66", "-c:v libx264 -pix_fmt yuv420p", "mp4"),
    "portrait": ("144x256", "-c:v libx264 -pix_fmt yuv420p", "mkv"),
    "tagged_709": ("128x96", "-c:v libx264 -pix_fmt yuv420p -colorspace bt709", "mp4"),
    "full_range": ("128x96", "-c:v libx264 -pix_fmt yuvj420p", "mp4"),
    "vp9": ("128x96", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8", "webm"),
    "jpeg": ("128x96", "-c:v mjpeg -pix_fmt yuvj422p -q:v 3", "mov"),
}

#: The same, exact in order alone.
IN_ORDER = {
    "mpeg4_avi": ("128x96", "-c:v mpeg4 -q:v 3 -bf 2", "avi"),
    "mpeg4_mp4": ("128x96", "-c:v mpeg4 -q:v 3 -bf 2", "mp4"),
    "mpeg2": ("128x96", "-c:v mpeg2video -q:v 3 -bf 2", "mpg"),
}


def ffmpeg(*arguments: object) -> bytes:
    """What ffmpeg alone writes."""
    words = [w for a in arguments for w in ([str(a)] if isinstance(a, Path) else str(a).split())]
    command = [media.ffmpeg_exe(), "-v", "error", "-nostdin", "-y", *words]
    return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout


def by_ffmpeg(path: Path, height: int, width: int) -> np.ndarray:
    """All frames as ffmpeg's own command converts them, with the scaler's plain bicubic flag."""
    plain = "-fps_mode passthrough -sws_flags bicubic -f rawvideo -pix_fmt rgb24 -"
    return np.frombuffer(ffmpeg("-i", path, plain), np.uint8).reshape(-1, height, width, 3)


def check(path: Path, count: int, any_order: bool = True) -> None:
    ours = media.read_frames(path)
    wanted = by_ffmpeg(path, *ours.shape[1:3])
    assert len(wanted) == count
    assert np.abs(np.diff(wanted.astype(int), axis=0)).max() > 50  # the frames differ
    np.testing.assert_array_equal(ours, wanted)
    if not any_order:
        return
    rng = identity.random_generator("test_exact_frames", path.stem)
    for places in ([count - 1], [7, 3, 3, 20, 0], rng.permutation(count).tolist()):
        np.testing.assert_array_equal(media.read_frames(path, places), wanted[places])


@pytest.mark.parametrize("name", FILES)
def test_frames_equal_ffmpegs(tmp_path: Path, name: str) -> None:
    size, codec, suffix = FILES[name]
    path = tmp_path / f"{name}.{suffix}"
    ffmpeg(MOVING.format(size), codec, path)
    check(path, 25)


@pytest.mark.parametrize("name", IN_ORDER)
def test_frames_in_order_equal_ffmpegs(tmp_path: Path, name: str) -> None:
    size, codec, suffix = IN_ORDER[name]
    path = tmp_path / f"{name}.{suffix}"
    ffmpeg(MOVING.format(size), codec, path)
    check(path, 25, any_order=False)


@pytest.mark.parametrize("name", ["libx264 -colorspace bt709 mp4", "mpeg4 -bf 2 avi"])
def test_frames_of_a_conformed_video_equal_ffmpegs(tmp_path: Path, name: str) -> None:
    """From another size, rate, matrix and container, through the common form."""
    codec, suffix = name.rsplit(" ", 1)
    source = tmp_path / f"v.{suffix}"
    moving = "-f lavfi -i testsrc2=size=322x180:rate=30:duration=2 -pix_fmt yuv420p"
    ffmpeg(moving, f"-c:v {codec}", source)
    row = {
        "sample_id": "v", "method": "m", "shard": 0, "status": "ok", "detail": "", "prompt": None,
        "path": str(source), "sha256": identity.sha256_file(source), "clip_path": None,
    }  # fmt: skip
    made = conform_row(row, tmp_path / "out", Form(96, 25.0, 16000, 16, "veryfast"))
    assert (made["width"], made["height"], made["frames"]) == (172, 96, 50)
    check(Path(made["path"]), 50)
