"""The text around the numbers of a table: intervals, warnings and the end of the caption.

VERSION of layout.py covers this file and grid.py too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from sfqa.correlation.fits import MAPPINGS
from sfqa.correlation.intervals import NOT_ASKED
from sfqa.correlation.marks import find_marks
from sfqa.correlation.summarise import KINDS, OVERALL, POOLED, VIDEO
from sfqa.splits.protocol_options import ALL
from sfqa.statistics.registry import MAPPED_LABELS, STATISTICS, find_statistic, join_words

#: What can follow a number in a table, and its description in captions.
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
_RANKING = f" (least {_LEAST}), second underlined, controls aside."
_MAPPED_CORRELATIONS = join_words(s.label for s in STATISTICS if s.is_mapped and s.is_correlation)
_MAPPED_ERRORS = join_words(s.label for s in STATISTICS if s.is_mapped and not s.is_correlation)
_AS_GIVEN = join_words(s.label for s in STATISTICS if not s.is_mapped and s.is_correlation)


def list_warnings(frame: pd.DataFrame, weights: Iterable[str]) -> list[str]:
    """Return the warnings that apply to rows: simulated MOS, random ``weights``.

    >>> list_warnings(pd.DataFrame({"synthetic_mos": [False]}), ["official"])
    []
    """
    is_synthetic = len(frame) > 0 and bool(frame["synthetic_mos"].any())
    return ([SYNTHETIC_MOS] if is_synthetic else []) + (
        [RANDOM_WEIGHTS] if "random" in set(weights) else []
    )


def format_spread(record: Mapping[str, Any], stat: str, intervals: str) -> str:
    """Return the text behind a number, by a key of :data:`INTERVALS`; empty if there is none.

    >>> format_spread({"srcc_low": 0.61, "srcc_high": 0.792}, "srcc", "brackets")
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


def describe_intervals(frame: pd.DataFrame, intervals: str) -> str:
    """Return the caption's sentence about the intervals in a table; empty if there is none.

    If all rows have the same text in the column ``interval``, the sentence contains it.
    """
    if intervals == "none":
        return ""
    ends = ("sd",) if intervals == "sd" else ("low", "high")
    column_names = [f"{statistic.name}_{end}" for statistic in STATISTICS for end in ends]
    present_columns = [name for name in column_names if name in frame]
    has_values = bool(present_columns) and bool(frame[present_columns].notna().any(axis=None))
    descriptions: list[str] = []
    if "interval" in frame and intervals != "sd":
        defined = frame["srcc_low"].notna() if has_values else frame["srcc"].notna()
        descriptions = sorted(set(frame.loc[defined, "interval"]) - {NOT_ASKED})
    if has_values:
        return (
            INTERVALS[intervals] + (f" ({descriptions[0]})" if len(descriptions) == 1 else "") + "."
        )
    return (
        f" No 95 % intervals ({descriptions[0].removeprefix('none: ')})."
        if len(descriptions) == 1
        else ""
    )


def describe_rows(frame: pd.DataFrame, intervals: str, has_controls: bool = True) -> str:
    """Return the end of a caption: protocol, numbers of rows and trials, mapping and intervals.

    ``has_controls``: whether the table has the controls and all statistics, not correlations alone.
    """
    return (
        f"{_describe_samples(frame)} {_describe_mapping(frame)} "
        "Where a lower score means better quality its sign was flipped first, so that a good "
        "metric is positive. Best in "
        f"bold{_RANKING if has_controls else ', second underlined.'}"
        f"{_describe_unranked(frame)}{describe_intervals(frame, intervals)}"
    )


def describe_all_samples(frame: pd.DataFrame, intervals: str) -> str:
    """Return the caption of a table of protocol ``all`` below that of another protocol."""
    return (
        f"{_describe_samples(frame)} Figures, signs and marks are those of the table above, but "
        "not its samples: compare these figures with one another, not with those of regressors."
        f"{describe_intervals(frame, intervals)}"
    )


