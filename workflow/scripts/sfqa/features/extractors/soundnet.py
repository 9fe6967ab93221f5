"""What a sound is like, second by second, by SoundNet: the sound features of DNN-SND."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sfqa import media
from sfqa.arrays import Floats, Floats32, Ints
from sfqa.features import avqa_steps, base, batches, sound_slices
from sfqa.features.base import Feature, UnusableError, Video
from sfqa.features.half_precision import round_to_float16
from sfqa.features.weights import Weights
from sfqa.options import Choice, Options

if TYPE_CHECKING:
    import torch

VERSION = 1
WEIGHTS = True
OPTIONS: Options = {
    "layer": Choice(
        "conv7", ("conv7", "pool5"),
        "layer that is read; the one of DNN-SND is not published. conv7: 1024 channels every "
        "1.49 s, before batch norm and ReLU, as the PyTorch port returns it; pool5: 256 channels "
        "every 0.37 s",
    ),
}  # fmt: skip

#: Rate of the sound in Hz, the factor that its samples are multiplied by, and the least samples.
RATE, SCALE, LEAST = 22050, np.float32(256), 20 * 22050


@dataclass(frozen=True)
class SoundSteps:
    """The input of the network: mono sound (samples,) in -256..256, and the times of the steps."""

    sound: media.Sound
    times: Floats


@dataclass(frozen=True)
class SoundReader:
    """Reads the sound of a video and the times of its 96 steps."""

    def prepare(self, video: Video) -> SoundSteps:
        """Return them; raises :class:`UnusableError`, ``silent`` without sound."""
        sound = sound_slices.read_mixed_track(video, RATE)
        return SoundSteps(sound * SCALE, avqa_steps.list_sound_times(video))


class Extractor:
    """Sound -> 96 steps of 1024 (``layer: conv7``) or 256 numbers (``pool5``).

    As the PyTorch port (salmedina/soundnet_pytorch): mono at 22.05 kHz, times 256; sound of less
    than 20 s is repeated, int(441000 / samples + 1) times as a whole. What DNN-SND (Cao et al.,
    ICIP 2021) makes of SoundNet is not published. Our reading: of the first repetition, the column
    whose centre is nearest to the time of the frames 1, 3, .., 191, which is when ``frames_grid``
    reads the sound. A column is read again where steps are closer than columns.

    Weights: ``sound8.safetensors``, which is converted from ``sound8.npy`` (docs/weights.md).
    """

    FEATURES: ClassVar[tuple[Feature, ...]] = (
        Feature("audio", "layer of SoundNet at the time of each step", ("step", "channel")),
    )
    INPUTS: ClassVar[tuple[str, ...]] = ("video", "audio")

    def __init__(self, options: Mapping[str, Any], weights: Weights, device: str) -> None:
        """Build the network on the device."""
        import torch

        from sfqa.features import soundnet_net

        self.layer: str = options["layer"]
        self.reader: base.VideoReader = SoundReader()
        self.column_grid = soundnet_net.locate_columns(self.layer)
        self.device = torch.device(device)
        self.net = weights.load(soundnet_net.SoundNet).to(self.device)

    def extract(self, video: Video) -> dict[str, Any]:
        """Return ``audio`` (96, channels), float16.

        Raises :class:`UnusableError` for a video without sound.
        """
        return base.extract_one(self, video)

    def score(self, prepared: Iterable[SoundSteps]) -> Iterator[dict[str, Any] | UnusableError]:
        """Yield the row of each video's sound."""
        for steps in prepared:
            columns = select_columns(steps.times, len(steps.sound), *self.column_grid)
            features = self.compute_columns(repeat_sound(steps.sound))[columns]
            try:
                yield {"audio": round_to_float16(features, "SoundNet")}
            except UnusableError as error:
                yield error

    def compute_columns(self, sound: media.Sound) -> Floats32:
        """Return the columns of the layer, (columns, channels), for sound in -256..256."""
        import torch

        with torch.inference_mode(), batches.set_precision():
            x = torch.from_numpy(sound).to(self.device)[None, None, :, None]
            columns: torch.Tensor = self.net(x, self.layer)[0]
            return np.asarray(columns.cpu().numpy())


def repeat_sound(sound: media.Sound) -> media.Sound:
    """Return sound of at least 20 s: shorter one is repeated as a whole, nothing is cut.

    >>> len(repeat_sound(np.zeros(132300, np.float32))) / 22050
    24.0
    """
    if len(sound) >= LEAST:
        return sound
    return np.tile(sound, int(LEAST / len(sound) + 1))


def select_columns(times: Floats, samples: int, centre: float, step: int) -> Ints:
    """Return the column nearest to each time in seconds, of those whose centre is in the sound.

    ``centre`` is the sample in the centre of the first column, ``step`` the samples between two.

    >>> select_columns(np.array([0.04, 1.0, 5.9, 7.9]), 132300, -10001.5, 32768).tolist()
    [0, 1, 4, 4]
    """
    last = max(0, int((samples - 1 - centre) // step))
    nearest = np.rint((times * RATE - centre) / step)
    return np.clip(nearest, 0, last).astype(np.int64)
