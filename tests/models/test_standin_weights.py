"""Stand-ins of official weights files pass through search, download, digests, key rules and loading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from loopback_server import Server, whole
from sfqa import cli
from sfqa.configuration import complete_sections
from sfqa.errors import UserError
from sfqa.features import base
from sfqa.features.weights import resolve_weights
from sfqa.features.weights_plan import WeightsPlan
from sfqa.models.fetching import fetch_weights
from sfqa.models.lock import WeightsLock
from sfqa.regression.model_metrics import expand_models
from standin_weights import RecordedWeights, record_states, write_standins

SCHEMA = Path(__file__).parents[2] / "workflow/schemas/config.schema.yaml"


@pytest.fixture(autouse=True)
def no_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HOME", "TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))


def serve(server: Server, folder: Path) -> None:
    for path in folder.glob("*.*"):
        server.answers[f"/{path.name}"] = [whole(path.read_bytes())]


def make_plan(tmp_path: Path, server: Server, model: str) -> tuple[WeightsPlan, dict[str, Any]]:
    """Write stand-ins for a model, serve them, and return the plan of a configuration."""
    config = {
        "dataset": "d", "mode": "import_videos", "import": {"sheet": "v.csv"},
        "regression": {"models": [model]},
    }  # fmt: skip
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(config))
    write_standins(tmp_path / "my.yaml", tmp_path / "stand-ins", server.url)
    serve(server, tmp_path / "stand-ins")
    config |= yaml.safe_load((tmp_path / "stand-ins/config.yaml").read_text())
    (tmp_path / "with.yaml").write_text(yaml.safe_dump(config))
    expanded = expand_models(complete_sections(config, SCHEMA))
    return WeightsPlan(expanded, tmp_path / "results"), expanded


@pytest.mark.parametrize(
    "model",
    [
        "LSE-C",
        pytest.param("SimpleVQA", marks=pytest.mark.thorough),
        pytest.param("FAST-VQA", marks=pytest.mark.thorough),
        pytest.param("DOVER", marks=pytest.mark.thorough),
        pytest.param("VALOR", marks=pytest.mark.thorough),
    ],
)
def test_files_of_a_server_become_the_networks(
    server: Server, tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Full size, all keys: fetched once, checked by size and digest, loaded by the key rules."""
    plan, config = make_plan(tmp_path, server, model)
    assert cli.main(["weights", "--config", str(tmp_path / "with.yaml")]) == 1
    # The publisher's files of VALOR are on a shared drive; the mirror has them all the same.
    instruction = "by hand: download" if model == "VALOR" else "sfqa weights --fetch"
    assert instruction in capsys.readouterr().out
    lock = WeightsLock(plan.lock_path)
    for entry in plan.list_files().values():
        fetch_weights(entry, plan.folder, plan.mirrors, lock, log=lambda line: None)
    assert len(server.seen) == len(plan.list_files())
    for extractor, spec in config["features"].items():
        if not base.has_weights(extractor):
            continue
        weights = resolve_weights(plan.add_official(spec, extractor), extractor)
        loaded: dict[str, dict[str, torch.Tensor]] = {}
        recorded = RecordedWeights(
            weights.kind, weights.identity, weights.path, keys=weights.keys, parts=weights.parts,
            states=loaded,
        )  # fmt: skip
        base.build_extractor(extractor, spec["options"], recorded, "cpu")
        expected = record_states(extractor, spec["options"])
        assert loaded.keys() == expected.keys()
        for part, state in expected.items():
            assert all(torch.equal(loaded[part][key], value) for key, value in state.items())


def test_a_damaged_file_of_the_server_is_refused(server: Server, tmp_path: Path) -> None:
    plan, _ = make_plan(tmp_path, server, "LSE-C-cascade")
    (entry,) = plan.list_files().values()
    content = bytearray((tmp_path / "stand-ins" / entry.file).read_bytes())
    content[1000] ^= 1
    server.answers[f"/{entry.file}"] = [whole(bytes(content))]
    with pytest.raises(UserError, match="sha256"):
        fetch_weights(
            entry, plan.folder, plan.mirrors, log=lambda line: None, attempts=1, pause_sec=0.01
        )
