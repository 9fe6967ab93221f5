"""Check the labels of a sheet against the vocabulary of the configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sfqa.errors import UserError, hint

#: Allowed labels of a column: one list, or for ``category`` one list per source.
Labels = Sequence[str] | Mapping[str, Sequence[str]]


def check_vocabulary(
    rows: Sequence[Mapping[str, str]],
    vocabulary: Mapping[str, Labels],
    sheet_path: Path | str,
    row_numbers: Sequence[int] | None = None,
) -> None:
    """Raise :class:`UserError` if a row of a sheet has a label outside the vocabulary.

    ``rows``: rows of :func:`sfqa.sheets.read_sheet`. ``row_numbers``: their numbers in the sheet
    (by default 2, 3, ...).
    ``vocabulary``: for each column (category, style, language) its labels, or its labels for each
    ``source``; a column or a source without an entry may contain anything. Columns that the sheet
    lacks are ignored, so images and clips can share one vocabulary.

    >>> rows = [{"clip_id": "a", "style": "pop"}, {"clip_id": "b", "style": "rok"}]
    >>> check_vocabulary(rows, {"style": ["pop", "rock"]}, "clips.csv")
    Traceback (most recent call last):
    ...
    sfqa.errors.UserError: clips.csv, row 3, column style: unknown label 'rok'; did you mean 'rock'?
    """
    numbers = range(2, len(rows) + 2) if row_numbers is None else row_numbers
    for number, row in zip(numbers, rows, strict=True):
        for column, labels in vocabulary.items():
            if column not in row:
                continue
            allowed: Sequence[str] | None
            source_text = ""
            if isinstance(labels, Mapping):
                source = row.get("source", "")
                allowed, source_text = labels.get(source), f" of source {source!r}"
            else:
                allowed = labels
            if allowed is not None and row[column] not in allowed:
                raise UserError(
                    f"{sheet_path}, row {number}, column {column}: unknown label "
                    f"{row[column]!r}{source_text}; {hint(row[column], allowed)}"
                )
