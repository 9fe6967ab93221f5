"""Archives whose members Python cannot unpack, or whose names lead elsewhere, in every zip reader."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hostile_inputs import make_ridge
from hostile_workbooks import set_version, write_workbook

from sfqa.challenge.submission import read_zip
from sfqa.errors import UserError
from sfqa.features import weights
from sfqa.features.extractors.avid_cma import read_statistics
from sfqa.regression import model_files
from sfqa.untrusted.archives import leads_outside, open_archive, read_member
from sfqa.untrusted.limits import RefusedError
from sfqa.user_tables.structured import read_structured
from submissions import README, pack, write_lines


def write_model(path: Path) -> None:
    model_files.write(path, *make_ridge())


def write_statistics(path: Path) -> None:
    np.savez(path, mean=np.zeros(257), std=np.ones(257))


def write_submission(path: Path) -> None:
    pack(path, {"readme.txt": README, "output.txt": write_lines({"a.mp4": 1.0})})


def read_submission(path: Path) -> None:
    errors = read_zip(path, ["a.mp4"]).errors
    if errors:
        raise UserError(" ".join(errors))


READERS: dict[str, tuple[Callable[[Path], object], Callable[[Path], object]]] = {
    "s.zip": (write_submission, read_submission),
    "m.sfqa": (write_model, model_files.read),
    "w.pth": (lambda path: torch.save({"a": torch.zeros(2)}, path), weights.read_state),
    "a.npz": (write_statistics, read_statistics),
    "t.xlsx": (write_workbook, read_structured),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    ("version", "flags", "reason"),
    [
        (99, 0, "another version of the zip"),
        (20, 0x1, "has a password"),
        (20, 0x40, "has a password"),
        (20, 0x20, "is a patch of another file"),
    ],
)
def test_a_member_that_cannot_be_unpacked_is_told(
    tmp_path: Path, name: str, version: int, flags: int, reason: str
) -> None:
    write, read = READERS[name]
    path = tmp_path / name
    write(path)
    read(path)
    set_version(path, version, flags)
    with pytest.raises(UserError) as caught:
        read(path)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["C:x", "c:\\x", "C:", "\\\\host\\x", "\\x", "/x", "a/../x", "a\\..\\x", ".. /x", "... /x", "a/..", "a\0b", "http://x"],
)  # fmt: skip
def test_names_that_lead_elsewhere_on_any_system(name: str) -> None:
    assert leads_outside(name)


@pytest.mark.parametrize(
    "name", ["a", "a/b.txt", "a..b", "..a", "ab:c", "a b/c:1.mp4", ".hidden", "./a"]
)
def test_names_inside_of_the_archive(name: str) -> None:
    assert not leads_outside(name)


def test_what_only_the_member_states_is_refused_as_it_is_read(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {"a": "text"})
    with open_archive(path) as archive:
        member = archive.getinfo("a")
        for flags in (0x1, 0x20, 0x40):
            member.flag_bits = flags
            with pytest.raises(RefusedError, match="'a' cannot be unpacked"):
                read_member(archive, member, 10)


def test_a_name_that_is_no_text_is_a_damaged_archive(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {"é": "text"})
    path.write_bytes(path.read_bytes().replace("é".encode(), b"\xff\xfe"))
    with pytest.raises(zipfile.BadZipFile, match="list of members"), open_archive(path):
        pass
