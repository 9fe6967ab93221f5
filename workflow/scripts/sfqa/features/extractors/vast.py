"""How well picture and sound go together, by VAST: vectors of frames and of slices of sound."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from sfqa.arrays import Floats32
from sfqa.features import base, kaldi_fbank, normalised_frames, sound_slices
from sfqa.features.base import Feature, UnusableError, Video
from sfqa.features.batches import Batching
from sfqa.features.normalised_frames import SquareForm
from sfqa.features.two_towers import FramesAndSound, TowerRunner
from sfqa.features.weights import Weights
from sfqa.options import Choice, Flag, Option, Options

VERSION = 2
WEIGHTS = True
# Measured: 5.4 GB with random weights and one thread. While a weights file is read, the 4.4 GB of
# its tensors are mapped beside the network, which adds as much (measured with 6 of 40 blocks).
MEMORY_MB = 10000
OPTIONS: Options = {
    "frames": Option(
        8, 1, 64,
        "key frames per video, the middle ones of equal parts; the official retrieval trains on 8 "
        "and tests on 16",
        whole=True,
    ),
    "slices": Option(
        1, 1, 32,
        "slices of sound per video, each 1024 windows of the filter bank (10.2 s): the middle ones "
        "of equal parts; 1 as in the official retrieval",
        whole=True,
    ),
    "fit": Choice(
        "squash", ("squash", "crop"),
        "how a frame becomes a square; squash: both sides are resized, the official default; crop: "
        "the centre, as in its tests of MSR-VTT",
    ),
    "antialias": Flag(
        False,
        "whether frames are smoothed before they become smaller; false as in torchvision 0.15, "
        "which the official code names; true is the default of today's torchvision",
    ),
    "blocks": Choice(
        "official", ("official", "reduced"),
        "blocks of the networks; reduced: one of each, for trials with random weights, no "
        "published model",
    ),
    "precision": Choice(
        "fp32", ("fp32", "tf32", "bf16"),
        "number format of the networks; tf32: float32 with TensorFloat-32 on a GPU, on a CPU as "
        "fp32",
    ),
    "batch": Option(
        None, 1, None,
        "frames or slices of sound, of one video or of several, that go through a network at once; "
        "null: 2 on a CPU, 32 on a GPU",
        whole=True,
    ),
}  # fmt: skip

#: Rate in Hz to which the sound is resampled.
RATE = 16000
# Bands of the filter bank, windows of a slice, and the normalisation of both.
_BANDS, _WINDOWS, _MEAN, _DEVIATION = 64, 1024, 15.41663, 6.55582
# Samples are 16-bit numbers for the filter bank.
_FULL_SCALE = np.float32(2**15)
# Parts per pass by default.
_CPU_SIZE, _GPU_SIZE = 2, 32


@dataclass(frozen=True)
class VastReader:
    """Reads key frames and slices of sound; see :class:`Extractor`."""

    frames: int
    slices: int
    form: SquareForm

    def prepare(self, video: Video) -> FramesAndSound:
        """Return frames and slices; raises :class:`UnusableError` if one of them is missing."""
        sound = sound_slices.read_first_channel(video, RATE)
        slices = compute_slices(sound, self.slices)
        return FramesAndSound(normalised_frames.read_squares(video, self.frames, self.form), slices)


def compute_slices(sound: Floats32, count: int) -> Floats32:
    """Return slices (count, 1024, 64) of mono sound (samples,) at 16 kHz.

    Logarithms of 64 mel energies of 16-bit numbers, normalised, and only then continued with zeros
    to ``count`` or more multiples of 1024 windows: a continued part is the mean level. Raises
    :class:`UnusableError` for sound shorter than a window.
    """
    bank = kaldi_fbank.compute_fbank(sound * _FULL_SCALE, RATE, _BANDS, "povey")
    normalised = (bank - np.float32(_MEAN)) / np.float32(2 * _DEVIATION)
    return sound_slices.cut_slices(normalised, _WINDOWS, count, least=count)


class Extractor:
    """Key frames and sound -> VAST (Chen et al., NeurIPS 2023).

    Frames are the middle ones of 8 equal parts; a video with fewer frames repeats the last. Sound
    is the first channel of the video's track, resampled to 16 kHz as torchaudio does. Of its filter
    bank the middle slice of 1024 windows is seen, which holds 10.2 s; training draws a slice. A
    video without sound, or with silence below -60 dBFS, which the official code replaces by zeros
    or scores, has no row; nor has sound under 25 ms.

    The official code takes the mean of ``video`` and ``audio`` before it projects them. The
    projection is linear, so the means of the projected columns are those of the official code
    before they are scaled to length 1.

    Weights: ``ckpt/model_step_N.pt`` of the released folder; its text encoder is ignored. The
    settings of BEATs are those of ``BEATs_iter3_plus_AS2M.pt``.
    """

    FEATURES: ClassVar[tuple[Feature, ...]] = (
        Feature("video", "EVA-CLIP's class token per frame, after the norm", ("frame", "channel")),
        Feature("audio", "mean of BEATs' tokens per slice of sound", ("clip", "channel")),
        Feature(
            "video_embedding",
            "video in the alignment space, before its mean is scaled to length 1",
            ("frame", "channel"),
        ),
        Feature(
            "audio_embedding",
            "audio in the alignment space, before its mean is scaled to length 1",
            ("clip", "channel"),
        ),
        Feature(
            "joint_embedding",
            "VAST's joint vector of the means of video and audio, length 1",
            ("one", "channel"),
        ),
        Feature(
            "cosine",
            "cosine of the means of video_embedding and audio_embedding; higher is closer",
            dtype="float64",
        ),
    )
    INPUTS: ClassVar[tuple[str, ...]] = ("video", "audio")

    def __init__(self, options: Mapping[str, Any], weights: Weights, device: str) -> None:
        """Build the network on the device."""
        import torch

        from sfqa.features import vast_net

        form = SquareForm(
            *normalised_frames.CLIP_STATISTICS, options["fit"] == "crop", options["antialias"],
            double=True,
        )  # fmt: skip
        self.reader: base.VideoReader = VastReader(options["frames"], options["slices"], form)
        batching = Batching.choose(options["batch"], device, _CPU_SIZE, _GPU_SIZE)
        build = partial(vast_net.Vast, *vast_net.DEPTHS[options["blocks"]])
        net = weights.load(build, convert=vast_net.convert_state).to(torch.device(device))
        assert isinstance(net, vast_net.Vast)
        self.net = net
        self.runner = TowerRunner(net, torch.device(device), options["precision"], batching)

    def extract(self, video: Video) -> dict[str, Any]:
        """Return the columns; see :class:`Extractor`.

        Raises :class:`UnusableError` for a video that does not decode or has no sound.
        """
        return base.extract_one(self, video)

    def score(self, prepared: Iterable[FramesAndSound]) -> Iterator[dict[str, Any] | UnusableError]:
        """Yield the row of each video."""
        return self.runner.score(prepared, "VAST")
