"""MATLAB files whose sizes, types and dimensions contradict each other."""

from __future__ import annotations

import io
import random
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import io as scipy_io
from scipy import sparse

from sfqa.errors import UserError
from sfqa.untrusted.limits import RefusedError
from sfqa.untrusted.matlab import check_matlab
from sfqa.user_tables.matlab import read_matlab

CONTENT: dict[str, Any] = {
    "mos": np.arange(3.0), "names": np.array([["a"], ["bb"], [""]], dtype=object),
    "z": np.array([1 + 2j, 3]), "sparse": sparse.csc_matrix(np.eye(3)), "yes": np.array([True]),
    "i": np.arange(3, dtype=np.int16), "c": np.array(["ab", "cd"]), "e": np.array([]), "text": "",
    "s": [{"a": 1, "b": "x"}, {"a": 2, "b": [1, "y"]}], "t": {"a": {"b": 1}},
}  # fmt: skip


def make_matlab(version: str = "5", packed: bool = False, **content: Any) -> bytes:
    data = io.BytesIO()
    scipy_io.savemat(data, content, format=version, do_compression=packed)
    return data.getvalue()


def replace(data: bytes, old: bytes, new: bytes) -> bytes:
    assert data.count(old) >= 1
    return data.replace(old, new, 1)


def nest(levels: int) -> Any:
    value: Any = np.zeros((0, 0))
    for _ in range(levels):
        cell = np.empty((1, 1), dtype=object)
        cell[0, 0] = value
        value = cell
    return value


NUMBERS = make_matlab(mos=np.arange(5.0))
CELL = make_matlab(names=np.array([["a"], ["b"]], dtype=object))
INT = struct.Struct("<i").pack
#: Each ended the process (the first two), or took memory by its dimensions.
HOSTILE: dict[str, Callable[[], bytes]] = {
    "complex without a second part": lambda: replace(NUMBERS, INT(6) + INT(8) + INT(6), INT(6) + INT(8) + INT(0x806)),
    "type of text": lambda: replace(CELL, b"\x10\x00\x01\x00a", b"\x10\x40\x01\x00a"),
    "matrix in place of numbers": lambda: replace(NUMBERS, INT(9) + INT(40), INT(14) + INT(40)),
    "class": lambda: replace(NUMBERS, INT(6) + INT(8) + INT(6), INT(6) + INT(8) + INT(99)),
    "dimensions of numbers": lambda: replace(NUMBERS, INT(1) + INT(5), INT(2**30) + INT(5)),
    "dimensions of a cell": lambda: replace(CELL, INT(2) + INT(1), INT(2**30) + INT(1)),
    "one cell more": lambda: replace(CELL, INT(2) + INT(1), INT(3) + INT(1)),
    "negative": lambda: replace(NUMBERS, INT(1) + INT(5), INT(-1) + INT(-5)),
    "size": lambda: replace(NUMBERS, INT(9) + INT(40), INT(9) + INT(2**30)),
    "depth": lambda: make_matlab(deep=nest(60)),
    "packed, depth": lambda: make_matlab(packed=True, deep=nest(60)),
    "packed, damaged": lambda: make_matlab(packed=True, a=np.arange(99.0))[:150] + b"damaged" * 20,
    "other mark": lambda: replace(make_matlab(mos=np.arange(5.0)), b"\0\1IM", b"\1\1XX"),
    "looks like version 5": lambda: INT(0) + INT(2**30) + INT(9) + bytes(112) + b"\0\1IM" + NUMBERS[128:],
    "cut": lambda: NUMBERS[:-8],
    "version 4, rows": lambda: replace(make_matlab("4", mos=np.arange(5.0)), INT(5), INT(2**30)),
    "version 4, name": lambda: replace(make_matlab("4", mos=np.arange(5.0)), INT(4), INT(2**30)),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_contradicts_itself_is_refused_before_scipy_reads_it(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / "a.mat"
    path.write_bytes(HOSTILE[name]())
    with pytest.raises(RefusedError):
        check_matlab(path)
    with pytest.raises(UserError, match=r"a.mat: not a MATLAB file that can be read \(.*\); save"):
        read_matlab(path)


def test_a_file_of_version_7_3_is_told_as_that(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    path.write_bytes(NUMBERS[:124] + b"\0\2IM" + bytes(384) + b"\x89HDF\r\n\x1a\n")
    with pytest.raises(UserError, match="version 7.3; save it in MATLAB"):
        read_matlab(path)


def test_rows_without_values_are_not_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    data = make_matlab(mos=np.arange(3.0), e=np.zeros((7, 0)))
    path.write_bytes(replace(data, INT(7) + INT(0), INT(2**30) + INT(0)))
    assert read_matlab(path).rows == [1, 2, 3]


@pytest.mark.parametrize("packed", [False, True])
def test_every_type_that_scipy_writes_is_read(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "a.mat"
    path.write_bytes(make_matlab(packed=packed, **CONTENT))
    table = read_matlab(path)
    assert table.columns["mos"] == [0.0, 1.0, 2.0]
    path.write_bytes(make_matlab("4", mos=np.arange(5.0), name="abc", z=np.array([1j, 2])))
    assert read_matlab(path).columns["mos"] == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_damaged_bytes_end_in_a_sentence(tmp_path: Path) -> None:
    numbers = random.Random(7)
    path = tmp_path / "a.mat"
    data = make_matlab(**CONTENT)
    started = time.process_time()
    for _ in range(150):
        damaged = bytearray(data)
        for _ in range(numbers.randint(1, 3)):
            damaged[numbers.randrange(128, len(data))] ^= 1 << numbers.randrange(8)
        path.write_bytes(bytes(damaged))
        try:
            read_matlab(path)
        except UserError as error:
            assert str(error).startswith(f"{path}: ")
    assert time.process_time() - started < 5


@pytest.mark.parametrize("packed", [False, True])
def test_too_many_cells_are_refused_before_they_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    path = tmp_path / "a.mat"
    names = np.array([["a"], ["b"]] * 10, dtype=object)
    path.write_bytes(make_matlab(packed=packed, names=names))
    monkeypatch.setattr("sfqa.untrusted.limits.MATLAB_ELEMENTS", 103)
    check_matlab(path)  # three of the variable, 20 cells, and four of each
    monkeypatch.setattr("sfqa.untrusted.limits.MATLAB_ELEMENTS", 102)
    with pytest.raises(RefusedError, match="more than 102 elements"):
        check_matlab(path)


def test_numbers_of_one_byte_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.mat"
    path.write_bytes(make_matlab(packed=True, a=np.zeros(50, np.uint8), b=np.zeros(51, np.uint8)))
    monkeypatch.setattr("sfqa.untrusted.limits.WORKBOOK_CELLS", 101)
    check_matlab(path)
    monkeypatch.setattr("sfqa.untrusted.limits.WORKBOOK_CELLS", 100)
    with pytest.raises(RefusedError, match="more than 100 values"):
        check_matlab(path)


@pytest.mark.parametrize("name", ["miuint32_for_miint32.mat", "miutf8_array_name.mat"])
def test_types_that_other_programs_write_are_read(name: str) -> None:
    path = Path(scipy_io.__file__).parent / "matlab" / "tests" / "data" / name
    if not path.is_file():
        pytest.skip("this SciPy was installed without the files of its tests")
    check_matlab(path)
