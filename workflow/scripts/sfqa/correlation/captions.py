"""What stands around the figures of a table: intervals, warnings, and the caption's legend.

VERSION of layout.py stands for this file and for grid.py too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from sfqa.correlation.fits import MAPPINGS
from sfqa.correlation.intervals import NOT_ASKED
from sfqa.correlation.summarise import MEAN, MEDIAN, OVERALL, VIDEO
from sfqa.statistics.registry import MAPPED_LABELS, STATISTICS, find_statistic, join_words

#: What may stand behind a figure, and what captions say of it.
INTERVALS = {
    "brackets": " In brackets: 95 % intervals",
    "plus_minus": " Behind ±: half the width of the 95 % interval",
    "sd": " Behind ±: standard deviation over the trials",
    "none": "",
}

SYNTHETIC_MOS = (
    "MOS from simulated raters: these figures test the workflow and say nothing about what people "
    "see or hear."
)
RANDOM_WEIGHTS = (
    "Random weights: the metrics so marked ran on untrained networks; their figures say nothing "
    "about the metric of that name."
)

#: Mappings that leave correlations as they are.
_STRAIGHT = (MAPPINGS["none"], MAPPINGS["rescale"])

#: Statistics as sentences name them: those that are best where least; of those after the mapping,
#: the correlations, which a straight line does not change, and the others; the correlations of the
#: scores as given.
_LEAST = join_words(s.label for s in STATISTICS if not s.higher_is_better)
_MAPPED_CORRELATIONS = join_words(s.label for s in STATISTICS if s.is_mapped and s.is_correlation)
_MAPPED_ERRORS = join_words(s.label for s in STATISTICS if s.is_mapped and not s.is_correlation)
_AS_GIVEN = join_words(s.label for s in STATISTICS if not s.is_mapped and s.is_correlation)


def warnings(frame: pd.DataFrame, weights: Iterable[str]) -> list[str]:
    """Return what must be said loudly of rows: simulated MOS, random ``weights``.

    >>> warnings(pd.DataFrame({"synthetic_mos": [False]}), ["official"])
    []
    """
    made = len(frame) > 0 and bool(frame["synthetic_mos"].any())
    return ([SYNTHETIC_MOS] if made else []) + (
        [RANDOM_WEIGHTS] if "random" in set(weights) else []
    )


def spread_of(record: Mapping[str, Any], stat: str, intervals: str) -> str:
    """Return what stands behind a figure, by a word of :data:`INTERVALS`; empty for nothing.

    >>> spread_of({"srcc_low": 0.61, "srcc_high": 0.792}, "srcc", "brackets")
    '[0.610, 0.792]'
    """
    # The main score of a challenge is no statistic of the list, and written as a correlation.
    digits = 3 if stat == "main_score" else find_statistic(stat).decimals
    names = ("sd",) if intervals == "sd" else ("low", "high")
    values: list[Any] = [record.get(f"{stat}_{name}") for name in names]
    if intervals == "none" or any(value is None or pd.isna(value) for value in values):
        return ""
    if intervals == "brackets":
        return f"[{values[0]:.{digits}f}, {values[1]:.{digits}f}]"
    wide = values[0] if intervals == "sd" else (values[1] - values[0]) / 2
    return f"±{wide:.{digits}f}"


def how(frame: pd.DataFrame, intervals: str) -> str:
    """Return the caption's sentence about what stands behind the figures; empty for nothing.

    Where all intervals were made alike (column ``interval``), it says how, or why there is none.
    """
    if intervals == "none":
        return ""
    ends = ("sd",) if intervals == "sd" else ("low", "high")
    known = [f"{statistic.name}_{end}" for statistic in STATISTICS for end in ends]
    there = [name for name in known if name in frame]
    shown = bool(there) and bool(frame[there].notna().any(axis=None))
    made: list[str] = []
    if "interval" in frame and intervals != "sd":
        defined = frame["srcc_low"].notna() if shown else frame["srcc"].notna()
        made = sorted(set(frame.loc[defined, "interval"]) - {NOT_ASKED})
    if shown:
        return INTERVALS[intervals] + (f" ({made[0]})" if len(made) == 1 else "") + "."
    return f" No 95 % intervals ({made[0].removeprefix('none: ')})." if len(made) == 1 else ""


def legend(frame: pd.DataFrame, intervals: str) -> str:
    """Return what a reader must know of rows of one protocol, level and pooling."""
    counted = frame.loc[frame["n"] > 0, "n"]
    low, high = (int(counted.min()), int(counted.max())) if len(counted) else (0, 0)
    rows = str(high) if low == high else f"{low} to {high}"
    trials = int(frame["trials"].max())
    unit = "methods" if frame["level"].iloc[0] != VIDEO else "test samples"
    words = {MEAN: ", means over the trials", MEDIAN: ", medians over the trials"}
    averaged = words.get(frame["pooling"].iloc[0], "")
    return (
        f"Protocol {frame['protocol'].iloc[0]}; {rows} {unit}; {trials} "
        f"trial{'s' if trials != 1 else ''}{averaged}. {_mapping(frame)} Where a lower score means "
        "better quality its sign was flipped first, so that a good metric is positive. Best in "
        f"bold (least {_LEAST}), second underlined, controls aside.{how(frame, intervals)}"
    )


def _mapping(frame: pd.DataFrame) -> str:
    """Say what stands before PLCC: the mapping that most rows name."""
    own = frame.loc[(frame["dimension"] != OVERALL) & frame["plcc"].notna(), "mapping"]
    counted = own[own.isin(list(MAPPINGS.values()))].value_counts()
    name = min(counted.index, key=lambda word: (-counted[word], word), default=MAPPINGS["none"])
    if name in _STRAIGHT:
        which = f"{_MAPPED_CORRELATIONS} ({_MAPPED_ERRORS} after {name})"
        if name == MAPPINGS["none"]:
            which = MAPPED_LABELS
        return f"{which} of the scores as given, unless a note says otherwise."
    return (
        f"{_MAPPED_CORRELATIONS} after the mapping {name}, fitted to the same points, unless a "
        f"note says otherwise; it may fall as well as rise: only {_AS_GIVEN} show the direction."
    )
