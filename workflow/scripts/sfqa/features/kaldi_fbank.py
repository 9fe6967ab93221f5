"""Mel filter banks as Kaldi computes them, which VALOR, VAST, ImageBind and VideoLLaMA2 read."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np

from sfqa.arrays import Floats32
from sfqa.media import Sound

#: Least energy of a band, the resolution of float32: its logarithm is that of silence.
_FLOOR = 1.192092955078125e-07
_LOWEST_HZ, _PRE_EMPHASIS = 20.0, 0.97


def compute_fbank(
    sound: Sound, rate: int, bands: int, window: Literal["hanning", "povey"] = "povey"
) -> Floats32:
    """Return natural logarithms of mel energies, (frames, bands).

    Frames are int(.025 rate) samples long, start every int(.010 rate) samples and are not padded,
    so that n samples have 1 + (n - length) // shift frames, and shorter sound has none. As
    ``torchaudio.compliance.kaldi.fbank`` with ``htk_compat=True``, ``use_energy=False`` and
    ``dither=0``: the mean of each frame is removed, pre-emphasis is .97, bands lie between 20 Hz
    and half the rate. The level counts: models that scale sound to 16-bit numbers do so before.

    >>> compute_fbank(np.zeros(16000, np.float32), 16000, 64).shape
    (98, 64)
    """
    from transformers import audio_utils

    length, shift = int(rate * 0.025), int(rate * 0.010)
    if len(sound) < length:
        return np.zeros((0, bands), np.float32)
    # The next power of 2, from which samples are padded with zeros.
    points = 1 << (length - 1).bit_length()
    with warnings.catch_warnings():
        # At 16 kHz the lowest of 128 bands hold no frequency of the transform; so they do in Kaldi.
        warnings.filterwarnings("ignore", message="At least one mel filter has all zero values")
        filters = audio_utils.mel_filter_bank(
            points // 2 + 1, bands, _LOWEST_HZ, rate / 2, rate,
            mel_scale="kaldi", triangularize_in_mel_space=True,
        )  # fmt: skip
    weights = audio_utils.window_function(
        length, "povey" if window == "povey" else "hann", periodic=False
    )
    energies: Floats32 = audio_utils.spectrogram(
        sound, weights, length, shift, points, power=2.0, center=False, preemphasis=_PRE_EMPHASIS,
        mel_filters=filters, mel_floor=_FLOOR, log_mel="log", remove_dc_offset=True,
    ).T  # fmt: skip
    return energies
