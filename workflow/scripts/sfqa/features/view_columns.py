"""View columns: the input of a network, cached as a feature, from which a training reads it.

A view is a tensor of type uint8, the pixels 0..255 before they are normalised. Its first axis is
that of the steps (clips, frames), the second one the colours of a clip, or of a frame. Input that
is no picture is kept as the bytes of its numbers (:func:`encode_bytes`). A table has
views only if the option ``views`` of its extractor is above 0; it says how many draws of a video
are kept, if the extractor draws anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from sfqa.arrays import Floats32
from sfqa.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from sfqa.media import Pixels

#: The type of views, the option that asks for them, and the option that says how large they are.
DTYPE, OPTION, SIDE_OPTION = "uint8", "views", "view_side"
#: Bytes of a clip of 32 frames of 224 pixels, and of what a row may hold: Arrow's lists and records
#: of the cache end at 2 GiB.
CLIP_BYTES, ROW_BYTES = 3 * 32 * 224 * 224, 2 * 10**9


class _Typed(Protocol):
    @property
    def dtype(self) -> str: ...


Column = TypeVar("Column", bound=_Typed)


def drop_unused_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options without those on views if none are kept.

    Then a row is what it was before the extractor had these options, and so is its key.

    >>> drop_unused_options({"draws": 0, "views": 0}), drop_unused_options({"views": 2})
    ({'draws': 0}, {'views': 2})
    """
    unused = () if options.get(OPTION) else (OPTION, SIDE_OPTION)
    return {name: value for name, value in options.items() if name not in unused}


def check_size(name: str, options: Mapping[str, Any]) -> None:
    """Raise :class:`UserError` for more clips of a video than a row of a table can hold.

    >>> check_size("fast_vqa", {"views": 8, "clips": 4})
    """
    clips = int(options.get(OPTION) or 0) * int(options.get("clips") or 1)
    size = clips * CLIP_BYTES
    if size > ROW_BYTES:
        raise UserError(
            f"config, features.{name}.options: views: {options[OPTION]} with clips: "
            f"{options['clips']} are {size / 1e9:.1f} GB a video, and a row of a table holds "
            f"{ROW_BYTES / 1e9:.1f} GB; write fewer views"
        )


def select_columns(features: Iterable[Column], options: Mapping[str, Any]) -> tuple[Column, ...]:
    """Return the columns of the table of an extractor with these options: views only if kept."""
    keeps_views = bool(options.get(OPTION))
    return tuple(feature for feature in features if keeps_views or feature.dtype != DTYPE)


def arrange_clips(draws: Sequence[Pixels]) -> Pixels | None:
    """Return the clips of all draws, (draw x clip, 3, frame, row, column); None without draws.

    ``draws`` are clips (clip, frame, row, column, 3); those of the first draw come first.

    >>> arrange_clips([np.zeros((4, 32, 8, 8, 3), np.uint8)] * 2).shape
    (8, 3, 32, 8, 8)
    """
    if not draws:
        return None
    return np.concatenate([clips.transpose(0, 4, 1, 2, 3) for clips in draws])


def arrange_frames(frames: Pixels) -> Pixels:
    """Return frames (frame, row, column, 3) as (frame, 3, row, column).

    >>> arrange_frames(np.zeros((2, 4, 6, 3), np.uint8)).shape
    (2, 3, 4, 6)
    """
    return np.ascontiguousarray(frames.transpose(0, 3, 1, 2))


def cut_centre(frames: Pixels, side: int) -> Pixels:
    """Return the centre (frame, side, side, 3) of square frames.

    >>> cut_centre(np.zeros((2, 6, 6, 3), np.uint8), 4).shape
    (2, 4, 4, 3)
    """
    start = (frames.shape[1] - side) // 2
    return frames[:, start : start + side, start : start + side]


def round_to_pixels(frames: Floats32) -> Pixels:
    """Return numbers from 0 to 1 as the nearest whole pixels 0..255.

    >>> round_to_pixels(np.array([0, 0.5, 1.001], np.float32)).tolist()
    [0, 128, 255]
    """
    return np.rint(frames * np.float32(255)).clip(0, 255).astype(np.uint8)


def encode_bytes(numbers: Tensor | Floats32) -> Pixels:
    """Return the bytes of numbers (..., n), uint8 (..., n, bytes of a number).

    >>> import torch
    >>> encode_bytes(torch.tensor([[1, 258]], dtype=torch.int32)).tolist()
    [[[1, 0, 0, 0], [2, 1, 0, 0]]]
    """
    import torch

    values = torch.as_tensor(numbers).cpu().contiguous()
    encoded: Pixels = values.view(torch.uint8).unflatten(-1, (-1, values.element_size())).numpy()
    return encoded


def decode_bytes(encoded: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the numbers (..., n) of type ``dtype`` that :func:`encode_bytes` was given.

    >>> import torch
    >>> encoded = encode_bytes(torch.tensor([[7, -1]], dtype=torch.int32))
    >>> decode_bytes(torch.from_numpy(encoded), torch.int32).tolist()
    [[7, -1]]
    """
    return encoded.contiguous().flatten(-2).view(dtype)
