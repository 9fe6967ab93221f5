"""Mel filter banks as Kaldi computes them, which VALOR, VAST and ImageBind read."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np

from sfqa.arrays import Floats32
from sfqa.features.bilinear import use_one_thread
from sfqa.media import Sound

if TYPE_CHECKING:
    import torch

#: Least energy of a band, the resolution of float32: its logarithm is that of silence.
_FLOOR = 1.192092955078125e-07
_LOWEST_HZ, _PRE_EMPHASIS = 20.0, 0.97
#: A povey window is a Hann window to this power.
_POVEY_POWER = 0.85


def compute_fbank(
    sound: Sound, rate: int, bands: int, window: Literal["hanning", "povey"] = "povey"
) -> Floats32:
    """Return natural logarithms of mel energies, (frames, bands).

    Frames are int(.025 rate) samples long, start every int(.010 rate) samples and are not padded,
    so that n samples have 1 + (n - length) // shift frames, and shorter sound has none. As
    ``torchaudio.compliance.kaldi.fbank`` with ``htk_compat=True``, ``use_energy=False`` and
    ``dither=0``: the mean of each frame is removed, pre-emphasis is .97, bands lie between 20 Hz
    and half the rate. The level counts: models that scale sound to 16-bit numbers do so before.

    All steps are in float32 as there, since a band without energy shows the rounding of each.

    >>> compute_fbank(np.zeros(16000, np.float32), 16000, 64).shape
    (98, 64)
    """
    import torch

    length, shift = int(rate * 0.025), int(rate * 0.010)
    if len(sound) < length:
        return np.zeros((0, bands), np.float32)
    # The next power of 2, from which samples are padded with zeros.
    points = 1 << (length - 1).bit_length()
    with torch.inference_mode(), use_one_thread():
        frames = torch.tensor(sound, dtype=torch.float32).unfold(0, length, shift)
        frames = frames - frames.mean(1, keepdim=True)
        earlier = torch.cat([frames[:, :1], frames[:, :-1]], 1)
        weights = torch.hann_window(length, periodic=False)
        if window == "povey":
            weights = weights**_POVEY_POWER
        spectrum = torch.fft.rfft((frames - _PRE_EMPHASIS * earlier) * weights, points)
        power = spectrum.abs().pow(2)[:, :-1]
        energies = power @ make_mel_filters(points, rate, bands).T
        bank: Floats32 = energies.clamp(min=_FLOOR).log().numpy()
    return bank


def make_mel_filters(points: int, rate: int, bands: int) -> torch.Tensor:
    """Return triangles in mel for each band, (bands, points / 2).

    The frequencies are those of a transform of ``points`` samples, without half the rate. At 16 kHz
    some of the lowest of 128 bands hold none of them; so they do in Kaldi.
    """
    import torch

    lowest, highest = (1127 * math.log(1 + hertz / 700) for hertz in (_LOWEST_HZ, rate / 2))
    step = (highest - lowest) / (bands + 1)
    edges = (lowest + torch.arange(bands + 2) * step)[:, None]
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    hertz = torch.arange(points // 2) * (rate / points)
    mel = 1127 * (1 + hertz / 700).log()
    slopes = torch.minimum((mel - left) / (centre - left), (right - mel) / (right - centre))
    return slopes.clamp(min=0)
