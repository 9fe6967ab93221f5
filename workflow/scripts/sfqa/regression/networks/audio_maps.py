"""Time-frequency maps of sound to one vector each: a spatially separable convolution network.

GeneralAVQA's (Cao et al., IEEE TIP 2023), which the NTIRE 2025 talking-head winner (QA Team) uses
too: a frequency, a time and a fusion block, each conv-conv-conv, batch normalisation, maximum.
With the same weights the outputs equal those of GeneralAVQA's code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

#: Kernel and pooling of each block, over (bins, columns), and the published channels.
KERNELS = (((1, 3), (1, 2)), ((5, 1), (4, 1)), ((5, 3), (4, 2)))
CHANNELS = (32, 64, 128)


def stack_maps(maps: Sequence[Tensor], columns: int) -> Tensor:
    """Kinds of maps (n, segments, columns * bins) each -> (n, segments, kinds, bins, columns)."""
    stacked = torch.stack(list(maps), dim=-2)
    return stacked.unflatten(-1, (columns, -1)).transpose(-1, -2)


def read_sound_size(
    shapes: Mapping[str, Sequence[int]], columns: int
) -> int | tuple[int, int, int]:
    """Return the width of a ready sequence of sound, or (kinds, bins, columns) of its maps.

    Raises ``ValueError`` for maps of different shapes, or of another number of columns.

    >>> read_sound_size({"audio0": (30, 8192), "audio1": (30, 8192)}, 64)
    (2, 128, 64)
    """
    sounds = [tuple(shape) for role, shape in shapes.items() if role.startswith("audio")]
    if not sounds or not columns:
        return sounds[0][-1] if sounds else 0
    if len(set(sounds)) > 1 or sounds[0][-1] % columns:
        raise ValueError(f"maps of sound of {sounds}, which are not all (bins, {columns} columns)")
    return len(sounds), sounds[0][-1] // columns, columns


class AudioMaps(nn.Module):
    """(n, segments, kinds, bins, columns) -> (n, segments, width)."""

    def __init__(
        self,
        kinds: int,
        bins: int,
        columns: int,
        width: int,
        channels: Sequence[int] = CHANNELS,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = kinds
        for (kernel, pool), after in zip(KERNELS, channels, strict=True):
            margin = (kernel[0] // 2, kernel[1] // 2)
            for inputs, size, pad in (
                (before, kernel, margin),
                (after, kernel, margin),
                (after, (1, 1), (0, 0)),
            ):
                layers += [nn.Conv2d(inputs, after, size, padding=pad), nn.LeakyReLU(0.01)]
            layers += [nn.BatchNorm2d(after), nn.MaxPool2d(pool)]
            bins, columns, before = bins // pool[0], columns // pool[1], after
        self.blocks = nn.Sequential(*layers)
        self.out = nn.Sequential(
            nn.Linear(before * bins * columns, width), nn.LeakyReLU(0.01), nn.Dropout(dropout)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return one vector per segment."""
        features = self.blocks(x.flatten(0, 1)).flatten(1)
        return self.out(features).unflatten(0, x.shape[:2])
