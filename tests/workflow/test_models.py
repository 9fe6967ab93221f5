"""A model file of one dataset, made by its target, and another dataset that is tested with it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from flow import Flow, nothing_to_do
from sfqa import store, tables
from sfqa.regression.design import load_design
from sfqa.regression.model_files import Scorer, read

pytestmark = pytest.mark.slow

METRICS = {
    "ridge": {"kind": "regressor", "head": "ridge", "inputs": ["imported"]},
    "forest": {
        "kind": "regressor",
        "head": "random_forest",
        "inputs": ["imported"],
        "options": {"trees": 5},
    },
    "sharp": {"kind": "zero_shot", "inputs": ["imported.sharp"]},
}


def config(dataset: str, mos: str, protocols: list[dict]) -> dict:
    return {
        "dataset": dataset, "mode": "import_features", "shards": 1,
        "import": {"table": f"{dataset}.csv", "id": "name", "mos": {mos: "score"},
                   "pattern": r"(?P<image>i\d+)_(?P<method>m\d)"},
        "regression": {"protocols": protocols, "metrics": METRICS},
    }  # fmt: skip


def table(seed: int, columns: list[str]) -> pd.DataFrame:
    numbers = np.random.default_rng(seed)
    ids = [f"i{i + 100 * seed}_m{m}" for i in range(12) for m in range(3)]
    frame = pd.DataFrame({c: numbers.normal(size=len(ids)) for c in ("sharp", "loud", "late")})
    frame["score"] = 50 + 10 * frame["sharp"] - 5 * frame["late"] + numbers.normal(size=len(ids))
    frame["more"] = numbers.normal(size=len(ids))
    return pd.concat([pd.Series(ids, name="name"), frame[[*columns, "score"]]], axis=1)


OWN = [{"name": "by_image", "kind": "group_kfold", "groups": ["image"], "k": 3}]
FROM_A = {
    "name": "from_a",
    "kind": "cross_dataset",
    "model": "results/a",
    "dimensions": {"visual": "quality"},
}
MODEL = "results/{}/regression/{}/model.sfqa"


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    """Dataset a with its models, and b, whose columns stand in another order among more."""
    folder = tmp_path_factory.mktemp("models")
    one = Flow(folder, config("a", "quality", OWN))
    table(1, ["sharp", "loud", "late"]).to_csv(folder / "a.csv", index=False)
    table(2, ["more", "late", "sharp", "loud"]).to_csv(folder / "b.csv", index=False)
    said = one.run(MODEL.format("a", "ridge"), MODEL.format("a", "forest"))
    assert "rule predict" not in said
    one.configure(config("b", "visual", [*OWN, FROM_A]))
    one.run("results/b/correlation/correlation.parquet")
    return one


def test_a_model_is_made_by_its_target_alone(flow):
    model = read(flow.folder / MODEL.format("a", "ridge"))
    assert model.metadata["rows"]["count"] == 36
    assert model.metadata["dataset"] == "a"
    assert model.metadata["conform"] is None
    assert not (flow.folder / MODEL.format("b", "ridge")).exists()
    assert not list(flow.folder.glob("results/a/regression/*/predictions.parquet"))
    assert not list(flow.folder.glob("results/*/regression/*/model.work"))


def test_every_sample_of_b_is_tested_with_the_model_of_a(flow):
    features = {"imported": [flow.results / "features/imported/all/0.parquet"]}
    for metric in ("ridge", "forest"):
        path = flow.results / f"regression/{metric}/predictions.parquet"
        rows = store.read(tables.PREDICTIONS, path)
        assert set(rows["protocol"]) == {"by_image", "from_a"}
        crossed = rows[rows["protocol"] == "from_a"].set_index("sample_id")
        assert len(crossed) == 36
        assert set(crossed["part"]) == {"test"}
        assert set(crossed["status"]) == {"ok"}
        model = read(flow.folder / MODEL.format("a", metric))
        design = load_design(features, model.inputs)
        expected = Scorer(model).predict(design.X)[:, 0]
        assert crossed.loc[design.sample_ids, "prediction"].tolist() == expected.tolist()
        said = store.read_metadata(path)["models"]["from_a"]
        assert (said["dataset"], said["digest"]) == ("a", model.metadata["digest"])
    summary = store.read(tables.CORRELATION, flow.results / "correlation/correlation.parquet")
    video = summary[(summary["protocol"] == "from_a") & (summary["level"] == "video")]
    assert set(video["metric"]) == {"ridge", "forest", "sharp", "random", "constant", "oracle"}
    assert video.set_index(["metric", "pooling"]).loc[("ridge", "pooled"), "srcc"] > 0.9
    assert set(video["n"]) == {36}
    assert nothing_to_do(flow.run("results/b/correlation/correlation.parquet"))


def test_other_columns_and_a_missing_model_are_sentences(flow, tmp_path):
    other = Flow(tmp_path, config("b", "visual", [FROM_A]))
    table(2, ["late", "more", "loud"]).to_csv(tmp_path / "b.csv", index=False)
    metric = {"ridge": METRICS["ridge"]}
    other.configure({**other.config, "regression": {"protocols": [FROM_A], "metrics": metric}})
    target = "results/b/regression/ridge/predictions.parquet"
    said = other.run(target, ok=False)
    assert "'from_a': there is no model results/a/regression/ridge/model.sfqa; make it" in said
    (tmp_path / "results").mkdir(exist_ok=True)
    (tmp_path / "results/a").symlink_to(flow.folder / "results/a")
    said = other.run(target, ok=False)
    assert "imported has the columns late, more, loud; the model" in said
    assert "reads sharp, loud, late, of which sharp is missing" in said
