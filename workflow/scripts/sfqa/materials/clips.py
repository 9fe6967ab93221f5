"""Prepare driving clips: mono, 5 to 7 s, cut where the singer pauses, checked and recorded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sfqa import identity, media, tables
from sfqa.errors import UserError
from sfqa.materials.voicing import phrases, runs, voicing

VERSION = 1

FADE_SEC = 0.01
PAD_SEC = 0.12  # pause kept on both sides of a phrase, for unvoiced consonants and breath
SILENT_DBFS = -60.0

Spans = Sequence[tuple[float, float]]
Floats = npt.NDArray[np.float64]

_SHEET = ("clip_id", "path", "style", "language", "origin")


class Cut(NamedTuple):
    """Where to cut, in seconds, why there, and the flaw ("word: sentence", or empty)."""

    start_sec: float
    end_sec: float
    reason: str
    flaw: str


def prepare_clips(
    rows: list[dict[str, Any]],
    folder: Path,
    sample_rate: int = 48000,
    min_sec: float = 5.0,
    max_sec: float = 7.0,
) -> list[dict[str, Any]]:
    """Turn rows of the clip sheet into masters and rows of :data:`sfqa.tables.CLIPS`.

    ``rows`` hold clip_id, path (as it can be opened from here; any format that ffmpeg reads),
    style, language, origin and perhaps title. The master is ``{folder}/{clip_id}.wav``: mono
    16-bit PCM of ``sample_rate``, cut by :func:`choose_cut`, with raised-cosine fades of 10 ms, its
    level untouched unless it would clip. A clip that cannot serve becomes a row: flawed ``short``,
    ``no_voice``, ``cut_in_phrase``; failed ``missing``, ``broken``, ``silent``. Raises
    :class:`UserError` for a row without its columns, a repeated clip_id or impossible lengths.
    """
    if not 0.0 < min_sec <= max_sec:
        raise UserError(
            f"clip length of {min_sec:g} to {max_sec:g} s: give a least length above 0 and no "
            "longer than the greatest"
        )
    seen: set[str] = set()
    for number, row in enumerate(rows, start=1):
        empty = [name for name in _SHEET if not row.get(name)]
        if empty:
            raise UserError(f"clip sheet, row {number}: column {empty[0]!r} is empty; fill it")
        if row["clip_id"] in seen:
            raise UserError(
                f"clip sheet, row {number}: clip_id {row['clip_id']!r} is there twice; rename one"
            )
        seen.add(row["clip_id"])
    return [_prepare(row, Path(folder), sample_rate, min_sec, max_sec) for row in rows]


def _prepare(
    row: dict[str, Any], folder: Path, sample_rate: int, min_sec: float, max_sec: float
) -> dict[str, Any]:
    source = Path(row["path"])
    out: dict[str, Any] = dict.fromkeys(tables.CLIPS.names)
    out |= {name: row.get(name) for name in ("clip_id", "style", "language", "origin", "title")}
    out |= {"original": str(row["path"]), "status": tables.FAILED}
    if not source.is_file():
        return out | {"detail": "missing: there is no such file"}
    out["original_sha256"] = identity.sha256_file(source)
    try:
        samples = media.read_audio(source, sample_rate)
    except media.MediaError as error:
        return out | {"detail": f"broken: {str(error).replace('; ', ', ')}"}
    if not np.isfinite(samples).all():
        return out | {"detail": "broken: holds samples that are no numbers"}
    out["original_duration_sec"] = len(samples) / sample_rate
    found = voicing(samples, sample_rate)
    loudest = float(found.loudness_db.max())
    if loudest < SILENT_DBFS:
        return out | {"detail": f"silent: nowhere louder than {loudest:.0f} dBFS"}

    cut = choose_cut(
        phrases(found), runs(found.voiced), len(samples) / sample_rate, min_sec, max_sec,
        (found.times_sec, found.loudness_db),
    )  # fmt: skip
    first, size = _samples(cut, len(samples), sample_rate, min_sec, max_sec)
    master = _fade(samples[first : first + size], sample_rate)
    peak = float(np.max(np.abs(master)))
    reason = cut.reason
    if peak > 1.0:
        master = master / np.float32(peak * 1.0001)
        reason += f", lowered by {20 * np.log10(peak):.2f} dB against clipping"
    path = folder / f"{row['clip_id']}.wav"
    media.write_wave(path, master, sample_rate)
    return out | {
        "status": tables.FLAWED if cut.flaw else tables.OK,
        "detail": cut.flaw,
        "path": str(path),
        "sha256": identity.sha256_file(path),
        "sample_rate": sample_rate,
        "duration_sec": size / sample_rate,
        "cut_start_sec": first / sample_rate,
        "cut_end_sec": (first + size) / sample_rate,
        "cut_reason": reason,
        "size_bytes": path.stat().st_size,
    }


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
    3. whole phrases with up to 120 ms of the pauses around them;
    4. whole phrases with as much of the pauses around them as ``min_sec`` asks for;
    5. between two voiced runs of a phrase, quietest first (flaw ``cut_in_phrase``);
    6. from a phrase's start, or to its end, at the quietest point (flaw ``cut_in_phrase``).

    In 3 and 4 parts come first that no phrase enters or leaves at the file's own edge, since it
    is probably cut there; then the part with the most voiced time; then the earliest.

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
    best = _groups(phrases, runs, duration_sec, min_sec, max_sec)
    if best:
        _, start, end, count, voiced = min(best, key=lambda g: (g[0][0], g[0][1], -g[4], g[1]))
        plural = "" if count == 1 else "s"
        return Cut(start, end, f"{count} whole phrase{plural}, {voiced:.2f} s voiced", "")
    flaw = f"cut_in_phrase: no whole phrases last {min_sec:g} to {max_sec:g} s, "
    syllables = _groups(runs, runs, duration_sec, min_sec, max_sec)
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


# (stretched and edges), start, end, units, voiced seconds
_Group = tuple[tuple[int, int], float, float, int, float]


def _groups(
    units: Spans, runs: Spans, duration_sec: float, min_sec: float, max_sec: float
) -> list[_Group]:
    """All cuts that hold whole units and cut none, each with its pads or stretched pauses."""
    out: list[_Group] = []
    for i, (first, _) in enumerate(units):
        floor = units[i - 1][1] if i else 0.0
        for j in range(i, len(units)):
            last = units[j][1]
            if last - first > max_sec:
                break
            roof = units[j + 1][0] if j + 1 < len(units) else duration_sec
            if roof - floor < min_sec:
                continue
            before = min(PAD_SEC, (first - floor) / (2 if i else 1))
            after = min(PAD_SEC, (roof - last) / (2 if j + 1 < len(units) else 1))
            fit = min(1.0, (max_sec - (last - first)) / max(before + after, 1e-9))
            start, end = first - before * fit, last + after * fit
            missing = min_sec - (end - start)
            if missing > 0:
                slack = (start - floor) + (roof - end)
                share = min(1.0, missing / slack) if slack > 0 else 0.0
                start, end = start - share * (start - floor), end + share * (roof - end)
            touched = int(first < 0.02) + int(last > duration_sec - 0.02)
            voiced = sum(max(0.0, min(b, end) - max(a, start)) for a, b in runs)
            rank = (int(missing > 0), touched)
            out.append((rank, round(start, 6), round(end, 6), j - i + 1, round(voiced, 6)))
    return out


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


def _samples(
    cut: Cut, total: int, sample_rate: int, min_sec: float, max_sec: float
) -> tuple[int, int]:
    """First sample and number of samples, never outside the file or the wanted lengths."""
    first = min(round(cut.start_sec * sample_rate), total)
    size = round((cut.end_sec - cut.start_sec) * sample_rate)
    least, most = int(np.ceil(min_sec * sample_rate)), int(np.floor(max_sec * sample_rate))
    size = min(max(size, least), most, total)
    return max(0, min(first, total - size)), size


def _fade(samples: media.Sound, sample_rate: int) -> media.Sound:
    size = min(round(FADE_SEC * sample_rate), len(samples) // 2)
    ramp = (0.5 - 0.5 * np.cos(np.pi * (np.arange(size) + 0.5) / max(size, 1))).astype(np.float32)
    out = samples.astype(np.float32, copy=True)
    out[:size] *= ramp
    out[len(out) - size :] *= ramp[::-1]
    return out