def describe_pooling(pooling: str) -> str:
    """Return a pooling in words.

    >>> describe_pooling("mean"), describe_pooling("pooled")
    ('means over the trials', 'all test samples at once')
    """
    return "all test samples at once" if pooling == POOLED else f"{pooling}s over the trials"


def _describe_samples(frame: pd.DataFrame) -> str:
    """Return the sentence about the rows behind a table: protocol, samples or methods, trials."""
    counted = frame.loc[frame["n"] > 0, "n"]
    low, high = (int(counted.min()), int(counted.max())) if len(counted) else (0, 0)
    rows = str(high) if low == high else f"{low} to {high}"
    unit = "methods" if frame["level"].iloc[0] != VIDEO else "samples"
    if frame["protocol"].iloc[0] == ALL:
        return (
            f"Protocol {ALL}: zero-shot metrics over all rated videos; they learn nothing, so no "
            f"split limits them; {rows} {unit}."
        )
    unit = unit.replace("samples", "test samples")
    trials = int(frame["trials"].max())
    pooling = f", {describe_pooling(str(frame['pooling'].iloc[0]))}"
    if trials == 1 or unit == "methods":
        pooling = ""
    return (
        f"Protocol {frame['protocol'].iloc[0]}; {rows} {unit}; {trials} "
        f"trial{'s' if trials != 1 else ''}{pooling}."
    )


def _describe_unranked(frame: pd.DataFrame) -> str:
    """Return the sentences about values that are not ranked; empty if all are."""
    sentences = []
    if any(is_negative(value) for value in frame.loc[frame["kind"] != KINDS[0], "srcc"]):
        sentences.append(" Metrics with a negative SRCC are not ranked.")
    if any(find_marks(str(detail)) for detail in frame["detail"]):
        sentences.append(
            f" {MAPPED_LABELS} after a curve that is a step or falls are not ranked: see their "
            "notes."
        )
    return "".join(sentences)


def is_negative(srcc: Any) -> bool:
    """Return whether an SRCC is below 0 as tables show it, with four decimals.

    >>> is_negative(-0.2), is_negative(-0.00001), is_negative(None)
    (True, False, False)
    """
    return not (srcc is None or pd.isna(srcc)) and round(float(srcc), 4) < 0


def _describe_mapping(frame: pd.DataFrame) -> str:
    """Return the sentence about the mapping before PLCC: the one used in most rows."""
    mapping_names = frame.loc[(frame["dimension"] != OVERALL) & frame["plcc"].notna(), "mapping"]
    counted = mapping_names[mapping_names.isin(list(MAPPINGS.values()))].value_counts()
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


def describe_drops(panel: pd.DataFrame, random: str) -> str:
    """Return what the drops of a leakage panel show, a sentence for each protocol.

    ``panel``: rows of :func:`sfqa.correlation.layout.build_leakage_panel`; of several dimensions
    only the mean over them counts. A drop of 0 or less is no sign of leakage, and is not called so.

    >>> panel = pd.DataFrame({"dimension": ["q", "q"], "drop_disjoint": [0.1, -0.4]})
    >>> describe_drops(panel, "random")
    'SRCC is higher under random splits than disjoint ones for 1 of 2 regressors (mean drop -0.15).'
    """
    is_overall = panel["dimension"] == OVERALL
    counted = panel[is_overall] if is_overall.any() else panel
    sentences = []
    for column in (name for name in panel.columns if name.startswith("drop_")):
        drops = counted[column].dropna().astype(float)
        if drops.empty:
            continue
        name = column.removeprefix("drop_").replace("_", " ")
        sentences.append(
            f"SRCC is higher under {random} splits than {name} ones for {int((drops > 0).sum())} "
            f"of {len(drops)} regressors (mean drop {drops.mean():.2f})."
        )
    return " ".join(sentences)
