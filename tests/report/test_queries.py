"""Every query of docs/queries.md runs, and gives what another way gives."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from site_dataset import make

from sfqa.report.catalog import build_catalog
from sfqa.report.rejects import split_detail

PAGE = (Path(__file__).parents[2] / "docs" / "queries.md").read_text("utf-8")
QUERIES = re.findall(r"## (\d)\..*?```sql\n(.*?)```", PAGE, re.S)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make(
        tmp_path_factory.mktemp("queries") / "results" / "made", methods=4, pairs=8, metrics=5
    )
    build_catalog(folder, folder / "catalog.duckdb")
    return folder


def ask(folder: Path, number: int) -> pd.DataFrame:
    query = dict(QUERIES)[str(number)]
    with duckdb.connect(str(folder / "catalog.duckdb"), read_only=True) as connection:
        return connection.sql(query).df()


def read(folder: Path, pattern: str) -> pd.DataFrame:
    return pd.concat([pd.read_parquet(p) for p in sorted(folder.glob(pattern))], ignore_index=True)


def rated(folder: Path) -> pd.DataFrame:
    mos = read(folder, "ratings/mos.parquet").query("dimension == 'visual_quality'")
    return mos[["sample_id", "mos"]].merge(read(folder, "samples.parquet"), on="sample_id")


def test_there_are_five() -> None:
    assert [number for number, _ in QUERIES] == ["1", "2", "3", "4", "5"]


def test_1_means_and_wins(folder: Path) -> None:
    found, own = ask(folder, 1).set_index("method"), rated(folder)
    means = own.groupby("method")["mos"]
    np.testing.assert_allclose(found["mean_mos"], means.mean().loc[found.index])
    half = 1.96 * means.std().loc[found.index] / np.sqrt(8)
    np.testing.assert_allclose(found["high"] - found["low"], 2 * half)
    best = own.loc[own.groupby("pair_id")["mos"].idxmax(), "method"].value_counts()
    assert found["best_of_pair"].to_dict() == {m: int(best.get(m, 0)) for m in found.index}
    assert found["mean_mos"].is_monotonic_decreasing


def test_2_disagreement(folder: Path) -> None:
    found = ask(folder, 2)
    frame = read(folder, "regression/Sharpness/predictions.parquet")
    own = frame.query("dimension == 'visual_quality' and protocol == 'disjoint' and part == 'test'")
    score = own.groupby("sample_id")["prediction"].mean()
    joined = rated(folder).set_index("sample_id").loc[score.index, "mos"]
    gap = (score.rank(method="min") - joined.rank(method="min")) / (len(score) - 1)
    np.testing.assert_allclose(found["gap"], gap.loc[found["sample_id"]], atol=1e-12)
    assert len(found) == 20
    assert found["gap"].abs().min() >= gap.drop(found["sample_id"]).abs().max() - 1e-12


def test_3_reasons(folder: Path) -> None:
    found = ask(folder, 3)
    rejects, sizes = (
        read(folder, "rejects.parquet"),
        read(folder, "samples.parquet")["method"].value_counts(),
    )
    counted: dict[tuple[str, str, str], set[str]] = {}
    for row in rejects.itertuples():
        for word, _ in split_detail(row.detail):
            counted.setdefault((row.stage, word, row.method), set()).add(row.item)
    assert {"cut_short", "silent"} == {word for _, word, _ in counted}
    assert {(r.stage, r.reason, r.method): r.items for r in found.itertuples()} == {
        k: len(v) for k, v in counted.items()
    }
    for row in found.itertuples():
        assert row.percent_of_method == pytest.approx(
            100 * row.items / sizes[row.method], abs=0.051
        )


def test_4_leakage(folder: Path) -> None:
    found = ask(folder, 4)
    table = read(folder, "correlation/correlation.parquet")
    own = table.query(
        "kind == 'regressor' and dimension == 'visual_quality' and level == 'video' and pooling == 'mean'"
    )
    wide = own.pivot(index="metric", columns="protocol", values="srcc")
    assert len(found) == 2 * len(wide) > 0
    for row in found.itertuples():
        assert row.gap == pytest.approx(
            wide.loc[row.metric, "random"] - wide.loc[row.metric, row.protocol], abs=1e-15
        )


def test_5_srcc_with_ties(folder: Path) -> None:
    found = ask(folder, 5)
    own = rated(folder).merge(
        read(folder, "features/signal/*/*.parquet")[["sample_id", "sharpness"]], on="sample_id"
    )
    assert own["sharpness"].duplicated().any()
    for row in found.itertuples():
        part = own[own["method"] == row.method]
        assert row.srcc == pytest.approx(
            spearmanr(part["sharpness"], part["mos"]).statistic, abs=1e-12
        )
    assert found["n"].tolist() == [8] * 4
