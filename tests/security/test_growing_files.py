"""JSON, YAML, Parquet, weights and arrays that grow: each kind, siblings, and files that are good."""

from __future__ import annotations

import argparse
import io
import json
import pickletools
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hostile_inputs import PICKLES, pack_members, pack_pickle
from outside_readings import read_files

from sfqa import cli, tables
from sfqa.errors import UserError
from sfqa.untrusted import arrays, documents, limits, tensors
from sfqa.untrusted.limits import RefusedError
from sfqa.untrusted.parquet import read_parquet
from sfqa.untrusted.pickles import check_archive_pickles
from sfqa.user_tables import read_table
from sfqa.user_tables.structured import read_structured


@pytest.mark.parametrize(("text", "sentence"), [
    ('{"a": 1, "a": 2}', "the key 'a' is there twice"), ("[NaN]", "NaN in it"),
    ("[-Infinity]", "-Infinity in it"), ("[1e999]", "the number 1e999 is too large"),
    ("[" * 101 + "]" * 101, "nested deeper than 100"), ("[" * 900_000, "nested too deep"),
    ('{"a":' * 900_000, "nested too deep"), ("[" + "{}," * 600_000 + "0]", "at most 1,000,000"),
])  # fmt: skip
def test_json_is_refused_with_its_reason(text: str, sentence: str) -> None:
    with pytest.raises(RefusedError, match=sentence):
        documents.parse_json(text)


def test_json_of_limits_is_read() -> None:
    assert documents.parse_json("[" * 100 + "]" * 100)
    assert documents.parse_json("[NaN, Infinity]", allow_nan=True)[1] == float("inf")
    assert documents.parse_json('{"a": [0.1, {"b": "[["}]}') == {"a": [0.1, {"b": "[["}]}
    with pytest.raises(json.JSONDecodeError):  # the check of the depth took minutes
        documents.parse_json("[" * 101 + '"' + '\\"' * 1_000_000)


@pytest.mark.parametrize("text", ["[" * 19_000, "- " * 300_000, "? " * 300_000])
@pytest.mark.parametrize("is_registry", [False, True])
def test_deep_yaml_ends_in_a_sentence_and_not_the_process(text: str, is_registry: bool) -> None:
    from sfqa.yaml_entries import _Loader

    with pytest.raises(RefusedError, match="nested deeper than 100"):
        documents.load_yaml(text, loader_class=_Loader if is_registry else None)


@pytest.mark.parametrize("text", [
    "[" + ",".join(f'{{"k{n}": 1}}' for n in range(2000)) + "]",
    '{"columns": [' + ",".join(f'"{n}"' for n in range(200_000)) + ', "1"], "data": []}',
])  # fmt: skip
def test_json_tables_that_grow_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(UserError, match="different fields|is there twice"):
        read_structured(path)


def test_json_of_more_ratings_than_are_read_says_what_to_write(tmp_path: Path) -> None:
    """Ratings with three fields: 300,000 have 1.2 million separators."""
    path = tmp_path / "a.json"
    path.write_text("[" + ",".join(['{"a":1,"b":2,"c":3}'] * 300_000) + "]")
    with pytest.raises(UserError, match="at most 1,000,000 are read; .*write it as CSV"):
        read_structured(path)


def repeat_text(rows: int, text: str) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([text]))


def test_parquet_is_counted_before_it_is_unpacked(tmp_path: Path) -> None:
    path, long_text = tmp_path / "a.parquet", "a" * 100_000
    delta = {"use_dictionary": False, "column_encoding": "DELTA_BYTE_ARRAY"}
    nulls = pa.nulls(3_000_000, pa.int8())
    many = pa.nulls(1_400_000, pa.int8())
    lists = pa.ListArray.from_arrays(pa.array([0, len(many)], pa.int32()), many)
    in_lists = pa.array([[long_text] * 2000])
    for column, options, sentence in (
        (repeat_text(20_000, long_text), {}, "text of its cells"),
        (pa.array([{"a": long_text}] * 2000), {}, "text of its cells"), (in_lists, {}, "text of its"),
        (pa.array([long_text] * 2000), delta, "without the encoding DELTA_BYTE_ARRAY"),
        (pa.array([b"a" * 100_000] * 2000, pa.binary(100_000)), {}, "unpacked"),
        (pa.array(["a" * 60_000_000]), {"use_dictionary": False}, "60,000,010 unpacked"),
        (nulls, {}, "3,000,000 cells and 3,000,000 rows"), (lists, {}, "4,200,000 cells and 1 rows"),
    ):  # fmt: skip
        pq.write_table(pa.table({"a": column}), path, compression="zstd", **options)
        with pytest.raises(RefusedError, match=sentence):
            read_parquet(path)


