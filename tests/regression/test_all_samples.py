"""The protocol of metrics that learn nothing: all rated videos, and never a regressor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from rated_samples import make_crossed_samples, make_mos
from sfqa import store, tables
from sfqa.configuration import complete_config
from sfqa.correlation.bootstrap import protocol_groups
from sfqa.correlation.summarise import Settings, correlation_rows
from sfqa.errors import UserError
from sfqa.joint_job import make_items
from sfqa.plan import Plan
from sfqa.reference import ROOT, SCHEMA
from sfqa.regression.controls import score_control
from sfqa.regression.design import Design
from sfqa.regression.untrained import UntrainedMetrics
from sfqa.regression.zero_shot import score_metric
from sfqa.splits.protocols import ALL, ALL_SAMPLES, make_splits

FOLDS = {"name": "folds", "kind": "random_kfold", "k": 4}
METRICS = [
    {"name": name, "group": "g", "kind": kind, "direction": 1, "weights": "none"}
    for name, kind in (("Sharpness", "zero_shot"), ("oracle", "control"))
]


@pytest.fixture
def eight() -> tuple[pd.DataFrame, pd.DataFrame, Design]:
    """Eight videos with a feature; the last one was not rated."""
    samples = make_crossed_samples(4, 1, 2)
    ids = samples["sample_id"].tolist()
    mos = make_mos({sample: float(n) for n, sample in enumerate(ids[:-1])})
    mos = mos[mos["dimension"] == "visual"].reset_index(drop=True)
    values = np.array([[0, 2, 1, 3, 5, 4, 7, 6]], np.float32).T
    return samples, mos, Design(ids, values, ["signal.sharpness"], {})


def predict(eight: tuple[pd.DataFrame, pd.DataFrame, Design]) -> pd.DataFrame:
    samples, mos, design = eight
    protocols = [FOLDS, ALL_SAMPLES]
    metric = {"name": "Sharpness", "inputs": ["signal.sharpness"]}
    rows = score_metric(metric, design, samples, mos, protocols, 0)
    rows += score_control({"name": "oracle", "head": "oracle"}, samples, mos, protocols, 0)
    return pd.DataFrame(rows)


def test_every_rated_video_is_a_test_row_of_one_trial(eight: Any) -> None:
    rows = predict(eight)
    rows = rows[(rows["protocol"] == ALL) & (rows["metric"] == "Sharpness")]
    assert rows["sample_id"].tolist() == eight[1]["sample_id"].tolist()
    assert set(rows["part"]) == {"test"}
    assert set(rows["trial"]) == {0}


def test_eight_videos_have_numbers_where_folds_have_none(eight: Any) -> None:
    samples, mos, _ = eight
    rows = pd.DataFrame(correlation_rows(predict(eight), mos, samples, METRICS))
    values = rows[rows["level"] == "video"].set_index(["metric", "protocol", "pooling"])
    assert pd.isna(values.loc[("oracle", "folds", "mean"), "srcc"])
    assert values.loc[("oracle", ALL, "mean"), "srcc"] == 1.0
    assert values.loc[("Sharpness", ALL, "mean"), "n"] == 7
    assert values.loc[("Sharpness", ALL, "mean"), "srcc"] == pytest.approx(1 - 24 / 336)
    assert values.loc[("Sharpness", ALL, "mean"), "detail"].startswith("few_points")


def test_intervals_keep_videos_of_an_image_and_a_clip_together(eight: Any) -> None:
    samples, mos, _ = eight
    settings = Settings(bootstrap=50, groups=protocol_groups([FOLDS, ALL_SAMPLES]))
    rows = pd.DataFrame(correlation_rows(predict(eight), mos, samples, METRICS, settings))
    text = rows.loc[(rows["protocol"] == ALL) & (rows["metric"] == "Sharpness"), "interval"].iloc[0]
    assert "image" in text


def test_a_regressor_has_no_rows_of_it(eight: Any) -> None:
    samples, mos, _ = eight
    regressor = [{**METRICS[0], "kind": "regressor"}, METRICS[1]]
    with pytest.raises(UserError, match="the regressor 'Sharpness' has rows of protocol 'all'"):
        correlation_rows(predict(eight), mos, samples, regressor)
    (split,) = make_splits(samples, ALL_SAMPLES, 0)
    assert set(split.part.values()) == {"test"}


def test_a_newly_rated_video_changes_the_rows_of_all_metrics(eight: Any, tmp_path: Path) -> None:
    samples, mos, _ = eight
    store.write(tables.SAMPLES, samples.assign(shard=0), tmp_path / "samples.parquet")
    control = {
        "name": "random",
        "kind": "control",
        "head": "random",
        "inputs": [],
        "extractors": [],
    }

    def list_keys(rated: pd.DataFrame, *protocols: Any) -> str:
        store.write(tables.MOS, rated.assign(n=5), tmp_path / "mos.parquet")
        paths = (tmp_path / "samples.parquet", tmp_path / "mos.parquet")
        job = UntrainedMetrics(*paths, [], [], protocols, 1)
        (item,) = job.list_items([control], [str(tmp_path / "random/predictions.parquet")])
        make_items("m", "metrics", [item], job.write_predictions)
        return item.key

    higher = mos.assign(mos=mos["mos"] + 1)
    assert list_keys(mos, FOLDS, ALL_SAMPLES) == list_keys(higher, FOLDS, ALL_SAMPLES)
    assert list_keys(mos, FOLDS, ALL_SAMPLES) != list_keys(mos[1:], FOLDS, ALL_SAMPLES)
    assert list_keys(mos, FOLDS) == list_keys(mos[1:], FOLDS)


def test_the_plan_gives_it_to_metrics_that_learn_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    plan = Plan(config, SCHEMA, check_files=False)
    assert plan.untrained_protocols[-1] == ALL_SAMPLES
    assert ALL not in [protocol["name"] for protocol in plan.config["regression"]["protocols"]]
    for change in ({"name": "all", "kind": "random_kfold"}, {"name": "x", "kind": "all"}):
        wrong = {**config, "regression": {**config["regression"], "protocols": [change]}}
        with pytest.raises(UserError, match="'all'"):
            complete_config(wrong, SCHEMA)


def test_all_videos_lead_if_nothing_learns_and_no_protocol_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    regression, metrics = config["regression"], config["regression"]["metrics"]
    zero_shot = {name: entry for name, entry in metrics.items() if entry["kind"] == "zero_shot"}

    def find_main_protocol(**changes: Any) -> str:
        changed = {**config, "regression": {"metrics": zero_shot, **changes}}
        return Plan(changed, SCHEMA, check_files=False).main_protocol

    assert find_main_protocol() == ALL
    assert find_main_protocol(protocols=regression["protocols"]) == "disjoint"
    assert find_main_protocol(metrics=metrics) != ALL
