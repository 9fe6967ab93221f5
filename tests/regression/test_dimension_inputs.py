"""Metrics with a column of their own for each rated dimension."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from rated_samples import make_crossed_samples, make_mos
from sfqa import store, tables
from sfqa.errors import UserError
from sfqa.features import base
from sfqa.features.extractors import signal
from sfqa.joint_job import make_items
from sfqa.models.quality_models import load_models
from sfqa.plan import Plan
from sfqa.regression.feature_columns import check_feature_columns
from sfqa.regression.metrics import list_metrics
from sfqa.regression.model_metrics import load_checked_models
from sfqa.regression.untrained import UntrainedMetrics

ROOT = Path(__file__).parents[2]
PROTOCOLS = [{"name": "random", "kind": "random_kfold", "k": 3}]
COLUMNS = {"visual": "answers.look", "sync": "answers.sync"}
ENTRY = {"kind": "zero_shot", "inputs": COLUMNS}
FEATURES = (
    base.Feature("look", "a number", dtype="float64"),
    base.Feature("sync", "another", dtype="float64"),
    base.Feature("answer", "what the model wrote", dtype="string"),
)


def complete(entry: dict[str, Any]) -> dict[str, Any]:
    (metric,) = list_metrics({"M": entry}, {"answers": None})
    return {**metric, "extractors": ["answers"]}


@pytest.fixture
def job(tmp_path: Path) -> UntrainedMetrics:
    """Two rated dimensions; the first sample has no number for ``sync``, the second none at all."""
    samples = make_crossed_samples(6, 2, 2).assign(shard=0)
    store.write(tables.SAMPLES, samples, tmp_path / "samples.parquet")
    names = list(samples["sample_id"])
    mos = pd.concat(
        make_mos({name: float(n) for n, name in enumerate(names)}).assign(n=5, dimension=dimension)
        for dimension in COLUMNS
    ).drop_duplicates(["sample_id", "dimension"])
    store.write(tables.MOS, mos, tmp_path / "mos.parquet")
    rows = [
        {"sample_id": name, "method": "m", "key": "k", "status": "ok", "detail": "",
         "look": float(n), "sync": 100.0 - n, "answer": f"answer {n}"}
        for n, name in enumerate(names)
    ]  # fmt: skip
    rows[0] |= {"sync": None, "status": "flawed", "detail": "silent: no sound"}
    rows[1] |= {"look": None, "sync": None, "status": "failed", "detail": "wrong_template: 'hm'"}
    path = tmp_path / "features" / "answers" / "0.parquet"
    store.write_arrow(base.build_table(FEATURES, rows), path)
    return UntrainedMetrics(
        tmp_path / "samples.parquet", tmp_path / "mos.parquet", [str(path)], [], PROTOCOLS, 1
    )


def predict(job: UntrainedMetrics, entry: dict[str, Any], folder: Path) -> pd.DataFrame:
    paths = [str(folder / "M" / "predictions.parquet")]
    items = job.list_items([complete(entry)], paths)
    make_items("score_metrics", "metrics", items, job.write_predictions)
    return store.read(tables.PREDICTIONS, Path(paths[0]))


def test_each_dimension_is_scored_by_its_own_column(job: UntrainedMetrics, tmp_path: Path) -> None:
    rows = predict(job, ENTRY, tmp_path)
    names = list(store.read(tables.SAMPLES, job.samples)["sample_id"])
    number = rows["sample_id"].map({name: float(n) for n, name in enumerate(names)})
    for dimension, expected in (("visual", number), ("sync", 100.0 - number)):
        usable = (rows["dimension"] == dimension) & ~rows["sample_id"].isin(names[:2])
        assert usable.sum() == len(names) - 2
        assert (rows["prediction"] == expected)[usable].all()
        assert set(rows["status"][usable]) == {"ok"}


def test_a_missing_number_fails_its_dimension_alone(job: UntrainedMetrics, tmp_path: Path) -> None:
    rows = predict(job, ENTRY, tmp_path).set_index(["sample_id", "dimension"]).to_dict("index")
    first, second = store.read(tables.SAMPLES, job.samples)["sample_id"][:2]
    seen = rows[first, "visual"]
    assert (seen["prediction"], seen["status"]) == (0.0, "flawed")
    heard = rows[first, "sync"]
    assert heard["detail"] == "silent: no sound; empty_feature: answers.sync"
    assert {rows[second, d]["detail"] for d in COLUMNS} == {"wrong_template: 'hm'"}


def test_a_rated_dimension_without_a_column_is_an_error(
    job: UntrainedMetrics, tmp_path: Path
) -> None:
    only_visual = {**ENTRY, "inputs": {"visual": "answers.look"}}
    message = (
        r"metrics\.M\.inputs: no column for the dimension 'sync' \(.*visual\); add it, or name"
    )
    with pytest.raises(UserError, match=message):
        predict(job, only_visual, tmp_path)
    rows = predict(job, {**only_visual, "dimensions": ["visual"]}, tmp_path)
    assert set(rows["dimension"]) == {"visual"}


def test_a_dimension_that_nobody_rated_may_have_a_column(
    job: UntrainedMetrics, tmp_path: Path
) -> None:
    rows = predict(job, {**ENTRY, "inputs": {**COLUMNS, "beauty": "answers.look"}}, tmp_path)
    assert set(rows["dimension"]) == set(COLUMNS)


def test_the_completed_metric_has_its_columns_and_others_keep_their_keys() -> None:
    metric = complete({**ENTRY, "inputs": {**COLUMNS, "beauty": "answers.look"}})
    assert metric["inputs"] == ["answers.look", "answers.sync"]
    assert metric["dimension_inputs"]["beauty"] == "answers.look"
    assert "dimension_inputs" not in complete({"kind": "zero_shot", "inputs": ["answers.look"]})


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"kind": "regressor", "head": "ridge"}, "a regressor predicts every dimension from the"),
        ({"kind": "control", "head": "random"}, "a control has none"),
        ({"kind": "zero_shot", "dimensions": ["snyc"]}, "'snyc' .did you mean 'sync'"),
        ({"kind": "zero_shot", "inputs": {"visual": ["answers.look"]}}, "name of a dimension and"),
        ({"kind": "zero_shot", "inputs": {"visual": "answer.look"}}, "did you mean 'answers'"),
        ({"kind": "zero_shot", "head": "ridge"}, "one for each dimension, and no head"),
    ],
)
def test_mistakes_are_sentences(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        complete({**ENTRY, **entry})


@pytest.mark.parametrize("is_known_by", ["simulated raters", "a table of scores"])
def test_a_missing_column_is_an_error_before_the_first_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_known_by: str
) -> None:
    monkeypatch.chdir(ROOT)
    config = yaml.safe_load((ROOT / "config" / "table2_demo.yaml").read_text())
    entry = {"kind": "zero_shot", "inputs": {"visual_quality": "signal.sharpness"}}
    config["features"] = {"signal": {"weights": "none"}}
    config["regression"] = {"metrics": {"mine": entry}}
    if is_known_by == "a table of scores":
        scores = tmp_path / "scores.csv"
        header, name = "rater,sample_id,dimension,score\n", "portrait01__pop_zh_01__sharp"
        scores.write_text(header + f"a,{name},visual_quality,3\na,{name},sync,3\n")
        names = {n: n for n in ("rater", "sample_id", "dimension", "score")}
        config["ratings"] = {"source": "table", "path": str(scores), "columns": names}
    schema = ROOT / "workflow" / "schemas" / "config.schema.yaml"

    def plan() -> list[str]:
        return Plan(config, schema, check_files=True).metric_names

    with pytest.raises(UserError, match=r"metrics\.mine\.inputs: no column for the dimension '"):
        plan()
    config["regression"]["metrics"]["mine"] = {**entry, "dimensions": ["visual_quality"]}
    assert "mine" in plan()


def test_a_column_of_texts_is_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal.Extractor, "FEATURES", FEATURES)
    for kind, head in (("zero_shot", None), ("regressor", "ridge")):
        metric = {"name": "m", "kind": kind, "head": head, "inputs": ["signal.answer"]}
        with pytest.raises(UserError, match="answer holds texts; name a column of numbers: look"):
            check_feature_columns([metric])
    trained = {"name": "m", "kind": "regressor", "head": "ridge", "inputs": ["signal"]}
    check_feature_columns([trained])
    check_feature_columns([{"name": "m", "kind": "zero_shot", "inputs": {"a": "signal.look"}}])


@pytest.mark.parametrize("extractor", ["qwen_omni", "lmm_server"])
def test_a_column_that_is_not_asked_for_is_an_error(extractor: str) -> None:
    server = {"address": "http://127.0.0.1:1/v1", "model": "m"} if extractor == "lmm_server" else {}

    def check(column: str, scoring: str) -> None:
        features = {extractor: {"weights": "random", "options": {"scoring": scoring, **server}}}
        inputs = {"visual_quality": f"{extractor}.{column}"}
        check_feature_columns([{"name": "m", "kind": "zero_shot", "inputs": inputs}], features)

    for column, empty, filled in (
        ("visual_quality", "levels", "answer"), ("visual_quality_expected", "answer", "levels")
    ):  # fmt: skip
        with pytest.raises(UserError, match=f"is empty with the option scoring: {empty}; write"):
            check(column, empty)
        check(column, filled)
        check(column, "both")


MODEL = {
    "group": "Signal", "paper": "none", "year": 2026, "licences": {"code": "MIT", "weights": "none"},
    "features": {"signal": {}}, "reading": ["ours"],
    "inputs": {"visual_quality": "signal.sharpness", "sync": "signal.si_mean"},
}  # fmt: skip


def test_an_entry_of_the_registry_may_have_a_column_for_each_dimension(tmp_path: Path) -> None:
    path = tmp_path / "models.yaml"
    path.write_text(yaml.safe_dump({"M": MODEL}, sort_keys=False))
    model = load_checked_models(path)["M"]
    assert model.is_zero_shot
    assert model.inputs == ("signal.sharpness", "signal.si_mean")
    assert model.make_metric()["inputs"] == MODEL["inputs"]
    trained = {**MODEL, "head": "ridge", "recipe": {"loss": "mse"}}
    path.write_text(yaml.safe_dump({"M": trained}))
    with pytest.raises(UserError, match=r"M\.inputs: a column for each dimension goes with"):
        load_checked_models(path)
    path.write_text(yaml.safe_dump({"M": {**MODEL, "inputs": {"sync": 3}}}))
    with pytest.raises(UserError, match="give a list of texts"):
        load_models(path)


@pytest.mark.parametrize("inputs", [COLUMNS, ["answers.look"]])
@pytest.mark.parametrize("names", ["visual", [["visual"]], {"visual": 1}, ["visual", "visual"]])
def test_dimensions_are_a_list_of_different_names(inputs: Any, names: Any) -> None:
    with pytest.raises(UserError, match=r"metrics\.M\.dimensions: .*(write a list|name each once)"):
        complete({"kind": "zero_shot", "inputs": inputs, "dimensions": names})
