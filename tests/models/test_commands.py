"""Entries of kind command in models.yaml, and what a configuration with them lacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sfqa.cli import main
from sfqa.errors import UserError
from sfqa.features.command_plan import CommandPlan, find_command, read_commands
from sfqa.models.commands import list_missing_parts
from sfqa.models.quality_models import load_models
from sfqa.regression.model_metrics import REGISTRY, load_checked_models
from standin_repositories import install_standin

ENTRY: dict[str, Any] = {
    "kind": "command", "group": "VQA", "paper": "none", "year": 2026,
    "licences": {"code": "MIT", "weights": "MIT"}, "repository": "a/b", "commit": "0" * 40,
    "environment": "e.yaml", "minutes": 2, "memory_gb": 1,
    "weights": {"folder": "w", "files": ["w/net.pth"], "by_hand": "ask them"},
    "features": {"dover_official": {}}, "inputs": ["dover_official.score"], "reading": ["ours"],
}  # fmt: skip


def load(folder: Path, **changes: Any) -> Any:
    entry = {key: value for key, value in {**ENTRY, **changes}.items() if value is not None}
    path = folder / "models.yaml"
    path.write_text(yaml.safe_dump({"Net": entry}))
    return load_models(path)["Net"]


def test_an_entry_holds_its_program(tmp_path):
    model = load(tmp_path, gpu_memory_gb=8)
    command = model.command
    assert (command.model, command.extractor) == ("Net", "dover_official")
    assert (command.minutes, command.memory_gb, command.gpu_memory_gb) == (2, 1, 8)
    assert command.source.licence == "MIT"
    assert model.weights == ()
    assert load(tmp_path).command.gpu_memory_gb is None


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"kind": "comand"}, "unknown kind 'comand'; did you mean 'command'?"),
        ({"kind": None, "weights": None}, "repository goes with kind: command"),
        ({"minutes": None}, "the key 'minutes' is missing; add it"),
        ({"memory_gb": 0}, "memory_gb is 0; give a number above 0"),
        ({"commit": "f1ddc96"}, "give all 40 hex digits"),
        ({"repositry": "a/b"}, "unknown key 'repositry'; did you mean 'repository'?"),
        ({"features": {"dover_official": {}, "lse": {}}}, "features names 2 extractors"),
        ({"weights": {"folder": "../w", "files": [], "by_hand": "x"}}, "leaves the repository"),
    ],
)
def test_mistakes_in_an_entry_are_sentences(tmp_path, changes, sentence):
    with pytest.raises(UserError, match="Net") as error:
        load(tmp_path, **changes)
    assert sentence in str(error.value)


def test_the_registry_has_a_program_for_each_such_extractor(tmp_path):
    commands = read_commands(REGISTRY)
    assert {c.model for c in commands.values()} == {
        "DOVER-official", "FAST-VQA-official", "VideoLLaMA2.1-7B-AV",
    }  # fmt: skip
    for command in commands.values():
        assert Path(command.source.environment).is_file()
        assert command.source.environment == f"workflow/envs/models/{command.model}.yaml"
    with pytest.raises(UserError, match="no entry of kind command in x names this extractor"):
        find_command(commands, "dover_official-second", "x")
    both = {"One": ENTRY, "Two": ENTRY}
    (tmp_path / "two.yaml").write_text(yaml.safe_dump(both))
    with pytest.raises(UserError, match="One and Two are two repositories of the extractor"):
        read_commands(tmp_path / "two.yaml")


def test_a_program_has_its_own_weights(tmp_path):
    config = {
        "weights": {"repositories": str(tmp_path)}, "regression": {"registry": str(REGISTRY)},
        "features": {"dover_official": {"weights": "net.pth", "options": {}}},
    }  # fmt: skip
    with pytest.raises(UserError, match="which has its own weights; say official, or random"):
        CommandPlan(config)
    config["features"]["dover_official"]["weights"] = "official"
    plan = CommandPlan(config)
    assert plan.list_manifests() == [f"{tmp_path}/DOVER-official/manifest.json"]
    assert plan.list_manifests("lse") == []
    command = load_checked_models()["DOVER-official"].command
    assert list_missing_parts(command, tmp_path)[:2] == ["repository", "environment"]
    install_standin(tmp_path / "DOVER-official", "evaluate_one_video.py")
    missing = list_missing_parts(command, tmp_path)
    assert missing == ["weights pretrained_weights/hub/checkpoints/"]


def test_show_and_check_name_what_is_missing_and_the_licence(tmp_path, capsys, monkeypatch):
    assert main(["models", "show", "VideoLLaMA2.1-7B-AV"]) == 0
    text = capsys.readouterr().out
    assert "repository: DAMO-NLP-SG/VideoLLaMA2 at 8cedfbda" in text
    assert "one video: at most 10 minutes, 24 GB of memory, 24 GB on a GPU" in text
    config = {
        "dataset": "x", "mode": "import_videos", "import": {"folder": "v", "pattern": "x"},
        "weights": {"repositories": str(tmp_path)}, "ratings": {"source": "none"},
        "features": {"dover_official": {"weights": "official"}},
    }  # fmt: skip
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(config))
    assert main(["check", "--config", str(tmp_path / "x.yaml")]) == 1
    text = capsys.readouterr().out
    assert "DOVER-official: repository, environment, weights pretrained_weights/DOVER.pth" in text
    assert "VQAssessment/DOVER: S-Lab License 1.0, non-commercial use only" in text
