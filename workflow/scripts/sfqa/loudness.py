"""Measure the loudness of a file (EBU R128) with ffmpeg's filter ebur128."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

from sfqa import media

VERSION = 1

#: Absolute gate of ITU-R BS.1770: quieter blocks do not count.
GATE_LUFS = -70.0
#: Shortest sound with a loudness range, which needs several windows of 3 s.
RANGE_SEC = 4.0


class Loudness(NamedTuple):
    """Loudness of a file. An undefined value is None; ``reason`` then says why (else '')."""

    integrated_lufs: float | None
    range_lu: float | None
    true_peak_dbtp: float | None
    reason: str


def measure_loudness(path: Path | str, has_one_form: bool = False) -> Loudness:
    """Return integrated loudness, loudness range and true peak of the sound of a file.

    Integrated loudness (LUFS) and true peak (dBTP) follow ITU-R BS.1770-4, loudness range (LU)
    follows EBU Tech 3342, each to one decimal as EBU Tech 3341 requires. Channels are measured as
    they are: two equal channels are 3 LU louder than one. ``has_one_form`` is that of
    :func:`sfqa.media.open_sound`. Raises :class:`sfqa.media.MediaError` if
    the file cannot be decoded.

    >>> import tempfile, numpy as np; path = Path(tempfile.mkdtemp()) / "tone.wav"
    >>> tone = 10 ** (-23 / 20) * np.sin(2 * np.pi * 1000 * np.arange(240000) / 48000)
    >>> media.write_wave(path, np.stack([tone, tone], 1).astype(np.float32), 48000)
    >>> measure_loudness(path)
    Loudness(integrated_lufs=-23.0, range_lu=0.0, true_peak_dbtp=-23.0, reason='')
    """
    summary = media.loudness_summary(path, has_one_form)
    peak = summary["Peak"] if math.isfinite(summary["Peak"]) else None
    if not summary["I"] > GATE_LUFS:
        reason = "it is silent" if peak is None else "nothing of 0.4 s is louder than -70 LUFS"
        return Loudness(None, None, peak, f"no loudness: {reason}")
    if media.probe(path).audio_duration_sec < RANGE_SEC:
        return Loudness(
            summary["I"], None, peak, f"no loudness range: shorter than {RANGE_SEC:g} s"
        )
    return Loudness(summary["I"], summary["LRA"], peak, "")
