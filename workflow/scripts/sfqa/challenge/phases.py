"""Read the phases of a challenge (videos with hidden MOS), and split a dataset into phases."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sfqa import identity
from sfqa.errors import UserError, hint
from sfqa.sheets import read_table
from sfqa.splits.drawing import draw_parts
from sfqa.splits.grouping import encode_values

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
    frame = read_table(path, "a phase: names and MOS")
    return Phase(path.stem, read_mos(path, frame, name, mos))


def read_mos(
    path: Path, frame: pd.DataFrame, name: str | None = None, mos: str | None = None
) -> dict[str, float]:
    """Return the MOS by name, in the order of the rows of a table read from ``path``.

    ``frame`` keeps its index as read (from 0), which gives the row numbers of error messages.
    """
    name = find_column(path, frame, name, NAMES, "the videos' names")
    mos = find_column(path, frame, mos, SCORES, "the MOS")
    mos_by_name: dict[str, float] = {}
    for number, video, value in zip(frame.index, frame[name], frame[mos], strict=True):
        where = f"{path}, row {number + 2}"
        score_submission = pd.to_numeric(value, errors="coerce")
        if pd.isna(video) or not str(video).strip():
            raise UserError(f"{where}: no name in column {name!r}; fill it")
        if not math.isfinite(score_submission):
            raise UserError(f"{where}: MOS {value!r} is no number; correct it or delete the row")
        if str(video) in mos_by_name:
            raise UserError(f"{where}: {video!r} is there twice; keep one")
        mos_by_name[str(video)] = float(score_submission)
    if not mos_by_name:
        raise UserError(f"{path}: no row; a phase needs videos")
    return mos_by_name


def find_column(
    path: Path, frame: pd.DataFrame, requested: str | None, defaults: Sequence[str], meaning: str
) -> str:
    """Return the requested column, else the first default column that exists.

    Raises :class:`UserError` if there is none.
    """
    columns = [str(name) for name in frame.columns]
    if requested is not None and requested not in columns:
        raise UserError(f"{path}: no column {requested!r}; {hint(requested, columns)}")
    column = requested or next((name for name in defaults if name in columns), None)
    if column is None:
        raise UserError(f"{path}: which column has {meaning}? It has {', '.join(columns)}; name it")
    return column


def split_phases(
    names: Sequence[str], groups: Sequence[str] | None, shares: Sequence[float], seed: int
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
