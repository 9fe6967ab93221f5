"""``sfqa models`` and ``sfqa score --model NAME`` for zero-shot quality models."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
import yaml

from sfqa.cli import main
from sfqa.cli._zero_shot import find_zero_shot
from sfqa.regression import model_metrics

ENTRY = {
    "group": "Signal", "paper": "none", "year": 2026, "licences": {"code": "MIT", "weights": "none"},
    "features": {"signal": {}}, "inputs": ["signal.sharpness"], "reading": ["ours"],
}  # fmt: skip


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    status = main(list(arguments))
    printed = capsys.readouterr()
    return status, printed.out + printed.err


def test_the_list_says_what_each_model_needs_and_costs(capsys: pytest.CaptureFixture[str]) -> None:
    status, text = run(capsys, "models", "--videos", "3600", "--seconds", "10")
    assert status == 0
    row = next(line for line in text.splitlines() if line.startswith("LSE-D "))
    state = "(there|missing|wrong)"
    files = f"syncnet_v2:{state} s3fd_face:{state}"
    assert re.search(rf"Syncnet +2016 +zero-shot +lse +{files} +41\.0$", row)
    row = next(line for line in text.splitlines() if line.startswith("LSE-D-cascade"))
    assert re.search(rf"zero-shot +lse-cascade +syncnet_v2:{state} +11\.0$", row)
    assert "SimpleVQA" in text


def test_licences_that_forbid_something_are_marked(capsys: pytest.CaptureFixture[str]) -> None:
    _, text = run(capsys, "models")
    notes = dict(re.findall(r"^\[(\d)\] (.*)$", text, re.MULTILINE))
    marks = {
        name: {notes[number] for number in numbers.split(", ")}
        for name, numbers in re.findall(r"^(\S+) \[([\d, ]+)\] ", text, re.MULTILINE)
    }
    assert marks["DOVER"] == {
        "Code for non-commercial use only.", "Weights for non-commercial use only."
    }  # fmt: skip
    assert marks["GeneralAVQA"] == {"Code without a licence.", "Weights without a licence."}
    assert marks["LSE-C"] == {"Weights without a licence."}
    assert "FAST-VQA" not in marks
    _, text = run(capsys, "models", "show", "DOVER")
    assert "  Weights for non-commercial use only.\n" in text


def test_a_configuration_is_shown_without_its_data(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Path(__file__).parents[2] / "config" / "sfqa.yaml"
    monkeypatch.chdir(tmp_path)
    status, text = run(capsys, "models", "--config", str(config))
    assert status == 0
    assert "CPU hours: extraction of 5184 videos of 6 s" in text
    assert "missing: resources/images.csv (materials.images)" in text
    assert "missing: resources/scores.csv (ratings.path)" in text
    status, text = run(capsys, "estimate", "--config", str(config))
    assert status == 2
    assert "materials.images: resources/images.csv" in text
    assert "ratings.path: resources/scores.csv" in text


def test_random_weights_of_a_configuration_are_not_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    status, text = run(capsys, "models", "--config", "config/table2_demo.yaml")
    assert status == 0
    row = next(line for line in text.splitlines() if line.startswith("SimpleVQA"))
    assert re.search(r"spatial slowfast +spatial:random slowfast:random +0\.\d+$", row)
    assert "missing" not in text


def test_one_model_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    status, text = run(capsys, "models", "show", "SimpleVQA")
    assert status == 0
    for sentence in (
        "licences: code Apache-2.0", "slowfast_r50: ", "head: simplevqa", "batch_rows: 8",
        "published training:", "selection: best SRCC on the test part", "reading:",
        "SFQA, Table 2: dimension visual_quality, srcc 0.6462",
    ):  # fmt: skip
        assert sentence in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["models", "show", "SimpelVQA"], "did you mean 'SimpleVQA'?"),
        (["models", "shwo", "LSE-C"], "write sfqa models show NAME"),
        (["models", "--videos", "0"], "give a number above 0"),
        (["score", "x.mp4", "--model", "LSE-X"], "no zero-shot quality model of this name"),
        (["score", "x.mp4", "--model", "UGVQ"], "results/DATASET/regression/UGVQ"),
        (["score", "--features", "t", "--model", "LSE-C"], "is the column lse.lse_c of a feature"),
    ],
)
def test_mistakes_are_sentences(
    capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    status, text = run(capsys, *arguments)
    assert status == 2
    assert sentence in text


@pytest.mark.parametrize("name", ["DOVER", "FAST-VQA", "SimpleVQA"])
def test_a_trained_model_scores_files_by_its_published_weights(name: str) -> None:
    assert find_zero_shot(name).name == f"{name}-zero-shot"


@pytest.mark.thorough
def test_a_zero_shot_model_scores_files(
    videos: Path,
    without_workers: None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry = tmp_path / "models.yaml"
    columns = {"visual_quality": "signal.sharpness", "beauty": "signal.si_mean"}
    entries = {"Sharp": ENTRY, "Two": {**ENTRY, "inputs": columns}}
    registry.write_text(yaml.safe_dump(entries, sort_keys=False))
    monkeypatch.setattr(model_metrics, "REGISTRY", registry)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    files = [str(videos / "one.mp4"), str(broken)]
    options = ["--out", str(tmp_path / "s.csv"), "--cache", str(tmp_path / "cache"), "--quiet"]
    status, text = run(capsys, "score", *files, "--model", "Sharp", *options)
    assert status == 1
    assert "Sharp: zero-shot, higher is better; weights: none" in text
    with open(tmp_path / "s.csv", encoding="utf-8") as handle:
        good, bad = csv.DictReader(handle)
    assert float(good["Sharp"]) > 0
    assert (bad["status"], bad["Sharp"]) == ("failed", "")
    assert bad["detail"].startswith("broken")

    # A model with a column for each dimension scores each.
    status, text = run(capsys, "score", *files, "--model", "Two", *options)
    assert status == 1
    assert re.search(r"^video +status +visual_quality +beauty$", text, re.MULTILINE)
    with open(tmp_path / "s.csv", encoding="utf-8") as handle:
        scores = [(row["Two.visual_quality"], row["Two.beauty"]) for row in csv.DictReader(handle)]
    assert scores[0][0] == good["Sharp"]
    assert float(scores[0][1]) > 0
    assert scores[1] == ("", "")
    _, text = run(capsys, "models", "show", "Two")
    assert "inputs: visual_quality: signal.sharpness, beauty: signal.si_mean" in text
