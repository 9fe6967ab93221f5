"""Choose where to cut a song: whole phrases of a given duration, if possible never in a word."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from sfqa.arrays import Floats

PAD_SEC = 0.12  # pause kept on both sides of a phrase, for unvoiced consonants and breath
MAX_PAD_SEC = 0.4  # farthest position of the quietest point
_PAD_DB_SEC = 60.0  # gain in dB that a cut needs per second of distance from PAD_SEC
MIN_PAD_SEC = 0.03  # if the longest duration leaves no space for more
SURE_PAUSE_SEC = 0.3  # a shorter pause is as likely a comma as the end of a phrase
EDGE_SEC = 0.02  # a phrase this close to the edge of the file is probably cut off

Spans = Sequence[tuple[float, float]]


class Cut(NamedTuple):
    """Start and end of a cut in seconds, the reason, and the flaw ('word: sentence' or '')."""

    start_sec: float
    end_sec: float
    reason: str
    flaw: str


def choose_cut(
    phrases: Spans,
    runs: Spans,
    duration_sec: float,
    min_sec: float,
    max_sec: float,
    loudness: tuple[Floats, Floats],
) -> Cut:
    """Choose the part of a file to keep, from its phrases and voiced runs in seconds.

    Both lists are ordered and disjoint; runs are the finer one. ``loudness`` is (times in s, dB).
    The first rule that applies is used:

    1. a file shorter than ``min_sec`` is kept completely (flaw ``short``; without a phrase also
       ``no_voice``);
    2. no phrase: the part with the quietest ends (flaw ``no_voice``);
    3. whole phrases with 120 ms of pause on both sides, or up to 400 ms if that is quieter, past a
       consonant or an echo;
    4. whole phrases with longer pauses, as far as needed to reach ``min_sec``;
    5. between two voiced runs of a phrase, quietest first (flaw ``cut_in_phrase``);
    6. from the start or to the end of a phrase, cut at the quietest point (flaw ``cut_in_phrase``).

    In 3 and 4, parts are preferred in this order: no phrase touches the edge of the file, where it
    is probably cut off; fewer ends in a pause under 300 ms, which may be a comma; more voiced time;
    earlier start.

    >>> import numpy as np
    >>> flat = (np.array([0.0, 20.0]), np.array([-40.0, -40.0]))
    >>> spans = [(1.0, 4.0), (5.0, 11.0), (12.0, 14.0)]
    >>> choose_cut(spans, spans, 15.0, 5.0, 7.0, flat)[:3]
    (4.88, 11.12, '1 whole phrase, 6.00 s voiced')
    """
    if duration_sec < min_sec:
        flaw = f"short: {duration_sec:.2f} s where at least {min_sec:g} s are wanted"
        if not phrases:
            flaw += "; no_voice: no voiced part was found"
        return Cut(0.0, duration_sec, "whole file", flaw)
    if not phrases:
        start, end = _find_quietest_ends(duration_sec, min_sec, max_sec, loudness)
        return Cut(start, end, "quietest ends", "no_voice: no voiced part was found")
    runs = [r for r in runs if any(a < r[1] and r[0] < b for a, b in phrases)] or phrases
    candidates = _list_candidates(phrases, runs, duration_sec, min_sec, max_sec, loudness)
    if candidates:
        _, start, end, count, voiced = min(candidates, key=lambda g: (g[0], -g[4], g[1]))
        plural = "" if count == 1 else "s"
        return Cut(start, end, f"{count} whole phrase{plural}, {voiced:.2f} s voiced", "")
    flaw = f"cut_in_phrase: no whole phrases last {min_sec:g} to {max_sec:g} s, "
    between_syllables = _list_candidates(runs, runs, duration_sec, min_sec, max_sec, loudness)
    if between_syllables:

        def rank_candidate(group: _Candidate) -> tuple[int, float, float, float]:
            inside = [t for t in group[1:3] if any(a < t < b for a, b in phrases)]
            level = max((float(np.interp(t, *loudness)) for t in inside), default=-np.inf)
            return (len(inside), round(level), -group[4], group[1])

        _, start, end, _, voiced = min(between_syllables, key=rank_candidate)
        return Cut(
            start, end, f"between syllables, {voiced:.2f} s voiced", flaw + "cut between syllables"
        )
    start, end = _find_quietest_inside(phrases, duration_sec, min_sec, max_sec, loudness)
    return Cut(start, end, "quietest point of a phrase", flaw + "cut in the voice")


# (stretched, edges, short pauses), start, end, units, voiced seconds
_Candidate = tuple[tuple[int, int, int], float, float, int, float]


def _list_candidates(
    units: Spans, runs: Spans, duration_sec: float, min_sec: float, max_sec: float,
    loudness: tuple[Floats, Floats],
) -> list[_Candidate]:  # fmt: skip
    """List all cuts that contain whole units only, with their pads or extended pauses."""
    out: list[_Candidate] = []
    spaces = [units[0][0], *((b[0] - a[1]) / 2 for a, b in pairwise(units))]
    spaces.append(duration_sec - units[-1][1])
    pads_before = [
        _choose_pad(u[0], -1, space, loudness) for u, space in zip(units, spaces[:-1], strict=True)
    ]
    pads_after = [
        _choose_pad(u[1], 1, space, loudness) for u, space in zip(units, spaces[1:], strict=True)
    ]
    for i, (first, _) in enumerate(units):
        earliest = units[i - 1][1] + min(spaces[i], MIN_PAD_SEC) if i else 0.0
        for j in range(i, len(units)):
            last = units[j][1]
            if last - first > max_sec:
                break
            latest = duration_sec
            if j + 1 < len(units):
                latest = units[j + 1][0] - min(spaces[j + 1], MIN_PAD_SEC)
            pads = _fit_pads(pads_before[i], pads_after[j], max_sec - (last - first))
            if latest - earliest < min_sec - 1e-9 or pads is None:
                continue
            start, end = first - pads[0], last + pads[1]
            missing = min_sec - (end - start)
            if missing > 0:
                slack = (start - earliest) + (latest - end)
                share = min(1.0, missing / slack) if slack > 0 else 0.0
                start, end = start - share * (start - earliest), end + share * (latest - end)
            edges_touched = int(first < EDGE_SEC) + int(last > duration_sec - EDGE_SEC)
            short_pauses = int(i > 0 and 2 * spaces[i] < SURE_PAUSE_SEC)
            short_pauses += int(j + 1 < len(units) and 2 * spaces[j + 1] < SURE_PAUSE_SEC)
            voiced = sum(max(0.0, min(b, end) - max(a, start)) for a, b in runs)
            rank = (int(missing > 0), edges_touched, short_pauses)
            out.append((rank, round(start, 6), round(end, 6), j - i + 1, round(voiced, 6)))
    return out


def _choose_pad(
    edge: float, direction: int, space: float, loudness: tuple[Floats, Floats]
) -> float:
    """Return the pause to keep before (-1) or after (1) a phrase: up to the quietest point."""
    candidates = np.append(
        np.arange(PAD_SEC, min(MAX_PAD_SEC, space), 0.01), min(MAX_PAD_SEC, space)
    )
    candidates = candidates if space > PAD_SEC else np.array([space])
    cost = np.interp(edge + direction * candidates, *loudness) + _PAD_DB_SEC * candidates
    return float(candidates[int(np.argmin(cost))])


def _fit_pads(before: float, after: float, space: float) -> tuple[float, float] | None:
    """Shrink both pads to the space, but not below the minimum; None if they do not fit."""
    smallest = min(before, MIN_PAD_SEC), min(after, MIN_PAD_SEC)
    available, requested = space - sum(smallest), before + after - sum(smallest)
    if available < -1e-9:
        return None
    share = min(1.0, max(available, 0.0) / requested) if requested > 0 else 1.0
    return smallest[0] + share * (before - smallest[0]), smallest[1] + share * (after - smallest[1])


def _find_quietest_inside(
    phrases: Spans, duration_sec: float, min_sec: float, max_sec: float,
    loudness: tuple[Floats, Floats],
) -> tuple[float, float]:  # fmt: skip
    """Place one end at a phrase's start or end, the other at the quietest point within reach."""
    candidates: list[tuple[float, float, float]] = []
    for first, last in phrases:
        level, point = _find_quietest(first + min_sec, min(first + max_sec, duration_sec), loudness)
        candidates.append((level, first, point))
        level, point = _find_quietest(max(last - max_sec, 0.0), last - min_sec, loudness)
        candidates.append((level, point, last))
    _, start, end = min(candidates)
    return start, end


def _find_quietest(low: float, high: float, loudness: tuple[Floats, Floats]) -> tuple[float, float]:
    """Return loudness and time of the quietest point in [low, high]; infinite if it is empty."""
    if high < low:
        return float("inf"), low
    times = loudness[0]
    points = np.concatenate([[low], times[(times > low) & (times < high)], [high]])
    levels = np.interp(points, *loudness)
    best = int(np.argmin(levels))
    return float(levels[best]), float(points[best])


def _find_quietest_ends(
    duration_sec: float, min_sec: float, max_sec: float, loudness: tuple[Floats, Floats]
) -> tuple[float, float]:
    if duration_sec <= max_sec:
        return 0.0, duration_sec
    best = (np.inf, 0.0, max_sec)
    for length in np.linspace(max_sec, min_sec, 41):  # longest first, which breaks ties
        starts = np.arange(0.0, duration_sec - length + 1e-9, 0.01)
        cost = np.interp(starts, *loudness) + np.interp(starts + length, *loudness)
        index = int(np.argmin(cost))
        if cost[index] < best[0] - 1e-9:
            best = (float(cost[index]), float(starts[index]), float(starts[index] + length))
    return best[1], best[2]
