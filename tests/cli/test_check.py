"""``sfqa check``: what a configuration plans, and all that it lacks, in one list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sfqa import cli
from sfqa.errors import UserError
from sfqa.regression.feature_columns import check_feature_columns
from sfqa.regression.model_metrics import load_checked_models

ROOT = Path(__file__).parents[2]


def run(capsys: pytest.CaptureFixture[str], config: str) -> tuple[int, str]:
    status = cli.main(["check", "--config", config])
    printed = capsys.readouterr()
    return status, printed.out + printed.err


@pytest.fixture(autouse=True)
def no_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caches of weights are empty, and so is the working directory."""
    for name in ("HF_HOME", "TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.chdir(tmp_path)


def test_everything_is_listed_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    status, text = run(capsys, str(ROOT / "config/sfqa.yaml"))
    assert status == 1
    for line in (
        "resources/images.csv: materials.images: put it there",
        "resources/scores.csv: ratings.path: put it there",
        "syncnet_v2: sfqa weights --fetch syncnet_v2 (from https://",
        "hallo2: snakemake fetch_generators, or by hand",
        "protocols: disjoint, random, leave_one_method_out",
    ):
        assert line in text
    assert "LSE-C, LSE-D, SimpleVQA" in text


def test_label_files_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    status, text = run(capsys, str(ROOT / "config/datasets/thqa_ntire.yaml"))
    assert status == 1
    assert "resources/thqa_ntire: import.folder" in text
    assert "resources/thqa_ntire/thqa_ntire_val.csv: import.labels" in text


def test_a_configuration_that_lacks_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    status, text = run(capsys, "config/config.yaml")
    assert (status, text.splitlines()[-1]) == (
        0, "Ready: snakemake --cores 2 --configfile config/config.yaml"
    )  # fmt: skip
    assert "nothing is missing" in text


def test_a_mistake_is_a_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = (ROOT / "config/sfqa.yaml").read_text().replace("LSE-C,", "LSE-X,")
    (tmp_path / "my.yaml").write_text(text)
    status, text = run(capsys, "my.yaml")
    assert status == 2
    assert "no quality model 'LSE-X'; did you mean 'LSE-" in text


def test_an_optional_package_is_listed_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sfqa.missing.find_spec", lambda name: None)
    status, text = run(capsys, str(ROOT / "config/lgvq.yaml"))
    assert status == 1
    assert "pyiqa: pip install --no-deps -r requirements-iqa.txt (for iqa-brisque, iqa" in text
    assert "packages: 1 missing" in text


@pytest.mark.parametrize(
    ("metric", "sentence"),
    [
        ({"kind": "regressor", "head": "ridge", "inputs": ["dover.techncal"]},
         "metrics.mine.inputs: dover has no column 'techncal'; did you mean 'technical'?"),
        ({"kind": "zero_shot", "inputs": ["dover.technical"]},
         "dover.technical is not one scalar, which a zero-shot metric needs; the scalars are "
         "dover.technical_score, dover.aesthetic_score, dover.score"),
        ({"kind": "zero_shot", "inputs": ["dover"]}, "dover is not one scalar"),
        ({"kind": "regressor", "head": "vqa_head", "inputs": ["dover.technical_pooled"]},
         "metrics.mine.inputs: dover.technical_pooled is no map, which the head reads (its axes: "
         "clip, channel); name a column with the axes clip, channel, time, row, column"),
    ],
)  # fmt: skip
def test_columns_are_checked_before_the_first_job(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, metric: dict[str, Any], sentence: str
) -> None:
    config = yaml.safe_load((ROOT / "config/sfqa.yaml").read_text())
    config["regression"]["metrics"] = {"mine": metric}
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(config))
    status, text = run(capsys, "my.yaml")
    assert status == 2
    assert sentence in text


