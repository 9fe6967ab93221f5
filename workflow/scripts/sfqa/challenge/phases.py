"""The phases of a challenge: tables of videos with their hidden MOS, read and drawn."""

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
from sfqa.splits.drawing import portions
from sfqa.splits.grouping import numbered

PHASES = ("train", "development", "test")
#: The columns that name a video and hold its MOS, where nothing is said; THQA-NTIRE: Video, Score.
NAMES, SCORES = ("name", "Video", "video", "sample_id"), ("mos", "Score", "score", "MOS")


@dataclass(frozen=True)
class Phase:
    """One phase: its name and the hidden MOS by video, in the order of the file."""

    name: str
    mos: dict[str, float]

    @property
    def sha256(self) -> str:
        """Return what tells two versions of a phase apart, whatever the order of the rows.

        >>> Phase("a", {"x": 1.0, "y": 2.0}).sha256 == Phase("b", {"y": 2.0, "x": 1.0}).sha256
        True
        """
        return identity.digest(self.mos)


def read_phase(path: Path, name: str | None = None, mos: str | None = None) -> Phase:
    """Return a phase from a table with a column of names and one of MOS (.csv, .tsv, .parquet).

    Raises :class:`UserError` for names that are there twice and MOS that are no numbers.
    """
    frame = read_table(path, "a phase: names and MOS")
    return Phase(path.stem, mos_of(path, frame, name, mos))


def mos_of(
    path: Path, frame: pd.DataFrame, name: str | None = None, mos: str | None = None
) -> dict[str, float]:
    """Return the MOS by name, in the order of the rows of a table read from ``path``.

    ``frame``: with its index as read, from 0, which tells the row in messages.
    """
    name = column_of(path, frame, name, NAMES, "the videos' names")
    mos = column_of(path, frame, mos, SCORES, "the MOS")
    found: dict[str, float] = {}
    for number, video, value in zip(frame.index, frame[name], frame[mos], strict=True):
        where = f"{path}, row {number + 2}"
        score = pd.to_numeric(value, errors="coerce")
        if pd.isna(video) or not str(video).strip():
            raise UserError(f"{where}: no name in column {name!r}; fill it")
        if not math.isfinite(score):
            raise UserError(f"{where}: MOS {value!r} is no number; correct it or delete the row")
        if str(video) in found:
            raise UserError(f"{where}: {video!r} is there twice; keep one")
        found[str(video)] = float(score)
    if not found:
        raise UserError(f"{path}: no row; a phase needs videos")
    return found


def column_of(
    path: Path, frame: pd.DataFrame, told: str | None, usual: Sequence[str], what: str
) -> str:
    """Return the column that was named, else the first usual one; :class:`UserError` for none."""
    there = [str(name) for name in frame.columns]
    if told is not None and told not in there:
        raise UserError(f"{path}: no column {told!r}; {hint(told, there)}")
    found = told or next((name for name in usual if name in there), None)
    if found is None:
        raise UserError(f"{path}: which column has {what}? It has {', '.join(there)}; name it")
    return found


def split_phases(
    names: Sequence[str], groups: Sequence[str] | None, shares: Sequence[float], seed: int
) -> list[str]:
    """Return each video's part of :data:`PHASES`: whole groups, near to the shares.

    ``groups``: what videos share (an image, a prompt), so that no two parts do; None: each video
    for itself. The same names, groups, shares and seed give the same parts.
    """
    own = pd.Series(list(names) if groups is None else list(groups))
    if own.isna().any():
        empty = names[int(np.flatnonzero(own.isna())[0])]
        raise UserError(f"{empty}: no group; fill the cell, so that it is known what it shares")
    codes, found = numbered(own)
    wanted = sum(share > 0 for share in shares)
    if len(found) < wanted:
        raise UserError(f"{len(found)} groups cannot be dealt out to {wanted} parts; take others")
    parts = portions(codes, shares, ("challenge", seed))
    return [PHASES[part] for part in parts.tolist()]
