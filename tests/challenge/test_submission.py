"""A submission's zip and its two files: every mistake told by its line, what does no harm noted."""

from __future__ import annotations

import io
import struct
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfqa.challenge import submission as reading
from sfqa.challenge.example_submission import make_example_zip
from sfqa.challenge.submission import Submission, read_zip
from submissions import NAMES, README, pack, pack_scores, write_lines

SCORES = {name: 1.0 + number / 7 for number, name in enumerate(NAMES)}
FEW = ["a.mp4", "b.mp4", "c.mp4"]


def read_text(data: bytes, names: list[str]) -> Submission:
    """What a whole submission with this output.txt is read as."""
    with tempfile.TemporaryDirectory() as folder:
        path = pack(Path(folder) / "s.zip", {"output.txt": data, "readme.txt": README})
        return read_zip(path, names)


def told(text: str | bytes, names: list[str] = FEW) -> list[str]:
    return read_text(text.encode() if isinstance(text, str) else text, names).errors


# --- mistakes of output.txt -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,score\na.mp4,1\nb.mp4,2\nc.mp4,3\n", "line 1: 'name,score' is a heading; delete this line"),
        ("Video,Score\na.mp4,1\nb.mp4,2\nc.mp4,3\n", "line 1: 'Video,Score' is a heading"),
        ("a.mp4,1\nb.mp4,2\n", "1 of 3 videos have no score: 'c.mp4'"),
        ("a.mp4,1\nb.mp4,2\nc.mp4,3\nb.mp4,4\n", "line 4: 'b.mp4' has a score already, in line 2"),
        ("a.mp4,1\nb.mp4,2\nc.mp4,3\nd.mp4,4\n", "line 4: there is no video 'd.mp4'"),
        ("x/a.mp4,1\nb.mp4,2\nc.mp4,3\n", "line 1: there is no video 'x/a.mp4'; without its folder it is 'a.mp4'"),
        ("C:\\x\\a.mp4,1\nb.mp4,2\nc.mp4,3\n", "without its folder it is 'a.mp4'"),
        ("a,1\nb.mp4,2\nc.mp4,3\n", "line 1: there is no video 'a'; with its ending it is 'a.mp4'"),
        ("a.avi,1\nb.mp4,2\nc.mp4,3\n", "with another ending: 'a.mp4'"),
        ("A.MP4,1\nb.mp4,2\nc.mp4,3\n", "in other letters it is 'a.mp4'"),
        ("a.mp4,nan\nb.mp4,2\nc.mp4,3\n", "line 1: 'nan' is no finite number"),
        ("a.mp4,1\nb.mp4,-inf\nc.mp4,3\n", "line 2: '-inf' is no finite number"),
        ("a.mp4,1\nb.mp4,good\nc.mp4,3\n", "line 2: 'good' is no number"),
        ("a.mp4,1\nb.mp4,\nc.mp4,3\n", "line 2: '' is no number"),
        ("a.mp4,1_0\nb.mp4,2\nc.mp4,3\n", "line 1: '1_0' is no number"),
        ("a.mp4;1\nb.mp4,2\nc.mp4,3\n", "line 1: 'a.mp4;1' has a semicolon where a comma is needed"),
        ("a.mp4\t1\nb.mp4,2\nc.mp4,3\n", "has a tab where a comma is needed"),
        ("a.mp4 1\nb.mp4,2\nc.mp4,3\n", "has a space where a comma is needed"),
        ("a.mp4,3,14\nb.mp4,2\nc.mp4,3\n", "is that a decimal comma? write a point"),
        ("a.mp4,3,b\nb.mp4,2\nc.mp4,3\n", "has 3 parts"),
        ("a.mp4\nb.mp4,2\nc.mp4,3\n", "line 1: 'a.mp4' has no comma"),
        ("", "the file is empty"),
        ("a.mp4,1\nb.mp4,2\nc.mp4,3\n".encode("utf-16"), "written as UTF-16; save it as UTF-8"),
        ("a.mp4,1\nb\xfc.mp4,2\nc.mp4,3\n".encode("latin-1"), "line 2: not UTF-8"),
        (b"a.mp4,1\x00\n", "holds zero bytes"),
    ],
)  # fmt: skip
def test_every_mistake_is_told_by_its_line(text: str | bytes, said: str) -> None:
    errors = told(text)
    assert any(said in error for error in errors), errors
    assert all(error.startswith("output.txt") for error in errors)


