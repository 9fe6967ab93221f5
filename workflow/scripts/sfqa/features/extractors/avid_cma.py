"""Pictures and sound in the common space of AVID-CMA, and their cosine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar
from zipfile import is_zipfile

import numpy as np

from sfqa import media
from sfqa.arrays import Floats32
from sfqa.errors import UserError
from sfqa.features import base, batches
from sfqa.features.alignment_rows import make_alignment_row
from sfqa.features.avid_inputs import BINS, ClipReader, PreparedClips
from sfqa.features.base import Feature, UnusableError, Video
from sfqa.features.batches import Batching
from sfqa.features.weights import Weights
from sfqa.options import Choice, Option, Options
from sfqa.untrusted.arrays import read_npz

if TYPE_CHECKING:
    from pathlib import Path

    import torch

VERSION = 1
WEIGHTS = True
WEIGHTS_PARTS: Mapping[str, Mapping[str, Any]] = {"statistics": {}}
OPTIONS: Options = {
    "resize": Choice(
        "short_side", ("short_side", "squash"),
        "how frames become 256 pixels large before the centre is cropped; short_side: as in the "
        "configurations of the training; squash: both sides, as in those of its benchmarks",
    ),
    "padding": Choice(
        "reflect", ("reflect", "zeros"),
        "how the sound is continued at its ends; reflect: as by the librosa of the release, 0.8 "
        "and older; zeros: as by later ones",
    ),
    "precision": Choice(
        "fp32", ("fp32", "tf32"),
        "number format of the networks; tf32: float32 with TensorFloat-32 on a GPU, on a CPU as "
        "fp32",
    ),
    "batch": Option(
        None, 1, None,
        "clips, of one video or of several, that go through a network at once; null: 1 on a CPU, "
        "20 on a GPU",
        whole=True,
    ),
}  # fmt: skip

# ImageNet's mean and deviation.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Clips per pass by default.
_CPU_SIZE, _GPU_SIZE = 1, 20
#: Stand-ins of the statistics for random weights: decibels, about those of the official file.
_RANDOM_MEAN, _RANDOM_STD = -30.0, 20.0


class Extractor:
    """Ten clips of half a second and ten of two seconds of sound -> AVID-CMA (CVPR 2021).

    As the official test of whole videos: 16 frames per second, resized by Pillow and cropped; the
    track mixed at 24 kHz; log-spectra of the whole video, of which each clip is a part,
    standardised bin by bin. Clips are spread evenly from start to end. A video of less than half a
    second repeats its frames; of one of less than two seconds each clip of sound is the whole
    sound, which is shorter then.

    The official code has no embedding of a whole video: the cosine is that of the means over clips.

    Weights: the checkpoint of the AudioSet model, and the file with means and deviations of
    spectra, ``audio-spectDB-24k-513-norm-stats.npz``. Both non-commercial (CC-BY-NC 4.0). With
    random weights every bin has mean -30 dB and deviation 20 dB.
    """

    FEATURES: ClassVar[tuple[Feature, ...]] = (
        Feature("video", "each clip of frames before the projection", ("clip", "channel")),
        Feature("audio", "each clip of sound before the projection", ("clip", "channel")),
        Feature("video_embedding", "each clip of frames in the common space", ("clip", "channel")),
        Feature("audio_embedding", "each clip of sound in it", ("clip", "channel")),
        Feature(
            "cosine",
            "cosine of the mean embeddings of pictures and sound; higher is closer",
            dtype="float64",
            unit="-1..1",
        ),
    )
    INPUTS: ClassVar[tuple[str, ...]] = ("video", "audio")

    def __init__(self, options: Mapping[str, Any], weights: Weights, device: str) -> None:
        """Build both networks on the device.

        Raises :class:`UserError` for a file of statistics that does not hold them.
        """
        import torch

        from sfqa.features import avid_net

        self.reader: base.VideoReader = ClipReader(options["resize"], options["padding"])
        self.batching = Batching.choose(options["batch"], device, _CPU_SIZE, _GPU_SIZE)
        self.precision: str = options["precision"]
        self.device = torch.device(device)
        self.spectrum_mean, self.spectrum_std = read_statistics(weights.get_part("statistics").path)
        self.net: Any = weights.load(avid_net.AvidCma).to(self.device)
        self.width = avid_net.WIDTH
        self.mean, self.std = (
            torch.tensor(values, device=self.device).view(3, 1, 1, 1) for values in (_MEAN, _STD)
        )

    def extract(self, video: Video) -> dict[str, Any]:
        """Return the columns; see :class:`Extractor`.

        Raises :class:`UnusableError` for a video that does not decode, has no sound, or is too
        short for a row.
        """
        return base.extract_one(self, video)

    def score(self, prepared: Iterable[PreparedClips]) -> Iterator[dict[str, Any] | UnusableError]:
        """Yield the row of each video: the network of sound runs first, then that of frames."""

        def list_spectra(clips: PreparedClips) -> list[Floats32]:
            return [self.standardise(spectrum) for spectrum in clips.list_spectra()[0]]

        def list_clips(item: tuple[PreparedClips, Any]) -> list[media.Pixels]:
            return item[0].list_clips()[0]

        # The spectra of short videos have other shapes, so they share no batch.
        hearing = Batching(self.batching.size, mixed=False, parallel=self.batching.parallel)
        with_sound = batches.run_batched(prepared, list_spectra, self._hear, hearing)
        for (clips, sound_rows), frame_rows in batches.run_batched(
            with_sound, list_clips, self._see, self.batching
        ):
            frames = np.stack(frame_rows)[clips.list_clips()[1]]
            sounds = np.stack(sound_rows)[clips.list_spectra()[1]]
            video, video_embedding = np.split(frames, [self.width], axis=1)
            audio, audio_embedding = np.split(sounds, [self.width], axis=1)
            try:
                yield make_alignment_row("AVID-CMA", video, audio, video_embedding, audio_embedding)
            except UnusableError as error:
                yield error

    def standardise(self, decibels: Floats32) -> Floats32:
        """Return a spectrum (columns, 257) with mean 0 and deviation 1 in each bin."""
        standardised: Floats32 = (decibels - self.spectrum_mean) / (self.spectrum_std + 1e-5)
        return standardised.astype(np.float32)

    def _see(self, clips: list[media.Pixels]) -> torch.Tensor:
        """Return vector and embedding in one row (n, 512 + 128) for each clip of frames."""
        x = batches.to_device(clips, self.device).permute(0, 4, 1, 2, 3)
        x = x.float().div_(255).sub_(self.mean).div_(self.std)
        return self._embed(self.net.embed_frames, x.contiguous())

    def _hear(self, spectra: list[Floats32]) -> torch.Tensor:
        """Return vector and embedding in one row (n, 512 + 128) for each clip of sound."""
        return self._embed(self.net.embed_sound, batches.to_device(spectra, self.device)[:, None])

    def _embed(self, embed: Callable[..., Any], x: torch.Tensor) -> torch.Tensor:
        import torch

        with torch.inference_mode(), batches.set_precision(self.precision):
            return torch.cat(embed(x), 1)


def read_statistics(path: Path | None) -> tuple[Floats32, Floats32]:
    """Return mean and deviation of each bin, (257,) each; stand-ins for random weights (None).

    Raises :class:`UserError` for a file that does not hold them.
    """
    if path is None:
        return np.full(BINS, _RANDOM_MEAN, np.float32), np.full(BINS, _RANDOM_STD, np.float32)
    try:
        if not is_zipfile(path):
            raise ValueError("it is no .npz archive")
        arrays = read_npz(path)
        mean, std = (np.asarray(arrays[name], np.float32) for name in ("mean", "std"))
    except Exception as error:  # readers of archives raise errors of many types
        reason = str(error)[:150] or type(error).__name__
        raise UserError(
            f"{path}: cannot be read as statistics of spectra ({reason}); give the official "
            "audio-spectDB-24k-513-norm-stats.npz, which holds mean and std"
        ) from error
    if mean.shape != (BINS,) or std.shape != (BINS,) or not (np.isfinite(mean) & (std > 0)).all():
        raise UserError(
            f"{path}: holds mean {mean.shape} and std {std.shape}; the network needs {BINS} finite "
            "means and positive deviations: give audio-spectDB-24k-513-norm-stats.npz, not the "
            "file with 257 in its name"
        )
    return mean, std
