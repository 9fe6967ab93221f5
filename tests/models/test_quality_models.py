"""The registry of quality models: strict, complete, and expanded into a configuration."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy.stats import spearmanr

from sfqa.configuration import complete_sections
from sfqa.errors import UserError
from sfqa.papers.published import load_published, read_index
from sfqa.published_figures import simplify_label
from sfqa.regression import heads
from sfqa.regression.model_metrics import expand_models, load_checked_models
from sfqa.regression.paper_rows import REDUCED, describe_paper_rows
from sfqa.regression.problems import make_problem

ROOT = Path(__file__).parents[2]
BRANCHES = ("technical", "aesthetic", "alignment")
SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"
ZERO_SHOT: dict[str, Any] = {
    "group": "Sync", "paper": "a paper", "year": 2020,
    "licences": {"code": "MIT", "weights": "CC-BY-NC-4.0, non-commercial use only"},
    "features": {"lse": {}}, "weights": ["syncnet_v2"], "inputs": ["lse.lse_d"], "direction": -1,
}  # fmt: skip
TRAINED: dict[str, Any] = {
    **{k: v for k, v in ZERO_SHOT.items() if k != "direction"},
    "features": {"slowfast": {"convention": "simplevqa"}}, "weights": ["slowfast_r50"],
    "inputs": ["slowfast"], "head": "mlp", "options": {"epochs": 10},
    "recipe": {"loss": "L1", "epochs": "10"}, "reading": ["frozen"],
}  # fmt: skip


#: Rows of published tables whose label is not the model's name.
ROWS: dict[str, tuple[str, ...]] = {
    "UGVQ": ("Ours",), "SJTU-MOE-AI-AIGV": ("SJTU-MOE-AI",), "FAST-VQA-fine-tuned": ("FAST-VQA",),
    "SimpleVQA-fine-tuned": ("SimpleVQA",), "DOVER-fine-tuned": ("DOVER",),
    "AIGC-VQA-fine-tuned": ("AIGC-VQA",), "VALOR-fine-tuned": ("VALOR",),
    "ImageBind-fine-tuned": ("ImageBind",), "FocusQ-fine-tuned": ("FocusQ",),
    "MiVQA-fine-tuned": ("MiVQA",),
}  # fmt: skip


def load(tmp_path: Path, **entries: Any) -> Any:
    path = tmp_path / "models.yaml"
    path.write_text(yaml.safe_dump(entries))
    return load_checked_models(path)


def make_config(**sections: Any) -> dict[str, Any]:
    """Return a complete configuration of imported videos."""
    config = {"dataset": "d", "mode": "import_videos", "import": {"sheet": "v.csv"}, **sections}
    return complete_sections(copy.deepcopy(config), SCHEMA)


def test_every_entry_of_the_project_is_sound() -> None:
    models = load_checked_models()
    assert {"LSE-C", "LSE-D", "SimpleVQA"} <= set(models)
    for model in models.values():
        assert model.reading, f"{model.name}: say what is our reading"
        assert not model.costs or model.costs["measured"]


def test_published_figures_are_those_of_the_papers_table() -> None:
    """LSE-D has none, because its row in the paper repeats another one."""
    models = load_checked_models()
    figures = {
        (table.label, simplify_label(row["row"]), row["dimension"], row["statistic"].lower()): row
        for table in (load_published(entry["table"]) for entry in read_index())
        for row in table.figures.to_dict("records")
        if row["level"] == "video" and row["dataset"] not in ("FETV", "MQT")
    }
    for model in models.values():
        for record in model.published:
            row = next(
                row for row in (model.name, *ROWS.get(model.name, ()))
                if (record["source"], simplify_label(row), record["dimension"], "srcc") in figures
            )  # fmt: skip
            for statistic in {"srcc", "plcc", "krcc"} & set(record):
                key = (record["source"], simplify_label(row), record["dimension"], statistic)
                assert record[statistic] == float(figures[key]["value"]), key
    assert not models["LSE-D"].published


@pytest.mark.parametrize(
    ("entry", "changes", "sentence"),
    [
        (ZERO_SHOT, {"paper": None}, "the key 'paper' is missing"),
        (
            ZERO_SHOT,
            {"licences": {"code": "S-Lab 1.0", "weights": "MIT"}},
            "add 'non-commercial use only'",
        ),
        (ZERO_SHOT, {"papr": "x"}, "unknown key 'papr'; did you mean 'paper'?"),
        (ZERO_SHOT, {"year": "2020"}, "give a whole number"),
        (ZERO_SHOT, {"licences": {"code": "MIT"}}, "the key 'weights' is missing"),
        (ZERO_SHOT, {"features": {"les": {}}}, "did you mean 'lse'?"),
        (ZERO_SHOT, {"features": {"lse": {"min_trak": 3}}}, "did you mean 'min_track'?"),
        (ZERO_SHOT, {"weights": []}, "its features need [syncnet_v2]"),
        (ZERO_SHOT, {"inputs": ["les.lse_d"]}, "did you mean 'lse'?"),
        (ZERO_SHOT, {"recipe": {"loss": "x"}}, "recipe goes with a head"),
        (ZERO_SHOT, {"direction": 2}, "write 1 (higher is better) or -1"),
        (ZERO_SHOT, {"costs": {"seconds": 3}}, "measured is missing"),
        (ZERO_SHOT, {"costs": {"second": 3, "measured": "x"}}, "did you mean 'seconds'?"),
        (ZERO_SHOT, {"published": [{"srcc": 0.5}]}, "source: missing"),
        (TRAINED, {"reading": None}, "needs recipe (its published training) and reading"),
        (TRAINED, {"head": "mpl"}, "did you mean 'mlp'?"),
        (TRAINED, {"options": {"epoch": 3}}, "did you mean 'epochs'?"),
        (TRAINED, {"recipe": {"losses": "x"}}, "did you mean 'loss'?"),
        (TRAINED, {"reduced": {"option": {}}}, "reduced: unknown key 'option'; did you mean"),
        (TRAINED, {"reduced": {"options": {"epoch": 1}}}, "reduced: head mlp"),
        (TRAINED, {"reduced": {"features": {"slowfst": {}}}}, "did you mean 'slowfast'?"),
        (ZERO_SHOT, {"reduced": {"options": {}}}, "reduced: options go with a head"),
    ],
)
def test_mistakes_are_sentences(
    tmp_path: Path, entry: dict[str, Any], changes: Any, sentence: str
) -> None:
    changed = {key: value for key, value in {**entry, **changes}.items() if value is not None}
    with pytest.raises(UserError, match=re.escape(sentence)):
        load(tmp_path, model=changed)


def test_models_become_features_and_metrics() -> None:
    own = {"Sharpness": {"kind": "zero_shot", "inputs": ["signal.sharpness"]}}
    config = make_config(
        features={"signal": {"weights": "none"}},
        regression={"models": ["LSE-D", "SimpleVQA"], "metrics": own},
    )
    expanded = expand_models(config)
    metrics = expanded["regression"]["metrics"]
    assert list(metrics) == ["LSE-D", "SimpleVQA", "Sharpness"]
    assert metrics["LSE-D"] == {
        "kind": "zero_shot", "group": "Syncnet", "inputs": ["lse.lse_d"], "direction": -1,
    }  # fmt: skip
    assert metrics["Sharpness"] == own["Sharpness"]
    assert expanded["features"]["spatial"] == {
        "weights": "official", "weights_seed": 0, "options": {"model": "resnet50"}
    }  # fmt: skip
    assert expanded["features"]["signal"]["weights"] == "none"
    assert "spatial" not in config["features"]
    assert config["regression"]["metrics"] == own


def test_the_configuration_keeps_its_weights_and_free_options() -> None:
    features = {"lse-cascade": {"weights": "random", "options": {"detect_every": 5}}}
    config = make_config(features=features, regression={"models": ["LSE-C-cascade"]})
    assert expand_models(config)["features"]["lse-cascade"] == {
        "weights": "random", "weights_seed": 0, "options": {"detect_every": 5, "detector": "haar"}
    }  # fmt: skip


def test_published_sync_scores_use_the_detector_of_the_reference() -> None:
    models = ["LSE-C", "LSE-D", "LSE-C-cascade"]
    features = expand_models(make_config(regression={"models": models}))["features"]
    assert features["lse"]["options"] == {"detector": "s3fd", "min_track": 100, "detect_every": 1}
    assert features["lse-cascade"]["options"] == {"detector": "haar"}
    own = {"lse": {"weights": "random", "options": {"detector": "haar"}}}
    with pytest.raises(UserError, match="the model LSE-C needs 's3fd', and the configuration has"):
        expand_models(make_config(features=own, regression={"models": ["LSE-C"]}))


def test_models_can_be_tried_with_random_weights() -> None:
    features = {"lse": {"weights": "official", "options": {}}}
    config = make_config(
        weights={"models": "random"},
        features=features,
        regression={"models": ["LSE-C", "SimpleVQA"]},
    )
    expanded = expand_models(config)["features"]
    assert expanded["spatial"]["weights"] == expanded["slowfast"]["weights"] == "random"
    assert expanded["lse"]["weights"] == "official"


def test_overrides_replace_parts_of_the_metric() -> None:
    models = {"SimpleVQA": {"options": {"epochs": 30}, "loss": "plcc", "group": "Ours"}}
    metric = expand_models(make_config(regression={"models": models}))["regression"]["metrics"][
        "SimpleVQA"
    ]
    assert (metric["group"], metric["loss"]) == ("Ours", "plcc")
    assert metric["options"]["epochs"] == 30
    assert metric["options"]["batch_rows"] == 8
    assert "loss" not in metric["options"]


def test_a_variant_has_all_of_a_model_but_its_figures() -> None:
    variant = {"model": "UGVQ", "options": {"text": False}, "reading": ["No prompt is read."]}
    config = expand_models(make_config(regression={"models": {"UGVQ": {}, "No-text": variant}}))
    ugvq, no_text = (config["regression"]["metrics"][name] for name in ("UGVQ", "No-text"))
    assert no_text["options"] == {"text": False}
    assert "published" in ugvq
    assert "published" not in no_text
    assert {**ugvq, "options": {"text": False}} == {**no_text, "published": ugvq["published"]}
    metrics = [{"name": "No-text", "kind": "regressor", "published": []}]
    (row,) = describe_paper_rows(config, metrics, "by_prompt")
    assert row["notes"] == ["No prompt is read."]


def test_trials_have_reduced_networks_and_say_so() -> None:
    models = {"DOVER": {}, "Long": {"model": "DOVER", "options": {"epochs": 3}}}
    regression = {"models": models, "reduced": True}
    config = expand_models(make_config(regression=regression, weights={"models": "random"}))
    assert config["features"]["dover"]["options"]["blocks"] == "reduced"
    metrics = config["regression"]["metrics"]
    assert [metrics[name]["options"]["epochs"] for name in models] == [2, 3]
    listed = [{"name": name, "kind": "regressor", "published": []} for name in models]
    for row in describe_paper_rows(config, listed, "by_prompt"):
        assert "non-commercial" in row["notes"][0]  # those of the model that it is made from
        assert row["notes"][-1] == REDUCED


@pytest.mark.parametrize(
    ("regression", "features", "sentence"),
    [
        ({"models": ["LSE-X"]}, {}, "no quality model 'LSE-X'; did you mean 'LSE-"),
        (
            {"models": {"LSE-C": {"head": "mlp"}}},
            {},
            "'head' cannot be overridden; there are group, options",
        ),
        (
            {"models": ["SimpleVQA"]},
            {"spatial": {"weights": "random", "options": {"model": "vit_b_16"}}},
            "the model SimpleVQA needs 'resnet50', and the configuration has 'vit_b_16'",
        ),
        (
            {"models": ["LSE-C"], "metrics": {"lse-c": {"kind": "zero_shot"}}},
            {},
            "a quality model of regression.models has this name",
        ),
        (
            {"models": {"Sync": {"model": "LSE-X"}}},
            {},
            "regression.models: no quality model 'LSE-X'; did you mean 'LSE-",
        ),
        (
            {"models": {"Sync": {"model": "LSE-C", "reading": "one"}}},
            {},
            "regression.models.Sync.reading: 'one'; write a list of sentences",
        ),
        ({"models": ["LSE-C"], "reduced": True}, {}, "write weights: {models: random}"),
    ],
)
def test_what_does_not_go_together_is_refused(
    regression: Any, features: Any, sentence: str
) -> None:
    config = make_config(regression=regression, features=features)
    with pytest.raises(UserError, match=re.escape(sentence)):
        expand_models(config)


def test_all_models_go_into_one_configuration() -> None:
    """No two entries fix an option of the same extractor differently."""
    models = load_checked_models()
    config = expand_models(make_config(regression={"models": list(models)}, features={}))
    assert set(models) <= set(config["regression"]["metrics"])
    for name, spec in config["features"].items():
        for model in models.values():
            for key, value in model.features.get(name, {}).items():
                assert spec["options"][key] == value, (model.name, name, key)


def train_simplevqa(folder: Path, shuffled: bool) -> float:
    """Return the SRCC of SimpleVQA's head and training on drawn features whose quality is known."""
    model = load_checked_models()["SimpleVQA"]
    numbers = np.random.default_rng(5)
    train, validation, count = 240, 300, 500
    quality = numbers.normal(size=count)
    loadings = numbers.normal(size=9472) * (numbers.random(9472) < 0.3)
    x = quality[:, None] * loadings + numbers.normal(size=(count, 9472)) * 2
    mos = 50 + 10 * (numbers.permutation(quality) if shuffled else quality)[:, None]
    mos[validation:] = np.nan
    problem = make_problem(np.arange(train), np.arange(train, validation), mos, 0)
    options = heads.merge_options(model.head, model.options)
    parts = np.split(x.astype(np.float32), [7168], axis=1)
    features = dict(zip(model.inputs, parts, strict=True))
    scores, reasons = heads.fit_and_predict(model.head, features, [problem], options, folder, "cpu")
    assert reasons == [""]
    return float(spearmanr(scores[0, validation:, 0], quality[validation:]).statistic)


@pytest.mark.thorough
def test_simplevqa_learns_by_its_published_training(tmp_path: Path) -> None:
    assert train_simplevqa(tmp_path / "true", shuffled=False) > 0.9
    assert abs(train_simplevqa(tmp_path / "shuffled", shuffled=True)) < 0.3


def test_table_2_of_aigc_vqa_has_its_branches_alone_and_in_pairs() -> None:
    config = yaml.safe_load((ROOT / "config/t2vqa.yaml").read_text())
    switches = {
        name: [branch for branch in BRANCHES if not metric["options"].get(branch, True)]
        for name, metric in config["regression"]["metrics"].items()
    }
    assert len({tuple(off) for off in switches.values()}) == len(switches) == 5
    assert all(
        metric["inputs"] == list(load_checked_models()["AIGC-VQA"].inputs)
        for metric in config["regression"]["metrics"].values()
    )


def test_ready_features_have_no_models() -> None:
    config = make_config(regression={"models": ["LSE-C"]}) | {"mode": "import_features"}
    with pytest.raises(UserError, match="computed from videos"):
        expand_models(config)
