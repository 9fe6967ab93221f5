"""A table while it is mutated, and how it is written."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from good_tables import Rows


@dataclass
class Draft:
    """A table while it is mutated.

    ``is_clear``: a person can still read it without doubt, so it must give the same values.
    """

    rows: Rows
    numbers: tuple[int, ...]
    rng: Random
    separator: str = ","
    suffix: str = ".csv"
    is_clear: bool = True
    encode: Callable[[str], bytes] = str.encode
    edit: Callable[[str], str] = str
    has_parquet_types: bool | None = None

    def pick_cell(self) -> tuple[int, int]:
        """Return the row and column of a cell that is no header."""
        return self.rng.randrange(1, len(self.rows)), self.rng.randrange(len(self.rows[0]))

    def pick_number(self) -> tuple[int, int]:
        """Return the row and column of a number, of any cell if there is no number."""
        row, column = self.pick_cell()
        return row, self.rng.choice(self.numbers) if self.numbers else column

    def write(self, folder: Path) -> Path:
        """Write the table and return its path."""
        path = folder / f"table{self.suffix}"
        if self.suffix == ".parquet":
            self._write_parquet(path)
            return path
        text = io.StringIO()
        csv.writer(text, delimiter=self.separator, lineterminator="\n").writerows(self.rows)
        path.write_bytes(self.encode(self.edit(text.getvalue())))
        return path

    def _write_parquet(self, path: Path) -> None:
        columns: dict[str, list[Any]] = {
            name: [row[k] if k < len(row) else "" for row in self.rows[1:]]
            for k, name in enumerate(self.rows[0])
        }
        if self.has_parquet_types:
            for k in self.numbers:
                name = self.rows[0][k]
                columns[name] = [float(cell) for cell in columns[name]]
        pq.write_table(pa.table(columns), path)
