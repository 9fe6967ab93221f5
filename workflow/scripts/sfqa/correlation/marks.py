"""Marks of fitted curves whose PLCC and RMSE say little about the metric.

A curve with one of :data:`UNRANKED` is never the best or second-best of a table: its error is small
because the curve took a shape that no quality metric should have.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import numpy as np

from sfqa.arrays import Floats
from sfqa.statistics.functions import plcc
from sfqa.statistics.registry import MAPPED_LABELS
from sfqa.tables import flaw

STEP, AGAINST, NOT_MONOTONE = "step_fit", "against_direction", "not_monotone"
#: Marks whose rows are not ranked by the statistics after the mapping.
UNRANKED = (STEP, AGAINST)

#: A curve is a step if this share of its movement lies next to so few of the different scores (at
#: least one), and its PLCC exceeds that of a straight line by more than this.
STEP_MOVEMENT, STEP_SCORES, STEP_GAIN = 0.9, 0.02, 0.01
#: A curve runs against the direction if it falls at this share of the scores at which it moves.
AGAINST_SHARE = 0.25

_NOTE = re.compile(r"; (?=[a-z][a-z0-9_]*: )")


def describe_curve(curve: Callable[[Floats], Floats], x: Floats, y: Floats) -> list[str]:
    """Return the notes on a curve fitted to scores ``x``, in which higher is better, and MOS.

    >>> x = np.arange(8.0)
    >>> describe_curve(lambda scores: -scores, x, x)[0].partition(":")[0]
    'against_direction'
    >>> describe_curve(lambda scores: scores, x, x)
    []
    """
    distinct, counts = np.unique(x, return_counts=True)
    moves = np.diff(curve(distinct))
    total = float(np.abs(moves).sum())
    if not total > 0:
        return []
    notes = []
    window = max(1, round(STEP_SCORES * len(distinct)))
    if _is_step(np.abs(moves) / total, window) and _exceeds_line(curve, x, y):
        notes.append(
            flaw(
                STEP,
                f"the fitted curve is a step: {STEP_MOVEMENT:.0%} of its movement lies at "
                f"{window} of {len(distinct)} different scores, so {MAPPED_LABELS} "
                "say little about the metric",
            )
        )
    # Where the curve moves; each move belongs half to the score before it and half to the next.
    weights = (counts[:-1] + counts[1:]) * (np.abs(moves) > 1e-9 * total)
    share = float(weights[moves < 0].sum() / weights.sum())
    if share >= AGAINST_SHARE:
        notes.append(
            flaw(
                AGAINST,
                f"the fitted curve falls over {share:.0%} of the scores, although higher scores "
                f"should mean better quality, so {MAPPED_LABELS} say little about the metric",
            )
        )
    return notes


def describe_turning(curve: Callable[[Floats], Floats], x: Floats) -> str:
    """Return a note if a curve is not monotone between the smallest and the largest score."""
    moves = np.diff(curve(np.linspace(x.min(), x.max(), 201)))
    least = 1e-6 * float(np.abs(moves).sum())
    if (moves > least).any() and (moves < -least).any():
        return flaw(NOT_MONOTONE, "the fitted curve turns inside the range of the scores")
    return ""


def find_marks(detail: str) -> list[str]:
    """Return the words of :data:`UNRANKED` among the notes of a detail.

    >>> find_marks("few_points: 6 points; step_fit: the fitted curve is a step")
    ['step_fit']
    """
    words = {word for word, _ in split_notes(detail)}
    return [word for word in UNRANKED if word in words]


def combine_marks(details: Mapping[str, str]) -> list[str]:
    """Return notes that name the details with a mark, for a mean over them.

    >>> combine_marks({"visual": "step_fit: a step", "audio": ""})
    ['step_fit: see visual']
    """
    notes = []
    for word in UNRANKED:
        marked = [name for name, detail in details.items() if word in find_marks(detail)]
        if marked:
            notes.append(flaw(word, f"see {', '.join(marked)}"))
    return notes


def split_notes(detail: str) -> list[tuple[str, str]]:
    """Return the notes of a detail as pairs of word and sentence.

    >>> split_notes("dropped: 2 of 8 rows; few_points: 6 points")
    [('dropped', '2 of 8 rows'), ('few_points', '6 points')]
    """
    notes = [note.partition(": ") for note in _NOTE.split(detail) if note]
    return [(word, sentence) for word, _, sentence in notes]


def _is_step(shares: Floats, window: int) -> bool:
    """Return whether the gaps next to ``window`` scores hold nearly all movement."""
    if len(shares) < 2:  # two different scores: any curve is a line
        return False
    sums = np.convolve(shares, np.ones(min(window + 1, len(shares))), "valid")
    return bool(sums.max() >= STEP_MOVEMENT)


def _exceeds_line(curve: Callable[[Floats], Floats], x: Floats, y: Floats) -> bool:
    """Return whether the curve correlates with the MOS better than the scores themselves."""
    line, fitted = (abs(plcc(values, y) or 0.0) for values in (x, curve(x)))
    return fitted > line + STEP_GAIN
