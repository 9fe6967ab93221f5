"""Which ffmpeg is run: old ones, ones without x264 and broken ones are passed over, with a reason."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from sfqa import ffmpeg_program, media
from sfqa.errors import UserError
from sfqa.ffmpeg_program import describe_problem, find_ffmpeg

BUILD = "configuration: --enable-gpl --enable-libx264"
#: First line, build and libavutil of real programs, and whether they can be used.
PROGRAMS = {
    "debian12": ("5.1.9-0+deb12u1 Copyright (c) 2000-2026", BUILD, "57. 28.100", "older than 7.1"),
    "ubuntu22": ("4.4.2-0ubuntu0.22.04.1 Copyright", BUILD, "56. 70.100", "older than 7.1"),
    "six": ("6.1.1 Copyright (c)", BUILD, "58. 29.100", "older than 7.1"),
    "seven": (
        "7.0.2-static https://johnvansickle.com/ffmpeg/  Copyright",
        BUILD,
        "59.  8.100",
        "older than 7.1",
    ),
    "debian13": ("7.1.5-0+deb13u1 Copyright (c) 2000-2026", BUILD, "59. 39.100", ""),
    "packaged": ("n9.0.2-17-g2a571b6068-20260930 Copyright", BUILD, "61.  1.100", ""),
    "branch": ("N-118000-gabcdef Copyright (c)", BUILD, "59. 55.100", ""),
    "old_branch": ("2021-05-09-git-8649f5dca6 Copyright", BUILD, "56. 70.100", "older than 7.1"),
    "lgpl": ("8.0 Copyright (c)", "configuration: --disable-gpl", "60.  8.100", "has no x264"),
}


def write_program(folder: Path, first: str, build: str, library: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "ffmpeg"
    program.write_text(
        f"#!/bin/sh\ncat <<END\nffmpeg version {first}\n{build}\nlibavutil      {library} / x\nEND\n"
    )
    program.chmod(0o755)
    return program


@pytest.fixture(autouse=True)
def _no_cache() -> Iterator[None]:
    find_ffmpeg.cache_clear()
    yield
    find_ffmpeg.cache_clear()


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_program_on_the_path_is_taken_if_it_can_be_used(tmp_path, monkeypatch, caplog, name):
    *prints, problem = PROGRAMS[name]
    program = write_program(tmp_path, *prints)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with caplog.at_level(logging.INFO, "sfqa"):
        path, reason = media.ffmpeg_exe(), find_ffmpeg().reason
    assert (path == str(program)) == (problem == "")
    assert problem in reason
    if problem:
        version = prints[0].partition(" Copyright")[0]
        assert reason.startswith(f"{program}")
        assert f"FFmpeg {version}" in reason
        assert reason.endswith(f"the binary of imageio-ffmpeg is used: {path}")
        assert describe_problem(path) == ""
        assert caplog.messages == [reason]


@pytest.mark.parametrize("text", ["#!/bin/sh\nexit 1\n", "#!/bin/sh\necho hello\n", "rubbish"])
def test_a_program_that_is_no_ffmpeg_is_passed_over(tmp_path, monkeypatch, text):
    program = write_program(tmp_path, "", "", "")
    program.write_text(text)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert media.ffmpeg_exe() != str(program)
    assert str(program) in find_ffmpeg().reason


def test_without_any_usable_program_the_error_says_what_to_install(tmp_path, monkeypatch):
    old = write_program(tmp_path, *PROGRAMS["debian12"][:3])
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(ffmpeg_program, "_find_packaged", lambda: str(old))
    with pytest.raises(UserError, match=r"older than 7\.1.*; install FFmpeg 7\.1 or newer"):
        find_ffmpeg()
    monkeypatch.setattr(ffmpeg_program, "_find_packaged", lambda: None)
    with pytest.raises(UserError, match="imageio-ffmpeg has no binary"):
        find_ffmpeg()
