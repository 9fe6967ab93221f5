"""Weights and videos of the goldens, the same on every machine: uniform numbers from PCG64's bits.

The goldens were made by the official code with these weights. Only integers and float64 products
are used, so no version of NumPy changes a bit.
"""

from __future__ import annotations

import hashlib
from math import prod

import numpy as np
import numpy.typing as npt
import torch

#: Parts of the keys of tables, whose rows are looked up or added and not multiplied.
_TABLES = ("bias_table", "embeddings.", "embedding.", "pos_embed", "_token")


def draw_bits(seed: int, name: str, count: int) -> npt.NDArray[np.uint64]:
    """Numbers of PCG64, seeded by the first 16 bytes of sha256("<seed>/<name>")."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    bits: npt.NDArray[np.uint64] = np.random.PCG64(
        int.from_bytes(digest[:16], "little")
    ).random_raw(count)
    return bits


def draw_weight(key: str, shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    """The float32 tensor of a key of the official checkpoint."""
    bits = draw_bits(seed, key, prod(shape))
    numbers = ((bits >> np.uint64(11)) * 2.0**-52 - 1.0).reshape(shape)  # [-1, 1), variance 1/3
    last = key.rsplit(".", 1)[-1]
    if last == "running_var" or (len(shape) <= 1 and last in ("weight", "gamma")):
        numbers = 1.0 + 0.2 * numbers
    elif len(shape) <= 1:
        numbers = 0.1 * numbers
    elif len(shape) <= 3 and any(part in key for part in _TABLES):
        numbers = 0.5 * numbers
    else:
        numbers = numbers * (3.0 / prod(shape[1:])) ** 0.5  # variance 1 / fan-in
    return torch.from_numpy(np.asarray(numbers, dtype=np.float32))


def fill_weights(module: torch.nn.Module, seed: int = 0, prefix: str = "") -> None:
    """Put the weight of each key, after ``prefix``, into the module's floating-point tensors."""
    for key, tensor in module.state_dict().items():
        if tensor.is_floating_point() and not key.endswith("attn_mask"):
            tensor.copy_(draw_weight(prefix + key, tuple(tensor.shape), seed))


def draw_video(seed: int, frames: int, height: int, width: int) -> npt.NDArray[np.uint8]:
    """RGB frames (frames, height, width, 3): smooth, moving, different in each channel."""
    t, y, x = (axis.astype(np.int32) for axis in np.ogrid[:frames, :height, :width])
    # One period of a wave as a table: the numbers are those of abs(phase % 512 - 256) * 255 // 256.
    wave_table = (np.abs(np.arange(512) - 256) * 255 // 256).astype(np.uint16)
    channels = []
    for channel in range(3):
        total = np.zeros((frames, height, width), np.uint16)
        for wave in range(3):
            bits = draw_bits(seed, f"video/{channel}/{wave}", 4)
            *steps, phase = (bits % np.uint64(4096)).astype(np.int32)
            for step, axis in zip(steps, (4 * t, y, x), strict=True):
                phase = phase + (1 + step % 9) * axis
            total += wave_table[phase & 511]
        channels.append((total // 3).astype(np.uint8))
    return np.stack(channels, -1)


def draw_song(seed: int, seconds: float, rate: int) -> npt.NDArray[np.int16]:
    """A sung-like tone (samples,): five harmonics of 210 to 249 Hz, vibrato, swell, faint noise."""
    n = np.arange(int(seconds * rate), dtype=np.int64)
    draws = (draw_bits(seed, "song", 8) % np.uint64(65536)).astype(np.int64)

    def triangle(phase: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return np.abs(phase % 65536 - 32768) - 16384

    vibrato = triangle(n * 360448 // rate + draws[0])
    swell = 24576 + triangle(n * 45875 // rate) // 2
    phase = np.cumsum((210 + draws[1] % 40) * (16777216 + 24 * vibrato) // rate) // 256
    harmonics = [triangle((h + 1) * phase + draws[h + 2]) // (h + 1) for h in range(5)]
    tone = np.sum(harmonics, axis=0) * swell // 65536
    noise = (draw_bits(seed, "song/noise", n.size) % np.uint64(129)).astype(np.int64) - 64
    return (tone + noise).astype(np.int16)
