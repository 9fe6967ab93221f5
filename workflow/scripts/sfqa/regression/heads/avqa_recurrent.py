"""Recurrent audio-visual heads: DNN-RNT and DNN-SND (``model: dnn``), GeneralAVQA (``general``).

Inputs in this order: video, then sound. dnn takes one sound feature per step (ResNet-50 of the
spectrogram: DNN-RNT; SoundNet: DNN-SND). general takes the time-frequency maps, e.g. [spatial,
audio.chroma_stft, audio.chroma_cqt, audio.mfcc, audio.gfcc], or with ``columns: 0`` one ready
feature per segment. Paper and readings: docs/ugvq.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from sfqa.errors import UserError
from sfqa.regression.blocks import Form
from sfqa.regression.heads import _network
from sfqa.regression.networks import avqa
from sfqa.regression.problems import Features, Problem
from sfqa.regression.stacking import Build

VERSION = 1
SELECTS = True
DESIGN = "blocks"
MULTI_OUTPUT = False
TOGETHER = 20
#: steps: 0 is the published number, 96 (dnn) or 30 (general). segment: steps of a segment (dnn).
#: width: of the first layer (dnn), of the sound's convolutions (general). state, vector, channels,
#: columns: general's BiLSTM, its vector per modality, its convolutions, columns of a map (0: no
#: maps). learning_rate, epochs and batch_rows: -1 is as published, 5e-5, 100 and 20 (dnn), 1e-4, 50
#: and 16 (general).
OPTIONS: dict[str, Any] = {
    "model": "dnn",
    "steps": 0,
    "segment": 24,
    "width": 2048,
    "state": 128,
    "vector": 1024,
    "channels": [32, 64, 128],
    "columns": 64,
    "dropout": 0.5,
    "loss": "mse",
    "learning_rate": -1.0,
    "weight_decay": 0.0,
    "epochs": -1,
    "patience": 50,
    "batch_rows": -1,
    "select": "loss",
    "precision": "float32",
    "memory_gb": 0.0,
}

MODELS = ("dnn", "general")
_PUBLISHED = {
    "dnn": {"learning_rate": 5e-5, "epochs": 100, "batch_rows": 20},
    "general": {"learning_rate": 1e-4, "epochs": 50, "batch_rows": 16},
}
_STEPS = {"dnn": 96, "general": 30}


def forms(options: Mapping[str, Any], inputs: Sequence[str]) -> list[Form]:
    """Return how each input is brought to blocks: all to the same number of steps."""
    model = _network.choice("avqa_recurrent", options, "model", MODELS)
    steps = int(options["steps"]) or _STEPS[model]
    if model == "dnn" and steps % int(options["segment"]):
        raise UserError(
            f"head avqa_recurrent, option steps: {steps} is no multiple of segment "
            f"({options['segment']}); choose another"
        )
    _counted(options, inputs)
    return [Form(steps) for _ in inputs]


def _counted(options: Mapping[str, Any], inputs: Sequence[str]) -> None:
    maps = options["model"] == "general" and options["columns"]
    if maps and len(inputs) > 1:
        return
    _network.counted("avqa_recurrent", inputs, ("video", "audio"))


def roles(options: Mapping[str, Any], inputs: int) -> list[str]:
    """Return the role of every input.

    >>> roles({"model": "general"}, 3), roles({"model": "dnn"}, 2)
    (['video', 'audio0', 'audio1'], ['video', 'audio'])
    """
    if options["model"] == "dnn":
        return ["video", "audio"]
    return ["video", *(f"audio{n}" for n in range(inputs - 1))]


def filled(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options with the published training where -1 asks for it."""
    published = _PUBLISHED[_network.choice("avqa_recurrent", options, "model", MODELS)]
    return {k: published[k] if k in published and v == -1 else v for k, v in options.items()}


def build_of(options: Mapping[str, Any]) -> Build:
    """Return what makes a network from the shapes of the blocks by role."""
    width, dropout = int(options["width"]), float(options["dropout"])

    def build(shapes: dict[str, tuple[int, ...]], dims: int) -> nn.Module:
        steps, video = shapes["video"]
        if options["model"] == "dnn":
            sound = _network.width(shapes["audio"])
            return avqa.StepScores(video, sound, dims, int(options["segment"]), width, dropout)
        return avqa.GeneralAvqa(
            video, sound_of(shapes, int(options["columns"])), dims, steps, width,
            int(options["state"]), int(options["vector"]), tuple(options["channels"]), dropout,
        )  # fmt: skip

    return build


def sound_of(shapes: Mapping[str, tuple[int, ...]], columns: int) -> int | tuple[int, int, int]:
    """Return the width of a ready sequence of sound, or (kinds, bins, columns) of its maps.

    >>> sound_of({"audio0": (30, 8192), "audio1": (30, 8192)}, 64)
    (2, 128, 64)
    """
    sounds = [shape for role, shape in shapes.items() if role.startswith("audio")]
    if not sounds or not columns:
        return sounds[0][-1] if sounds else 0
    if len(set(sounds)) > 1 or sounds[0][-1] % columns:
        raise ValueError(f"maps of sound of {sounds}, which are not all (bins, {columns} columns)")
    return len(sounds), sounds[0][-1] // columns, columns


def fit_many(
    x: Features,
    problems: Sequence[Problem],
    options: Mapping[str, Any],
    work: Path,
    device: str,
) -> _network.RoleModels:
    """Train one model per problem, stacked; see the head contract."""
    given = filled(options)
    return _network.fit(
        "avqa_recurrent", VERSION, build_of(given), x, problems, roles(given, len(x)), given, work,
        device,
    )  # fmt: skip


def restore(
    states: Sequence[_network.State], options: Mapping[str, Any], device: str
) -> _network.RoleModels:
    """Return the models of model files."""
    given = filled(options)
    inputs = sum(key.startswith("shape.") for key in states[0])
    return _network.restored(build_of(given), states, roles(given, inputs), given, device)
