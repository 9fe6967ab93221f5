"""Where to cut a song: whole phrases of a wanted length, never inside a word where one can."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

PAD_SEC = 0.12  # pause kept on both sides of a phrase, for unvoiced consonants and breath
MOST_PAD_SEC = 0.4  # so far the quietest point is looked for
_PAD_DB_SEC = 60.0  # decibels that the cut must gain for each second away from PAD_SEC
LEAST_PAD_SEC = 0.03  # where the longest length leaves no room for more
SURE_PAUSE_SEC = 0.3  # a shorter one is as likely a comma as the end of a phrase
EDGE_SEC = 0.02  # a phrase this near to the file's edge is probably cut there

Spans = Sequence[tuple[float, float]]
Floats = npt.NDArray[np.float64]


class Cut(NamedTuple):
    """Where to cut, in seconds, why there, and the flaw ("word: sentence", or empty)."""

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

    Both lists are ordered and disjoint, runs the finer one; ``loudness`` is (times in s, dB).
    The first rule that applies is taken:

    1. a file shorter than ``min_sec`` is kept whole (flaw ``short``, and ``no_voice``);
    2. no phrase: the part whose two ends are quietest (flaw ``no_voice``);
    3. whole phrases with some of the pauses around them: 120 ms, or up to 400 ms where that is
       quieter, past a consonant or an echo;
    4. whole phrases with as much of the pauses around them as ``min_sec`` asks for;
    5. between two voiced runs of a phrase, quietest first (flaw ``cut_in_phrase``);
    6. from a phrase's start, or to its end, at the quietest point (flaw ``cut_in_phrase``).

    In 3 and 4 parts come first that no phrase enters or leaves at the file's own edge, since it
    is probably cut there; then the part with fewer ends in a pause under 300 ms, which may be a
    comma; then the part with the most voiced time; then the earliest.

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
        start, end = _quietest_ends(duration_sec, min_sec, max_sec, loudness)
        return Cut(start, end, "quietest ends", "no_voice: no voiced part was found")
    runs = [r for r in runs if any(a < r[1] and r[0] < b for a, b in phrases)] or phrases
    best = _groups(phrases, runs, duration_sec, min_sec, max_sec, loudness)
    if best:
        _, start, end, count, voiced = min(best, key=lambda g: (g[0], -g[4], g[1]))
        plural = "" if count == 1 else "s"
        return Cut(start, end, f"{count} whole phrase{plural}, {voiced:.2f} s voiced", "")
    flaw = f"cut_in_phrase: no whole phrases last {min_sec:g} to {max_sec:g} s, "
    syllables = _groups(runs, runs, duration_sec, min_sec, max_sec, loudness)
    if syllables:

        def rank(group: _Group) -> tuple[int, float, float, float]:
            inside = [t for t in group[1:3] if any(a < t < b for a, b in phrases)]
            level = max((float(np.interp(t, *loudness)) for t in inside), default=-np.inf)
            return (len(inside), round(level), -group[4], group[1])

        _, start, end, _, voiced = min(syllables, key=rank)
        return Cut(
            start, end, f"between syllables, {voiced:.2f} s voiced", flaw + "cut between syllables"
        )
    start, end = _quietest_inside(phrases, duration_sec, min_sec, max_sec, loudness)
    return Cut(start, end, "quietest point of a phrase", flaw + "cut in the voice")


# (stretched, edges, short pauses), start, end, units, voiced seconds
_Group = tuple[tuple[int, int, int], float, float, int, float]


def _groups(
    units: Spans, runs: Spans, duration_sec: float, min_sec: float, max_sec: float,
    loudness: tuple[Floats, Floats],
) -> list[_Group]:  # fmt: skip
    """All cuts that hold whole units and cut none, each with its pads or stretched pauses."""
    out: list[_Group] = []
    rooms = [units[0][0], *((b[0] - a[1]) / 2 for a, b in pairwise(units))]
    rooms.append(duration_sec - units[-1][1])
    befores = [_pad(u[0], -1, room, loudness) for u, room in zip(units, rooms[:-1], strict=True)]
    afters = [_pad(u[1], 1, room, loudness) for u, room in zip(units, rooms[1:], strict=True)]
    for i, (first, _) in enumerate(units):
        floor = units[i - 1][1] + min(rooms[i], LEAST_PAD_SEC) if i else 0.0
        for j in range(i, len(units)):
            last = units[j][1]
            if last - first > max_sec:
                break
            roof = duration_sec
            if j + 1 < len(units):
                roof = units[j + 1][0] - min(rooms[j + 1], LEAST_PAD_SEC)
            pads = _fitted(befores[i], afters[j], max_sec - (last - first))
            if roof - floor < min_sec - 1e-9 or pads is None:
                continue
            start, end = first - pads[0], last + pads[1]
            missing = min_sec - (end - start)
            if missing > 0:
                slack = (start - floor) + (roof - end)
                share = min(1.0, missing / slack) if slack > 0 else 0.0
                start, end = start - share * (start - floor), end + share * (roof - end)
            touched = int(first < EDGE_SEC) + int(last > duration_sec - EDGE_SEC)
            commas = int(i > 0 and 2 * rooms[i] < SURE_PAUSE_SEC)
            commas += int(j + 1 < len(units) and 2 * rooms[j + 1] < SURE_PAUSE_SEC)
            voiced = sum(max(0.0, min(b, end) - max(a, start)) for a, b in runs)
            rank = (int(missing > 0), touched, commas)
            out.append((rank, round(start, 6), round(end, 6), j - i + 1, round(voiced, 6)))
    return out


def _pad(edge: float, way: int, room: float, loudness: tuple[Floats, Floats]) -> float:
    """How much pause to keep before (-1) or after (1) a phrase's edge: to the quietest point."""
    tries = np.append(np.arange(PAD_SEC, min(MOST_PAD_SEC, room), 0.01), min(MOST_PAD_SEC, room))
    tries = tries if room > PAD_SEC else np.array([room])
    cost = np.interp(edge + way * tries, *loudness) + _PAD_DB_SEC * tries
    return float(tries[int(np.argmin(cost))])


