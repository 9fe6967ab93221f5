"""QA Team's audio-visual fusion, the winner of NTIRE 2025 XGC's talking-head track.

Inputs in this order: spatial (a backbone's features of the first frame of each second), temporal
(slowfast), then maps of sound [audio.chroma_stft, audio.chroma_cqt, audio.mfcc, audio.gfcc], or
with ``columns: 0`` one ready feature per segment. docs/ugvq.md lists what the report leaves open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from sfqa.errors import UserError
from sfqa.options import Flag, Numbers, Option, Options
from sfqa.regression.blocks import HeadInput, Steps
from sfqa.regression.network_head import NetworkHead, Shapes, read_width
from sfqa.regression.networks import fusion
from sfqa.regression.networks.audio_maps import read_sound_size
from sfqa.regression.training_options import training_options

VERSION = 3
DESIGN = "blocks"
INPUTS = {
    "": ("spatial steps", "temporal steps", "audio+ steps"),
    "columns=0": ("spatial steps", "temporal steps", "audio steps"),
}
PROBLEMS_PER_CALL = 20
OPTIONS: Options = {
    "spatial": Flag(True, "whether the key frames are used"),
    "temporal": Flag(True, "whether the clips are used"),
    "audio": Flag(True, "whether the sound is used"),
    "clips": Option(
        6, 1, None, "key frames and clips of each video; from the first one again if there are "
        "fewer", whole=True,
    ),
    "segments": Option(30, 1, None, "segments of the sound", whole=True),
    "columns": Option(64, 0, None, "columns of a map of sound; 0: there are no maps", whole=True),
    "width": Option(2048, 1, None, "width of the vector that the maps become", whole=True),
    "state": Option(128, 1, None, "width of the BiLSTM in one direction", whole=True),
    "hidden": Numbers([512, 128], 1, None, "widths of the last layers", whole=True),
    "channels": Numbers([32, 64, 128], 1, None, "channels of the maps' convolutions", whole=True),
    "dropout": Option(0.0, 0, 1, "dropout"),
    **training_options(
        # Rate and decay are the team's, who trained the backbone too, one model at a time.
        loss="mse", learning_rate=1.0e-5, decay=0.95, decay_every=2, batch_rows=8,
    ),
}  # fmt: skip


class Head(NetworkHead):
    """Key frames, clips and sound, joined by the last layers."""

    def list_inputs(self, options: Mapping[str, Any], inputs: Sequence[str]) -> list[HeadInput]:
        """Return key frames, clips, then the maps of sound or one ready feature of it."""
        if len(inputs) < 3 or (len(inputs) > 3 and not options["columns"]):
            raise UserError(
                f"head audio_visual_fusion: inputs {', '.join(inputs) or 'none'}; it reads, in "
                "this order: spatial, temporal, maps of sound (one input where columns is 0)"
            )
        if not any(options[branch] for branch in ("spatial", "temporal", "audio")):
            raise UserError("head audio_visual_fusion, options: all branches are off; leave one")
        clips, segments = Steps(options["clips"], "cyclic"), Steps(options["segments"])
        return [
            HeadInput("spatial", clips, used=options["spatial"]),
            HeadInput("temporal", clips, used=options["temporal"]),
            *(
                HeadInput(f"audio{n}", segments, used=options["audio"])
                for n in range(len(inputs) - 2)
            ),
        ]

    def build(self, shapes: Shapes, dims: int, options: Mapping[str, Any]) -> nn.Module:
        """Return the branches that are used and the layers that join them."""
        widths = {role: read_width(shape) for role, shape in shapes.items()}
        return fusion.AudioVisual(
            widths, read_sound_size(shapes, options["columns"]), dims, options["width"],
            options["state"], options["hidden"], tuple(options["channels"]),
            float(options["dropout"]),
        )  # fmt: skip