def test_a_table_of_many_columns_is_opened_few_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was opened for each column of text: 1,500 columns, 343 kB, took 20 seconds."""
    path, opened = tmp_path / "a.parquet", []
    long_text = repeat_text(300, "a" * 1_000_000)
    columns = {f"c{n}": repeat_text(300, "a") for n in range(20)}
    pq.write_table(pa.table({**columns, "z": long_text}), path, compression="zstd")
    open_file = pq.ParquetFile
    monkeypatch.setattr(pq, "ParquetFile", lambda *a, **k: opened.append(a) or open_file(*a, **k))
    with pytest.raises(RefusedError, match="text of its cells"):
        read_parquet(path)
    assert len(opened) == 2


def test_levels_of_a_nested_column_are_counted(tmp_path: Path) -> None:
    """Each value in 29 structures is 29 dictionaries: 2.5 kB of 120,000 rows took 670 MB."""
    path, column = tmp_path / "a.parquet", pa.nulls(150_000, pa.int8())
    for _ in range(29):
        column = pa.StructArray.from_arrays([column], ["a"])
    pq.write_table(pa.table({"a": column}), path)
    with pytest.raises(RefusedError, match="4,500,000 cells"):
        read_parquet(path)


def test_ratings_whose_columns_repeat_are_within_the_limits(tmp_path: Path) -> None:
    """400 raters of 2,500 samples, shuffled, took 1.9 MB, and 4 of 8 columns are constant."""
    path, rows = tmp_path / "a.parquet", 100_000
    numbers = np.random.default_rng(0)
    constant = {n: repeat_text(rows, n) for n in ("dimension", "study", "scale", "phase")}
    samples = pa.array([f"videos/set_a/sample_{n:06d}.mp4" for n in range(2500)])
    order = np.concatenate([numbers.permutation(2500) for _ in range(rows // 2500)])
    ratings = {
        "rater": pa.array([f"{n:024x}" for n in range(rows // 2500)]).take(np.arange(rows) // 2500),
        "sample": samples.take(order), "score": numbers.choice([1.0, 2, 3, 4, 5], rows),
        "valid": np.ones(rows, bool), **constant,
    }  # fmt: skip
    pq.write_table(pa.table(ratings), path, compression="zstd")
    size = path.stat().st_size
    cells = rows * (len(ratings) + limits.TABLE_ROW_CELLS)
    assert cells < limits.TABLE_CELLS_PER_BYTE * size
    text = sum(
        column.cast("str").nbytes for column in pa.table(ratings).columns if column.type != "bool"
    )
    assert text < limits.TABLE_UNPACKED_RATIO * size
    assert read_parquet(path).num_rows == rows


def test_parquet_whose_footer_lies_is_counted_by_its_pages(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    nulls = pa.nulls(5_900_000, pa.int8())
    column = pa.ListArray.from_arrays(pa.array([0, len(nulls)], pa.int32()), nulls)
    pq.write_table(pa.table({"a": column}), path)
    data = path.read_bytes()
    true, false = b"\x16\xc0\x9b\xd0\x05", b"\x16\x94\x80\x80\x00"  # 5,900,000 and 10 values
    length = int.from_bytes(data[-8:-4], "little")
    footer = data[-8 - length :]
    assert footer.count(true) == 1
    path.write_bytes(data[: -8 - length] + footer.replace(true, false))
    assert pq.read_metadata(path).row_group(0).column(0).num_values == 10
    with pytest.raises(RefusedError, match="17,700,000 cells"):
        read_parquet(path)


def test_parquet_with_a_schema_of_thousands_of_levels_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    nodes = b"\x48\x01s\x15\x02\0" * 5000 + b"\x15\x02\x25\x02\x18\x01a\0"
    footer = b"\x15\x02\x19\xfc\x89\x27" + nodes + b"\x16\0\x19\x0c\0"
    path.write_bytes(b"PAR1" + footer + struct.pack("<I", len(footer)) + b"PAR1")
    with pytest.raises(RefusedError, match="nested deeper than 32"):
        read_parquet(path)


def test_ratings_with_the_names_of_our_own_table_are_counted_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, text = tmp_path / "a.parquet", repeat_text(20_000, "a" * 100_000)
    pq.write_table(pa.table(dict.fromkeys(tables.SCORES.names, text)), path)
    assert cli.main(["mos", str(path)]) == 2
    assert "text of its cells" in capsys.readouterr().err


def test_good_parquet_is_read_as_arrow_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    columns = {
        "text": pa.array(["x", None, "y"] * 100), "wide": pa.array(["k"] * 300, pa.large_string()),
        "list": pa.array([["a", "b"], None, []] * 100), "record": pa.array([{"u": "v"}] * 300),
        "number": pa.array([1, None, 3] * 100), "single": pa.array([0.1] * 300, pa.float32()),
        "double": pa.array([0.1, None, float("nan")] * 100), "kind": repeat_text(300, "a"),
        "byte": pa.array([b"a"] * 300), "map": pa.array([[("a", 1)]] * 300, pa.map_("str", "int8")),
    }  # fmt: skip
    for options in (
        {},
        {"data_page_version": "2.0"},
        {"row_group_size": 7},
        {"compression": "gzip"},
    ):
        pq.write_table(pa.table(columns), path, **options)
        cells = read_table(path, "numbers").columns
        assert repr(cells) == repr({n: c.to_pylist() for n, c in columns.items()}), options


@pytest.mark.parametrize("number", range(len(PICKLES) - 1))  # the last one is only deep
def test_pickles_that_grow_are_refused(tmp_path: Path, number: int) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(pack_pickle(b"\x80\x02" + PICKLES[number]))
    if PICKLES[number].startswith(b"}r"):  # the number of an entry that PyTorch does not allocate
        assert tensors.load_tensors(path) == {}
        return
    with pytest.raises(RefusedError):
        tensors.load_tensors(path)


def test_old_weights_declare_no_more_than_the_file_has(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"a": torch.zeros(4)}, path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    place = data.index(b"K\x04N")
    path.write_bytes(data[:place] + b"J\xff\xff\xff\x7fN" + data[place + 3 :])
    with pytest.raises((RefusedError, RuntimeError)):
        tensors.load_tensors(path)


@pytest.mark.parametrize("is_archive", [True, False])
def test_good_weights_are_loaded(tmp_path: Path, is_archive: bool) -> None:
    network = torch.nn.Linear(3, 4)
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.zeros(1, 3)).sum().backward()
    optimizer.step()
    shared = torch.arange(6.0)
    stored: dict[str, Any] = {
        "model": network.state_dict(), "optimizer": optimizer.state_dict(), "rng": torch.get_rng_state(),
        "values": [1, 2.5, None, True, "a", b"b", 10**12, 1j, {3}, OrderedDict(a=1)], "shape": torch.Size([1]),
        "parameter": torch.nn.Parameter(torch.zeros(2)), "dtype": torch.float16, "device": torch.device("cpu"),
        "views": [shared, shared[2:], shared.reshape(2, 3).T], "small": torch.zeros(2, dtype=torch.bfloat16),
    }  # fmt: skip
    path = tmp_path / "a.pth"
    torch.save(stored, path, _use_new_zipfile_serialization=is_archive)
    loaded = tensors.load_tensors(path)
    assert repr(loaded) == repr(stored)


@pytest.mark.parametrize("is_archive", [True, False])
def test_settings_beside_weights_are_named(tmp_path: Path, is_archive: bool) -> None:
    for value, name in (
        (argparse.Namespace(lr=1), "argparse.Namespace"),
        (torch.nn.Sequential(), "torch.nn.modules.container.Sequential"),
    ):
        path = tmp_path / "a.ckpt"
        stored = {"state_dict": {"a": torch.zeros(1)}, "hyper_parameters": value}
        torch.save(stored, path, _use_new_zipfile_serialization=is_archive)
        if not is_archive and isinstance(value, torch.nn.Module):
            name = "an object"  # the old form has no name of the class beside the call
        with pytest.raises(RefusedError, match=f"it holds {name}, which is code and was not run"):
            tensors.load_tensors(path)


def test_a_network_of_2500_tensors_with_its_optimizer_has_fewer_values(tmp_path: Path) -> None:
    """Each parameter has three tensors in the state of Adam."""
    states = {n: {k: torch.zeros(2) for k in ("step", "exp_avg", "exp_avg_sq")} for n in range(250)}
    network = {f"module.layers.{n}.weight": torch.zeros(2) for n in range(250)}
    path = tmp_path / "a.pth"
    torch.save({"model": network, "state": states}, path)
    with zipfile.ZipFile(path) as archive:
        operations = list(pickletools.genops(archive.read("a/data.pkl")))
    calls = sum(code.name == "REDUCE" for code, _, _ in operations)
    # A call copies at most 9 values: the arguments, the sizes and the steps of a tensor.
    assert 10 * (len(operations) + 9 * calls) > limits.WEIGHTS_VALUES / 2
    assert 10 * len(operations) < limits.WEIGHTS_VALUES
    check_archive_pickles(path)


def test_what_is_added_to_a_number_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(pack_pickle(b"\x80\x02K\x01K\x02a."))
    with pytest.raises(RefusedError, match="it is no file of tensors"):
        tensors.load_tensors(path)


HEADER = "{'descr': %s, 'fortran_order': %s, 'shape': %s, }"


@pytest.mark.parametrize(("code", "order", "shape", "content"), [
    ("'<f8'", "False", f"(0, {10**30})", b""), ("'<f8'", "False", f"(0, {10**12})", b""),
    ("'<f8'", "False", "(True, 1)", bytes(8)), ("'<U1'", "False", "(1,)", b"\xff" * 4),
    ("'>U1'", "False", "(1,)", b"\xff" * 4), ("'|b1'", "False", "(1,)", b"\x07"),
    ("[('a', '<f8', (9999999,))]", "False", "(1,)", bytes(8)), ("'|V0'", "False", "(1,)", b""),
    ("[(('t', 'a'), '<f8')]", "False", "(1,)", bytes(8)), ("'<f8'", "1", "(1,)", bytes(8)),
    ("'|O'", "False", "(1,)", bytes(8)), ("'<f8'", "False", "(1,)" + " " * 20_000, bytes(8)),
])  # fmt: skip
def test_arrays_with_a_wrong_header_are_refused(
    tmp_path: Path, code: str, order: str, shape: str, content: bytes
) -> None:
    header = (HEADER % (code, order, shape)).encode()
    member = b"\x93NUMPY\x02\0" + struct.pack("<I", len(header)) + header + content
    path = tmp_path / "a.npz"
    path.write_bytes(pack_members([("a.npy", member)], zipfile.ZIP_STORED))
    with pytest.raises(RefusedError, match="an array"):
        arrays.read_npz(path)


@pytest.mark.parametrize(
    ("offset", "value", "sentence"),
    [(6, 99, "version of the zip"), (8, 0x20, "a patch"), (8, 0x40, "a password")],
)
def test_archives_of_arrays_that_cannot_be_unpacked_are_refused(
    tmp_path: Path, offset: int, value: int, sentence: str
) -> None:
    packed = io.BytesIO()
    np.savez(packed, a=np.zeros(3))
    data = bytearray(packed.getvalue())
    data[data.rindex(b"PK\1\2") + offset] = value
    path = tmp_path / "a.npz"
    path.write_bytes(data)
    with pytest.raises(RefusedError, match=sentence):
        arrays.read_npz(path)


def test_good_arrays_are_read(tmp_path: Path) -> None:
    values = {
        "a": np.arange(6.0).reshape(2, 3, order="F"), "b": np.array(["ä", "\U0001f600"]), "c": np.array(True),
        "d": np.zeros((0, 5), ">f4"), "e": np.array([b"x"]), "f": np.array([1j]), "g": np.float16(1),
    }  # fmt: skip
    path = tmp_path / "a.npz"
    np.savez(path, **values)
    stored = arrays.read_npz(path)
    assert {n: (v.tolist(), v.dtype) for n, v in stored.items()} == {
        n: (np.asarray(v).tolist(), np.asarray(v).dtype) for n, v in values.items()
    }


@pytest.mark.thorough
def test_files_at_the_limits_keep_within_memory_and_time(tmp_path: Path) -> None:
    """The dearest files that are still read, or refused late."""
    wide = ('["\U0001f600' + "a" * (limits.JSON_BYTES - 20) + '"]').encode()
    files = {
        "a.json": wide, "b.json": b"[" + b'{"":0},' * 499_000 + b"{}]",
        "c.json": b"[" * 101 + b'"' + b'\\"' * 5_000_000,
    }  # fmt: skip
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    pq.write_table(pa.table({"a": repeat_text(20_000, "a" * 100_000)}), tmp_path / "d.parquet")
    for reading in read_files([("table", tmp_path / n) for n in (*files, "d.parquet")]):
        reading.check()
