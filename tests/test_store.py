from __future__ import annotations

import pandas as pd
import pyarrow.parquet as pq
import pytest

from sfqa import store, tables
from sfqa.errors import UserError

PAIR = {
    "pair_id": "i__c", "image_id": "i", "clip_id": "c", "image_source": "ai",
    "image_category": "elf", "style": "pop", "language": "en", "split": "train",
}  # fmt: skip


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "deep" / "pairs.parquet"
    store.write(tables.PAIRS, [PAIR], path, {"note": [1, 2]})
    assert store.read(tables.PAIRS, path).to_dict("records") == [PAIR]
    assert store.read_metadata(path) == {"note": [1, 2]}
    assert list(path.parent.iterdir()) == [path], "a temporary file was left"
    assert pq.ParquetFile(path).metadata.row_group(0).column(0).compression == "ZSTD"


def test_equal_rows_give_equal_bytes_in_any_order(tmp_path):
    other = {**PAIR, "pair_id": "j__c", "image_id": "j"}
    store.write(tables.PAIRS, [PAIR, other], tmp_path / "a")
    store.write(tables.PAIRS, pd.DataFrame([other, PAIR]), tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"pear": 1}, "unknown column 'pear'"),
        ({"split": None}, "column 'split'"),
        ({"split": float("nan")}, "column 'split'"),
    ],
)
def test_wrong_rows_are_named(tmp_path, change, sentence):
    with pytest.raises(UserError, match=sentence):
        store.write(tables.PAIRS, [{**PAIR, **change}], tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_a_repeated_key_is_named():
    with pytest.raises(UserError, match="'i__c'.*twice"):
        store.to_arrow(tables.PAIRS, [PAIR, PAIR])


@pytest.mark.parametrize(
    ("status", "detail"), [("ok", "why: because"), ("failed", ""), ("flawed", ""), ("bad", "x: y")]
)
def test_a_row_that_is_not_ok_needs_a_reason(status, detail):
    row = {
        "sample_id": "s", "dimension": "d", "mos": None, "n": 0, "synthetic": False,
        "status": status, "detail": detail,
    }  # fmt: skip
    with pytest.raises(UserError, match="status"):
        store.to_arrow(tables.MOS, [row])


def test_a_foreign_table_is_refused_by_name(tmp_path):
    path = tmp_path / "x.parquet"
    store.write(tables.PAIRS, [PAIR], path)
    with pytest.raises(UserError, match=r"x\.parquet: not a mos table"):
        store.read(tables.MOS, path)


def test_many_files_are_read_as_one(tmp_path):
    paths = []
    for name in "ab":
        paths.append(tmp_path / name)
        store.write(tables.PAIRS, [{**PAIR, "pair_id": f"{name}__c"}], paths[-1])
    store.write(tables.PAIRS, [], tmp_path / "none")
    assert list(store.read(tables.PAIRS, [*paths, tmp_path / "none"])["pair_id"]) == [
        "a__c",
        "b__c",
    ]


def test_nothing_is_replaced_when_the_block_fails(tmp_path):
    path = tmp_path / "x"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), store.replacing(path) as temporary:
        temporary.write_text("half")
        _ = 1 / 0
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_every_table_has_a_meaning_for_every_column():
    for table in tables.TABLES.values():
        assert table.row
        for column in table.columns:
            assert column.meaning, f"{table.name}.{column.name}"
        assert set(table.key) <= set(table.names)
