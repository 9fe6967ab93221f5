"""AIGC-VQA's late fusion of three branches (CVPRW 2024, 3.4): s = q_t + q_a + s_a.

Inputs in this order: technical, aesthetic, alignment features, e.g. DOVER's two and BLIP's class
token. Whole maps are read position by position with ``channels``: the GELU of these heads does not
commute with pooling. What differs from the paper: docs/ugvq.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from sfqa.errors import UserError
from sfqa.regression.blocks import Form
from sfqa.regression.heads import _network
from sfqa.regression.networks import fusion
from sfqa.regression.problems import Features, Problem
from sfqa.regression.stacking import Build

VERSION = 1
SELECTS = True
DESIGN = "blocks"
MULTI_OUTPUT = False
#: technical, aesthetic, alignment: branches that are used (table 2). steps: of every input, cut
#: uniformly (0: as they are, the same for all samples). channels: of a step's map, the rest being
#: positions (0: a step is a vector). hidden: of every branch. The rate is that of DOVER's heads.
OPTIONS: dict[str, Any] = {
    "technical": True,
    "aesthetic": True,
    "alignment": True,
    "steps": 0,
    "channels": 0,
    "hidden": 64,
    "dropout": 0.5,
    "loss": "plcc + rank_aigcvqa",
    "learning_rate": 1.0e-3,
    "weight_decay": 0.05,
    "decoupled": True,
    "epochs": 50,
    "patience": 20,
    "batch_rows": 32,
    "select": "srcc",
    "precision": "float32",
    "memory_gb": 0.0,
}


def forms(options: Mapping[str, Any], inputs: Sequence[str]) -> list[Form]:
    """Return how each input is brought to blocks; raises :class:`UserError` for their number."""
    _network.counted("late_fusion", inputs, fusion.BRANCHES)
    return [Form(int(options["steps"]) or None) for _ in inputs]


def roles(options: Mapping[str, Any]) -> list[str]:
    """Return the role of every input, '' for a branch that is off."""
    found = [role if options[role] else "" for role in fusion.BRANCHES]
    if not any(found):
        raise UserError("head late_fusion, options: all branches are off; leave one")
    return found


def build_of(options: Mapping[str, Any]) -> Build:
    """Return what makes a network from the shapes of the blocks by role."""

    def build(shapes: dict[str, tuple[int, ...]], dims: int) -> nn.Module:
        widths = {role: _network.width(shape) for role, shape in shapes.items()}
        return fusion.LateFusion(
            widths, dims, int(options["hidden"]), int(options["channels"]),
            float(options["dropout"]),
        )  # fmt: skip

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
        "late_fusion", VERSION, build_of(options), x, problems, roles(options), options, work,
        device,
    )  # fmt: skip


def restore(
    states: Sequence[_network.State], options: Mapping[str, Any], device: str
) -> _network.RoleModels:
    """Return the models of model files."""
    return _network.restored(build_of(options), states, roles(options), options, device)
