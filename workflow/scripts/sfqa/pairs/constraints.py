"""Constraints on the pairs that a user can set."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sfqa.errors import UserError, hint

COVERAGES = ("possible", "all", "none")
PROPORTIONS = ("material", "equal")
Range = tuple[int, int]


@dataclass(frozen=True)
class PairConstraints:
    """Number of pairs, their split, and the constraints on uses and coverage.

    ``count``: number of pairs. ``ratio``: train : val ratio, met as closely as possible; ``val``
    fixes the number of validation pairs instead. ``per_image``, ``per_clip``: (least, most) uses of
    each image or clip; with None, uses are as even as possible. ``coverage`` of the combinations of
    image category, style and language: ``possible`` covers as many as possible, ``all`` requires
    every combination, ``none`` ignores coverage. ``proportion``: the target count of a combination
    is proportional to its number of images times its number of clips (``material``) or equal for
    all combinations (``equal``). ``nodes`` limits the search tree of each solve; a run that reaches
    it gives the same pairs again. ``seconds`` limits the processor time of all solves (None: no
    limit); a run that reaches it may give other pairs on another machine. With either limit the
    best pairs that were found are used, and the proof names the gap.

    Raises :class:`UserError` for invalid values.

    >>> PairConstraints(432, per_image=(4, 5)).per_image
    (4, 5)
    """

    count: int
    ratio: float = 3.5
    val: int | None = None
    per_image: Range | None = None
    per_clip: Range | None = None
    coverage: str = "possible"
    proportion: str = "material"
    nodes: int = 2000
    seconds: float | None = 1800.0

    def __post_init__(self) -> None:
        if self.count < 2:
            raise UserError(
                f"pairs: count is {self.count}; ask for at least 2, one per side of the split"
            )
        if not (self.ratio > 0 and math.isfinite(self.ratio)):
            raise UserError(f"pairs: the ratio train : val is {self.ratio}; give a number above 0")
        if self.val is not None and not 0 < self.val < self.count:
            raise UserError(
                f"pairs: val is {self.val} of {self.count} pairs; give a number from 1 to "
                f"{self.count - 1}, so that both sides have one"
            )
        for name in ("per_image", "per_clip"):
            limits = getattr(self, name)
            if limits is None:
                continue
            least, most = limits
            object.__setattr__(self, name, (least, most))
            if not 0 <= least <= most or most < 1:
                raise UserError(
                    f"pairs: {name} is [{least}, {most}]; give the least and the most uses, "
                    "0 <= least <= most and most at least 1"
                )
        for name, choices in (("coverage", COVERAGES), ("proportion", PROPORTIONS)):
            word = getattr(self, name)
            if word not in choices:
                raise UserError(f"pairs: {name} {word!r} is unknown; {hint(word, choices)}")
        if self.nodes < 1 or (self.seconds is not None and self.seconds <= 0):
            raise UserError(
                f"pairs: nodes is {self.nodes} and seconds is {self.seconds}; give numbers above 0"
            )
