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
from sfqa.materials.voicing import (
    ANALYSIS_RATE,
    HOP_SEC,
    Voicing,
    detect_voicing,
    find_phrases,
    find_runs,
)

VERSION = 4

FADE_SEC = 0.01
SILENT_DBFS = -60.0
# A voiced edge of the file louder than this, relative to the voice, is not the end of a note.
_ABRUPT_DB = -12.0

_SHEET = ("clip_id", "path", "style", "language", "origin")


class Edge(NamedTuple):
    """One end of a cut: level relative to the voice in dB, and distance to the voice in seconds."""

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
    """Prepare the masters of a clip sheet; return the rows of :data:`sfqa.tables.CLIPS`.

    ``rows``: clip_id, path (absolute or relative to the working directory; any format that ffmpeg
    reads), style, language, origin and optionally title. The masters are 16-bit PCM at
    ``sample_rate`` with the same cut (:func:`sfqa.materials.cutting.choose_cut`) and raised-cosine
    fades of 10 ms: ``{folder}/stereo/{clip_id}.wav`` for listening, and its mono mean
    ``{folder}/{clip_id}.wav`` for the generators. Their level changes only to avoid clipping. Times
    refer to the clock of the file. ``plots`` draws each cut as ``{folder}/{clip_id}.png``. Flawed:
    ``short``, ``no_voice``, ``cut_in_phrase``, ``abrupt`` (the file itself starts or ends within
    the voice). Failed: ``missing``, ``broken``, ``silent``. Raises :class:`UserError` for a missing
    value, a repeated clip_id or impossible durations.
    """
    if not 0.0 < min_sec <= max_sec:
        raise UserError(
            f"clip length of {min_sec:g} to {max_sec:g} s: give a least length above 0 and no "
            "longer than the greatest"
        )
    clip_ids: set[str] = set()
    for number, row in enumerate(rows, start=1):
        empty = [name for name in _SHEET if not row.get(name)]
        if empty:
            raise UserError(f"clip sheet, row {number}: column {empty[0]!r} is empty; fill it")
        if row["clip_id"] in clip_ids:
            raise UserError(
                f"clip sheet, row {number}: clip_id {row['clip_id']!r} is there twice; rename one"
            )
        clip_ids.add(row["clip_id"])
    return [_prepare_clip(row, Path(folder), sample_rate, min_sec, max_sec, plots) for row in rows]


def _prepare_clip(
    row: dict[str, Any],
    folder: Path,
    sample_rate: int,
    min_sec: float,
    max_sec: float,
    plots: bool,
) -> dict[str, Any]:
    source = Path(row["path"])
    out: dict[str, Any] = dict.fromkeys(tables.CLIPS.names)
    labels = ("clip_id", "style", "language", "origin", "title", "licence")
    out |= {name: row.get(name) for name in labels}
    out |= {"original": str(row["path"]), "status": tables.FAILED}
    if not source.is_file():
        return out | {"detail": tables.flaw("missing", "there is no such file")}
    out["original_sha256"] = identity.sha256_file(source)
    try:
        presented = media.read_sound_presentation(source)
        out["channels"] = (presented and presented.channels) or None
        # The whole file is read at the low rate only: 10 minutes then need less than 1 GB.
        analysis_sound = media.read_audio(source, ANALYSIS_RATE, channels=2)
        if not np.isfinite(analysis_sound).all():
            return out | {"detail": tables.flaw("broken", "holds samples that are no numbers")}
        out["original_duration_sec"] = length = len(analysis_sound) / ANALYSIS_RATE
        voicing = detect_voicing(analysis_sound.mean(axis=1), ANALYSIS_RATE)
        loudest = float(voicing.loudness_db.max())
        if loudest < SILENT_DBFS:
            return out | {
                "detail": tables.flaw("silent", _describe_silence(loudest, analysis_sound))
            }
        cut = choose_cut(
            find_phrases(voicing), find_runs(voicing.voiced), length, min_sec, max_sec,
            (voicing.times_sec, voicing.loudness_db),
        )  # fmt: skip
        first, size = _locate_samples(cut, length, sample_rate, min_sec, max_sec)
        stereo = media.read_audio(source, sample_rate, channels=2, start=first, count=size)
        if 0 < size - len(stereo) <= first:  # a decoder may end a few samples early at this rate
            first -= size - len(stereo)
            stereo = media.read_audio(source, sample_rate, channels=2, start=first, count=size)
    except media.MediaError as error:
        return out | {"detail": tables.flaw("broken", str(error))}

    size = len(stereo)
    ends = measure_edges(voicing, first / sample_rate, (first + size) / sample_rate)
    flaws = [
        cut.flaw,
        tables.flaw("damaged", presented.damage) if presented and presented.damage else "",
        _describe_abrupt_edge(ends, first / sample_rate, (first + size) / sample_rate, length),
    ]
    reason = cut.reason + (f", start {ends[0]}, end {ends[1]}" if ends else "")
    if presented and len(presented.changes) > 1:
        first_form, last_form = presented.changes[0].form, presented.changes[-1].form
        reason += (
            f", the file changes from {first_form.layout} at {first_form.rate} Hz to "
            f"{last_form.layout} at {last_form.rate} Hz"
        )
    if voicing.over_music:
        reason += ", measured with the music taken down"
    peak = float(np.max(np.abs(stereo)))
    if peak > 1.0:
        stereo = stereo / np.float32(peak * 1.0001)
        reason += f", lowered by {20 * np.log10(peak):.2f} dB against clipping"
    stereo, fade = _fade_ends(stereo, sample_rate)
    path, stereo_path = (
        folder / f"{row['clip_id']}.wav",
        folder / "stereo" / f"{row['clip_id']}.wav",
    )
    media.write_wave(path, stereo.mean(axis=1), sample_rate)
    media.write_wave(stereo_path, stereo, sample_rate)
    measured = measure_loudness(stereo_path)
    if measured.reason:
        reason += f", {measured.reason}"
    inside = (voicing.times_sec * sample_rate >= first) & (
        voicing.times_sec * sample_rate < first + size
    )
    out |= {
        "status": tables.FLAWED if any(flaws) else tables.OK,
        "detail": "; ".join(filter(None, flaws)),
        "path": str(path),
        "sha256": identity.sha256_file(path),
        "stereo_path": str(stereo_path),
        "stereo_sha256": identity.sha256_file(stereo_path),
        "sample_rate": sample_rate,
        "loudness_lufs": measured.integrated_lufs,
        "loudness_range_lu": measured.range_lu,
        "true_peak_dbtp": measured.true_peak_dbtp,
        "voiced_sec": round(float(voicing.voiced[inside].sum()) * HOP_SEC, 2),
        "fade_sec": fade / sample_rate,
        "duration_sec": size / sample_rate,
        "cut_start_sec": first / sample_rate,
        "cut_end_sec": (first + size) / sample_rate,
        "cut_reason": reason,
        "size_bytes": path.stat().st_size,
    }
    if plots:
        plot_cut(
            analysis_sound.mean(axis=1),
            ANALYSIS_RATE,
            out,
            folder / f"{row['clip_id']}.png",
            voicing,
        )
    return out


