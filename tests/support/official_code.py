"""Numbers that the official code of published models gives, and their inputs and weights.

The inputs and weights are integers from PCG64's raw bits, so they are the same on every machine.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

FOLDER = Path(__file__).parent / "official"


def read_numbers(model: str) -> dict[str, Any]:
    """Read official/{model}.json: summaries of arrays as shape, mean, std, step and values."""
    numbers: dict[str, Any] = json.loads((FOLDER / f"{model}.json").read_text())
    return numbers


def check_array(array: npt.ArrayLike, summary: dict[str, Any], tolerance: float) -> None:
    """Compare every step-th number of an array, its mean and its deviation with a summary."""
    values = np.asarray(array, np.float64)
    assert values.size == np.prod(summary["shape"])
    chosen = values.ravel()[:: summary["step"]][: len(summary["values"])]
    np.testing.assert_allclose(chosen, summary["values"], rtol=0, atol=tolerance)
    assert abs(values.mean() - summary["mean"]) < tolerance
    assert abs(values.std() - summary["std"]) < tolerance


def draw_bits(name: str, count: int) -> npt.NDArray[np.uint64]:
    """Return uint64 numbers of PCG64, seeded by the sha256 of a name."""
    digest = hashlib.sha256(f"0/{name}".encode()).digest()
    return np.random.PCG64(int.from_bytes(digest[:16], "little")).random_raw(count)


def draw_weight(key: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Return the float32 tensor of a key of the official state dictionary."""
    bits = draw_bits(key, int(np.prod(shape, dtype=np.int64))) >> np.uint64(11)
    uniform, name = (bits * 2.0**-52 - 1.0).reshape(shape), key.split(".")[-1]
    if name == "running_var" or (len(shape) <= 1 and name == "weight"):
        uniform = 1.0 + 0.2 * uniform
    elif len(shape) <= 1:
        uniform = 0.1 * uniform
    else:
        uniform = uniform * (3.0 / int(np.prod(shape[1:]))) ** 0.5
    return torch.from_numpy(uniform.astype(np.float32))


def draw_song(seconds: int, rate: int) -> npt.NDArray[np.float32]:
    """Return a sung-like tone in -1..1: five harmonics, vibrato, swell and faint noise."""

    def triangle(phase: Any) -> Any:
        return np.abs(phase % 65536 - 32768) - 16384

    n = np.arange(seconds * rate, dtype=np.int64)
    k = (draw_bits("song", 8) % np.uint64(65536)).astype(np.int64)
    vibrato = triangle(n * 360448 // rate + k[0])
    swell = 24576 + triangle(n * 45875 // rate) // 2
    phase = np.cumsum((210 + k[1] % 40) * (16777216 + 24 * vibrato) // rate) // 256
    harmonics = (triangle((h + 1) * phase + k[h + 2]) // (h + 1) for h in range(5))
    tone = sum(harmonics) * swell // 65536
    noise = (draw_bits("song/noise", n.size) % np.uint64(129)).astype(np.int64) - 64
    return ((tone + noise) / 32768).astype(np.float32)
