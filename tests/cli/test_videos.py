from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfqa.cli._video_files import find_videos, name_files
from sfqa.errors import UserError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("b.mp4", "a.MOV", "deep/c.webm", "deep/notes.txt", ".hidden.mp4", "odd.bin"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(words):
    return [path.name for path in find_videos(words)]


def test_folders_files_and_globs(folder):
    assert names(["."]) == ["a.MOV", "b.mp4", "c.webm"]
    assert names(["odd.bin", "b.mp4"]) == ["odd.bin", "b.mp4"]
    assert names(["*.mp4"]) == ["b.mp4"]
    assert names(["**/*.webm"]) == ["c.webm"]
    assert names([str(folder / "deep")]) == ["c.webm"]


def test_a_folder_takes_what_ffmpeg_plays_and_names_the_rest(folder, caplog):
    for name in ("d.gif", "e.TS", "f.mpg", "g.wmv", "h.FLV", "i.ogv", "j.3gp", "k.jpg", "l.WAV"):
        (folder / name).write_bytes(b"x")
    assert names(["."]) == [
        "a.MOV", "b.mp4", "d.gif", "c.webm", "e.TS", "f.mpg", "g.wmv", "h.FLV", "i.ogv", "j.3gp",
    ]  # fmt: skip
    assert "2 files left out: k.jpg, l.WAV; their names are not those of videos" in caplog.text
    assert names(["*.mov", "*.ts"]) == ["a.MOV", "e.TS"]


def test_a_file_that_is_named_twice_is_there_once(folder):
    (folder / "link.mp4").symlink_to("b.mp4")
    assert names(["b.mp4", "./b.mp4", "*.mp4", "link.mp4", "."]) == ["b.mp4", "a.MOV", "c.webm"]


def test_a_file_with_magic_characters_in_its_name_is_itself(folder):
    (folder / "[1].mp4").write_bytes(b"x")
    (folder / "1.mp4").write_bytes(b"x")
    assert names(["[1].mp4"]) == ["[1].mp4"]


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("bb.mp4", "bb.mp4: there is no such file; did you mean 'b.mp4'?"),
        ("nowhere/x.mp4", "nowhere/x.mp4: there is no such file"),
        ("*.avi", r"\*\.avi: no file matches"),
        ("empty", "empty: no video in this folder"),
    ],
)
def test_a_word_that_leads_nowhere_is_a_sentence(folder, word, sentence):
    (folder / "empty").mkdir()
    with pytest.raises(UserError, match=sentence):
        find_videos([word])


def test_equal_stems_get_distinguished_names():
    def named(*paths):
        return name_files([Path(p) for p in paths])

    assert named("/v/a/x.mp4", "/v/b/x.mp4") == ["a__x", "b__x"]
    assert named("/v/a/x.mp4", "/v/a/x.webm") == ["x.mp4", "x.webm"]
    assert named("/1/a/x.mp4", "/2/a/x.mp4", "/v/y.mp4") == ["1__a__x", "2__a__x", "y"]
    assert named("/v/a/x.mp4", "/v/a/X.mp4") != ["x", "X"]  # file systems may fold case
    assert named("/v/歌 声.mp4", "/v/a/b c!.mp4") == ["歌-声", "b-c-"]


def test_a_long_name_leaves_room_in_the_file_system():
    first, second = (Path("/v") / (letter * 10 + "声" * 80 + ".mp4") for letter in "ab")
    made = name_files([first, second])
    assert len(set(made)) == 2
    assert all(len(name.encode()) <= 120 for name in made)


part = st.text("ab_!é", min_size=1, max_size=3)


@given(st.lists(st.tuples(st.lists(part, max_size=3), part, st.sampled_from([".mp4", ".webm"])),
                max_size=8, unique_by=lambda t: ("/".join([*t[0], t[1]]) + t[2])))  # fmt: skip
def test_names_are_distinct_and_safe(parts):
    made = name_files([Path("/", *folders, stem + suffix) for folders, stem, suffix in parts])
    assert len({name.casefold() for name in made}) == len(parts)
    assert all("/" not in name and name for name in made)
