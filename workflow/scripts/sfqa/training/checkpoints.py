"""Checkpoints of a training: written by rename, and a damaged or foreign one counts as missing."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sfqa import store
from sfqa.untrusted.tensors import check_torch_archive, load_tensors


def write_checkpoint(path: Path, name: str, state: dict[str, Any]) -> None:
    """Write a state under a name that says what its numbers depend on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with store.replacing(path) as temporary:
        torch.save({"name": name, "state": state}, temporary)


def read_checkpoint(path: Path, name: str) -> dict[str, Any] | None:
    """Return the state of a checkpoint of this name, on the CPU; None if there is none."""
    if not path.is_file():
        return None
    try:
        check_torch_archive(path)
        # torch does not look at the checksums in its own files: a flipped bit is another weight.
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                return None
        stored = load_tensors(path, mmap=False)
        return stored["state"] if stored["name"] == name else None
    except Exception:
        # torch raises many kinds for damaged files; all mean the same: begin anew.
        return None


def copy_state(network: nn.Module) -> dict[str, Any]:
    """Return a copy of the parameters and buffers of a network, by name."""
    return {name: value.detach().clone() for name, value in network.state_dict().items()}
