"""QA Team's audio-visual fusion, the winner of NTIRE 2025 XGC's talking-head track.

Inputs in this order: spatial (a backbone's features of the first frame of each second), temporal
(slowfast), then maps of sound [audio.chroma_stft, audio.chroma_cqt, audio.mfcc, audio.gfcc], or
with ``columns: 0`` one ready feature per segment. What the report leaves open: docs/ugvq.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from sfqa.errors import UserError
from sfqa.regression.blocks import Form
from sfqa.regression.heads import _network
from sfqa.regression.heads.avqa_recurrent import sound_of
from sfqa.regression.networks import fusion
from sfqa.regression.problems import Features, Problem
from sfqa.regression.stacking import Build

VERSION = 1
SELECTS = True
DESIGN = "blocks"
MULTI_OUTPUT = False
TOGETHER = 20
#: spatial, temporal, audio: branches that are used. clips: cyclic; segments, columns: of the maps
#: (columns 0: no maps). width: of a map's vector; state: of the BiLSTM in one direction; hidden: of
#: the last layers. Rate and its decay are the team's; they trained the backbone too, one by one.
OPTIONS: dict[str, Any] = {
    "spatial": True,
    "temporal": True,
    "audio": True,
    "clips": 6,
    "segments": 30,
    "columns": 64,
    "width": 2048,
    "state": 128,
    "hidden": [512, 128],
    "channels": [32, 64, 128],
    "dropout": 0.0,
    "loss": "mse",
    "learning_rate": 1.0e-5,
    "weight_decay": 0.0,
    "decay": 0.95,
    "decay_every": 2,
    "epochs": 50,
    "patience": 50,
    "batch_rows": 8,
    "select": "srcc",
    "precision": "float32",
    "memory_gb": 0.0,
}


def forms(options: Mapping[str, Any], inputs: Sequence[str]) -> list[Form]:
    """Return how each input is brought to blocks: clips cyclic, segments of sound uniform."""
    if len(inputs) < 3 or (len(inputs) > 3 and not options["columns"]):
        raise UserError(
            f"head audio_visual_fusion: inputs {', '.join(inputs) or 'none'}; it reads, in this "
            "order: spatial, temporal, maps of sound (one input where columns is 0)"
        )
    clip, segment = Form(int(options["clips"]), "cyclic"), Form(int(options["segments"]))
    return [clip, clip, *[segment] * (len(inputs) - 2)]


def roles(options: Mapping[str, Any], inputs: int) -> list[str]:
    """Return the role of every input, '' for one that is not used.

    >>> roles({**OPTIONS, "temporal": False}, 4)
    ['spatial', '', 'audio0', 'audio1']
    """
    found = [r if options[r] else "" for r in ("spatial", "temporal")]
    found += [f"audio{n}" if options["audio"] else "" for n in range(inputs - 2)]
    if not any(found):
        raise UserError("head audio_visual_fusion, options: all branches are off; leave one")
    return found


def build_of(options: Mapping[str, Any]) -> Build:
    """Return what makes a network from the shapes of the blocks by role."""

    def build(shapes: dict[str, tuple[int, ...]], dims: int) -> nn.Module:
        widths = {role: _network.width(shape) for role, shape in shapes.items()}
        return fusion.AudioVisual(
            widths, sound_of(shapes, int(options["columns"])), dims, int(options["width"]),
            int(options["state"]), options["hidden"], tuple(options["channels"]),
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
        "audio_visual_fusion", VERSION, build_of(options), x, problems, roles(options, len(x)),
        options, work, device,
    )  # fmt: skip


def restore(
    states: Sequence[_network.State], options: Mapping[str, Any], device: str
) -> _network.RoleModels:
    """Return the models of model files."""
    sounds = sum(key.startswith("shape.audio") for key in states[0])
    own = roles(options, 2 + sounds) if sounds else roles({**options, "audio": False}, 2)
    return _network.restored(build_of(options), states, own, options, device)
