"""Sound as the audio-visual baselines see it: log-mel, MFCC, two chromagrams and GFCC."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from sfqa import media
from sfqa.features import gammatone, spectra
from sfqa.features.base import Feature, UnusableError, Video
from sfqa.features.weights import Weights
from sfqa.options import Choice, Option, Options

VERSION = 2
OPTIONS: Options = {
    "source": Choice(
        "track", ("track", "wave"),
        "the video's own sound, as the published features use it, or the conformed wave",
    ),
    "sample_rate": Option(
        48000, 16000, 48000,
        "rate that the sound is resampled to, in Hz; windows are counted in samples, so another "
        "rate is another feature; the conformed wave has nothing above half its own rate",
        whole=True,
    ),
}  # fmt: skip

SEGMENTS, COLUMNS = 30, 64
#: GeneralAVQA's steps in samples; smaller where a segment would have fewer than 64 columns.
HOP, GFCC_HOP = 512, 508
#: In the order of their mean and deviation in ``statistics``.
STATISTICS_OF = ("log_mel", "mfcc", "chroma_stft", "chroma_cqt", "gfcc")

#: Sound whose largest sample is smaller (-60 dBFS) is taken for silence.
_SILENCE = 1e-3

_MAP = ("segment", "column", "bin")


class Extractor:
    """The inputs of DNN-RNT (log_mel) and of GeneralAVQA (the four others); no weights.

    DNN-RNT (Cao et al., IEEE TIP 2023) reads patches of 224 columns of ``log_mel``, one column
    each 5 ms: its patch at time t is centred on column round(t / .005) - 2, moved inwards at the
    ends, and repeated for three channels. It uses the left channel; here all channels are mixed,
    which is the same for mono sound.

    GeneralAVQA (Cao et al., IEEE TIP 2023) cuts the sound into 30 overlapping segments of 3/32 of
    its length, starting every 1/32, and each into columns of 1024 samples every 512, of which
    the first 64 are kept. Segments with fewer than 64, at 48 kHz those of videos under 7.2 s, have
    smaller steps, so that 64 cover them: a fixed shape with nothing padded.

    A row holds about 2.4 MB (5 s) to 2.7 MB (8 s), 1.97 MB of it the four maps.
    """

    FEATURES: ClassVar[tuple[Feature, ...]] = (
        Feature(
            "log_mel",
            "natural log of magnitude, 20 ms Hamming windows each 5 ms, 224 mel frequencies",
            ("column", "band"),
        ),
        Feature("mfcc", "128 mel cepstra of decibels, range 80 dB", _MAP),
        Feature("chroma_stft", "pitch classes of the power spectrum, largest 1", _MAP, unit="0..1"),
        Feature("chroma_cqt", "pitch classes of the constant-Q transform", _MAP, unit="0..1"),
        Feature("gfcc", "128 gammatone cepstra of cubic roots", _MAP),
        Feature(
            "statistics",
            "mean and standard deviation over time of log_mel (224 + 224), mfcc, chroma_stft, "
            "chroma_cqt, gfcc (128 + 128 each)",
            ("channel",),
        ),
    )
    INPUTS: ClassVar[tuple[str, ...]] = ("video", "audio")

    def __init__(self, options: Mapping[str, Any], weights: Weights, device: str) -> None:
        """Note the options."""
        self.source: str = options["source"]
        self.rate: int = options["sample_rate"]

    def extract(self, video: Video) -> dict[str, Any]:
        """Return the tensors of :attr:`FEATURES`, float16.

        Raises :class:`UnusableError` for a video without sound or with less than a second of it.
        """
        if video.audio_path is None:
            raise UnusableError("silent: the video has no sound")
        try:
            path = video.path if self.source == "track" else video.audio_path
            sound = media.read_audio(path, self.rate)
        except media.MediaError as error:
            raise UnusableError("broken: the sound does not decode") from error
        return self.compute_features(sound)

    def compute_features(self, sound: media.Sound) -> dict[str, Any]:
        """Return the features of mono sound (samples,) in -1..1 at the option's rate."""
        if np.abs(sound).max(initial=0) < _SILENCE:
            raise UnusableError("silent: the sound is silence (below -60 dBFS)")
        if len(sound) < self.rate:
            raise UnusableError(
                f"short: the sound lasts {len(sound) / self.rate:.2f} s, 1 s is the least"
            )
        maps = [compute_segment_maps(part, self.rate) for part in cut_segments(sound)]
        features: dict[str, npt.NDArray[Any]] = {"log_mel": spectra.log_mel(sound, self.rate)}
        features |= {name: np.stack([m[name] for m in maps]) for name in STATISTICS_OF[1:]}
        flat = [features[name].reshape(-1, features[name].shape[-1]) for name in STATISTICS_OF]
        features["statistics"] = np.concatenate(
            [np.r_[x.mean(axis=0), x.std(axis=0)] for x in flat]
        )
        halves = {name: values.astype(np.float16) for name, values in features.items()}
        if not all(np.isfinite(values).all() for values in halves.values()):
            raise UnusableError("not_finite: the sound gave numbers that float16 cannot hold")
        return halves


def cut_segments(sound: media.Sound) -> list[media.Sound]:
    """Return GeneralAVQA's 30 segments: floor(3/32 n) samples every floor(3/32 n) - ceil(n/16).

    >>> [len(s) for s in cut_segments(np.zeros(3200, np.float32))] == [300] * 30
    True
    """
    length = math.floor(len(sound) / 8 * 0.75)
    step = length - math.ceil(len(sound) / 8 * 0.5)
    return [sound[i * step : i * step + length] for i in range(SEGMENTS)]


def compute_segment_maps(sound: media.Sound, rate: int) -> dict[str, npt.NDArray[np.float64]]:
    """Return mfcc, chroma_stft, chroma_cqt and gfcc of a segment, each (64, 128)."""
    hop = min(HOP, len(sound) // (COLUMNS - 1))
    gfcc_hop = min(GFCC_HOP, (len(sound) - gammatone.WINDOW) // (COLUMNS - 1))
    maps = {
        "mfcc": spectra.mel_cepstra(sound, rate, hop),
        "chroma_stft": spectra.chroma_stft(sound, rate, hop),
        "chroma_cqt": spectra.chroma_cqt(sound, rate, hop),
        "gfcc": gammatone.compute_gfcc(sound, rate, gfcc_hop),
    }
    return {name: values[:COLUMNS] for name, values in maps.items()}
