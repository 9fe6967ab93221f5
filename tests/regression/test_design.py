from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sfqa import store
from sfqa.errors import UserError
from sfqa.features.base import Feature, build_table
from sfqa.regression.design import load_design

MAPS = Feature("maps", "", ("clip", "channel", "row"), "float16")
PER_CLIP = Feature("energy", "", ("clip",), "float32")
VECTOR = Feature("vector", "", ("channel",), "float32")
SCORE = Feature("score", "", (), "float64")
COUNT = Feature("count", "", (), "int64")
WORD = Feature("word", "", (), "string")


def file(path: Path, features: list[Feature], rows: list[dict], kind: str = "official") -> Path:
    filled = [{"method": "m", "key": None, "status": "ok", "detail": ""} | r for r in rows]
    store.write_arrow(build_table(features, filled), path, {"weights": {"kind": kind}})
    return path


def maps(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 3, 2)).astype(np.float16)


def test_tensors_are_averaged_over_their_first_axis_and_scalars_appended(tmp_path):
    rows = [
        {"sample_id": f"s{n}", "maps": maps(n + 1, n), "score": n / 2, "count": n, "word": "x"}
        for n in range(5)
    ]
    paths = [
        file(tmp_path / "1", [MAPS, SCORE, COUNT, WORD], rows[3:]),
        file(tmp_path / "0", [MAPS, SCORE, COUNT, WORD], rows[:3]),
    ]
    got = load_design({"e": paths}, ["e"])
    assert got.sample_ids == [f"s{n}" for n in range(5)]
    assert got.names == [f"e.maps[{n}]" for n in range(6)] + ["e.score", "e.count"]
    assert got.X.dtype == np.float32
    for n in range(5):
        mean = maps(n + 1, n).astype(np.float64).mean(axis=0).ravel()
        np.testing.assert_allclose(got.X[n, :6], mean, rtol=1e-6, atol=1e-7)
        assert got.X[n, 6:].tolist() == [n / 2, n]
    assert got.dropped == {}


def test_row_groups_and_batches_make_no_difference(tmp_path):
    rows = [{"sample_id": f"s{n:04}", "maps": maps(1 + n % 3, n)} for n in range(700)]
    one = file(tmp_path / "one", [MAPS], rows)
    table = pq.read_table(one)
    pq.write_table(table, tmp_path / "many", row_group_size=90)
    a, b = (load_design({"e": [tmp_path / n]}, ["e"]) for n in ("one", "many"))
    assert (a.X == b.X).all()
    assert a.sample_ids == b.sample_ids


def test_one_axis_is_averaged_unless_it_is_the_channel(tmp_path):
    rows = [
        {"sample_id": "a", "energy": np.array([1.0, 3.0]), "vector": np.array([1.0, 3.0])},
        {"sample_id": "b", "energy": np.array([5.0]), "vector": np.array([2.0, 4.0])},
    ]
    got = load_design({"e": [file(tmp_path / "t", [PER_CLIP, VECTOR], rows)]}, ["e"])
    assert got.X.tolist() == [[2, 1, 3], [5, 2, 4]]


def test_inputs_choose_columns_and_keep_their_order(tmp_path):
    files = {
        "lse": [file(tmp_path / "l", [SCORE, COUNT], [{"sample_id": "a", "score": 1.5, "count": 2}])],
        "imported": [file(tmp_path / "i", [Feature("clipiqa+", "", dtype="float64")],
                          [{"sample_id": "a", "clipiqa+": 9.0}])],
    }  # fmt: skip
    got = load_design(files, ["imported.clipiqa+", "lse.count", "lse.count"])
    assert got.names == ["imported.clipiqa+", "lse.count"]
    assert got.X.tolist() == [[9.0, 2.0]]


def test_samples_that_cannot_be_used_are_dropped_with_their_reason(tmp_path):
    one = [
        {"sample_id": "ok", "maps": maps(1, 0), "score": 1.0},
        {"sample_id": "failed", "status": "failed", "detail": "no_face: none found"},
        {"sample_id": "gap", "status": "flawed", "detail": "not_a_number: score is empty",
         "maps": maps(1, 1), "score": None},
        {"sample_id": "flawed", "status": "flawed", "detail": "cut_short: 2 s", "maps": maps(2, 2),
         "score": 2.0},
        {"sample_id": "nan", "maps": maps(1, 3), "score": float("nan")},
        {"sample_id": "alone", "maps": maps(1, 4), "score": 3.0},
    ]  # fmt: skip
    two = [{"sample_id": r["sample_id"], "count": 1} for r in one if r["sample_id"] != "alone"]
    files = {
        "a": [file(tmp_path / "a", [MAPS, SCORE], one)],
        "b": [file(tmp_path / "b", [COUNT], two)],
    }
    got = load_design(files, ["a", "b"])
    assert got.sample_ids == ["flawed", "ok"]
    assert got.flawed == {"flawed": "cut_short: 2 s"}
    assert got.dropped == {
        "failed": "no_face: none found",
        "gap": "not_a_number: score is empty; empty_feature: a.score",
        "nan": "empty_feature: a.score",
        "alone": "no_features: b has no row of this sample",
    }
    assert np.isfinite(got.X).all()


def test_empty_and_wholly_failed_shards_are_no_obstacle(tmp_path):
    bad = {"sample_id": "bad", "status": "failed", "detail": "broken: x"}
    paths = [
        file(tmp_path / "0", [MAPS], []),
        file(tmp_path / "1", [MAPS], [bad]),
        file(tmp_path / "2", [MAPS], [{"sample_id": "a", "maps": maps(2, 0)}]),
    ]
    got = load_design({"e": paths}, ["e"])
    assert (got.sample_ids, got.X.shape, got.dropped) == (["a"], (1, 6), {"bad": "broken: x"})
    none = load_design({"e": paths[:2]}, ["e"])
    assert (none.sample_ids, none.X.shape[0], none.dropped) == ([], 0, {"bad": "broken: x"})


def test_mistakes_are_sentences(tmp_path):
    row = {"sample_id": "a", "score": 1.0, "word": "x"}
    path = file(tmp_path / "t", [SCORE, WORD], [row])
    twin = file(tmp_path / "u", [SCORE, WORD], [row])
    other = file(tmp_path / "v", [MAPS], [{"sample_id": "b", "maps": maps(1, 0)}])
    odd = file(tmp_path / "w", [MAPS], [{"sample_id": "c", "maps": np.ones((1, 3, 9))}])
    for files, inputs, message in (
        ({"lse": [path]}, ["lsee"], "did you mean 'lse'"),
        ({"lse": [path]}, ["lse.scor"], "did you mean 'score'"),
        ({"lse": [path]}, ["lse.word"], "no numeric column 'word'"),
        ({"lse": [path]}, [], "has no inputs"),
        ({"lse": [path, twin]}, ["lse"], "'a' is in two rows"),
        ({"lse": [path, other]}, ["lse"], "differ from those of the other tables"),
        ({"lse": [other, odd]}, ["lse"], "shapes"),
    ):
        with pytest.raises(UserError, match=message):
            load_design(files, inputs)
    pq.write_table(pa.table({"x": [1]}), tmp_path / "x")
    with pytest.raises(UserError, match="not a feature table"):
        load_design({"lse": [tmp_path / "x"]}, ["lse"])
