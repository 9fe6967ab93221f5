"""Recurrent audio-visual heads: DNN-RNT and DNN-SND (``model: dnn``), GeneralAVQA (``general``).

Inputs in this order: video, then sound. dnn reads one sound feature per step (ResNet-50 of the
spectrogram: DNN-RNT; SoundNet: DNN-SND). general reads the time-frequency maps, e.g.
[general_avqa.video, audio.chroma_stft, audio.chroma_cqt, audio.mfcc, audio.gfcc], or with
``columns: 0`` one ready feature per segment. By default networks are trained as the official
scripts train them; docs/ugvq.md names the papers and what differs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import nn

from sfqa.arrays import Floats
from sfqa.errors import UserError
from sfqa.options import Choice, Numbers, Option, Options
from sfqa.regression.blocks import HeadInput, Steps
from sfqa.regression.head import check_input_count
from sfqa.regression.network_head import NetworkHead, Shapes, read_width
from sfqa.regression.networks import avqa
from sfqa.regression.networks.audio_maps import read_sound_size
from sfqa.regression.problems import Problem
from sfqa.regression.training_options import training_options

VERSION = 4
DESIGN = "blocks"
INPUTS = {
    "": ("video steps", "audio+ steps"),
    "columns=0": ("video steps", "audio steps"),
    "model=dnn": ("video steps", "audio steps"),
}
PROBLEMS_PER_CALL = 20
OPTIONS: Options = {
    "model": Choice("dnn", ("dnn", "general"), "dnn: DNN-RNT and DNN-SND; general: GeneralAVQA"),
    "steps": Option(
        0, 0, None, "steps of every input; 0: as published, 96 (dnn) or 30 (general)", whole=True
    ),
    "segment": Option(24, 1, None, "steps of a segment (dnn)", whole=True),
    "width": Option(
        2048, 1, None, "width of the first layer (dnn) or of the sound's vector (general)",
        whole=True,
    ),
    "state": Option(128, 1, None, "width of the BiLSTM in one direction (general)", whole=True),
    "vector": Option(1024, 1, None, "width of the vector of each modality (general)", whole=True),
    "channels": Numbers(
        [32, 64, 128], 1, None, "channels of the maps' convolutions (general)", whole=True
    ),
    "columns": Option(
        64, 0, None, "columns of a map of sound; 0: there are no maps (general)", whole=True
    ),
    "dropout": Option(0.5, 0, 1, "dropout"),
    "mos_divisor": Option(
        -1.0, -1, None,
        "number that MOS are divided by; -1: as published, 100, the end of the published scale "
        "(dnn), or the largest MOS of the train rows (general); 0: MOS are standardised on the "
        "train rows",
    ),
    "select_after": Option(
        -1, -1, None,
        "the first epochs, of which none is kept; -1: as published, 30 of more than 30 epochs "
        "(dnn) or 0 (general)",
        whole=True,
    ),
    **training_options(loss="mse", select="loss", patience=100),
    "learning_rate": Option(
        -1.0, -1, None,
        "learning rate of Adam; -1: as published, 5e-5 (dnn) or 1e-4 (general)",
    ),
    "epochs": Option(
        -1, -1, None, "largest number of epochs; -1: as published, 100 (dnn) or 50 (general)",
        whole=True,
    ),
    "batch_rows": Option(
        -1, -1, None,
        "rows of a batch, 0: all rows; -1: as published, 20 (dnn) or 16 (general)",
        whole=True,
    ),
}  # fmt: skip

_PUBLISHED = {
    "dnn": {"learning_rate": 5e-5, "epochs": 100, "batch_rows": 20},
    "general": {"learning_rate": 1e-4, "epochs": 50, "batch_rows": 16},
}
_STEPS = {"dnn": 96, "general": 30}
#: Epochs of dnn that are not scored on validation rows.
_SELECT_AFTER = 30


class Head(NetworkHead):
    """Video and sound, each through a recurrent network."""

    def list_inputs(self, options: Mapping[str, Any], inputs: Sequence[str]) -> list[HeadInput]:
        """Return the video, then the sound, all with the same number of steps."""
        model, count = options["model"], options["steps"] or _STEPS[options["model"]]
        if model == "dnn" and count % options["segment"]:
            raise UserError(
                f"head avqa_recurrent, option steps: {count} is no multiple of segment "
                f"({options['segment']}); choose another"
            )
        for name in ("learning_rate", "mos_divisor"):
            if -1 < options[name] < 0:
                raise UserError(
                    f"head avqa_recurrent, option {name}: {options[name]:g} is below 0; give a "
                    "number above 0, or -1 for the published one"
                )
        completed = self.complete_options(options)
        if completed["select_after"] >= completed["epochs"]:
            raise UserError(
                f"head avqa_recurrent, option select_after: {completed['select_after']} of "
                f"{completed['epochs']} epochs leave none to keep; choose fewer"
            )
        reads_maps = model == "general" and options["columns"]
        if not (reads_maps and len(inputs) > 1):
            check_input_count(self.name, inputs, ("video", "audio"))
        sounds = ["audio"] if model == "dnn" else [f"audio{n}" for n in range(len(inputs) - 1)]
        return [HeadInput(role, Steps(count)) for role in ("video", *sounds)]

    def complete_options(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the options with the published training instead of -1, and the segments of dnn."""
        published = _PUBLISHED[options["model"]]
        completed = {
            k: published[k] if k in published and v == -1 else v for k, v in options.items()
        }
        is_dnn = options["model"] == "dnn"
        if completed["select_after"] == -1:
            late = is_dnn and completed["epochs"] > _SELECT_AFTER
            completed["select_after"] = _SELECT_AFTER if late else 0
        steps = completed["steps"] or _STEPS["dnn"]
        completed["training_segments"] = steps // completed["segment"] if is_dnn else 1
        return completed

    def standardises(self, role: str) -> bool:
        """Return False: the official networks read the features as they are."""
        return False

    def scale_mos(self, problem: Problem, options: Mapping[str, Any]) -> tuple[Floats, Floats]:
        """Return zeros and the option ``mos_divisor``; for 0 what other heads use."""
        divisor = float(options["mos_divisor"])
        if divisor == 0:
            return super().scale_mos(problem, options)
        if divisor == -1 and options["model"] == "general":
            largest = np.nanmax(np.abs(problem.y[problem.train]), axis=0, initial=0)
            return np.zeros(problem.dims), np.where(largest > 0, largest, 1.0)
        return np.zeros(problem.dims), np.full(problem.dims, 100.0 if divisor == -1 else divisor)

    def build(self, shapes: Shapes, dims: int, options: Mapping[str, Any]) -> nn.Module:
        """Return the network of the chosen model."""
        width, dropout = options["width"], float(options["dropout"])
        steps, video = shapes["video"]
        if options["model"] == "dnn":
            sound = read_width(shapes["audio"])
            return avqa.StepScores(video, sound, dims, options["segment"], width, dropout)
        return avqa.GeneralAvqa(
            video, read_sound_size(shapes, options["columns"]), dims, steps, width,
            options["state"], options["vector"], tuple(options["channels"]), dropout,
        )  # fmt: skip
