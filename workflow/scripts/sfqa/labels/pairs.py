"""Recognise label files of pair comparisons, which have no scores of single videos."""

from __future__ import annotations

from itertools import product
from typing import Any

from sfqa.errors import UserError
from sfqa.user_tables import UserTable

#: Names of the two columns of a pair; the same with video, clip or sample before or behind them.
_SIDES = (
    ("left", "right"), ("a", "b"), ("1", "2"), ("first", "second"), ("winner", "loser"),
)  # fmt: skip
_NOUNS = ("", "video", "clip", "sample", "file", "model", "method")
_VOTES = frozenset({"left", "right", "tie", "both", "both bad", "bothbad", "neither", "same"})
_REASON = "votes on pairs of videos are no scores, and pair comparisons are not imported"


def check_no_pairs(table: UserTable, video_column: str) -> None:
    """Raise :class:`UserError` if a table has two columns of videos instead of one."""
    if video_column in table.columns:
        return
    names = {"".join(filter(str.isalnum, name.lower())): name for name in table.columns}
    for (first, second), noun in product(_SIDES, _NOUNS):
        if not noun and len(first) == 1:
            continue  # columns called a and b may be anything
        for left, right in ((noun + first, noun + second), (first + noun, second + noun)):
            if left in names and right in names:
                raise UserError(
                    f"{table.path}: the columns {names[left]!r} and {names[right]!r} look like "
                    f"pairs of videos; {_REASON}. Name the column of the video in "
                    "import.labels.video if they are something else"
                )


def explain_vote(cell: Any) -> str:
    """Return the reason why a vote such as left or tie is no score, '' for other cells.

    >>> explain_vote("Left"), explain_vote("good")
    ('votes on pairs of videos are no scores, and pair comparisons are not imported; ', '')
    """
    return f"{_REASON}; " if str(cell).strip().lower() in _VOTES else ""
