"""Patches of pictures and of the spectrogram through one ResNet-50, as DNN-RNT sees a video."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sfqa import media
from sfqa.arrays import Floats, Floats32, Ints
from sfqa.features import avqa_steps, base, batches, patch_grid, sound_slices, spectra
from sfqa.features.base import Feature, UnusableError, Video
from sfqa.features.batches import Batching
from sfqa.features.broken_videos import describe_undecoded
from sfqa.features.half_precision import round_to_float16
from sfqa.features.weights import Weights
from sfqa.options import Choice, Option, Options

if TYPE_CHECKING:
    import torch

VERSION = 1
WEIGHTS = True
OPTIONS: Options = {
    "patches": Choice(
        "all", ("all", "spectral_residual"),
        "patches of a picture that count. all: every patch of the grid; spectral_residual: the 25 "
        "most salient ones by the spectral residual, which stands in for the MATLAB model FES of "
        "the official code; grids of 25 patches or fewer count as a whole",
    ),
    "precision": Choice(
        "fp32", ("fp32", "tf32", "bf16"),
        "number format of the network; tf32: float32 with TensorFloat-32 on a GPU, on a CPU as "
        "fp32",
    ),
    "batch": Option(
        None, 1, None,
        "patches, of one video or of several, that go through the network at once; null: 8 of one "
        "video on a CPU, 64 on a GPU",
        whole=True,
    ),
}  # fmt: skip

#: Rate of the sound in Hz: at lower ones the official frequencies, up to 20 kHz, alias.
RATE = 48000
#: Seconds between two columns of the spectrogram, and the time of the first one.
COLUMN_SEC, FIRST_COLUMN_SEC = 0.005, 0.01

# Patches per pass by default.
_CPU_SIZE, _GPU_SIZE = 8, 64


@dataclass(frozen=True)
class GridSteps:
    """What the network sees of a video: every distinct picture and spectrogram patch once.

    ``pictures`` (n, height, width, 3), uint8 RGB, and the ``corners`` (n, patches, 2) of their
    patches; ``spectrogram`` (224, columns), float32, low frequencies first, and the first column of
    each of its patches, ``starts`` (m,). ``picture_of`` and ``start_of`` give those of each step.
    """

    pictures: media.Pixels
    corners: Ints
    picture_of: Ints
    spectrogram: Floats32
    starts: Ints
    start_of: Ints

    def list_patches(self) -> list[Any]:
        """Return the patches of all pictures (224, 224, 3), then those of the sound (224, 224)."""
        pictures = [
            patch_grid.cut_patch(picture, corner)
            for picture, corners in zip(self.pictures, self.corners, strict=True)
            for corner in corners
        ]
        size = patch_grid.SIZE
        return [*pictures, *(self.spectrogram[:, start : start + size] for start in self.starts)]


@dataclass(frozen=True)
class GridReader:
    """Reads pictures and sound of the 96 steps; ``patches`` is the option of that name."""

    patches: str

    def prepare(self, video: Video) -> GridSteps:
        """Return the steps; raises :class:`UnusableError` if the video or its sound cannot be used.

        ``silent`` without sound, ``short`` for less than 1.14 s of it, ``small`` for pictures that
        are smaller than a patch.
        """
        frames, picture_of = np.unique(avqa_steps.list_picture_frames(video), return_inverse=True)
        sound = sound_slices.read_first_channel(video, RATE)
        spectrogram = compute_spectrogram(sound)
        starts, start_of = np.unique(
            select_columns(avqa_steps.list_sound_times(video), spectrogram.shape[1]),
            return_inverse=True,
        )
        try:
            pictures = media.read_frames(video.path, frames.tolist())
        except media.MediaError as error:
            raise describe_undecoded(video.frames) from error
        corners = patch_grid.list_corners(*pictures.shape[1:3])
        chosen = [
            patch_grid.select_salient(picture, corners)
            if self.patches == "spectral_residual"
            else corners
            for picture in pictures
        ]
        return GridSteps(pictures, np.stack(chosen), picture_of, spectrogram, starts, start_of)


class Extractor:
    """96 pictures and 96 spectrogram patches -> 4096 numbers each: DNN-RNT, and DNN-SND's video.

    As the official code of ANNAVQA (Cao et al., IEEE TIP 2023): the frames 0, 2, .., 190, each cut
    into patches of 224 pixels every 200; values from 0 to 1, without ImageNet's mean and deviation;
    the mean and the unbiased deviation of layer4 over its places, and the mean of both over the
    patches. A shorter video repeats its last frame, of a longer one the first 192 frames are read.

    Sound: the first channel (left of stereo, front left of 5.1) at 48 kHz, the ``log_mel`` of
    ``audio``, of which the patch at the time of the frames 1, 3, .., 191 is 112 columns of 5 ms
    before it and 112 from it on, moved inwards at the ends, repeated for three channels, through
    the same network. Other rates are resampled; the official code reads them as they are.

    A row holds 1.57 MB. Weights: torchvision's ``resnet50-0676ba61.pth`` (IMAGENET1K_V1).
    """

    FEATURES: ClassVar[tuple[Feature, ...]] = (
        Feature(
            "video", "pictures: mean (2048) and deviation (2048) of layer4, mean over patches",
            ("step", "channel"),
        ),
        Feature(
            "audio", "spectrogram patches: mean (2048) and deviation (2048) of layer4",
            ("step", "channel"),
        ),
    )  # fmt: skip
    INPUTS: ClassVar[tuple[str, ...]] = ("video", "audio")

    def __init__(self, options: Mapping[str, Any], weights: Weights, device: str) -> None:
        """Build the network on the device."""
        import torch
        from torchvision.models import resnet50

        from sfqa.features.spatial_net import pool_last_stage

        self.reader: base.VideoReader = GridReader(options["patches"])
        self.batching = Batching.choose(options["batch"], device, _CPU_SIZE, _GPU_SIZE)
        self.precision: str = options["precision"]
        self.half = self.precision == "bf16"
        self.device = torch.device(device)
        net = weights.load(resnet50).to(self.device)
        self.net = net.to(memory_format=torch.channels_last)
        self.pool = pool_last_stage

    def extract(self, video: Video) -> dict[str, Any]:
        """Return ``video`` and ``audio``, (96, 4096) each, float16.

        Raises :class:`UnusableError` as :meth:`GridReader.prepare` does.
        """
        return base.extract_one(self, video)

    def score(self, prepared: Iterable[GridSteps]) -> Iterator[dict[str, Any] | UnusableError]:
        """Yield the row of each video's steps."""
        for steps, pictures, sounds in self.compute_features(prepared):
            try:
                yield {
                    "video": round_to_float16(pictures[steps.picture_of], "ResNet-50"),
                    "audio": round_to_float16(sounds[steps.start_of], "ResNet-50"),
                }
            except UnusableError as error:
                yield error

    def compute_features(
        self, prepared: Iterable[GridSteps]
    ) -> Iterator[tuple[GridSteps, Floats32, Floats32]]:
        """Yield the steps with the features of each distinct picture and spectrogram patch."""
        for steps, rows in batches.run_batched(
            prepared, GridSteps.list_patches, self._forward, self.batching
        ):
            features = np.stack(rows)
            count, patches = steps.corners.shape[:2]
            of_pictures = features[: count * patches].reshape(count, patches, -1)
            yield steps, of_pictures.mean(axis=1), features[count * patches :]

    def _forward(self, patches: list[Any]) -> torch.Tensor:
        """Return features (n, 4096) of patches of pictures and of spectrograms."""
        import torch

        mixed = torch.autocast(self.device.type, torch.bfloat16, enabled=self.half)
        with torch.inference_mode(), batches.set_precision(self.precision), mixed:
            x = batches.to_device([make_input(patch) for patch in patches], self.device)
            return self.pool(self.net, x.permute(0, 3, 1, 2))


