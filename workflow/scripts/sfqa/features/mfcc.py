"""Mel-frequency cepstral coefficients as SyncNet was trained on (python_speech_features)."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.fft import dct, rfft

from sfqa.arrays import Floats

RATE = 16000
WINDOW, STEP = 400, 160  # 25 ms and 10 ms
FFT, FILTERS, CEPSTRA = 512, 26, 13
PREEMPHASIS, LIFTER = 0.97, 22


def compute_mfcc(samples: npt.NDArray[np.int16]) -> Floats:
    """Return the cepstra (columns, 13) of 16-bit mono sound at 16 kHz; 100 columns a second.

    ``mfcc(int16, 16000)`` of python_speech_features 0.6 with its defaults: pre-emphasis, windows
    without taper, the last one filled with zeros, power spectrum, 26 mel filters, logarithm,
    DCT-II, sine lifter, and the log energy in place of the first cepstrum. Raises ``ValueError``
    for no samples or more than one channel.
    """
    if samples.ndim != 1 or samples.size == 0:
        raise ValueError(f"not mono sound: shape {samples.shape}")
    power = _compute_power(samples.astype(np.float64))
    energy = power.sum(axis=1)
    cepstra: Floats = dct(_compute_log(power @ mel_filters().T), type=2, axis=1, norm="ortho")[
        :, :CEPSTRA
    ]
    cepstra *= 1 + LIFTER / 2 * np.sin(np.pi * np.arange(CEPSTRA) / LIFTER)
    cepstra[:, 0] = _compute_log(energy)
    return cepstra


def _compute_power(samples: Floats) -> Floats:
    """Return the power spectrum (columns, 257) of the pre-emphasised sound."""
    raised = np.concatenate([samples[:1], samples[1:] - PREEMPHASIS * samples[:-1]])
    columns = 1 + max(0, -(-(raised.size - WINDOW) // STEP))
    raised = np.pad(raised, (0, (columns - 1) * STEP + WINDOW - raised.size))
    windows = np.lib.stride_tricks.sliding_window_view(raised, WINDOW)[::STEP]
    spectrum = rfft(windows, FFT, axis=1)
    return np.asarray((spectrum.real**2 + spectrum.imag**2) / FFT)


def _compute_log(values: Floats) -> Floats:
    """Return the logarithm, with zeros (digital silence) replaced by the machine epsilon."""
    return np.log(np.where(values == 0, np.finfo(np.float64).eps, values))


@cache
def mel_filters() -> Floats:
    """Return the triangular mel filters (26, 257), edges on whole FFT bins, 0 to 8000 Hz.

    Mel scale of O'Shaughnessy: 2595 log10(1 + f / 700).

    >>> mel_filters().shape
    (26, 257)
    """
    top = 2595 * np.log10(1 + RATE / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, top, FILTERS + 2) / 2595) - 1)
    edges = np.floor((FFT + 1) * hertz / RATE)
    left, centre, right = (edges[i : i + FILTERS, None] for i in range(3))
    bins = np.arange(FFT // 2 + 1)
    rising = (bins - left) / (centre - left)
    falling = (right - bins) / (right - centre)
    return np.maximum(0, np.minimum(rising, falling))