def measure_edges(voicing: Voicing, start_sec: float, end_sec: float) -> tuple[Edge, Edge] | None:
    """Return the level and distance of a cut's start and end to the voice; None without a voice.

    The level of the voice is the mean power of the voiced frames inside the cut. The gap is the
    time to the nearest voiced frame of the file, 0 inside one.

    >>> times = (np.arange(300) + 0.5) / 100
    >>> flags = (times > 1) & (times < 2)
    >>> voicing = Voicing(times, np.where(flags, -20.0, -60.0), flags * 1.0, flags)
    >>> measure_edges(voicing, 0.8, 2.5)
    (Edge(level_db=-40.0, gap_sec=0.2), Edge(level_db=-40.0, gap_sec=0.5))
    """
    inside = (voicing.times_sec >= start_sec) & (voicing.times_sec <= end_sec)
    voiced_levels = voicing.loudness_db[voicing.voiced & inside]
    if not len(voiced_levels):
        return None
    voice = 10.0 * np.log10(np.mean(10.0 ** (voiced_levels / 10.0)))
    spans = np.array(find_runs(voicing.voiced))

    def measure_edge(point: float) -> Edge:
        level = float(np.interp(point, voicing.times_sec, voicing.loudness_db) - voice)
        gap = np.maximum(np.maximum(spans[:, 0] - point, point - spans[:, 1]), 0.0).min()
        return Edge(round(level, 2), round(float(gap), 4))

    return measure_edge(start_sec), measure_edge(end_sec)


def _describe_abrupt_edge(
    ends: tuple[Edge, Edge] | None, start_sec: float, end_sec: float, length_sec: float
) -> str:
    """Return the flaw of a file that itself starts or ends within the voice, else ''."""
    if ends is None:
        return ""
    at_edge = (start_sec < EDGE_SEC, end_sec > length_sec - EDGE_SEC)
    abrupt_ends = [
        name
        for name, edge, is_at_edge in zip(("starts", "ends"), ends, at_edge, strict=True)
        if is_at_edge and edge.gap_sec < EDGE_SEC and edge.level_db > _ABRUPT_DB
    ]
    if not abrupt_ends:
        return ""
    return tables.flaw("abrupt", f"the file itself {' and '.join(abrupt_ends)} in the voice")


def _describe_silence(loudest: float, stereo: media.Sound) -> str:
    """Return the reason why the mono sound is silent."""
    difference_rms = float(np.sqrt(np.mean(np.diff(stereo, axis=1) ** 2)))
    if difference_rms > 10 ** (SILENT_DBFS / 20):
        return "the two channels cancel each other in mono, give one of them"
    return f"nowhere louder than {loudest:.0f} dBFS"


def _locate_samples(
    cut: Cut, length_sec: float, sample_rate: int, min_sec: float, max_sec: float
) -> tuple[int, int]:
    """Return the first sample and number of samples, within the file and the durations."""
    total = round(length_sec * sample_rate)
    first = min(round(cut.start_sec * sample_rate), total)
    size = round((cut.end_sec - cut.start_sec) * sample_rate)
    least, most = int(np.ceil(min_sec * sample_rate)), int(np.floor(max_sec * sample_rate))
    size = min(max(size, least), most, total)
    return max(0, min(first, total - size)), size


def _fade_ends(samples: media.Sound, sample_rate: int) -> tuple[media.Sound, int]:
    """Fade both ends of samples (n, channels); return them and the samples per fade."""
    size = min(round(FADE_SEC * sample_rate), len(samples) // 2)
    ramp = (0.5 - 0.5 * np.cos(np.pi * (np.arange(size) + 0.5) / max(size, 1))).astype(np.float32)
    out = samples.astype(np.float32, copy=True)
    out[:size] *= ramp[:, None]
    out[len(out) - size :] *= ramp[::-1, None]
    return out, size
