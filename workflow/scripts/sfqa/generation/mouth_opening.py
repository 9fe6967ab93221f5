"""Estimate from a clip's sound how far the mouth is open in each frame."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sfqa.arrays import Floats

#: A clip whose RMS stays below this (-60 dB of full scale) counts as silent.
_SILENT_RMS = 1e-3


def measure_frame_rms(samples: npt.NDArray[np.float32], sample_rate: int, fps: float) -> Floats:
    """Return the RMS of the sound under each frame, full scale = 1.

    ``samples``: mono, shape (n,). The result has shape (frames,), where frames is
    n / sample_rate * fps, rounded, and at least 1.

    >>> measure_frame_rms(np.full(1600, 0.5, np.float32), 16000, 25.0)
    array([0.5, 0.5])
    """
    frames = max(1, round(len(samples) / sample_rate * fps))
    edges = np.round(np.arange(frames + 1) * sample_rate / fps).astype(int).clip(0, len(samples))
    power = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    count = np.maximum(np.diff(edges), 1)
    return np.asarray(np.sqrt(np.maximum(np.diff(power[edges]), 0) / count))


def estimate_opening(rms: Floats) -> Floats:
    """Return how far the mouth is open in each frame, from 0 (shut) to 1.

    The RMS is smoothed over three frames and stretched between its 10th and 95th percentile,
    because loudness differs between clips and the movement of mouths does not. In a silent clip
    the mouth stays shut.

    >>> estimate_opening(np.zeros(5)).max() == 0.0
    np.True_
    """
    padded = np.pad(rms, 1, mode="edge")
    smooth = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    low, high = np.percentile(smooth, [10, 95])
    if high < _SILENT_RMS:
        return np.zeros_like(smooth)
    # The loudness of a steady tone has no range: it is then measured against its level.
    span = max(high - low, 0.3 * high)
    return np.asarray(np.clip((smooth - low) / span, 0, 1) ** 0.8)


def delay_frames(values: Floats, frames: int) -> Floats:
    """Return values shifted to later (positive) or earlier frames; the ends are repeated.

    >>> delay_frames(np.array([1.0, 2.0, 3.0]), 1)
    array([1., 1., 2.])
    """
    index = np.clip(np.arange(len(values)) - frames, 0, max(len(values) - 1, 0))
    return values[index]


def freeze_blocks(values: Floats, share: float, block: int, rng: np.random.Generator) -> Floats:
    """Return values that stay constant in a share of their blocks of ``block`` frames.

    The frozen blocks are the first ones of a random order, so that a larger share freezes the same
    blocks and more.

    >>> freeze_blocks(np.arange(4.0), 1.0, 2, np.random.default_rng(0))
    array([0., 0., 0., 0.])
    """
    blocks = -(-len(values) // block)
    chosen = set(rng.permutation(blocks)[: round(share * blocks)].tolist())
    result = values.copy()
    for number in range(len(values)):
        if number // block in chosen:
            result[number] = result[number - 1] if number else values[0]
    return result
