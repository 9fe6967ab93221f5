"""Change the rate of sound as torchaudio's resampler does, which VAST and ImageBind use."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from sfqa.media import Sound

#: Zero crossings of the sinc on each side, and the cut-off as a share of the lower Nyquist rate.
_ZERO_CROSSINGS, _CUT_OFF = 6, 0.99


def resample_sound(
    sound: Sound, rate: int, new_rate: int, kernel_type: Literal["float32", "float64"] = "float64"
) -> Sound:
    """Return mono sound (samples,) at another rate, ceil(samples * new_rate / rate) samples.

    Interpolation by a sinc under a squared cosine window, as torchaudio with its defaults. Before
    and after the sound is silence. ``kernel_type`` is that of the kernel before it is rounded to
    float32: ``torchaudio.functional.resample`` computes it in float32, and
    ``torchaudio.transforms.Resample`` in float64. Samples differ by 2e-6, which very quiet bands
    of a spectrum show.

    >>> len(resample_sound(np.zeros(441, np.float32), 44100, 16000))
    160
    """
    if rate == new_rate:
        return sound
    divisor = math.gcd(rate, new_rate)
    step, phases = rate // divisor, new_rate // divisor
    cut_off = min(step, phases) * _CUT_OFF
    width = math.ceil(_ZERO_CROSSINGS * step / cut_off)
    # Distance of each input sample from each output phase, in zero crossings.
    inputs, outputs = (
        np.arange(*bounds, dtype=kernel_type) for bounds in ((-width, width + step), (0, phases))
    )
    distance = inputs / step - (outputs / phases)[:, None]
    distance = np.clip(distance * cut_off, -_ZERO_CROSSINGS, _ZERO_CROSSINGS)
    window = np.cos(distance * np.pi / (2 * _ZERO_CROSSINGS)) ** 2
    kernels = (np.sinc(distance) * window * cut_off / step).astype(np.float32)
    padded = np.pad(sound, (width, width + step))
    pieces = np.lib.stride_tricks.sliding_window_view(padded, kernels.shape[1])[::step]
    resampled: Sound = (pieces @ kernels.T).ravel()
    return resampled[: math.ceil(len(sound) * phases / step)]
