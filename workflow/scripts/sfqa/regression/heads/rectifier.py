"""A base score, rectified by scales and shifts from other features (NTIRE 2025 XGC, SJTU-MOE-AI).

Inputs in this order: base (a score that rises with quality, as clip.cosine, or features that a
small network makes a score of), spatial, temporal, and maybe alignment. The formula is that of
:mod:`sfqa.regression.networks.rectifier`; readings: docs/ugvq.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from sfqa.errors import UserError
from sfqa.regression.blocks import Form
from sfqa.regression.heads import _network
from sfqa.regression.networks import rectifier
from sfqa.regression.problems import Features, Problem
from sfqa.regression.stacking import Build

VERSION = 1
SELECTS = True
DESIGN = "blocks"
MULTI_OUTPUT = False
#: spatial, temporal, alignment: rectifiers that are used. base_direction: -1 where the base falls
#: with quality. hidden: of every network. The team trained with batches of 8 at 1e-5 for 10 epochs,
#: backbones and all; on frozen features a larger rate is needed.
OPTIONS: dict[str, Any] = {
    "spatial": True,
    "temporal": True,
    "alignment": True,
    "base_direction": 1,
    "hidden": 128,
    "dropout": 0.0,
    "loss": "plcc",
    "learning_rate": 1.0e-4,
    "weight_decay": 0.0,
    "epochs": 100,
    "patience": 20,
    "batch_rows": 32,
    "select": "srcc",
    "precision": "float32",
    "memory_gb": 0.0,
}

ROLES = ("base", *rectifier.ROLES)


def forms(options: Mapping[str, Any], inputs: Sequence[str]) -> list[Form]:
    """Return how each input is brought to blocks: its mean over frames or clips."""
    if not 2 <= len(inputs) <= len(ROLES):
        raise UserError(
            f"head rectifier: inputs {', '.join(inputs) or 'none'}; it reads 2 to 4, in this "
            f"order: {', '.join(ROLES)}"
        )
    return [Form(0) for _ in inputs]


def roles(options: Mapping[str, Any], inputs: int) -> list[str]:
    """Return the role of every input, '' for a rectifier that is off."""
    return ["base", *(r if options[r] else "" for r in rectifier.ROLES[: inputs - 1])]


def build_of(options: Mapping[str, Any]) -> Build:
    """Return what makes a network from the shapes of the blocks by role."""
    direction = int(options["base_direction"])
    if direction not in (1, -1):
        raise UserError(f"head rectifier, option base_direction: {direction}; write 1 or -1")

    def build(shapes: dict[str, tuple[int, ...]], dims: int) -> nn.Module:
        widths = {role: _network.width(shape) for role, shape in shapes.items()}
        return rectifier.Rectified(
            widths, dims, int(options["hidden"]), float(options["dropout"]), direction
        )

    return build


def fit_many(
    x: Features,
    problems: Sequence[Problem],
    options: Mapping[str, Any],
    work: Path,
    device: str,
) -> _network.RoleModels:
    """Train one model per problem, stacked; see the head contract."""
    return _network.fit(
        "rectifier", VERSION, build_of(options), x, problems, roles(options, len(x)), options, work,
        device,
    )  # fmt: skip


def restore(
    states: Sequence[_network.State], options: Mapping[str, Any], device: str
) -> _network.RoleModels:
    """Return the models of model files."""
    kept = {key[6:] for key in states[0] if key.startswith("shape.")}
    last = max(ROLES.index(role) for role in kept)
    own = [r if r in kept else "" for r in ROLES[: last + 1]]
    return _network.restored(build_of(options), states, own, options, device)
