"""The published figures, on the real tables: what the baselines show, and that our heads keep up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.io import loadmat
from scipy.stats import spearmanr
from sklearn.model_selection import train_test_split

from sfqa import store, tables
from sfqa.correlation.summarise import correlation_rows
from sfqa.features.columns import feature_columns
from sfqa.features.importing import import_table
from sfqa.regression import heads
from sfqa.regression.design import load_design
from sfqa.regression.metrics import list_metrics
from sfqa.regression.problems import make_problem
from sfqa.regression.train import RatedFeatures, train_metric

CONFIG = Path(__file__).parents[2] / "config"


def sheet(name):
    return yaml.safe_load((CONFIG / f"{name}.yaml").read_text(encoding="utf-8"))


class Thqa:
    """The dataset as config/thqa.yaml imports it, and its metrics."""

    def __init__(self, table: Path, folder: Path) -> None:
        config = sheet("thqa")
        source = config["import"] | {"table": table}
        got = import_table(source, config["shards"])
        store.write(tables.SAMPLES, got.samples, folder / "samples.parquet")
        store.write(tables.MOS, got.mos, folder / "mos.parquet")
        store.write_arrow(got.features, folder / "features.parquet")
        self.design = load_design({"imported": [folder / "features.parquet"]}, ["imported"])
        self.samples = store.read(tables.SAMPLES, folder / "samples.parquet")
        self.mos = store.read(tables.MOS, folder / "mos.parquet")
        self.protocols = config["regression"]["protocols"]
        columns = {"imported": feature_columns(source)}
        listed = list_metrics(config["regression"]["metrics"], columns)
        self.metrics = {m["name"]: m | {"weights": "none"} for m in listed}
        self.folder = folder

    def srcc(self, name, protocols, seed):
        """SRCC by protocol and (level, pooling)."""
        metric = self.metrics[name]
        rows = train_metric(
            metric,
            RatedFeatures(self.design, self.samples, self.mos),
            protocols,
            seed,
            self.folder / name,
        )
        found = correlation_rows(pd.DataFrame(rows), self.mos, self.samples, [metric])
        return {(r["protocol"], r["level"], r["pooling"]): r["srcc"] for r in found}


@pytest.fixture(scope="module")
def thqa(shared_data, tmp_path_factory):
    table = shared_data / "thqa/features_and_mos.csv"
    return Thqa(table, tmp_path_factory.mktemp("thqa"))


def test_the_sheets_name_what_is_there():
    for name in ("thqa", "konvid"):
        metrics = sheet(name)["regression"]["metrics"]
        got = list_metrics(metrics, {"imported": ["brisque", "pi", "distance"]})
        assert any(m["published"] for m in got)


@pytest.mark.shared
def test_the_forests_three_numbers_on_thqa_stand_side_by_side(thqa):
    # Fewer trees than theirs, to be quick. Which portraits share a fold moves .668 by .02.
    thqa.metrics["random-forest"]["options"]["trees"] = 40
    found = thqa.srcc("random-forest", thqa.protocols, 2)
    # .794, .668 and .111 are means of folds; an unseen method looks far better pooled than it is.
    assert found["random", "video", "mean"] == pytest.approx(0.794, abs=0.02)
    assert found["by_portrait", "video", "mean"] == pytest.approx(0.668, abs=0.03)
    assert found["leave_one_method_out", "video", "mean"] == pytest.approx(0.111, abs=0.04)
    assert found["leave_one_method_out", "video", "pooled"] > 0.3
    assert found["random", "model", "pooled"] == pytest.approx(1.0, abs=0.03)
    assert found["by_portrait", "model", "pooled"] == pytest.approx(0.976, abs=0.03)
    assert found["leave_one_method_out", "model", "pooled"] == pytest.approx(0.286, abs=0.2)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["line-and-trees", "kernel-and-trees"])
def test_our_heads_are_above_the_forest_by_portrait(name, thqa):
    # Seeds on which nothing was chosen; of 2 to 6 one, to be quick.
    by_portrait = thqa.protocols[:1]
    assert thqa.srcc(name, by_portrait, 3)["by_portrait", "video", "mean"] > 0.70


def bvqa(folder, name):
    """Features and MOS as the published code takes them."""
    x = loadmat(folder / f"bvqa/KONVID_1K_{name}_feats.mat")["feats_mat"]
    x = np.where(np.isfinite(x), x, np.nan)
    x = np.where(np.isnan(x), np.nanmean(x, axis=0), x).astype(np.float32)
    return x, pd.read_csv(folder / "bvqa/KONVID_1K_metadata.csv")["mos"].to_numpy(float)


@pytest.mark.shared
@pytest.mark.parametrize(("name", "published"), [("BRISQUE", 0.6567), ("VIDEVAL", 0.7832)])
def test_kernel_ridge_is_as_good_as_the_published_search_on_konvid(name, published, shared_data):
    x, y = bvqa(shared_data, name)
    # The first of the benchmark's 100 splits; benchmarks/konvid.py runs them all.
    seeds = [int(np.ceil(8.8 * n)) for n in range(1, 9)]
    splits = [train_test_split(np.arange(len(y)), test_size=0.2, random_state=s) for s in seeds]
    problems = [make_problem(np.sort(a), [], y) for a, _ in splits]
    options = heads.merge_options("kernel", {})
    predicted = (
        heads.load_head("kernel").fit(x, problems, options, Path(), "cpu").predict(x)[:, :, 0]
    )
    found = [spearmanr(p[t], y[t]).statistic for p, (_, t) in zip(predicted, splits, strict=True)]
    assert np.median(found) >= published - 0.005
