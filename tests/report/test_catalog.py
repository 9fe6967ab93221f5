from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from sfqa import store, tables
from sfqa.errors import UserError
from sfqa.report.catalog import build_catalog

GOOD = {"status": "ok", "detail": ""}


def sample(name: str, method: str) -> dict[str, Any]:
    return {"sample_id": name, "method": method, "shard": 0}


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small dataset below the working folder, named relatively."""
    monkeypatch.chdir(tmp_path)
    folder = Path("results") / "it's"
    names = {"a": "sonic", "b": "sonic", "c": "float"}
    store.write(tables.SAMPLES, [sample(*x) for x in names.items()], folder / "samples.parquet")
    for method in ("sonic", "float"):
        own = [n for n, m in names.items() if m == method]
        videos = [{**sample(n, method), **GOOD, "reproducible": True} for n in own]
        store.write(tables.VIDEOS, videos, folder / f"generation/{method}/0.parquet")
        features = pa.table(
            {
                "sample_id": own,
                "method": [method] * len(own),
                "lse_d": pa.array([7.0 + len(n) for n in own], pa.float64()),
            },
            schema=pa.schema(
                [
                    ("sample_id", pa.string()),
                    ("method", pa.string()),
                    pa.field("lse_d", pa.float64(), metadata={"unit": "1", "meaning": "LSE-D"}),
                ]
            ),
        )
        store.write_arrow(features, folder / f"features/lse-v2/{method}/0.parquet")
    mos = [
        {"sample_id": n, "dimension": "q", "mos": 10.0 * k, "synthetic": False, **GOOD}
        for k, n in enumerate(names)
    ]
    store.write(tables.MOS, mos, folder / "ratings/mos.parquet")
    for metric in ("m", "n"):
        rows = [
            {
                "metric": metric,
                "dimension": "q",
                "protocol": "random",
                "trial": 0,
                "sample_id": n,
                "part": "test",
                "prediction": 1.0,
                **GOOD,
            }
            for n in names
        ]
        store.write(tables.PREDICTIONS, rows, folder / f"regression/{metric}/predictions.parquet")
    return folder


def views(connection: duckdb.DuckDBPyConnection) -> list[str]:
    found = connection.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal")
    return sorted(name for (name,) in found.fetchall())


def test_only_what_exists_becomes_a_view(dataset: Path) -> None:
    build_catalog(dataset, dataset / "catalog.duckdb")
    with duckdb.connect(str(dataset / "catalog.duckdb"), read_only=True) as connection:
        assert views(connection) == ["features_lse_v2", "mos", "predictions", "samples", "videos"]
    assert [p.name for p in dataset.iterdir() if "catalog" in p.name] == ["catalog.duckdb"]


def test_views_join(dataset: Path) -> None:
    build_catalog(dataset, dataset / "catalog.duckdb")
    with duckdb.connect(str(dataset / "catalog.duckdb"), read_only=True) as connection:
        rows = connection.execute(
            """
            SELECT s.method, count(*), avg(m.mos), avg(f.lse_d)
            FROM samples s JOIN mos m USING (sample_id) JOIN features_lse_v2 f USING (sample_id)
            JOIN videos v USING (sample_id) JOIN predictions p USING (sample_id)
            WHERE v.status = 'ok' AND p.metric = 'n' GROUP BY s.method ORDER BY s.method
            """
        ).fetchall()
    assert rows == [("float", 1, 20.0, 8.0), ("sonic", 2, 5.0, 8.0)]


def test_comments_give_meaning_and_unit(dataset: Path) -> None:
    store.write(tables.CORRELATION, [], dataset / "correlation/correlation.parquet")
    build_catalog(dataset, dataset / "catalog.duckdb")
    with duckdb.connect(str(dataset / "catalog.duckdb"), read_only=True) as connection:
        found = connection.execute(
            "SELECT table_name, column_name, comment FROM duckdb_columns() WHERE NOT internal"
        ).fetchall()
        comments = {(view, column): text for view, column, text in found}
        by_view = dict(
            connection.execute(
                "SELECT view_name, comment FROM duckdb_views() WHERE NOT internal"
            ).fetchall()
        )
    for column in tables.MOS.columns:
        assert comments["mos", column.name].startswith(column.meaning)
    assert comments["correlation", "rmse"].endswith("after the mapping [MOS]")
    assert comments["features_lse_v2", "lse_d"] == "LSE-D [1]"
    assert comments["features_lse_v2", "sample_id"] == "name of the sample"
    assert by_view["mos"] == "one row: one sample in one dimension"
    assert by_view["features_lse_v2"].endswith("lse-v2")


def test_views_see_new_rows_and_move_with_the_project(dataset: Path, tmp_path: Path) -> None:
    build_catalog(dataset, dataset / "catalog.duckdb")
    store.write(tables.VIDEOS, [], dataset / "generation/float/0.parquet")
    with duckdb.connect(str(dataset / "catalog.duckdb"), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM videos").fetchone() == (2,)
    elsewhere = tmp_path / "moved"
    shutil.move(tmp_path / "results", elsewhere / "results")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(elsewhere)
        with duckdb.connect(str(dataset / "catalog.duckdb"), read_only=True) as connection:
            assert connection.execute("SELECT count(*) FROM samples").fetchone() == (3,)


def test_a_rebuilt_catalog_replaces_the_old_one(dataset: Path) -> None:
    out = dataset / "catalog.duckdb"
    out.write_bytes(b"half a file")
    build_catalog(dataset, out)
    (dataset / "ratings/mos.parquet").unlink()
    build_catalog(dataset, out)
    with duckdb.connect(str(out), read_only=True) as connection:
        assert "mos" not in views(connection)


def test_mistakes_are_sentences(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no table found there"):
        build_catalog(tmp_path / "nothing", tmp_path / "c.duckdb")
    assert not (tmp_path / "c.duckdb").exists()
    shutil.copytree(dataset / "features/lse-v2", dataset / "features/lse_v2")
    with pytest.raises(UserError, match="'lse-v2' and 'lse_v2' would both be"):
        build_catalog(dataset, dataset / "catalog.duckdb")
