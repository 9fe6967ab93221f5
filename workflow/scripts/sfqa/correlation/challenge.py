"""A challenge on a dataset: phases with hidden MOS, submissions scored alike on any machine."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from sfqa import identity
from sfqa.correlation import resampled
from sfqa.correlation.captions import spread_of
from sfqa.correlation.fits import MAPPINGS, fitted
from sfqa.correlation.grid import BEST, SECOND, UNDEFINED, Cell, Grid, Head
from sfqa.correlation.statistics import Array
from sfqa.correlation.submission import Submission
from sfqa.errors import UserError, hint
from sfqa.regression.drawing import portions
from sfqa.regression.grouping import numbered
from sfqa.schema import FAILED, FLAWED, OK, Column, Table, flaw
from sfqa.sheets import read_table

VERSION = 1

#: What stands before PLCC and RMSE: NTIRE 2025 (section 3.3) takes a third-order polynomial.
MAPPING = "cubic"
#: Bootstrap samples behind the interval of a main score, and how many are held at once.
RESAMPLES, _BLOCK = 1000, 100
PHASES = ("train", "development", "test")
#: The columns that name a video and hold its MOS, where nothing is said; THQA-NTIRE: Video, Score.
NAMES, SCORES = ("name", "Video", "video", "sample_id"), ("mos", "Score", "score", "MOS")

_S, _F, _I = pa.string(), pa.float64(), pa.int64()
LEADERBOARD = Table(
    "leaderboard",
    "one submission to one phase of a challenge",
    (
        Column("rank", _I, "place among the valid submissions; empty: not ranked", nullable=True),
        Column("team", _S, "name of the team"),
        Column("main_score", _F, "(|SRCC| + |PLCC|) / 2", nullable=True),
        Column("main_score_low", _F, "lower end of its 95 % interval", nullable=True),
        Column("main_score_high", _F, "upper end of its 95 % interval", nullable=True),
        Column("srcc", _F, "Spearman rank-order correlation", nullable=True),
        Column("plcc", _F, "Pearson linear correlation after the mapping", nullable=True),
        Column("krcc", _F, "Kendall rank-order correlation, tau-b", nullable=True),
        Column("rmse", _F, "root mean square error after the mapping", "MOS", nullable=True),
        Column("n", _I, "number of videos scored"),
        Column("mapping", _S, "what maps scores to MOS before PLCC and RMSE"),
        Column("phase", _S, "name of the phase"),
        Column("phase_sha256", _S, "digest of the phase's names and MOS"),
        Column("submission_sha256", _S, "sha256 of the file"),
        Column("runtime", _S, "as readme.txt says: seconds per video", nullable=True),
        Column("cpu_or_gpu", _S, "as readme.txt says: CPU 1, GPU 0", nullable=True),
        Column("extra_data", _S, "as readme.txt says: extra data 1, none 0", nullable=True),
        Column("llm", _S, "as readme.txt says: LLM 1, none 0", nullable=True),
        Column("description", _S, "as readme.txt says", nullable=True),
        Column("baseline", pa.bool_(), "true: shown for comparison, not ranked"),
        Column("status", _S, "ok; flawed (scored, something to know); failed (not valid)"),
        Column("detail", _S, "why the row is not ok"),
    ),
    key=("team",),
)


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


def formula(mapping: str = MAPPING) -> str:
    """Return the main score's formula as it stands beside every number.

    >>> formula("none")
    'main score = (|SRCC| + |PLCC|) / 2, PLCC of the scores as given'
    """
    name = MAPPINGS[mapping]
    how = "of the scores as given" if mapping == "none" else f"after the mapping {name}"
    return f"main score = (|SRCC| + |PLCC|) / 2, PLCC {how}"


def score(
    submission: Submission,
    phase: Phase,
    team: str,
    mapping: str = MAPPING,
    sha256: str = "",
    baseline: bool = False,
) -> dict[str, Any]:
    """Return a row of :data:`LEADERBOARD`, not yet ranked: the one scorer of every phase.

    A submission that is not valid is failed, with its first mistakes as the reason; so is one
    whose scores are all equal, since nothing is correlated with them.
    """
    if mapping not in MAPPINGS:
        raise UserError(f"mapping {mapping!r}: there is none; {hint(mapping, MAPPINGS)}")
    row: dict[str, Any] = {
        "rank": None,
        "team": team,
        **dict.fromkeys(("main_score", "main_score_low", "main_score_high")),
        **dict.fromkeys(("srcc", "plcc", "krcc", "rmse")),
        "n": len(submission.scores),
        "mapping": MAPPINGS[mapping],
        "phase": phase.name,
        "phase_sha256": phase.sha256,
        "submission_sha256": sha256,
        **{
            name: submission.facts.get(name)
            for name in ("runtime", "cpu_or_gpu", "extra_data", "llm", "description")
        },
        "baseline": baseline,
        "status": FAILED,
    }
    if not submission.valid:
        return row | {"detail": flaw("not_valid", " | ".join(submission.errors[:3]))}
    x = np.array([submission.scores[name] for name in phase.mos])
    y = np.array(list(phase.mos.values()))
    found, brought = fitted(x, y, mapping)
    row |= {"mapping": found.mapping, "krcc": found.krcc, "rmse": found.rmse}
    row |= {"srcc": found.srcc, "plcc": found.plcc, "detail": found.detail}
    if found.srcc is None or found.plcc is None or brought is None:
        return row
    low, high = main_interval(x, brought(x), y)
    row |= {"main_score": (abs(found.srcc) + abs(found.plcc)) / 2}
    row |= {"main_score_low": low, "main_score_high": high}
    return row | {"status": FLAWED if found.detail else OK}


def main_interval(scores: Array, brought: Array, mos: Array) -> tuple[float, float]:
    """Return the 95 % percentile interval of the main score: videos drawn anew, the mapping held.

    ``scores``, ``brought`` (after the mapping) and ``mos``: (n,). The same videos are drawn for
    every submission to a phase, so that intervals differ by the scores alone.
    """
    draw = identity.generator("challenge interval", len(mos))
    found = []
    for _ in range(RESAMPLES // _BLOCK):
        times = [
            np.bincount(draw.integers(0, len(mos), len(mos)), minlength=len(mos))
            for _ in range(_BLOCK)
        ]
        weights = np.array(times, np.float64).T
        rank = resampled.srcc(scores[:, None], mos, weights)[0]
        linear = resampled.plcc(brought[:, None], mos, weights)[0]
        found.append((np.abs(rank) + np.abs(linear)) / 2)
    low, high = np.nanquantile(np.concatenate(found), (0.025, 0.975))
    return float(low), float(high)


def ranked(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows by main score, then SRCC, with ranks; the equal share theirs.

    Baselines stand where their score puts them, without a rank; what is not valid stands last.
    """
    done = [dict(row) for row in rows]
    done.sort(key=lambda r: r["team"])
    done.sort(key=lambda r: _order(r), reverse=True)
    place, before, last = 0, None, 0
    for row in done:
        if row["main_score"] is None or row["baseline"]:
            continue
        place += 1
        last = last if _order(row) == before else place
        row["rank"], before = last, _order(row)
    return done


