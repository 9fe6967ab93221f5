"""A synthetic voice."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, sawtooth, sosfilt

RATE = 24000


def make_voice(
    spans: list[tuple[float, float]], length: float, hz: float = 220.0, floor_db: float = -70.0
) -> npt.NDArray[np.float32]:
    """A buzzing voice of -14 dBFS in the given spans (start, end in seconds) over white noise."""
    rng = np.random.default_rng(7)
    clock = np.arange(round(length * RATE)) / RATE
    tone = sosfilt(butter(2, 3000, fs=RATE, output="sos"), sawtooth(2 * np.pi * hz * clock))
    level = np.zeros(len(clock))
    for start, end in spans:
        level[round(start * RATE) : round(end * RATE)] = 0.35
    noise = 10 ** (floor_db / 20) * rng.standard_normal(len(clock))
    return (tone * level + noise).astype(np.float32)
