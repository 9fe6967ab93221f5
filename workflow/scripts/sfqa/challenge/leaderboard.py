"""Rank the teams of a phase, and lay out the leaderboard as NTIRE does."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sfqa.challenge.phases import Phase
from sfqa.challenge.scoring import RESAMPLES, describe_formula
from sfqa.correlation.captions import format_spread
from sfqa.correlation.grid import BEST, SECOND, UNDEFINED, Cell, ColumnHeading, Grid
from sfqa.correlation.marks import find_marks
from sfqa.statistics.registry import NAMES, STATISTICS, find_statistic


def rank_teams(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows sorted by main score, then SRCC, with ranks; ties share a rank.

    Baselines are sorted by score but get no rank; invalid submissions come last.
    """
    ranked_rows = [dict(row) for row in rows]
    ranked_rows.sort(key=lambda r: r["team"])
    ranked_rows.sort(key=lambda r: _sort_key(r), reverse=True)
    position, previous_key, rank = 0, None, 0
    for row in ranked_rows:
        if row["main_score"] is None or row["baseline"]:
            continue
        position += 1
        rank = rank if _sort_key(row) == previous_key else position
        row["rank"], previous_key = rank, _sort_key(row)
    return ranked_rows


def _sort_key(row: Mapping[str, Any]) -> tuple[float, float]:
    if row["main_score"] is None:
        return -math.inf, -math.inf
    # Rounded, because the last bits of a fit differ between machines.
    return round(row["main_score"], 8), round(abs(row["srcc"]), 8)


def build_leaderboard(rows: Sequence[Mapping[str, Any]], phase: Phase, mapping: str) -> Grid:
    """Build the leaderboard of :func:`rank_teams`'s rows, with the formula in the caption."""
    statistics = ("main_score", *NAMES)
    ranks = {
        name: _mark_best([r for r in rows if not r["baseline"] and _is_marked_best(r, name)], name)
        for name in statistics
    }
    notes: list[str] = []
    body = []
    for row in rows:
        note_numbers: tuple[int, ...] = ()
        if row["detail"]:
            notes.append(f"{row['team']}: {row['detail']}")
            note_numbers = (len(notes),)
        rank_text = "Baseline" if row["baseline"] else str(row["rank"] or UNDEFINED)
        line = [Cell(rank_text), Cell(str(row["team"]), notes=note_numbers)]
        for name in statistics:
            value = row[name]
            is_marked = value is not None and not row["baseline"] and _is_marked_best(row, name)
            rank = ranks[name].get(round(value, 4), "") if is_marked else ""
            spread = format_spread(row, name, "brackets")
            line.append(
                Cell(UNDEFINED)
                if value is None
                else Cell(f"{value:.4f}", value, rank, spread=spread)
            )
        line.append(Cell(row["runtime"] or UNDEFINED, _parse_float(row["runtime"])))
        body.append(line)
    headings = ["Rank", "Team", "Main score", *(s.label for s in STATISTICS), "s/video"]
    valid = sum(row["main_score"] is not None for row in rows)
    caption = (
        f"Phase {phase.name}: {len(phase.mos)} videos, {valid} valid submissions of {len(rows)}; "
        f"{describe_formula(mapping)}. In brackets: 95 % interval ({RESAMPLES} bootstrap "
        f"samples of the videos). Phase file {phase.sha256[:12]}."
    )
    return Grid(caption, [ColumnHeading(name) for name in headings], body, 2, notes)


def _is_marked_best(row: Mapping[str, Any], name: str) -> bool:
    """Return whether a value may be best or second: not after a curve that is a step or falls."""
    is_mapped = name == "main_score" or find_statistic(name).is_mapped
    return not (is_mapped and find_marks(str(row["detail"])))


def _mark_best(rows: Sequence[Mapping[str, Any]], name: str) -> dict[float, str]:
    values = {round(row[name], 4) for row in rows if row[name] is not None}
    higher_is_better = name == "main_score" or find_statistic(name).higher_is_better
    best_two = sorted(values, reverse=higher_is_better)[:2]
    return dict(zip(best_two, (BEST, SECOND), strict=False))


def _parse_float(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None