@pytest.mark.parametrize(
    ("metric", "sentence"),
    [
        ({"kind": "regressor", "head": "mlp", "inputs": ["spatial.spatial", "fast_vqa.map"]},
         "metrics.mine.inputs: fast_vqa.map holds whole maps (map), which the head does not read; "
         "name a pooled column"),
        ({"kind": "regressor", "head": "simplevqa", "inputs": ["fast_vqa.map"]},
         "fast_vqa.map holds whole maps"),
        ({"kind": "regressor", "head": "ugvq", "inputs": ["spatial.spatial", "slowfast"]},
         "metrics.mine.inputs: head ugvq reads 3, in this order: spatial, temporal, text; there "
         "are 2 (spatial.spatial, slowfast)"),
        ({"kind": "regressor", "head": "aigc_vqa",
          "inputs": ["dover.technical", "dover.aesthetic", "slowfast", "spatial.spatial"]},
         "head aigc_vqa reads 3, in this order: technical, aesthetic, alignment; there are 4"),
        ({"kind": "regressor", "head": "cross_attention", "inputs": ["slowfast", "lse.lse_c"]},
         "lse.lse_c has no row for each frame, clip or second, which the head reads"),
        ({"kind": "regressor", "head": "ugvq", "inputs": ["spatial", "slowfast", "lse.lse_c"]},
         "spatial has several columns; name one of spatial.spatial, spatial.time_sec"),
    ],
)  # fmt: skip
def test_inputs_that_a_head_cannot_read_are_errors(metric: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as error:
        check_feature_columns([{"name": "mine", **metric}])
    assert sentence in str(error.value)


def test_a_column_that_the_options_leave_empty_is_an_error(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config = yaml.safe_load((ROOT / "config/sfqa.yaml").read_text())
    config["regression"]["models"] = ["LSE-C"]
    config["features"] = {"fast_vqa": {"weights": "random", "options": {"maps": False}}}
    metric = {"kind": "regressor", "head": "vqa_head", "inputs": ["fast_vqa.map"]}
    for name, entry, sentence in (
        ("mine", metric, "metrics.mine.inputs: fast_vqa.map is empty with the option maps: false; "
         "write maps: true in features.fast_vqa.options"),
        ("pooled", {**metric, "head": "mlp", "inputs": ["fast_vqa.pooled"]}, "metrics: LSE-C, pooled"),
    ):  # fmt: skip
        config["regression"]["metrics"] = {name: entry}
        (tmp_path / "my.yaml").write_text(yaml.safe_dump(config))
        assert sentence in run(capsys, "my.yaml")[1]


def test_missing_prompts_are_a_note(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = (ROOT / "config/sfqa.yaml").read_text().replace("LSE-C,", "CLIPScore, LSE-C,")
    (tmp_path / "my.yaml").write_text(text)
    printed = run(capsys, "my.yaml")[1]
    assert "note: clip read a prompt, and no video has one; what compares with it has" in printed
    assert "note:" not in run(capsys, str(ROOT / "config/lgvq.yaml"))[1]


def test_every_model_reads_columns_that_its_extractors_have() -> None:
    models = load_checked_models()
    for name, model in models.items():
        features = {extractor: {"options": o} for extractor, o in model.features.items()}
        check_feature_columns([{"name": name, **model.make_metric()}], features)


def test_the_command_fetches_into_the_folder_of_the_configuration(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config = yaml.safe_load((ROOT / "config/sfqa.yaml").read_text())
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(config | {"weights": {"folder": "my files"}}))
    _, text = run(capsys, "my.yaml")
    assert "dover: sfqa weights --fetch dover --folder 'my files' (from https://" in text


def test_metrics_of_a_dataset_without_mos_are_said_to_be_left_out(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config = yaml.safe_load((ROOT / "config/sfqa.yaml").read_text())
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(config | {"ratings": {"source": "none"}}))
    _, text = run(capsys, "my.yaml")
    assert "metrics: none\n  no metric is computed, since the dataset has no MOS" in text
