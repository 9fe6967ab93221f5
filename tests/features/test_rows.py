"""Rows go to the cache and into a table as Arrow, without a change to any number."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from sfqa.cache import RowCache
from sfqa.features import base, rows

FEATURES = (
    base.Feature("map", "a tensor", ("clip", "row", "channel")),
    base.Feature("level", "a number", dtype="float64"),
)
KEY = "ab" * 32


def cells(name, clips=2, **change):
    numbers = np.arange(clips * 6, dtype=np.float32).reshape(clips, 2, 3)
    head = {"sample_id": name, "method": "m", "key": KEY, "status": "ok", "detail": ""}
    return {**head, "map": numbers, "level": 0.1, **change}


def sample(name):
    return {"sample_id": name, "method": "m"}


def test_joined_rows_are_the_table_of_their_cells():
    given = [cells("a"), cells("b", clips=0), cells("c", clips=3, level=None)]
    table = rows.join_rows(
        FEATURES, [rows.make_row(FEATURES, row, {}) for row in given], [sample(n) for n in "abc"]
    )
    assert table.equals(base.build_table(FEATURES, given), check_metadata=True)
    assert [column.num_chunks for column in table.columns] == [1] * table.num_columns


def test_a_row_may_stand_for_several_samples_and_a_failed_one_has_no_numbers():
    row = rows.make_row(FEATURES, cells("a"), {"device_sec": 0.5})
    failed = rows.make_failed_row(FEATURES, "broken: x")
    table = rows.join_rows(FEATURES, [row, failed, row], [sample(n) for n in "abc"])
    assert table["sample_id"].to_pylist() == ["a", "b", "c"]
    assert table["key"].to_pylist() == [KEY, None, KEY]
    assert table["map"][0] == table["map"][2]
    assert not table["map"][1].is_valid
    assert rows.read_status(failed) == ("failed", "broken: x")
    assert (rows.read_cost(row), rows.read_cost(failed)) == ({"device_sec": 0.5}, {})


def test_rows_of_other_inner_shapes_do_not_join():
    other = cells("b", map=np.zeros((2, 2, 4)))
    joined = [rows.make_row(FEATURES, row, {}) for row in (cells("a"), other)]
    with pytest.raises(ValueError, match=r"map: rows of different shapes \[\(2, 3\), \(2, 4\)\]"):
        rows.join_rows(FEATURES, joined, [sample("a"), sample("b")])


def test_a_row_from_python_objects_as_caches_of_before_hold_it_is_a_hit(tmp_path):
    row = rows.make_row(FEATURES, cells("a"), {"device_sec": 0.5})
    before = {
        **cells("a"),
        "map": [np.float16(number) for number in range(12)],
        "shapes": json.dumps({"map": [2, 2, 3]}),
        "costs": json.dumps({"device_sec": 0.5}),
    }
    schema = rows.get_row_schema(FEATURES)
    (batch,) = pa.Table.from_pylist([before], schema=schema.remove_metadata()).to_batches()
    RowCache(tmp_path, "before", schema).put(KEY, batch)
    found = RowCache(tmp_path, "now", schema).get(KEY)
    assert found is not None
    assert found.equals(row)
    assert found.schema.equals(schema, check_metadata=True)


def test_texts_go_through_the_cache_as_they_are(tmp_path):
    features = (*FEATURES, base.Feature("answer", "what the model wrote", dtype="string"))
    answers = ["Visual quality: 70;\n“good”", None, ""]
    joined = []
    for number, answer in enumerate(answers):
        row = rows.make_row(features, cells(f"s{number}", answer=answer), {})
        cache = RowCache(tmp_path, "writer", rows.get_row_schema(features))
        key = f"{number}" * 64
        cache.put(key, row)
        joined.append(cache.get(key))
    table = rows.join_rows(features, joined, [sample(f"s{n}") for n in range(3)])
    assert table["answer"].to_pylist() == answers
    assert table.schema.field("answer").type == pa.string()
