"""The aesthetic view of DOVER: whole frames, squashed to 224x224."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sfqa.arrays import Ints
from sfqa.features.bilinear import interpolate_pixels
from sfqa.features.fragments import SIZE
from sfqa.media import Pixels


@dataclass(frozen=True)
class AestheticView:
    """Frames as torchvision's ``Resize((224, 224))`` makes them of tensors.

    Without ``antialias`` as in torchvision 0.14, which the official requirements name: four pixels
    are mixed for each, however much smaller the picture becomes. torchvision 0.17 and later smooth
    by default, which gives other pixels and scores.
    """

    frames: Ints
    antialias: bool = False

    def cut(self, picture: Pixels, clip: int) -> Pixels:
        """Return a frame (height, width, 3) as (224, 224, 3)."""
        return squash(picture, self.antialias)


def squash(picture: Pixels, antialias: bool) -> Pixels:
    """Resize a picture to 224x224, bilinear, and round half to even.

    >>> squash(np.full((512, 300, 3), 9, np.uint8), antialias=False).shape
    (224, 224, 3)
    """
    resized = interpolate_pixels(picture, size=(SIZE, SIZE), antialias=antialias)
    return resized.round().astype(np.uint8)
