"""Tensors against the summaries of the goldens, and the frames that the goldens were made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from golden_weights import draw_bits
from sfqa import media

FOLDER = Path(__file__).parents[1] / "features" / "golden"


def load_golden(name: str) -> dict[str, Any]:
    """Return the numbers that the official code of a model gave (``<name>_official.json``)."""
    golden: dict[str, Any] = json.loads((FOLDER / f"{name}_official.json").read_text())
    return golden


def digest_keys(state: Mapping[str, Any]) -> str:
    """Return the sha256 of the keys of a state dict, with shapes and types, in order of the keys."""
    lines = [
        f"{key} {','.join(map(str, t.shape))} {str(t.dtype).removeprefix('torch.')}"
        for key, t in state.items()
    ]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def list_places(size: int, count: int) -> npt.NDArray[np.int64]:
    """Return the flat indices of the values that a summary holds: i (size - 1) // (count - 1)."""
    return np.arange(count, dtype=np.int64) * (size - 1) // (count - 1)


def assert_summary(tensor: Any, summary: Mapping[str, Any], atol: float = 2e-5) -> None:
    """Assert that a tensor has the shape, moments, extremes and values of a summary."""
    array = np.asarray(tensor, dtype=np.float64)
    assert list(array.shape) == summary["shape"]
    for name, number in (
        ("mean", array.mean()),
        ("std", array.std()),
        ("min", array.min()),
        ("max", array.max()),
    ):
        # Summaries are rounded to 8 digits.
        assert number == pytest.approx(summary[name], abs=atol, rel=1e-6), name
    places = list_places(array.size, len(summary["values"]))
    np.testing.assert_allclose(array.ravel()[places], summary["values"], atol=atol, rtol=1e-6)


def draw_frames(seed: int, times: Sequence[int], height: int, width: int) -> media.Pixels:
    """Return some frames of the goldens' video, by their numbers, (n, height, width, 3)."""
    t = np.asarray(times, np.int64)[:, None, None]
    _, y, x = np.ogrid[:1, :height, :width]
    channels = []
    for channel in range(3):
        total: npt.NDArray[np.int64] = np.zeros((1, 1, 1), np.int64)
        for wave in range(3):
            bits = draw_bits(seed, f"video/{channel}/{wave}", 4)
            *steps, phase = (bits % np.uint64(4096)).astype(np.int64)
            for step, axis in zip(steps, (4 * t, y, x), strict=True):
                phase = phase + (1 + step % 9) * axis
            total = total + np.abs(phase % 512 - 256) * 255 // 256
        channels.append((total // 3).astype(np.uint8))
    return np.stack(channels, -1)


def make_reader(
    seed: int, height: int, width: int
) -> Callable[[Any, Sequence[int], Callable[[media.Pixels], media.Pixels]], media.Pixels]:
    """Return what stands in for ``media.read_frames``: the goldens' video without a file."""

    def read_frames(
        _path: Any, indices: Sequence[int], transform: Callable[[media.Pixels], media.Pixels]
    ) -> media.Pixels:
        return transform(draw_frames(seed, indices, height, width))

    return read_frames
