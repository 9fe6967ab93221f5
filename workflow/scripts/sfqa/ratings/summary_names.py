"""Leave raters and samples of a long table of ratings out that summarise the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sfqa.errors import UserError
from sfqa.ratings.scales import Ratings
from sfqa.user_tables.summaries import (
    Scores,
    describe_doubt,
    find_summaries,
    list_doubtful_names,
)
from sfqa.user_tables.summary_words import has_strong_name, is_summary_name


def leave_out_summary_names(path: Path, ratings: Ratings, notes: list[str]) -> Ratings:
    """Return the ratings without those of a rater or sample called mean, sum, ... that holds it.

    A rater or sample that is only called so stays, with a note. Raises :class:`UserError` for a
    rater with such a name whose scores are no statistic of those of the others.

    >>> rows = [("anna", "v1", 4.0), ("ben", "v1", 3.0), ("mean", "v1", 3.5)]
    >>> keys = ("rater", "sample_id", "score")
    >>> ratings = [(k, "mark", {"dimension": "q"} | dict(zip(keys, rows[k]))) for k in range(3)]
    >>> notes = []; len(leave_out_summary_names(Path("t.csv"), ratings, notes)), notes
    (2, ["t.csv: the rater 'mean' is left out (q): it holds the mean of the others"])
    """
    for key, other_key, role in (("sample_id", "rater", "sample"), ("rater", "sample_id", "rater")):
        names = {row[key] for _, _, row in ratings}
        if not any(has_strong_name(name) or is_summary_name(name) for name in names):
            continue
        left_out = set()
        for dimension in dict.fromkeys(row["dimension"] for _, _, row in ratings):
            rows = [row for _, _, row in ratings if row["dimension"] == dimension]
            titles, lines = _list_lines(rows, key, other_key)
            summaries, unclear = find_summaries(titles, lines, only_named=True)
            for k in unclear if role == "rater" else ():
                raise UserError(
                    f"{path}, column of raters: is {titles[k]!r} a summary of the other raters? "
                    "Its name says so, but its scores are no statistic of theirs; delete its rows, "
                    "or rename it if it is a rater"
                )
            notes += [
                f"{path}: the {role} {describe_doubt(titles[k], role)}"
                for k in list_doubtful_names(titles, lines)
                if k not in summaries
            ]
            for k, statistic in summaries.items():
                left_out.add((titles[k], dimension))
                notes.append(
                    f"{path}: the {role} {titles[k]!r} is left out ({dimension}): it holds the "
                    f"{statistic} of the others"
                )
        ratings = [r for r in ratings if (r[2][key], r[2]["dimension"]) not in left_out]
    return ratings


def _list_lines(
    rows: Sequence[dict[str, Any]], key: str, other_key: str
) -> tuple[list[str], list[Scores]]:
    """Return the names of a column and the scores of each, in the order of the other column."""
    titles = list(dict.fromkeys(row[key] for row in rows))
    positions = {name: k for k, name in enumerate(dict.fromkeys(row[other_key] for row in rows))}
    lines: dict[str, list[float | None]] = {name: [None] * len(positions) for name in titles}
    for row in rows:
        lines[row[key]][positions[row[other_key]]] = row["score"]
    return titles, list(lines.values())