def make_input(patch: Any) -> Floats32:
    """Return a patch as float32 (224, 224, 3): bytes as 0 to 1, a spectrogram three times."""
    if patch.ndim == 3:
        return np.asarray(patch.astype(np.float32) / np.float32(255))
    return np.repeat(patch[..., None], 3, axis=2)


def compute_spectrogram(sound: media.Sound) -> Floats32:
    """Return the log spectrum (224, columns) of sound (samples,) at 48 kHz, low frequencies first.

    Raises :class:`UnusableError` for less sound than a patch.
    """
    needed = int(RATE * (0.02 + COLUMN_SEC * (patch_grid.SIZE - 1)))
    if len(sound) < needed:
        raise UnusableError(
            f"short: the sound lasts {len(sound) / RATE:.2f} s, a patch of the spectrogram needs "
            f"{needed / RATE:.3f} s"
        )
    return spectra.log_mel(sound, RATE).T.astype(np.float32)


def select_columns(times: Floats, columns: int) -> Ints:
    """Return the first column of the patch of 224 columns around each time in seconds.

    The nearest column, of several the first one, has 112 before it. Near the ends the patch is
    moved inwards, so times after the end have the last patch.

    >>> select_columns(np.array([1, 25, 27, 189]) / 24, 1597).tolist()
    [0, 94, 111, 1373]
    """
    column_times = FIRST_COLUMN_SEC + COLUMN_SEC * np.arange(columns)
    nearest = np.abs(column_times - times[:, None]).argmin(axis=1)
    half = patch_grid.SIZE // 2
    return np.clip(nearest - half, 0, columns - patch_grid.SIZE).astype(np.int64)
