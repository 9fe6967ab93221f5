"""Write stand-ins of official weights files: their keys and layout, with random numbers.

The numbers of a network say nothing, but the files pass through all that official ones do: search,
download, digests, key rules and loading. Beside them are a registry with their digests and a
configuration that asks a server on loopback for them. From the project's folder:

    PYTHONPATH=workflow/scripts python tests/support/standin_weights.py my.yaml stand-ins
    python -m http.server 8000 --bind 127.0.0.1 --directory stand-ins &
    snakemake --cores 2 --configfile my.yaml stand-ins/config.yaml
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml

from sfqa.features import base
from sfqa.features.weights import RANDOM, Weights
from sfqa.identity import sha256_file
from sfqa.models.weights_files import WeightsFile

#: Another seed than that of random weights, so that the numbers of both differ.
SEED = 7
#: What stands in for files beside the weights that hold no network, by extractor, part and model.
SETTINGS = {
    ("valor", "settings", "base"): {"video_encoder_type": "videoswin_base_k600_22k"},
    ("valor", "settings", "large"): {"video_encoder_type": "clip_vit_large_14_336px"},
}


@dataclass(frozen=True)
class RecordedWeights(Weights):
    """Random weights that keep the state dict of every network, by the name of its part."""

    states: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)
    part: str = ""

    def get_part(self, name: str) -> Weights:
        weights = super().get_part(name)
        return RecordedWeights(
            weights.kind, weights.identity, weights.path, weights.seed, weights.keys,
            states=self.states, part=name,
        )  # fmt: skip

    def load(
        self,
        build: Callable[[], torch.nn.Module],
        ignore: Sequence[str] = (),
        convert: Callable[[dict[str, Any], torch.nn.Module], Mapping[str, Any]] | None = None,
    ) -> torch.nn.Module:
        network = super().load(build, ignore, convert)
        self.states[self.part] = dict(network.state_dict())
        return network


def record_states(extractor: str, options: Mapping[str, Any]) -> dict[str, dict[str, torch.Tensor]]:
    """Return the state dicts of an extractor's networks, by part ('' is the main one)."""
    weights = RecordedWeights(RANDOM, f"random:{SEED}", seed=SEED)
    base.build_extractor(extractor, options, weights, "cpu")
    return weights.states


def write_file(entry: WeightsFile, state: Mapping[str, torch.Tensor], folder: Path) -> Path:
    """Write a state dict in the layout that the key rules of an entry undo."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / entry.file
    stored = {entry.keys.prefix + key: value.contiguous() for key, value in state.items()}
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file(stored, path)
    else:
        torch.save({entry.keys.wrapper: stored} if entry.keys.wrapper else stored, path)
    return path


def write_standins(
    config_path: Path, folder: Path, address: str = "http://127.0.0.1:8000"
) -> list[Path]:
    """Write a file for every official weights file of a configuration, weights.yaml and config.yaml.

    ``address`` is that of the server from which the configuration fetches them.
    """
    from sfqa.cli._config import read_config
    from sfqa.features.official import find_official_files, load_registry
    from sfqa.regression.model_metrics import expand_models

    config = read_config(config_path)
    config["weights"]["models"] = "official"
    config = expand_models(config)
    registry = load_registry(config["weights"]["registry"])
    files = {}
    for extractor, spec in config["features"].items():
        if not base.has_weights(extractor):
            continue
        entries = find_official_files(registry, extractor, {**spec, "weights": "official"})
        states = record_states(extractor, spec["options"])
        for part, entry in entries.items():
            if part in states:
                files[entry.name] = write_file(entry, states[part], folder)
            else:
                settings = SETTINGS[entry.extractor, part, str(entry.options.get("model"))]
                files[entry.name] = folder / entry.file
                files[entry.name].write_text(json.dumps(settings), encoding="utf-8")
    _write_registry(Path(config["weights"]["registry"]), files, folder / "weights.yaml")
    weights = {
        "models": "official",
        "registry": str(folder / "weights.yaml"),
        "folder": str(folder / "fetched"),
        "mirrors": [address],
    }
    described = {"dataset": f"{config['dataset']}_standins", "weights": weights}
    (folder / "config.yaml").write_text(yaml.safe_dump(described), encoding="utf-8")
    return list(files.values())


def _write_registry(registry: Path, files: Mapping[str, Path], path: Path) -> None:
    """Copy a registry, with sizes and digests of the stand-ins in place of the published ones."""
    entries = yaml.safe_load(registry.read_text(encoding="utf-8"))
    for name, entry in entries.items():
        for key in ("size", "sha256", "sha256_source"):
            entry.pop(key, None)
        if name in files:
            entry["size"] = files[name].stat().st_size
            entry["sha256"] = sha256_file(files[name])
            entry["sha256_source"] = "the stand-in"
    path.write_text(yaml.safe_dump(entries, sort_keys=False), encoding="utf-8")


if __name__ == "__main__":
    for path in write_standins(Path(sys.argv[1]), Path(sys.argv[2])):
        print(path, path.stat().st_size)