@pytest.mark.parametrize(
    ("text", "noted"),
    [
        ("a.mp4,1\r\nb.mp4,2\r\nc.mp4,3\r\n", "line ends"),
        ("a.mp4,1\rb.mp4,2\rc.mp4,3", "line ends"),
        ("\ufeffa.mp4,1\nb.mp4,2\nc.mp4,3\n", "byte order mark"),
        ("a.mp4,1\n\nb.mp4,2\nc.mp4,3\n\n\n", "3 blank lines"),
        ("  a.mp4 ,1 \nb.mp4, 2\nc.mp4,3\n", "spaces"),
    ],
)
def test_what_does_no_harm_is_noted_and_scored(text: str, noted: str) -> None:
    found = read_text(text.encode(), FEW)
    assert found.errors == []
    assert found.scores == {"a.mp4": 1.0, "b.mp4": 2.0, "c.mp4": 3.0}
    assert any(noted in note for note in found.notes), found.notes


def test_a_name_with_a_comma_stands_in_quotes() -> None:
    names = ['a,"b".mp4', "c.mp4"]
    data = zipfile.ZipFile(io.BytesIO(make_example_zip(names))).read("output.txt")
    assert read_text(data, names).errors == []
    assert set(read_text(data, names).scores) == set(names)


def test_a_thousand_mistakes_of_one_kind_do_not_hide_the_next() -> None:
    text = "".join(f"x{n}.mp4,1\n" for n in range(1000)) + "a.mp4,nan\n"
    errors = told(text)
    assert len([e for e in errors if "there is no video" in e]) == reading.MAX_LISTED
    assert "... and 990 more of this kind (unknown name)" in errors
    assert any("line 1001: 'nan'" in e for e in errors)
    assert any("2 of 3 videos have no score" in e for e in errors)


def test_mistakes_do_not_leak_the_mos() -> None:
    phase = {"a.mp4": 1.2345, "b.mp4": 2.3456}
    errors = read_text(b"a.mp4,x\n", phase).errors
    assert errors
    assert not any(str(v) in error for error in errors for v in phase.values())


@given(st.dictionaries(st.sampled_from(NAMES), st.floats(-1e6, 1e6), min_size=1))
def test_what_is_written_plainly_is_read_back(scores: dict[str, float]) -> None:
    found = read_text(write_lines(scores).encode(), list(scores))
    assert found.errors == []
    assert found.scores == scores


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    found = read_text(data, FEW)
    assert found.is_valid == (set(found.scores) == set(FEW) and not found.errors)


# --- mistakes of the zip --------------------------------------------------------------------


