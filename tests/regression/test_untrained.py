"""The joint job of metrics that are not trained: what each table depends on."""

from __future__ import annotations

import pytest

from rated_samples import make_crossed_samples, make_mos
from sfqa import store, tables
from sfqa.errors import UserError
from sfqa.joint_job import make_items
from sfqa.regression.controls import score_control
from sfqa.regression.untrained import UntrainedMetrics

PROTOCOLS = [{"name": "random", "kind": "random_kfold", "k": 3}]
METRICS = [
    {"name": name, "kind": "control", "head": name, "inputs": [], "extractors": []}
    for name in ("random", "constant", "oracle")
]


@pytest.fixture
def job(tmp_path):
    samples = make_crossed_samples(6, 2, 2).assign(shard=0)
    store.write(tables.SAMPLES, samples, tmp_path / "samples.parquet")
    write_mos(tmp_path, {sample: float(n) for n, sample in enumerate(samples["sample_id"])})
    return UntrainedMetrics(
        tmp_path / "samples.parquet", tmp_path / "mos.parquet", [], [], PROTOCOLS, 1
    )


def write_mos(folder, mos_of):
    rows = make_mos(mos_of).assign(n=5)
    store.write(tables.MOS, rows, folder / "mos.parquet")


def list_keys(job, folder, metrics=METRICS):
    paths = [folder / metric["name"] / "predictions.parquet" for metric in metrics]
    return {item.name: item.key for item in job.list_items(metrics, paths)}


def test_a_changed_mos_changes_the_oracle_alone(job, tmp_path):
    before = list_keys(job, tmp_path)
    samples = store.read(tables.SAMPLES, job.samples)["sample_id"]
    write_mos(tmp_path, {sample: float(n + (n == 3)) for n, sample in enumerate(samples)})
    after = list_keys(job, tmp_path)
    assert {name for name in before if before[name] != after[name]} == {"oracle"}


@pytest.mark.parametrize("change", [{"seed": 2}, {"protocols": [{**PROTOCOLS[0], "k": 2}]}])
def test_seed_and_protocols_change_all(job, tmp_path, change):
    other = UntrainedMetrics(**{**vars(job), **change})
    before, after = list_keys(job, tmp_path), list_keys(other, tmp_path)
    assert all(before[name] != after[name] for name in before)


def test_the_tables_are_those_of_the_metric_by_itself(job, tmp_path):
    paths = [tmp_path / metric["name"] / "predictions.parquet" for metric in METRICS]
    make_items("score_metrics", "metrics", job.list_items(METRICS, paths), job.write_predictions)
    samples, mos = store.read(tables.SAMPLES, job.samples), store.read(tables.MOS, job.mos)
    for metric, path in zip(METRICS, paths, strict=True):
        rows = score_control(metric, samples, mos, PROTOCOLS, 1)
        store.write(tables.PREDICTIONS, rows, tmp_path / "single.parquet", {"metric": metric})
        assert path.read_bytes() == (tmp_path / "single.parquet").read_bytes()


def test_a_metric_without_its_features_fails_by_itself(job, tmp_path):
    broken = {**METRICS[0], "name": "broken", "kind": "zero_shot", "inputs": ["lse.lse_c"],
              "extractors": ["lse"]}  # fmt: skip
    metrics = [*METRICS, broken]
    paths = [tmp_path / metric["name"] / "predictions.parquet" for metric in metrics]
    with pytest.raises(UserError, match=r"1 of 4 metrics failed: broken: .*'lse"):
        make_items("m", "metrics", job.list_items(metrics, paths), job.write_predictions)
    assert [path.exists() for path in paths] == [True, True, True, False]
