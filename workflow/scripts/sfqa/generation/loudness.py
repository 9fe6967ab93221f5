"""From a clip's sound to how far the mouth is open in each frame."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

#: Below this RMS (-60 dB of full scale) a clip counts as silent.
_SILENT = 1e-3


def frame_rms(samples: npt.NDArray[np.float32], sample_rate: int, fps: float) -> Array:
    """Return the RMS of the sound under each frame, full scale = 1.

    ``samples``: mono, shape (n,). Shape of the result: (frames,), frames = n / sample_rate * fps,
    rounded, at least 1.

    >>> frame_rms(np.full(1600, 0.5, np.float32), 16000, 25.0)
    array([0.5, 0.5])
    """
    frames = max(1, round(len(samples) / sample_rate * fps))
    edges = np.round(np.arange(frames + 1) * sample_rate / fps).astype(int).clip(0, len(samples))
    power = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    count = np.maximum(np.diff(edges), 1)
    return np.asarray(np.sqrt(np.maximum(np.diff(power[edges]), 0) / count))


def openness(rms: Array) -> Array:
    """Return how far the mouth is open, 0 to 1 in each frame.

    The RMS is smoothed over three frames and stretched between its own 10th and 95th percentile,
    because loudness differs from clip to clip while mouths do not. A silent clip keeps it shut.

    >>> openness(np.zeros(5)).max() == 0.0
    np.True_
    """
    padded = np.pad(rms, 1, mode="edge")
    smooth = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    low, high = np.percentile(smooth, [10, 95])
    if high < _SILENT:
        return np.zeros_like(smooth)
    # A steady tone has no range of its own: it is then measured against its level.
    span = max(high - low, 0.3 * high)
    return np.asarray(np.clip((smooth - low) / span, 0, 1) ** 0.8)


def delayed(values: Array, frames: int) -> Array:
    """Return a course shifted to later (positive) or earlier frames, its ends held.

    >>> delayed(np.array([1.0, 2.0, 3.0]), 1)
    array([1., 1., 2.])
    """
    index = np.clip(np.arange(len(values)) - frames, 0, max(len(values) - 1, 0))
    return values[index]


def frozen(values: Array, share: float, block: int, rng: np.random.Generator) -> Array:
    """Return a course that stands still for a share of its blocks of ``block`` frames.

    Which blocks, the generator decides: the first ones of a random order, so that a larger share
    freezes the same blocks and more.

    >>> frozen(np.arange(4.0), 1.0, 2, np.random.default_rng(0))
    array([0., 0., 0., 0.])
    """
    blocks = -(-len(values) // block)
    chosen = set(rng.permutation(blocks)[: round(share * blocks)].tolist())
    result = values.copy()
    for number in range(len(values)):
        if number // block in chosen:
            result[number] = result[number - 1] if number else values[0]
    return result
