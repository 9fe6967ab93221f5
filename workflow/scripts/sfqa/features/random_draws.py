"""Random draws of official samplers that repeat: seeded by the content of the video.

The official code draws frames by NumPy's global generator and places in the picture by torch's.
With one seed both give the integers of ``np.random.seed`` and ``torch.manual_seed``, without torch
and without any global state.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np

from sfqa.arrays import Ints


@dataclass
class RandomDraws:
    """The two generators of a video: ``time`` for frames, and one for places in the picture.

    >>> RandomDraws(0).draw_places(41, (4,)).tolist()
    [1, 24, 17, 9]
    """

    seed: int
    time: np.random.RandomState = field(init=False)
    _space: np.random.RandomState = field(init=False)

    def __post_init__(self) -> None:
        self.time = np.random.RandomState(self.seed)
        self._space = np.random.RandomState(self.seed)

    def draw_places(self, high: int, shape: tuple[int, ...]) -> Ints:
        """Return integers from 0 to ``high`` - 1, those of ``torch.randint`` with this seed.

        Both are the 32-bit numbers of one Mersenne twister, modulo ``high``.
        """
        count = int(np.prod(shape))
        bits = np.frombuffer(self._space.bytes(4 * count), "<u4")
        return (bits.astype(np.int64) % high).reshape(shape)


def seed_draws(video_sha256: str, draw: int, seed: int | None = None) -> RandomDraws:
    """Return the generators of the ``draw``-th draw of a video.

    By default the seed follows from the content, so a renamed video gets the same numbers and two
    videos get different ones. With ``seed`` every video gets that one, plus ``draw``.

    >>> seed_draws("ab", 0).seed == seed_draws("ab", 1).seed
    False
    >>> seed_draws("ab", 2, seed=7).seed
    9
    """
    if seed is not None:
        return RandomDraws((seed + draw) % 2**32)
    content = hashlib.sha256(f"{video_sha256}/{draw}".encode()).digest()
    return RandomDraws(int.from_bytes(content[:4], "little"))
