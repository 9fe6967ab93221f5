"""What the user may wish of the pairs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sfqa.errors import UserError, hint

COVERAGES = ("possible", "all", "none")
PROPORTIONS = ("material", "equal")
Range = tuple[int, int]


@dataclass(frozen=True)
class Wishes:
    """How many pairs, how they are split, how often material is used, what is covered.

    ``count`` pairs, train : val as near ``ratio`` as can be, or exactly ``val`` validation pairs.
    ``per_image`` and ``per_clip``: least and most uses of each, a rule; None: as even as possible,
    an aim. ``coverage`` of the combinations of image category, style and language: ``possible``
    (as many as can be), ``all`` (a rule) or ``none``. ``proportion``: the count of a combination
    follows the ``material`` (its images times its clips) or is ``equal``. ``nodes`` limits the
    search tree of each step; ``seconds`` guards the wall clock of all, and a run that it stops may
    end elsewhere on another machine.

    Raises :class:`UserError` for values that mean nothing.

    >>> Wishes(432, per_image=(4, 5)).per_image
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
    seconds: float | None = 300.0

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
        for name, known in (("coverage", COVERAGES), ("proportion", PROPORTIONS)):
            word = getattr(self, name)
            if word not in known:
                raise UserError(f"pairs: {name} {word!r} is unknown; {hint(word, known)}")
        if self.nodes < 1 or (self.seconds is not None and self.seconds <= 0):
            raise UserError("pairs: nodes and seconds must be above 0")
