"""Hold scores to their scale: refuse those outside, map them linearly, note odd raters."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from sfqa.errors import UserError, hint

#: Row number, column and row of ``tables.SCORES`` for each rating.
Ratings = list[tuple[int, str, dict[str, Any]]]
#: A rater is noted with scores this far outside of all others', as a share of their range.
_OUTSIDE_SHARE = 0.5
#: A rater is noted whose scores all lie in this share of the others' range, below all medians.
_INSIDE_SHARE = 0.1
#: Smallest share of the scores that are neighbours, where the others are odd.
_MAIN_SHARE = 0.8
_USUAL_SCALE = (1, 5)


def rescale(path: Path | str, ratings: Ratings, scale: Any, to: Any = None) -> Ratings:
    """Map scores linearly from their scale to another one, [worst, best] each.

    ``scale`` is one pair, or a mapping of dimension to pair; None changes nothing. Raises
    :class:`UserError` for scores outside their scale.

    >>> row = {"dimension": "q", "score": 2.0}
    >>> rescale("s.csv", [(2, "mark", row)], [5, 1])[0][2]["score"]
    4.0
    """
    if scale is None:
        if to is not None:
            raise UserError(f"ratings source {path}: 'to' needs the 'scale' of the scores")
        return ratings
    target = _check_ends(path, "to", [1, 5] if to is None else to)
    by_dimension = {
        str(name): _check_ends(path, f"scale, {name}", ends)
        for name, ends in (scale.items() if isinstance(scale, Mapping) else ())
    }
    common = None if isinstance(scale, Mapping) else _check_ends(path, "scale", scale)
    for number, column, row in ratings:
        ends = common or by_dimension.get(row["dimension"])
        if ends is None:
            raise UserError(
                f"ratings source {path}: no scale for {row['dimension']!r}; "
                f"{hint(row['dimension'], by_dimension)}"
            )
        worst, best = ends
        if not min(ends) <= row["score"] <= max(ends):
            raise UserError(
                f"{path}, row {number}, column {column}: {row['score']:g} is outside the scale of "
                f"{worst:g} to {best:g}; correct it, or the scale"
            )
        share = (row["score"] - worst) / (best - worst)
        row["score"] = target[0] + share * (target[1] - target[0])
    return ratings


def _check_ends(path: Path | str, entry: str, ends: Any) -> tuple[float, float]:
    are_numbers = isinstance(ends, (list, tuple)) and all(
        isinstance(end, (int, float)) and not isinstance(end, bool) and math.isfinite(end)
        for end in ends
    )
    if not are_numbers or len(ends) != 2 or ends[0] == ends[1]:
        raise UserError(
            f"ratings source {path}, {entry}: {ends!r} is not a scale; give [worst, best], "
            "such as [1, 5]"
        )
    return float(ends[0]), float(ends[1])


def check_ends(path: Path | str, ratings: Ratings, ends: Sequence[float]) -> None:
    """Raise :class:`UserError` for the first score outside the ends of the raw scale.

    >>> check_ends("s.csv", [(2, "mark", {"score": 5.0})], [1, 5])
    """
    low, high = min(ends), max(ends)
    for number, column, row in ratings:
        if not low <= row["score"] <= high:
            raise UserError(
                f"{path}, row {number}, column {column}: {row['score']:g} is outside the scale of "
                f"{low:g} to {high:g}; correct it, list it in missing_codes if it means that there "
                "is no rating, or correct the scale (ratings.ends)"
            )


def describe_odd_scales(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return notes on raters who seem to use another scale than all others, and on odd scores.

    ``rows`` are ratings with rater, dimension and score. A rater is noted with scores outside of 1
    to 5 where all others' are inside, with scores far outside those of all others, or with scores
    that all lie at one end of the others' range. A whole score is odd if it is away from the others
    by more than one step, as codes such as -1 and 99 are.

    >>> rows = [{"rater": r, "dimension": "q", "score": s}
    ...         for r, scores in {"a": (1, 5), "b": (2, 4), "c": (20, 100)}.items() for s in scores]
    >>> describe_odd_scales(rows)[0]
    "q: the scores of rater 'c' are 20 to 100, those of all others 1 to 5; is it another scale?"
    """
    scores: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        scores[str(row["dimension"])][str(row["rater"])].append(float(row["score"]))
    notes = []
    for dimension, by_rater in scores.items():
        habits = {name: _Habit(min(c), max(c), median(c)) for name, c in by_rater.items()}
        for rater, habit in habits.items():
            others = [other for name, other in habits.items() if name != rater]
            if others and _has_odd_scale(habit, others):
                low, high = min(o.low for o in others), max(o.high for o in others)
                notes.append(
                    f"{dimension}: the scores of rater {rater!r} are {habit.low:g} to "
                    f"{habit.high:g}, those of all others {low:g} to {high:g}; is it another scale?"
                )
        every_score = [value for column in by_rater.values() for value in column]
        odd_scores = _find_odd_scores(every_score)
        if odd_scores and not notes:
            listed = ", ".join(f"{score:g}" for score in odd_scores)
            notes.append(
                f"{dimension}: {sum(score in odd_scores for score in every_score)} scores are "
                f"{listed}, away from all others; if it means that there is no rating, name it as "
                "a code of missing ratings (--missing-code)"
            )
    return notes


class _Habit(NamedTuple):
    """The lowest, highest and median score of a rater."""

    low: float
    high: float
    median: float


def _has_odd_scale(rater: _Habit, others: Sequence[_Habit]) -> bool:
    low, high = min(other.low for other in others), max(other.high for other in others)
    if low >= _USUAL_SCALE[0] and high <= _USUAL_SCALE[1]:
        return rater.low < _USUAL_SCALE[0] or rater.high > _USUAL_SCALE[1]
    margin = _OUTSIDE_SHARE * (high - low)
    if rater.high > high + margin or rater.low < low - margin:
        return True
    is_low = rater.high <= low + _INSIDE_SHARE * (high - low)
    return is_low and rater.low < rater.high < min(other.median for other in others)


def _find_odd_scores(scores: Sequence[float]) -> list[float]:
    """Return whole scores outside the run of neighbours that holds most scores."""
    if not scores or any(score != int(score) for score in scores):
        return []
    counts = Counter(scores)
    runs: list[list[float]] = []
    for score in sorted(counts):
        if runs and score - runs[-1][-1] <= 1:
            runs[-1].append(score)
        else:
            runs.append([score])
    main_run = max(runs, key=lambda run: sum(counts[score] for score in run))
    share = sum(counts[score] for score in main_run) / len(scores)
    if len(main_run) < 3 or share < _MAIN_SHARE:
        return []
    return [score for score in sorted(counts) if score not in main_run]
