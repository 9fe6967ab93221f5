"""The labels that a sheet may use: categories, styles and languages from the configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sfqa.errors import UserError, hint

#: A column's labels: one list, or for ``category`` one list per source.
Labels = Sequence[str] | Mapping[str, Sequence[str]]


def check_vocabulary(
    rows: Sequence[Mapping[str, str]], vocabulary: Mapping[str, Labels], sheet_path: Path | str
) -> None:
    """Raise :class:`UserError` where a row of a sheet has a label outside the vocabulary.

    ``rows``: those of :func:`sfqa.sheets.read_sheet`, whose way of counting the message follows.
    ``vocabulary``: by column (category, style, language) its labels, or for each ``source`` its
    labels; a column that is not in it, and a source that is not in the mapping, may hold anything.
    Columns that the sheet lacks are passed over, so that images and clips share one vocabulary.

    >>> rows = [{"clip_id": "a", "style": "pop"}, {"clip_id": "b", "style": "rok"}]
    >>> check_vocabulary(rows, {"style": ["pop", "rock"]}, "clips.csv")
    Traceback (most recent call last):
    ...
    sfqa.errors.UserError: clips.csv, row 3, column style: unknown label 'rok'; did you mean 'rock'?
    """
    for number, row in enumerate(rows, 2):
        for column, labels in vocabulary.items():
            if column not in row:
                continue
            known: Sequence[str] | None
            whose = ""
            if isinstance(labels, Mapping):
                source = row.get("source", "")
                known, whose = labels.get(source), f" of source {source!r}"
            else:
                known = labels
            if known is not None and row[column] not in known:
                raise UserError(
                    f"{sheet_path}, row {number}, column {column}: unknown label "
                    f"{row[column]!r}{whose}; {hint(row[column], known)}"
                )
