"""What a table is made of: columns with units and meanings, and the status of a row."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa

OK, FLAWED, FAILED = "ok", "flawed", "failed"
STATUSES = (OK, FLAWED, FAILED)


@dataclass(frozen=True)
class Column:
    """One column: its name, type, meaning, unit, and whether a cell may be empty."""

    name: str
    type: pa.DataType
    meaning: str
    unit: str = ""
    nullable: bool = False


#: The last columns of every table whose rows may be not ok.
STATUS = (
    Column("status", pa.string(), "ok; flawed (used, with the defects named); failed (not usable)"),
    Column(
        "detail",
        pa.string(),
        "why the row is not ok: 'word: sentence' parts joined by '; ', else empty",
    ),
)


@dataclass(frozen=True)
class Table:
    """One kind of table: its name, what a row is, and its columns in order."""

    name: str
    row: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = field(default=())

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema, units and meanings in the fields' metadata."""
        return pa.schema(
            [
                pa.field(
                    c.name,
                    c.type,
                    nullable=c.nullable,
                    metadata={"unit": c.unit, "meaning": c.meaning},
                )
                for c in self.columns
            ],
            metadata={"table": self.name, "row": self.row},
        )

    @property
    def names(self) -> list[str]:
        """The column names in order."""
        return [c.name for c in self.columns]


def flaw(word: str, sentence: str) -> str:
    """Return one part of a row's detail: 'word: sentence' on one line, without '; ' inside.

    >>> flaw("broken", "one; two\\nthree")
    'broken: one, two three'
    """
    return f"{word}: {' '.join(sentence.replace('; ', ', ').split())}"
