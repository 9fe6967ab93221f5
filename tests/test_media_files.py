from __future__ import annotations

import av
import pytest

from sfqa.media_files import (
    PICTURE_SUFFIXES,
    SOUND_SUFFIXES,
    VIDEO_SUFFIXES,
    list_files,
    match_glob,
    warn_about_unlisted_files,
)


def list_known_suffixes() -> set[str]:
    """Return the suffixes that FFmpeg's demuxers and muxers name."""
    return {
        f".{suffix}"
        for name in av.formats_available
        for suffix in av.format.ContainerFormat(name).extensions
    }


def test_most_video_suffixes_are_those_of_ffmpeg_and_no_sound_is_a_video() -> None:
    other_names = {".qt", ".divx", ".mpe", ".m2ts", ".m2t", ".f4v", ".ogm", ".rmvb", ".mpv"}
    other_names |= {".h263", ".av1", ".wtv", ".264", ".h261", ".mj2", ".asf", ".mts"}
    assert VIDEO_SUFFIXES - list_known_suffixes() <= other_names
    assert not VIDEO_SUFFIXES & SOUND_SUFFIXES
    assert not PICTURE_SUFFIXES & SOUND_SUFFIXES
    assert {".gif"} == VIDEO_SUFFIXES & PICTURE_SUFFIXES


@pytest.mark.parametrize(
    ("suffixes", "names", "message"),
    [
        (PICTURE_SUFFIXES, ("a.png", "B.JPG", "c.wav", "d.txt"), "1 file left out: B.JPG; s.csv"),
        (SOUND_SUFFIXES, ("a.png", "B.WAV", "c.Mp3", "d.mp4"), "2 files left out: B.WAV, c.Mp3;"),
    ],
)
def test_files_beside_those_of_a_sheet(tmp_path, caplog, suffixes, names, message) -> None:
    for name in names:
        (tmp_path / name).touch()
    warn_about_unlisted_files("s.csv", [tmp_path / "a.png", tmp_path / "gone.png"], suffixes)
    assert message in caplog.text
    caplog.clear()
    warn_about_unlisted_files("s.csv", [tmp_path / name for name in names], suffixes)
    assert caplog.text == ""


def test_links_that_lead_back_are_not_followed(tmp_path, caplog) -> None:
    for name in ("a/1.mp4", "a/b/2.MP4", "a/.h/3.mp4", "4.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a/b/up").symlink_to(tmp_path)
    (tmp_path / "a/same").symlink_to(".")
    (tmp_path / "c").symlink_to(tmp_path / "a/b")
    names = ["4.mp4", "a/1.mp4", "a/b/2.MP4", "c/2.MP4"]
    assert list_files(tmp_path, {".mp4"}) == names
    assert match_glob("**/*.mp4", tmp_path) == names
    assert match_glob("a/**/*.mp4", tmp_path) == names[1:3]
    assert match_glob(f"{tmp_path}/*/**/a/*.mp4") == []
    assert match_glob(f"{tmp_path}/**/b/*.mp4") == [f"{tmp_path}/a/b/2.MP4"]
    assert "leads to a folder above it; it is not followed" in caplog.text