def test_a_zip_as_asked_for_has_neither_mistakes_nor_notes(tmp_path: Path) -> None:
    found = read_zip(pack_scores(tmp_path / "t.zip", SCORES), NAMES)
    assert (found.errors, found.notes, found.scores) == ([], [], SCORES)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"output.txt": "ok", "a/readme.txt": README, "b/readme.txt": README}, "readme.txt is there 2 times"),
        ({"Output.TXT": "ok", "readme.txt": README}, "no output.txt; rename 'Output.TXT'"),
        ({"output.csv": "ok", "readme.txt": README}, "no output.txt; rename 'output.csv'"),
        ({"output.txt.txt": "ok", "readme.txt": README}, "no output.txt; rename 'output.txt.txt'"),
        ({"readme.txt": README}, "no output.txt ('name,score' lines); it holds readme.txt"),
        ({}, "the zip is empty"),
        ({"a/output.txt": "ok", "b/output.txt": "ok", "readme.txt": README}, "output.txt is there 2 times: a/output.txt, b/output.txt"),
        ({"output.txt": "ok", "readme.txt": "ok"}, "readme.txt: holds scores"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_zip_is_told(
    files: dict[str, str], said: str, tmp_path: Path
) -> None:
    files = {name: write_lines(SCORES) if text == "ok" else text for name, text in files.items()}
    errors = read_zip(pack(tmp_path / "t.zip", files), NAMES).errors
    assert any(said in error for error in errors), errors


@pytest.mark.parametrize(
    ("other", "note"),
    [
        ({}, "no readme.txt (what the method used and how fast it is); it holds output.txt"),
        ({"README.md": README}, "no readme.txt; rename 'README.md'"),
        ({"Readme.TXT": README}, "no readme.txt; rename 'Readme.TXT'"),
    ],
)
def test_a_zip_without_a_readme_is_scored_with_a_note(
    other: dict[str, str], note: str, tmp_path: Path
) -> None:
    """As the organisers' own example of THQA-NTIRE."""
    path = pack(tmp_path / "t.zip", {"output.txt": write_lines(SCORES), **other})
    submission = read_zip(path, NAMES)
    assert submission.is_valid
    assert submission.scores == SCORES
    assert submission.facts == {}
    assert any(note in sentence for sentence in submission.notes)


def test_system_files_and_one_folder_do_no_harm(tmp_path: Path) -> None:
    files = {
        "res/output.txt": write_lines(SCORES), "res/readme.txt": README, "res/.DS_Store": b"\x00",
        "__MACOSX/res/._output.txt": b"\x00\x05", "res/code.py": "x",
    }  # fmt: skip
    found = read_zip(pack(tmp_path / "t.zip", files), NAMES)
    assert found.errors == []
    assert found.scores == SCORES
    said = " | ".join(found.notes)
    for part in ("2 files of the system", "in the folder 'res'", "passed over: res/code.py"):
        assert part in said


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "it is empty"),
        (b"a.mp4,1\n", "it is a text"),
        (b"\x1f\x8b\x08\x00", "it is gzip"),
        (b"Rar!\x1a\x07\x00", "it is RAR"),
        (b"PK\x03\x04" + b"\x00" * 40, "no whole zip file"),
    ],
)
def test_what_is_no_zip_is_told(data: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "t.zip").write_bytes(data)
    errors = read_zip(tmp_path / "t.zip", NAMES).errors
    assert len(errors) == 1
    assert said in errors[0]


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read counts, not the size that the header claims."""
    monkeypatch.setattr(reading, "MAX_BYTES", 2**20)
    path = pack(tmp_path / "t.zip", {"output.txt": b"0" * (4 * 2**20), "readme.txt": README})
    errors = read_zip(path, NAMES).errors
    assert errors == ["output.txt: more than 1 MiB unpacked"]
    data = bytearray(path.read_bytes())
    central = data.index(b"PK\x01\x02")
    data[central + 24 : central + 28] = struct.pack("<I", 10)
    path.write_bytes(bytes(data))
    assert read_zip(path, NAMES).errors


def test_names_that_lead_out_of_the_folder_write_nothing(tmp_path: Path) -> None:
    inner = tmp_path / "in"
    inner.mkdir()
    path = pack(inner / "t.zip", {"../../output.txt": write_lines(SCORES), "/readme.txt": README})
    found = read_zip(path, NAMES)
    assert found.scores == SCORES
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["in", "t.zip"]


def test_a_password_is_told(tmp_path: Path) -> None:
    path = pack_scores(tmp_path / "t.zip", SCORES)
    data = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + place] |= 1
    path.write_bytes(bytes(data))
    assert any("has a password" in error for error in read_zip(path, NAMES).errors)


@given(st.data())
def test_no_damage_breaks_the_reader(data: st.DataObject) -> None:
    content = bytearray(make_example_zip(FEW))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    kept = data.draw(st.one_of(st.none(), st.integers(0, len(content))))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.zip"
        path.write_bytes(bytes(content[:kept]))
        found = read_zip(path, FEW)
    assert found.is_valid == (set(found.scores) == set(FEW)) or found.errors
