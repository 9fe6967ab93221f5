"""What is known of the agreement between one set of predictions and MOS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sfqa.statistics.registry import NAMES, STATISTICS
from sfqa.tables import FAILED, FLAWED, OK

#: The values of the statistics where none is defined.
UNDEFINED: Mapping[str, float | None] = dict.fromkeys(NAMES)


@dataclass(frozen=True)
class Correlation:
    """The statistics of one set of predictions against MOS; ``None`` where one is undefined.

    ``values``: by the statistics' names; those that need it stand after ``mapping``. ``status`` is
    failed when no correlation is defined, flawed when ``detail`` names something that must be known
    about them.

    >>> Correlation(4, {"srcc": 0.8, "plcc": None}, "none")["srcc"]
    0.8
    """

    n: int
    values: Mapping[str, float | None]
    mapping: str
    detail: str = ""

    def __getitem__(self, name: str) -> float | None:
        """Return the value of a statistic."""
        return self.values[name]

    @property
    def status(self) -> str:
        """One of ``ok``, ``flawed``, ``failed``.

        >>> Correlation(2, UNDEFINED, "none", "too_few: 2 points").status
        'failed'
        """
        if all(self.values[s.name] is None for s in STATISTICS if s.is_correlation):
            return FAILED
        return FLAWED if self.detail else OK

    @property
    def main_score(self) -> float | None:
        """NTIRE's main score, ``(|SRCC| + |PLCC|) / 2``; ``None`` where one of them is undefined.

        >>> Correlation(9, {"srcc": -0.5, "plcc": 0.7}, "none").main_score
        0.6
        """
        srcc, plcc = self.values["srcc"], self.values["plcc"]
        return None if srcc is None or plcc is None else (abs(srcc) + abs(plcc)) / 2
