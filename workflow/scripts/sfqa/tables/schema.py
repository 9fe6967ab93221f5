"""What a table is made of: columns with units and meanings, the status of a row, its path."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import pyarrow as pa

STRING, FLOAT, INTEGER, BOOLEAN = pa.string(), pa.float64(), pa.int64(), pa.bool_()

OK, FLAWED, FAILED = "ok", "flawed", "failed"
STATUSES = (OK, FLAWED, FAILED)

_WILDCARD = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Column:
    """One column: its name, type, meaning, unit, and whether a cell may be empty.

    A column that is ``optional`` may be empty and was added later: tables of earlier versions are
    read without it, as if all of its cells were empty.
    """

    name: str
    type: pa.DataType
    meaning: str
    unit: str = ""
    nullable: bool = False
    optional: bool = False


#: The last columns of every table whose rows may be not ok.
STATUS = (
    Column("status", STRING, "ok; flawed (used, with the defects named); failed (not usable)"),
    Column(
        "detail",
        STRING,
        "why the row is not ok: 'word: sentence' parts joined by '; ', else empty",
    ),
)


@dataclass(frozen=True)
class Table:
    """One kind of table: its name, what a row is, its columns in order, its key and its path.

    ``path`` lies below ``results/{dataset}/`` and may hold wildcards: a table has one file for each
    of their values. It is empty for a table that is no result of a dataset. ``merged_path`` is the
    file that holds the rows of all those files, if there is one. ``command`` is the command that
    writes the table, if no rule does.

    >>> videos = Table("videos", "one video", (), path="generation/{method}/{shard}.parquet")
    >>> videos.fill_path(method="sharp")
    'generation/sharp/{shard}.parquet'
    >>> videos.glob()
    'generation/*/*.parquet'
    """

    name: str
    row: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = field(default=())
    path: str = ""
    merged_path: str = ""
    command: str = ""

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

    @property
    def file_name(self) -> str:
        """The last part of the path."""
        return PurePosixPath(self.path).name

    def fill_path(self, **wildcards: str) -> str:
        """Return the path with the given wildcards filled; the others stay in braces."""
        return fill_wildcards(self.path, wildcards)

    def glob(self, **wildcards: str) -> str:
        """Return the path with the given wildcards filled and ``*`` for each of the others."""
        return _WILDCARD.sub("*", self.fill_path(**wildcards))


def fill_wildcards(pattern: str, values: dict[str, str]) -> str:
    """Return a pattern with the given wildcards filled; the others stay in braces.

    Raises ``ValueError`` for a wildcard that the pattern does not have.

    >>> fill_wildcards("features/{extractor}/{shard}.parquet", {"shard": "0"})
    'features/{extractor}/0.parquet'
    """
    wildcards = set(_WILDCARD.findall(pattern))
    for name in values:
        if name not in wildcards:
            raise ValueError(f"{pattern!r} has no wildcard {name!r}; it has {sorted(wildcards)}")
    return _WILDCARD.sub(lambda match: str(values.get(match[1], match[0])), pattern)


def has_flaw(detail: str, word: str) -> bool:
    """Return whether a row's detail has a part with this word.

    >>> has_flaw("silent: no sound; black: for 2 s", "black")
    True
    """
    return any(part.startswith(f"{word}: ") for part in detail.split("; "))


def flaw(word: str, sentence: str) -> str:
    """Return one part of a row's detail: 'word: sentence' on one line, without '; ' inside.

    >>> flaw("broken", "one; two\\nthree")
    'broken: one, two three'
    """
    return f"{word}: {' '.join(sentence.replace('; ', ', ').split())}"
