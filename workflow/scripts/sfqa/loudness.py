"""How loud a sound file is: EBU R128, measured by ffmpeg's filter ebur128."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

from sfqa import media

VERSION = 1

#: The absolute gate of ITU-R BS.1770: nothing at or below it is loudness.
GATE_LUFS = -70.0
#: Windows of 3 s each 0.1 s: below this length they are too few for a range.
RANGE_SEC = 4.0


class Loudness(NamedTuple):
    """Loudness of a file; None where it is undefined, ``reason`` then says why (else empty)."""

    integrated_lufs: float | None
    range_lu: float | None
    true_peak_dbtp: float | None
    reason: str


def loudness(path: Path | str) -> Loudness:
    """Return integrated loudness, loudness range and true peak of a file's first audio stream.

    Integrated loudness (LUFS) and true peak (dBTP) by ITU-R BS.1770-4, loudness range (LU) by EBU
    Tech 3342, each to one decimal, as EBU Tech 3341 asks of a meter. The channels are measured as
    they are: two equal channels are 3 LU louder than one. Raises :class:`sfqa.media.MediaError`
    for a file that cannot be decoded.

    >>> import tempfile, numpy as np; path = Path(tempfile.mkdtemp()) / "tone.wav"
    >>> tone = 10 ** (-23 / 20) * np.sin(2 * np.pi * 1000 * np.arange(240000) / 48000)
    >>> media.write_wave(path, np.stack([tone, tone], 1).astype(np.float32), 48000)
    >>> loudness(path)
    Loudness(integrated_lufs=-23.0, range_lu=0.0, true_peak_dbtp=-23.0, reason='')
    """
    said = media.loudness_summary(path)
    peak = said["Peak"] if math.isfinite(said["Peak"]) else None
    if not said["I"] > GATE_LUFS:
        why = "it is silent" if peak is None else "nothing of 0.4 s is louder than -70 LUFS"
        return Loudness(None, None, peak, f"no loudness: {why}")
    if media.probe(path).audio_duration_sec < RANGE_SEC:
        return Loudness(said["I"], None, peak, f"no loudness range: shorter than {RANGE_SEC:g} s")
    return Loudness(said["I"], said["LRA"], peak, "")
