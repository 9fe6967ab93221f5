"""How well picture and sound go together, by VALOR: vectors of frames and of slices of sound."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sfqa.arrays import Floats32
from sfqa.errors import UserError
from sfqa.features import (
    base,
    batches,
    kaldi_fbank,
    normalised_frames,
    sound_slices,
    view_columns,
)
from sfqa.features.base import Feature, UnusableError, Video
from sfqa.features.batches import Batching
from sfqa.features.normalised_frames import SquareForm
from sfqa.features.two_towers import FramesAndSound, TowerRunner, round_columns
from sfqa.features.weights import Weights
from sfqa.options import Choice, Flag, Option, Options

if TYPE_CHECKING:
    import torch

VERSION = 2
WEIGHTS = True
# Measured: 2.3 GB (base) and 2.7 GB (large) with random weights; 3.1 GB where two videos of base
# run at a time.
MEMORY_MB = 4000
WEIGHTS_PARTS: Mapping[str, Mapping[str, Any]] = {"settings": {"settings": "hps"}}
OPTIONS: Options = {
    "model": Choice(
        "base", ("base", "large"),
        "the released model; base: Video-Swin-B, large: CLIP ViT-L/14 as the video tower",
    ),
    "settings": Choice(
        "keys", ("keys", "hps"),
        "what confirms that the weights are those of model; keys: the names of their tensors; hps: "
        "also log/hps.json of the released folder, a file beside the weights",
    ),
    "frames": Option(
        8, 1, 32,
        "key frames per video, the middle ones of equal parts; 8 as in the official inference",
        whole=True,
    ),
    "slices": Option(
        1, 1, 32,
        "slices of sound per video, each 512 windows of the filter bank (5.1 s): the middle ones "
        "of equal parts; 1 as in the official inference",
        whole=True,
    ),
    "fit": Choice(
        "squash", ("squash", "crop"),
        "how a frame becomes a square; squash: both sides are resized, as in the official "
        "inference; crop: the centre, as in its tests of MSR-VTT",
    ),
    "antialias": Flag(
        False,
        "whether frames are smoothed before they become smaller; false as in torchvision 0.10, "
        "which the official code names; true is the default of today's torchvision",
    ),
    "blocks": Choice(
        "official", ("official", "reduced"),
        "blocks of the networks; reduced: a few of them, for trials with random weights, no "
        "published model",
    ),
    "views": Option(
        0, 0, 1,
        "1: keep the key frames and the slices of sound in the columns frames and spectra, 1.3 MB "
        "a video with 8 frames, for networks that are trained from them; 0: the table has no such "
        "columns",
        whole=True,
    ),
    "precision": Choice(
        "fp32", ("fp32", "tf32", "bf16"),
        "number format of the networks; tf32: float32 with TensorFloat-32 on a GPU, on a CPU as "
        "fp32",
    ),
    "batch": Option(
        None, 1, None,
        "videos (base), frames (large) or slices of sound that go through a network at once; null: "
        "1 video or 4 frames on a CPU, 8 or 32 on a GPU",
        whole=True,
    ),
}  # fmt: skip

#: Rate of the sound in Hz: that of the wave files of the official scripts.
RATE = 22050
# Bands of the filter bank, windows of a slice, and the normalisation of both.
_BANDS, _WINDOWS, _MEAN, _DEVIATION = 64, 512, -4.2677393, 4.5689974
# Parts per pass by default: videos of base, frames of large.
_CPU_SIZE = {"base": 1, "large": 4}
_GPU_SIZE = {"base": 8, "large": 32}


@dataclass(frozen=True)
class ValorReader:
    """Reads key frames and slices of sound; see :class:`Extractor`."""

    frames: int
    slices: int
    form: SquareForm

    def prepare(self, video: Video) -> FramesAndSound:
        """Return frames and slices; raises :class:`UnusableError` if one of them is missing."""
        sound = sound_slices.read_mixed_track(video, RATE)
        slices = compute_slices(sound, self.slices)
        return FramesAndSound(normalised_frames.read_squares(video, self.frames, self.form), slices)


def compute_slices(sound: Floats32, count: int) -> Floats32:
    """Return slices (count, 64, 512) of mono sound (samples,) at 22.05 kHz.

    The mean is removed, then logarithms of 64 mel energies are computed for each 220 samples, with
    windows of 551. The bank is continued with zeros to multiples of 512 windows and cut, and only
    then normalised, so that a continued part is .467. Raises :class:`UnusableError` for sound
    shorter than a window.
    """
    centred = sound - sound.mean(dtype=np.float64).astype(np.float32)
    bank = kaldi_fbank.compute_fbank(centred, RATE, _BANDS, "hanning")
    slices = sound_slices.cut_slices(bank, _WINDOWS, count)
    normalised = (slices - np.float32(_MEAN)) / np.float32(2 * _DEVIATION)
    return np.ascontiguousarray(normalised.transpose(0, 2, 1))


class Extractor:
    """Key frames and sound -> VALOR (Chen et al., IEEE TPAMI 2024), as released.

    Frames are the middle ones of 8 equal parts of the whole video; one with fewer frames repeats
    the last. The official scripts first store 1 to 4 frames per second as JPEG; here all frames
    count, as decoded. Sound is what ``ffmpeg -ac 1 -ar 22050`` makes of the video's track, as in
    those scripts: all channels mixed, 16 bits. Of its filter bank the middle slice of 512 windows
    is seen, so of 6 s of sound the first 5.1; training draws a slice. Shorter sound is continued
    as the official code does. A video without sound, or with silence below -60 dBFS, which the
    official code replaces by zeros or scores, has no row; nor has sound under 25 ms.

    ``cosine`` is the official similarity of video and sound in retrieval, with both fine weights.

    Weights: ``ckpt/model_step_N.pt`` of the released folder; its text encoder is ignored. With
    ``settings: hps`` its ``log/hps.json`` must name the tower of ``model``.
    """

    FEATURES: ClassVar[tuple[Feature, ...]] = (
        Feature(
            "video",
            "video tower per frame: mean of Swin's positions or CLIP's class token",
            ("frame", "channel"),
        ),
        Feature("audio", "audio tower per slice of sound: its class token", ("clip", "channel")),
        Feature("video_embedding", "video in the alignment space, length 1", ("frame", "channel")),
        Feature("audio_embedding", "audio in the alignment space, length 1", ("clip", "channel")),
        Feature(
            "cosine",
            "VALOR's similarity of video and sound: cosines by fine weights; higher is closer",
            dtype="float64",
        ),
        Feature(
            "frames",
            "key frames, RGB, rounded to whole pixels; only with the option views",
            ("frame", "colour", "row", "column"),
            "uint8",
        ),
        Feature(
            "spectra",
            "normalised mel energies of the slices of sound, four bytes of a float32 each; only "
            "with the option views",
            ("clip", "band", "window", "byte"),
            "uint8",
        ),
    )
    INPUTS: ClassVar[tuple[str, ...]] = ("video", "audio")

    def __init__(self, options: Mapping[str, Any], weights: Weights, device: str) -> None:
        """Build the network on the device.

        Raises :class:`UserError` for weights of another model.
        """
        import torch

        from sfqa.features import valor_net
        from sfqa.features.valor_settings import check_settings

        model: str = options["model"]
        settings = weights.parts.get("settings")
        if settings is not None and settings.path is not None:
            check_settings(settings.path, model)
        statistics = {
            "base": normalised_frames.IMAGENET_STATISTICS,
            "large": normalised_frames.CLIP_STATISTICS,
        }[model]
        self.views: int = options["views"]
        self.form = SquareForm(*statistics, options["fit"] == "crop", options["antialias"])
        self.reader: base.VideoReader = ValorReader(options["frames"], options["slices"], self.form)
        batching = Batching.choose(options["batch"], device, _CPU_SIZE[model], _GPU_SIZE[model])

        def convert(state: dict[str, Any], module: torch.nn.Module) -> dict[str, Any]:
            other = valor_net.find_model(state)
            if other not in (model, None):
                raise UserError(
                    f"{weights.path}: holds the video tower of VALOR-{other}, but the option model "
                    f"of features.valor is {model!r}; write model: {other}, or give the checkpoint "
                    f"of VALOR-{model}"
                )
            return valor_net.rename_official_keys(state, module)

        size = valor_net.SIZES[model, options["blocks"]]
        build = partial(valor_net.Valor, size)
        net = weights.load(build, valor_net.OTHER_KEYS, convert).to(torch.device(device))
        assert isinstance(net, valor_net.Valor)
        self.net = net
        self.runner = TowerRunner(
            net, torch.device(device), options["precision"], batching, model == "base"
        )

    def extract(self, video: Video) -> dict[str, Any]:
        """Return the columns; see :class:`Extractor`.

        Raises :class:`UnusableError` for a video that does not decode or has no sound.
        """
        return base.extract_one(self, video)

    def score(self, prepared: Iterable[FramesAndSound]) -> Iterator[dict[str, Any] | UnusableError]:
        """Yield the row of each video."""
        for item, columns in batches.pair_with_items(prepared, self.runner.compute_columns):
            try:
                row = round_columns(columns, "VALOR")
            except UnusableError as error:
                yield error
                continue
            if self.views:
                row |= {
                    "frames": view_columns.round_to_pixels(
                        self.form.undo_normalisation(item.frames)
                    ),
                    "spectra": view_columns.encode_bytes(item.slices),
                }
            yield row
