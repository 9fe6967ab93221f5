"""Whatever error PyAV raises for a file, it concerns this file only."""

from __future__ import annotations

import subprocess

import av
import pytest

from sfqa import any_video, media
from sfqa.clock import ShiftedRun
from sfqa.generation.check import find_problem


def make_chained_ogg(folder):
    """Two Ogg files, one after the other, whose second one FFmpeg cannot read."""
    path = folder / "chained.ogv"
    contents = b""
    for number, channels in enumerate((1, 2)):
        part = folder / f"{number}.ogv"
        command = [
            media.ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=160x96:r=25:d=2",
            "-f", "lavfi", "-i", "sine=d=2:r=48000", "-c:v", "libtheora", "-q:v", "8",
            "-c:a", "libvorbis", "-ac", str(channels), str(part),
        ]  # fmt: skip
        subprocess.run(command, check=True)
        contents += part.read_bytes()
    path.write_bytes(contents)
    return path


def test_chained_ogg_is_read_or_refused_with_a_reason(tmp_path):
    path = make_chained_ogg(tmp_path)
    assert find_problem(path) == ""
    assert any_video.count_frames(path)[0] >= 49
    for read in (media.frame_times, media.read_frame_times, media.read_presentation):
        try:
            read(path)
        except media.MediaError as error:
            assert str(path) in str(error)


READERS = {
    "probe": media.probe,
    "frame_times": media.frame_times,
    "read_frame_times": media.read_frame_times,
    "read_frames": lambda path: media.read_frames(path, [0]),
    "read_presentation": media.read_presentation,
    "read_sound_presentation": media.read_sound_presentation,
    "read_audio": lambda path: media.read_audio(path, 16000),
    "count_frames": any_video.count_frames,
    "assemble_sound": lambda path: media.assemble_sound(
        path, 0, 16000, path.with_name("out"), [ShiftedRun(0, 0.0)], 0.0
    ),
}


@pytest.mark.parametrize("error", [av.error.PatchWelcomeError, av.error.BugError])
@pytest.mark.parametrize("name", READERS)
def test_errors_of_pyav_become_media_errors(tmp_path, monkeypatch, name, error):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"no video")

    def refuse(*arguments, **options):
        raise error(1, "not implemented")

    monkeypatch.setattr(av, "open", refuse)
    with pytest.raises(media.MediaError, match=r"a\.mp4"):
        READERS[name](path)