def _fitted(before: float, after: float, room: float) -> tuple[float, float] | None:
    """Both pads, shrunk to the room, but not below the least one; None where they do not fit."""
    least = min(before, LEAST_PAD_SEC), min(after, LEAST_PAD_SEC)
    spare, wanted = room - sum(least), before + after - sum(least)
    if spare < -1e-9:
        return None
    share = min(1.0, max(spare, 0.0) / wanted) if wanted > 0 else 1.0
    return least[0] + share * (before - least[0]), least[1] + share * (after - least[1])


def _quietest_inside(
    phrases: Spans, duration_sec: float, min_sec: float, max_sec: float,
    loudness: tuple[Floats, Floats],
) -> tuple[float, float]:  # fmt: skip
    """One end at a phrase's own start or end, the other at the quietest point in reach."""
    found: list[tuple[float, float, float]] = []
    for first, last in phrases:
        level, point = _quietest(first + min_sec, min(first + max_sec, duration_sec), loudness)
        found.append((level, first, point))
        level, point = _quietest(max(last - max_sec, 0.0), last - min_sec, loudness)
        found.append((level, point, last))
    _, start, end = min(found)
    return start, end


def _quietest(low: float, high: float, loudness: tuple[Floats, Floats]) -> tuple[float, float]:
    """Loudness and time of the quietest point from low to high; infinite where there is none."""
    if high < low:
        return float("inf"), low
    times = loudness[0]
    points = np.concatenate([[low], times[(times > low) & (times < high)], [high]])
    levels = np.interp(points, *loudness)
    best = int(np.argmin(levels))
    return float(levels[best]), float(points[best])


def _quietest_ends(
    duration_sec: float, min_sec: float, max_sec: float, loudness: tuple[Floats, Floats]
) -> tuple[float, float]:
    if duration_sec <= max_sec:
        return 0.0, duration_sec
    best = (np.inf, 0.0, max_sec)
    for length in np.linspace(max_sec, min_sec, 41):  # the longest first: it wins ties
        starts = np.arange(0.0, duration_sec - length + 1e-9, 0.01)
        cost = np.interp(starts, *loudness) + np.interp(starts + length, *loudness)
        place = int(np.argmin(cost))
        if cost[place] < best[0] - 1e-9:
            best = (float(cost[place]), float(starts[place]), float(starts[place] + length))
    return best[1], best[2]
