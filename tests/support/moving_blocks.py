"""Frames for tests of feature extractors."""

from __future__ import annotations

import numpy as np

from sfqa import media


def draw_moving_blocks(frames: int, height: int, width: int) -> media.Pixels:
    """Coloured blocks that drift and pulse: no symmetry of space, time or colour."""
    colours = np.random.default_rng(5).integers(0, 256, (height // 8, width // 8, 3))
    blocks = np.kron(colours, np.ones((8, 8, 1))).astype(float)
    return np.stack(
        [np.roll(blocks, (t, -2 * t), (0, 1)) * (1 + t % 9) / 9 for t in range(frames)]
    ).astype(np.uint8)
