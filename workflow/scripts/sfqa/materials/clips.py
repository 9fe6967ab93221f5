"""Prepare driving clips: mono and stereo masters of 5 to 7 s, cut where the singer pauses."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sfqa import identity, media, tables
from sfqa.errors import UserError
from sfqa.loudness import measure_loudness
from sfqa.materials.clip_plot import plot_cut
from sfqa.materials.cutting import EDGE_SEC, Cut, choose_cut
from sfqa.materials.voicing import ANALYSIS_RATE, HOP_SEC, Voicing, phrases, runs, voicing

VERSION = 3

FADE_SEC = 0.01
SILENT_DBFS = -60.0
# So near to the level of the voice, a voiced edge of the file is no end of a note.
_ABRUPT_DB = -12.0

_SHEET = ("clip_id", "path", "style", "language", "origin")


class Edge(NamedTuple):
    """One end of a cut: its loudness against the voice's (dB), and how far the voice is (s)."""

    level_db: float
    gap_sec: float

    def __str__(self) -> str:
        return f"{self.level_db:+.0f} dB to the voice and {self.gap_sec:.2f} s from it"


def prepare_clips(
    rows: list[dict[str, Any]],
    folder: Path,
    sample_rate: int = 48000,
    min_sec: float = 5.0,
    max_sec: float = 7.0,
    plots: bool = False,
) -> list[dict[str, Any]]:
    """Turn rows of the clip sheet into masters and rows of :data:`sfqa.tables.CLIPS`.

    ``rows`` hold clip_id, path (as it can be opened from here; any format that ffmpeg reads),
    style, language, origin and perhaps title. The masters are 16-bit PCM of ``sample_rate``, the
    same cut (:func:`sfqa.materials.cutting.choose_cut`) and the same raised-cosine fades of 10 ms:
    ``{folder}/stereo/{clip_id}.wav`` to be listened to, and its mean ``{folder}/{clip_id}.wav`` to
    be animated. Their level is untouched unless they would clip. Times are those of the file's own
    clock. ``plots`` draws each cut as ``{folder}/{clip_id}.png``. A clip that cannot serve becomes
    a row: flawed ``short``, ``no_voice``, ``cut_in_phrase``, ``abrupt`` (the file itself starts or
    ends in the voice); failed ``missing``, ``broken``, ``silent``. Raises :class:`UserError` for a
    row without its columns, a repeated clip_id or impossible lengths.
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
    return [_prepare(row, Path(folder), sample_rate, min_sec, max_sec, plots) for row in rows]


def _prepare(
    row: dict[str, Any],
    folder: Path,
    sample_rate: int,
    min_sec: float,
    max_sec: float,
    plots: bool,
) -> dict[str, Any]:
    source = Path(row["path"])
    out: dict[str, Any] = dict.fromkeys(tables.CLIPS.names)
    out |= {name: row.get(name) for name in ("clip_id", "style", "language", "origin", "title")}
    out |= {"original": str(row["path"]), "status": tables.FAILED}
    if not source.is_file():
        return out | {"detail": tables.flaw("missing", "there is no such file")}
    out["original_sha256"] = identity.sha256_file(source)
    try:
        out["channels"] = media.probe(source).channels or None
        # The whole file only at the low rate: 10 minutes of it then need less than 1 GB.
        heard = media.read_audio(source, ANALYSIS_RATE, channels=2)
        if not np.isfinite(heard).all():
            return out | {"detail": tables.flaw("broken", "holds samples that are no numbers")}
        out["original_duration_sec"] = length = len(heard) / ANALYSIS_RATE
        found = voicing(heard.mean(axis=1), ANALYSIS_RATE)
        loudest = float(found.loudness_db.max())
        if loudest < SILENT_DBFS:
            return out | {"detail": tables.flaw("silent", _silence(loudest, heard))}
        cut = choose_cut(
            phrases(found), runs(found.voiced), length, min_sec, max_sec,
            (found.times_sec, found.loudness_db),
        )  # fmt: skip
        first, size = _samples(cut, length, sample_rate, min_sec, max_sec)
        stereo = media.read_audio(source, sample_rate, channels=2, start=first, count=size)
        if 0 < size - len(stereo) <= first:  # a decoder may end some samples sooner at this rate
            first -= size - len(stereo)
            stereo = media.read_audio(source, sample_rate, channels=2, start=first, count=size)
    except media.MediaError as error:
        return out | {"detail": tables.flaw("broken", str(error))}

    size = len(stereo)
    ends = edges(found, first / sample_rate, (first + size) / sample_rate)
    flaws = [cut.flaw, _abrupt(ends, first / sample_rate, (first + size) / sample_rate, length)]
    reason = cut.reason + (f", start {ends[0]}, end {ends[1]}" if ends else "")
    if found.over_music:
        reason += ", measured with the music taken down"
    peak = float(np.max(np.abs(stereo)))
    if peak > 1.0:
        stereo = stereo / np.float32(peak * 1.0001)
        reason += f", lowered by {20 * np.log10(peak):.2f} dB against clipping"
    stereo, fade = _fade(stereo, sample_rate)
    path, listened = folder / f"{row['clip_id']}.wav", folder / "stereo" / f"{row['clip_id']}.wav"
    media.write_wave(path, stereo.mean(axis=1), sample_rate)
    media.write_wave(listened, stereo, sample_rate)
    measured = measure_loudness(listened)
    if measured.reason:
        reason += f", {measured.reason}"
    inside = (found.times_sec * sample_rate >= first) & (
        found.times_sec * sample_rate < first + size
    )
    out |= {
        "status": tables.FLAWED if any(flaws) else tables.OK,
        "detail": "; ".join(filter(None, flaws)),
        "path": str(path),
        "sha256": identity.sha256_file(path),
        "stereo_path": str(listened),
        "stereo_sha256": identity.sha256_file(listened),
        "sample_rate": sample_rate,
        "loudness_lufs": measured.integrated_lufs,
        "loudness_range_lu": measured.range_lu,
        "true_peak_dbtp": measured.true_peak_dbtp,
        "voiced_sec": round(float(found.voiced[inside].sum()) * HOP_SEC, 2),
        "fade_sec": fade / sample_rate,
        "duration_sec": size / sample_rate,
        "cut_start_sec": first / sample_rate,
        "cut_end_sec": (first + size) / sample_rate,
        "cut_reason": reason,
        "size_bytes": path.stat().st_size,
    }
    if plots:
        plot_cut(heard.mean(axis=1), ANALYSIS_RATE, out, folder / f"{row['clip_id']}.png", found)
    return out


def edges(found: Voicing, start_sec: float, end_sec: float) -> tuple[Edge, Edge] | None:
    """Return how a cut's start and end stand to the voice between them; None without a voice.

    The voice's level is the mean power of the voiced frames inside the cut. The gap is the time to
    the nearest voiced frame of the file, 0 inside one.

    >>> times = (np.arange(300) + 0.5) / 100
    >>> flags = (times > 1) & (times < 2)
    >>> found = Voicing(times, np.where(flags, -20.0, -60.0), flags * 1.0, flags)
    >>> edges(found, 0.8, 2.5)
    (Edge(level_db=-40.0, gap_sec=0.2), Edge(level_db=-40.0, gap_sec=0.5))
    """
    inside = (found.times_sec >= start_sec) & (found.times_sec <= end_sec)
    loud = found.loudness_db[found.voiced & inside]
    if not len(loud):
        return None
    voice = 10.0 * np.log10(np.mean(10.0 ** (loud / 10.0)))
    spans = np.array(runs(found.voiced))

    def edge(point: float) -> Edge:
        level = float(np.interp(point, found.times_sec, found.loudness_db) - voice)
        gap = np.maximum(np.maximum(spans[:, 0] - point, point - spans[:, 1]), 0.0).min()
        return Edge(round(level, 2), round(float(gap), 4))

    return edge(start_sec), edge(end_sec)


def _abrupt(
    ends: tuple[Edge, Edge] | None, start_sec: float, end_sec: float, length_sec: float
) -> str:
    """The flaw of a file that was itself cut in the voice, empty where it was not."""
    if ends is None:
        return ""
    at_edge = (start_sec < EDGE_SEC, end_sec > length_sec - EDGE_SEC)
    places = [
        name
        for name, edge, here in zip(("starts", "ends"), ends, at_edge, strict=True)
        if here and edge.gap_sec < EDGE_SEC and edge.level_db > _ABRUPT_DB
    ]
    if not places:
        return ""
    return tables.flaw("abrupt", f"the file itself {' and '.join(places)} in the voice")


def _silence(loudest: float, heard: media.Sound) -> str:
    """Why nothing is heard in mono."""
    between = float(np.sqrt(np.mean(np.diff(heard, axis=1) ** 2)))
    if between > 10 ** (SILENT_DBFS / 20):
        return "the two channels cancel each other in mono, give one of them"
    return f"nowhere louder than {loudest:.0f} dBFS"


def _samples(
    cut: Cut, length_sec: float, sample_rate: int, min_sec: float, max_sec: float
) -> tuple[int, int]:
    """First sample and number of samples, never outside the file or the wanted lengths."""
    total = round(length_sec * sample_rate)
    first = min(round(cut.start_sec * sample_rate), total)
    size = round((cut.end_sec - cut.start_sec) * sample_rate)
    least, most = int(np.ceil(min_sec * sample_rate)), int(np.floor(max_sec * sample_rate))
    size = min(max(size, least), most, total)
    return max(0, min(first, total - size)), size


def _fade(samples: media.Sound, sample_rate: int) -> tuple[media.Sound, int]:
    """Samples (n, channels) with both ends faded, and how many samples a fade lasts."""
    size = min(round(FADE_SEC * sample_rate), len(samples) // 2)
    ramp = (0.5 - 0.5 * np.cos(np.pi * (np.arange(size) + 0.5) / max(size, 1))).astype(np.float32)
    out = samples.astype(np.float32, copy=True)
    out[:size] *= ramp[:, None]
    out[len(out) - size :] *= ramp[::-1, None]
    return out, size
