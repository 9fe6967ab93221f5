"""UGVQ's fusion network and regressor on cached features, all trials and dimensions at once.

Inputs in this order: spatial (key frames), temporal (clips), text (the prompt), e.g.
[clip.image, slowfast, clip.text]. Paper and readings: docs/ugvq.md. At the paper's sizes, with a
1024-wide ViT and text encoder and SlowFast's 2304, a model of three dimensions has 198,635,523
parameters: a GPU's work. All sizes are options.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from sfqa.errors import UserError
from sfqa.regression.blocks import Form
from sfqa.regression.heads import _network
from sfqa.regression.networks import ugvq
from sfqa.regression.problems import Features, Problem
from sfqa.regression.stacking import Build

VERSION = 1
SELECTS = True
DESIGN = "blocks"
MULTI_OUTPUT = True
#: Ten models of the paper's size are 8 GB before they are trained.
TOGETHER = 10
#: spatial, temporal, text, fusion: the ablations of table 5. frames, clips: steps of each video.
#: tokens: what attends, all frames and clips (sequence) or their means (video). positions: none or
#: learned, for the frames. dropout: the paper names none. The learning rate is multiplied by decay
#: every decay_every epochs; memory_gb bounds what trains together (0: by the device).
OPTIONS: dict[str, Any] = {
    "spatial": True,
    "temporal": True,
    "text": True,
    "fusion": True,
    "frames": 8,
    "clips": 8,
    "width": 1024,
    "layers": 8,
    "heads": 2,
    "feedforward": 2048,
    "fusion_heads": 4,
    "fusion_feedforward": 1536,
    "hidden": 9216,
    "dropout": 0.0,
    "tokens": "sequence",
    "positions": "none",
    "loss": "mae + rank_aigcvqa",
    "learning_rate": 1.0e-5,
    "weight_decay": 0.0,
    "decay": 0.9,
    "decay_every": 5,
    "epochs": 50,
    "patience": 50,
    "batch_rows": 32,
    "select": "srcc",
    "precision": "float32",
    "memory_gb": 0.0,
}

_SIZES = (
    "width", "layers", "heads", "feedforward", "fusion_heads", "fusion_feedforward", "hidden",
    "dropout", "tokens", "positions",
)  # fmt: skip


def forms(options: Mapping[str, Any], inputs: Sequence[str]) -> list[Form]:
    """Return how each input is brought to blocks; raises :class:`UserError` for their number."""
    _network.counted("ugvq", inputs, ugvq.ROLES)
    return [Form(int(options["frames"])), Form(int(options["clips"])), Form(0)]


def roles(options: Mapping[str, Any]) -> list[str]:
    """Return the role of every input, '' for one that is ablated.

    >>> roles({**OPTIONS, "temporal": False})
    ['spatial', '', 'text']
    """
    found = [role if options[role] else "" for role in ugvq.ROLES]
    if not any(found):
        raise UserError("head ugvq, options: all of spatial, temporal and text are off; leave one")
    return found


def build_of(options: Mapping[str, Any]) -> Build:
    """Return what makes a network from the shapes of the blocks by role."""
    _network.choice("ugvq", options, "tokens", ugvq.TOKENS)
    _network.choice("ugvq", options, "positions", ugvq.POSITIONS)
    sizes = ugvq.Sizes(**{k: options[k] for k in _SIZES})

    def build(shapes: dict[str, tuple[int, ...]], dims: int) -> nn.Module:
        widths = {role: _network.width(shape) for role, shape in shapes.items()}
        frames = shapes["spatial"][0] if len(shapes.get("spatial", ())) == 2 else 1
        return ugvq.Ugvq(widths, dims, sizes, frames, bool(options["fusion"]))

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
        "ugvq", VERSION, build_of(options), x, problems, roles(options), options, work, device
    )


def restore(
    states: Sequence[_network.State], options: Mapping[str, Any], device: str
) -> _network.RoleModels:
    """Return the models of model files."""
    return _network.restored(build_of(options), states, roles(options), options, device)