def _order(row: Mapping[str, Any]) -> tuple[float, float]:
    if row["main_score"] is None:
        return -math.inf, -math.inf
    # What stands in a stored row, since the last bits of a fit differ between machines.
    return round(row["main_score"], 8), round(abs(row["srcc"]), 8)


def leaderboard_grid(rows: Sequence[Mapping[str, Any]], phase: Phase, mapping: str) -> Grid:
    """Return :func:`ranked` rows as a table as NTIRE lays it out, its formula in the caption."""
    statistics = ("main_score", "srcc", "plcc", "krcc", "rmse")
    ranks = {name: _top([r for r in rows if not r["baseline"]], name) for name in statistics}
    notes: list[str] = []
    body = []
    for row in rows:
        numbers: tuple[int, ...] = ()
        if row["detail"]:
            notes.append(f"{row['team']}: {row['detail']}")
            numbers = (len(notes),)
        place = "Baseline" if row["baseline"] else str(row["rank"] or UNDEFINED)
        line = [Cell(place), Cell(str(row["team"]), notes=numbers)]
        for name in statistics:
            value = row[name]
            rank = "" if row["baseline"] or value is None else ranks[name].get(round(value, 4), "")
            spread = spread_of(row, name, "brackets")
            line.append(
                Cell(UNDEFINED)
                if value is None
                else Cell(f"{value:.4f}", value, rank, spread=spread)
            )
        line.append(Cell(row["runtime"] or UNDEFINED, _float(row["runtime"])))
        body.append(line)
    heads = ["Rank", "Team", "Main score", "SRCC", "PLCC", "KRCC", "RMSE", "s/video"]
    valid = sum(row["main_score"] is not None for row in rows)
    caption = (
        f"Phase {phase.name}: {len(phase.mos)} videos, {valid} valid submissions of {len(rows)}; "
        f"{formula(mapping)}. In brackets: 95 % interval ({RESAMPLES} bootstrap samples of the "
        f"videos). Phase file {phase.sha256[:12]}."
    )
    return Grid(caption, [Head(name) for name in heads], body, 2, notes)


def _top(rows: Sequence[Mapping[str, Any]], name: str) -> dict[float, str]:
    shown = {round(row[name], 4) for row in rows if row[name] is not None}
    best = sorted(shown, reverse=name != "rmse")[:2]
    return dict(zip(best, (BEST, SECOND), strict=False))


def _float(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


# --- making a challenge ---------------------------------------------------------------------


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


def example_zip(names: Sequence[str], seed: int = 0) -> bytes:
    """Return a valid submission of random scores, the same bytes each time.

    >>> zipfile.ZipFile(io.BytesIO(example_zip(["a.mp4"]))).namelist()
    ['output.txt', 'readme.txt']
    """
    draw = identity.generator("example submission", seed)
    output = "".join(f"{_quoted(name)},{draw.uniform(1, 5):.4f}\n" for name in names)
    readme = (
        "runtime per video [s] : 1.00\nCPU[1] / GPU[0] : 1\n"
        "Extra Data [1] / No Extra Data [0] : 0\nLLM [1] / No LLM [0] : 0\n"
        "Other description : random scores, to try the scorer\n"
    )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in (("output.txt", output), ("readme.txt", readme)):
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), text.encode())
    return packed.getvalue()


def _quoted(name: str) -> str:
    if not set(name) & set('",'):
        return name
    return '"' + name.replace('"', '""') + '"'
