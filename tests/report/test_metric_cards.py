"""What the site says of quality models, and the overview of a dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from site_dataset import DIMENSIONS, make

from sfqa import store, tables
from sfqa.models.quality_models import load_models
from sfqa.report import provenance
from sfqa.report.metric_cards import Registries, add_cards, link_paper
from sfqa.report.overview import describe_dataset
from sfqa.report.site_data import DatasetTables


def make_metric(name: str, **changes: Any) -> dict[str, Any]:
    model = load_models(Registries().models)[name]
    metric = model.make_metric()
    about = {"inputs": metric["inputs"], "head": metric.get("head")}
    return {"name": name, "kind": metric["kind"], "about": {**about, **changes}}


def test_models_of_the_registry_are_described() -> None:
    metrics = [make_metric(name) for name in ("LSE-D", "DOVER", "SimpleVQA")]
    add_cards(metrics, Registries())
    syncnet, dover, simple = (metric["card"] for metric in metrics)
    assert syncnet["summary"].startswith("Zero-shot model of 2016")
    assert syncnet["summary"].endswith("lower for better quality.")
    assert syncnet["restrictions"] == ["Weights without a licence."]
    assert syncnet["costs"]["seconds"] == 25
    assert any("non-commercial" in sentence for sentence in dover["restrictions"])
    assert dover["link"] == ["https://arxiv.org/abs/2211.04894", "arXiv 2211.04894"]
    assert simple["weights"] == ["resnet50_imagenet", "slowfast_r50"]
    # Only the first file's size is stated.
    assert (simple["bytes"], simple["sized"]) == (102530333, 1)
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics


def test_another_metric_with_the_name_of_a_model_is_not_described() -> None:
    metrics = [
        make_metric("LSE-D", inputs=["signal.sharpness"]),
        make_metric("DOVER", head="ridge"),
    ]
    add_cards(metrics, Registries())
    assert not any("card" in metric for metric in metrics)


def test_controls_need_no_registry(tmp_path: Path) -> None:
    add_cards([{"name": "random", "kind": "control", "about": {}}], Registries(tmp_path / "none"))


def test_every_paper_has_a_link() -> None:
    for model in load_models(Registries().models).values():
        address, text = link_paper(model.paper)
        assert address.startswith("https://")
        assert address.isascii()
        assert text.startswith("arXiv") or text == "search for the paper"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("overview") / "results" / "made"
    return make(folder, methods=2, pairs=3, metrics=3, protocols=1, videos=0, raters=4)


def describe(folder: Path) -> dict[str, Any]:
    source = DatasetTables(folder, tuple(provenance.list_report_tables(folder)))
    samples = source.read_frame(tables.SAMPLES)
    return describe_dataset(folder, samples, source.read_frame, DIMENSIONS)


def test_the_overview_counts_the_dataset(dataset: Path) -> None:
    overview = describe(dataset)
    assert (overview["methods"], overview["raters"]) == (2, 4)
    assert overview["ratings"] == 6 * 4 * len(DIMENSIONS)
    # Six videos of 0.8 s.
    assert (overview["seconds"], overview["measured"]) == (4.8, 6)
    mos = store.read(tables.MOS, dataset / "ratings/mos.parquet")
    for dimension in DIMENSIONS:
        values = mos.loc[mos["dimension"] == dimension, "mos"]
        histogram = overview["mos"][dimension]
        assert sum(histogram["counts"]) == 6
        assert histogram["mean"] == pytest.approx(values.mean(), abs=1e-6)
        assert histogram["edges"][0] == 0
        assert histogram["edges"][-1] == 100
    assert overview["licences"] == []


def test_licences_are_those_of_images_and_clips(dataset: Path) -> None:
    rows = [
        {"image_id": f"i{n}", "category": "man", "source": "real", "licence": licence,
         "status": "ok", "detail": "", "original": "a.png"}
        for n, licence in enumerate(["CC BY 4.0", "CC BY 4.0", None])
    ]  # fmt: skip
    path = dataset / str(tables.IMAGES.path)
    store.write(tables.IMAGES, rows, path)
    try:
        assert describe(dataset)["licences"] == [
            ["images", "CC BY 4.0", 2],
            ["images", "not stated", 1],
        ]
    finally:
        path.unlink()


def test_without_raw_scores_the_raters_are_unknown(tmp_path: Path) -> None:
    folder = make(tmp_path / "results" / "made", 2, 2, metrics=3, protocols=1, videos=0, raters=4)
    (folder / "ratings" / "scores.parquet").unlink()
    overview = describe(folder)
    assert overview["raters"] is None
    assert overview["ratings"] == 4 * 4 * len(DIMENSIONS)
