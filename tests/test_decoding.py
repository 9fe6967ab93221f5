"""Frames decoded in one pass are decord's frames, of every kind of video, whichever way is taken."""

import subprocess
from pathlib import Path

import decord
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sfqa import decoding, media

FRAMES = 50
SOURCE = "-f lavfi -i testsrc2=size={}:rate=25:duration=2,noise=alls=8:all_seed=3:allf=t"
H264 = "-c:v libx264 -preset veryfast -pix_fmt yuv420p"

#: What the workflow and the generators write: name -> (size, encoder, suffix). Streamed.
PLAIN = {
    "our_form": ("176x144", f"{H264} -crf 16", "mp4"),
    "many_b_frames": ("176x144", f"{H264} -bf 8 -b-pyramid normal -g 40", "mp4"),
    "no_b_frames": ("176x144", f"{H264} -bf 0", "mp4"),
    "open_groups": ("176x144", f"{H264} -x264-params open-gop=1:keyint=12", "mp4"),
    "bt709": (
        "176x144",
        f"{H264} -colorspace bt709 -color_primaries bt709 -color_trc bt709",
        "mp4",
    ),
    "smpte170m": ("176x144", f"{H264} -colorspace smpte170m", "mp4"),
    "matroska": ("176x144", H264, "mkv"),
    "low_delay": ("176x144", f"{H264} -tune zerolatency", "mp4"),
    "slices": ("176x144", f"{H264} -x264-params slices=4", "mp4"),
}
#: What is left to decord for its pictures' sake.
ODD = {
    "eight_bits_more": ("176x144", "-c:v libx264 -preset veryfast -pix_fmt yuv420p10le", "mp4"),
    "full_chroma": ("176x144", "-c:v libx264 -preset veryfast -pix_fmt yuv444p", "mp4"),
    "full_range": ("176x144", f"{H264} -color_range pc -pix_fmt yuvj420p", "mp4"),
    "bt2020": ("176x144", f"{H264} -colorspace bt2020nc", "mp4"),
    "narrow": ("168x144", H264, "mp4"),
    "interlaced": ("176x144", f"{H264} -flags +ildct+ilme -x264-params interlaced=1", "mp4"),
    "mpeg4": ("176x144", "-c:v mpeg4 -q:v 3", "mp4"),
}


def make(path: Path, size: str, encoder: str) -> Path:
    words = [*SOURCE.format(size).split(), *encoder.split(), str(path)]
    subprocess.run([media.ffmpeg_exe(), "-v", "error", "-y", *words], check=True, timeout=60)
    return path


def by_decord(path: Path) -> np.ndarray:
    reader = decord.VideoReader(str(path), num_threads=1)
    return reader.get_batch(list(range(len(reader)))).asnumpy()


@pytest.fixture
def left_to_decord(monkeypatch):
    """The frames asked of decord, as they are asked."""
    asked: list[list[int]] = []
    real = decoding._decode_with_decord

    def seen(path, wanted):
        asked.append(list(wanted))
        return real(path, wanted)

    monkeypatch.setattr(decoding, "_decode_with_decord", seen)
    return asked


def check(path: Path) -> None:
    wanted = by_decord(path)
    assert np.abs(np.diff(wanted.astype(int), axis=0)).max() > 50  # the frames differ
    np.testing.assert_array_equal(
        np.stack([*decoding.iterate_frames(path, range(len(wanted)))]), wanted
    )
    for step in (2, 7, 19):
        places = list(range(step - 1, len(wanted), step))
        some = np.stack([*decoding.iterate_frames(path, places)])
        np.testing.assert_array_equal(some, wanted[places])


@pytest.mark.parametrize("name", PLAIN)
def test_plain_videos_are_streamed_and_equal(tmp_path, left_to_decord, name):
    size, encoder, suffix = PLAIN[name]
    check(make(tmp_path / f"v.{suffix}", size, encoder))
    assert left_to_decord == []


@pytest.mark.parametrize("name", ODD)
def test_odd_videos_are_decords(tmp_path, left_to_decord, name):
    size, encoder, suffix = ODD[name]
    check(make(tmp_path / f"v.{suffix}", size, encoder))
    assert left_to_decord


@pytest.mark.parametrize(
    "edit",
    [
        "-ss 0.5",  # an edit list hides the first frames
        "-display_rotation 90",
        "-itsoffset 0.7",
    ],
)
def test_what_the_container_says_is_heard(tmp_path, edit):
    source = make(tmp_path / "v.mp4", "176x144", H264)
    path = tmp_path / "e.mp4"
    words = [*edit.split(), "-i", str(source), "-c", "copy", str(path)]
    subprocess.run([media.ffmpeg_exe(), "-v", "error", "-y", *words], check=True, timeout=60)
    wanted = by_decord(path)
    np.testing.assert_array_equal(media.read_frames(path), wanted)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = make(tmp_path_factory.mktemp("v") / "v.mp4", "176x144", f"{H264} -bf 5")
    return path, by_decord(path)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(places=st.lists(st.integers(0, FRAMES - 1), min_size=1, max_size=12))
def test_frames_in_any_order_and_twice(video, places):
    path, wanted = video
    np.testing.assert_array_equal(media.read_frames(path, places), wanted[places])


def test_bytes_that_are_damaged_give_what_decord_gives(tmp_path, video):
    """Or its sentence: a stream that breaks off in the middle is taken up by decord."""
    whole = video[0].read_bytes()
    for place in range(len(whole) // 4, len(whole), len(whole) // 9):
        path = tmp_path / f"{place}.mp4"
        path.write_bytes(whole[:place] + bytes(64) + whole[place + 64 :])
        try:
            wanted = by_decord(path)
        except decord.DECORDError:
            with pytest.raises(media.MediaError, match=rf"{place}\.mp4"):
                media.read_frames(path)
            continue
        np.testing.assert_array_equal(media.read_frames(path), wanted)


def test_frames_that_are_not_there_are_a_sentence(video):
    path, _ = video
    for places in ([FRAMES], [3, FRAMES + 7]):
        with pytest.raises(media.MediaError, match=r"v\.mp4: does not decode"):
            list(decoding.iterate_frames(path, places))


def test_frames_in_falling_order_are_refused(video):
    with pytest.raises(ValueError, match="strictly increasing"):
        next(decoding.iterate_frames(video[0], [3, 3]))
