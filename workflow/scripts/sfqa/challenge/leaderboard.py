"""The leaderboard of a phase: the ranks, and the table as NTIRE lays it out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sfqa.challenge.phases import Phase
from sfqa.challenge.scoring import RESAMPLES, formula
from sfqa.correlation.captions import spread_of
from sfqa.correlation.grid import BEST, SECOND, UNDEFINED, Cell, Grid, Head


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
