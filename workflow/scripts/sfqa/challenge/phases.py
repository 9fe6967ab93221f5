"""Read the phases of a challenge (videos with hidden MOS), and split a dataset into phases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sfqa import identity
from sfqa.errors import UserError, hint
from sfqa.splits.drawing import draw_parts
from sfqa.splits.grouping import encode_values
from sfqa.user_tables import UserTable, read_table
from sfqa.user_tables.numbers import is_empty
from sfqa.user_tables.summaries import leave_out_summary_rows

PHASES = ("train", "development", "test")
#: Default columns of the video's name and of its MOS; THQA-NTIRE: Video, Score.
NAMES, SCORES = ("name", "Video", "video", "sample_id"), ("mos", "Score", "score", "MOS")


@dataclass(frozen=True)
class Phase:
    """A phase: its name and the hidden MOS by video, in the order of the file."""

    name: str
    mos: dict[str, float]

    @property
    def sha256(self) -> str:
        """Digest of the names and MOS, independent of the order of the rows.

        >>> Phase("a", {"x": 1.0, "y": 2.0}).sha256 == Phase("b", {"y": 2.0, "x": 1.0}).sha256
        True
        """
        return identity.digest(self.mos)


def read_phase(path: Path, name: str | None = None, mos: str | None = None) -> Phase:
    """Read a phase from a table with a column of names and one of MOS (.csv, .tsv, .parquet).

    Raises :class:`UserError` for repeated names and for MOS that are not numbers.
    """
    columns = [column for column in (name, mos) if column is not None]
    table = read_table(path, "a phase: names and MOS", named=columns)
    leave_out_summary_rows(table, find_column(table, name, NAMES, "the videos' names"))
    table.log_notes()
    return Phase(path.stem, read_mos(table, range(len(table.rows)), name, mos))


def read_mos(
    table: UserTable, indices: Iterable[int], name: str | None = None, mos: str | None = None
) -> dict[str, float]:
    """Return the MOS by name of some rows of a table, in their order.

    Raises :class:`UserError` naming file and row.
    """
    name = find_column(table, name, NAMES, "the videos' names")
    mos = find_column(table, mos, SCORES, "the MOS")
    numbers = table.read_numbers(mos)
    mos_by_name: dict[str, float] = {}
    for index in indices:
        video, value = table.columns[name][index], numbers.values[index]
        where = f"{table.path}, row {table.rows[index]}"
        if is_empty(video):
            raise UserError(f"{where}: no name in column {name!r}; fill it")
        if not np.isfinite(value) or numbers.is_percent:
            cell = table.columns[mos][index]
            raise UserError(
                f"{where}, column {mos}: MOS {cell!r} is no number; correct it or delete the row"
            )
        if str(video) in mos_by_name:
            raise UserError(f"{where}: {video!r} is there twice; keep one")
        mos_by_name[str(video)] = float(value)
    if not mos_by_name:
        raise UserError(f"{table.path}: no row; a phase needs videos")
    return mos_by_name


def find_column(
    table: UserTable, requested: str | None, defaults: Sequence[str], meaning: str
) -> str:
    """Return the requested column, else the first default column that exists.

    Raises :class:`UserError` if there is none.
    """
    if requested is not None and requested not in table.columns:
        raise UserError(f"{table.path}: no column {requested!r}; {hint(requested, table.columns)}")
    column = requested or next((name for name in defaults if name in table.columns), None)
    if column is None:
        names = ", ".join(table.columns)
        raise UserError(f"{table.path}: which column has {meaning}? It has {names}; name it")
    return column


def split_phases(
    names: Sequence[str], groups: Sequence[str | None] | None, shares: Sequence[float], seed: int
) -> list[str]:
    """Assign each video to one of :data:`PHASES`: whole groups, as close to the shares as possible.

    ``groups``: what videos share (an image, a prompt), so that no two phases share it; None: each
    video is its own group. The same names, groups, shares and seed give the same result.
    """
    group_labels = pd.Series(list(names) if groups is None else list(groups))
    if group_labels.isna().any():
        empty = names[int(np.flatnonzero(group_labels.isna())[0])]
        raise UserError(f"{empty}: no group; fill the cell, so that it is known what it shares")
    codes, group_names = encode_values(group_labels)
    part_count = sum(share > 0 for share in shares)
    if len(group_names) < part_count:
        raise UserError(
            f"{len(group_names)} groups cannot be dealt out to {part_count} parts; take others"
        )
    parts = draw_parts(codes, shares, ("challenge", seed))
    return [PHASES[part] for part in parts.tolist()]
