"""What is measured of a video in its common form, and which of it counts as a flaw."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sfqa import faces, media, tables
from sfqa.conform import sound
from sfqa.identity import sha256_file
from sfqa.loudness import measure_loudness

VERSION = 2

#: What a dataset may expect of its videos; without it a video is flawed.
EXPECT = ("sound", "face", "rate")
#: A picture this much shorter than its clip has lost its end; a frame and encoder padding have not.
CUT_SHORT_SEC = 0.25
#: So much of the clip's sound missing is a lost syllable (4 to 5 a second in speech).
LOST_TAIL_SEC = 0.25
#: Below this root mean square the sound is taken as none (16-bit dither is about 2e-5).
SILENT_RMS = 1e-4
#: Motion below this rate is seen as a slide show; film is 24.
LOW_RATE = 20.0
#: Panels of squares side by side are 2, 3, ... times as long as they are high, to this fraction.
STRIP_TOLERANCE = 0.02
#: Enlarging this much shows as blur on the screen.
ENLARGED = 2.0
#: Half of the 2 s that ffmpeg's freezedetect takes by default, as clips of faces are short; the
#: real generator videos stand still for 0.2 s at most.
FROZEN_SEC = 1.0
#: Five frames at 25 per second: more than a flash or a splice.
BLACK_SEC = 0.2
#: Early sound is noticed from 45 ms on (ITU-R BT.1359), EBU R 37 allows 40; one frame at 25.
OFFSET_SEC = 0.04
_LOOKED_AT = 8


def measure(
    facts: media.Probe, shown: media.Presentation, video: Path, wave: Path, clip: Path | None
) -> dict[str, Any]:
    """Return sizes, rates, lengths and sound of a video in its common form.

    ``facts`` and ``shown`` are of the source, ``wave`` is the video's own sound (it may be absent),
    ``clip`` the sound that drove it. Keys are columns of the conformed table, times in seconds.
    Raises :class:`media.MediaError` for a video that does not decode.
    """
    frames, fps = media.frame_times(video)
    if frames == 0:
        raise media.MediaError(f"{video}: no frame survived")
    looked_at = media.read_frames(video, [frames * i // _LOOKED_AT for i in range(_LOOKED_AT)])
    share = float(np.mean([bool(faces.detect_faces(frame)) for frame in looked_at]))
    height, width = looked_at.shape[1:3]
    clip_sec = media.probe(clip).audio_duration_sec if clip is not None else None
    measured: dict[str, Any] = {
        "path": str(video), "sha256": sha256_file(video), "fps": fps, "frames": frames,
        "width": width, "height": height, "duration_sec": frames / fps,
        "source_fps": facts.fps, "source_width": facts.width, "source_height": facts.height,
        "source_duration_sec": facts.duration_sec, "clip_duration_sec": clip_sec,
        "face_share": share,
    }  # fmt: skip
    if clip_sec is not None:
        measured["duration_difference_sec"] = frames / fps - clip_sec
    if not wave.is_file():
        return measured
    own = media.read_audio(wave, sound.RATE)
    measured |= {
        "audio_path": str(wave),
        "audio_sha256": sha256_file(wave),
        "sample_rate": media.probe(wave).sample_rate,
        "audio_rms": float(np.sqrt(np.mean(np.square(own, dtype=np.float64)))),
    }
    loud = measure_loudness(video)
    measured |= {"loudness_lufs": loud.integrated_lufs, "true_peak_dbtp": loud.true_peak_dbtp}
    if clip is not None and measured["audio_rms"] >= SILENT_RMS:
        found = sound.against(own, media.read_audio(clip, sound.RATE))
        if found is not None:
            measured |= {
                "audio_match": found.match,
                "audio_offset_sec": found.offset_sec,
                "lost_tail_sec": found.lost_tail_sec,
            }
    return measured


def flaws(
    measured: Mapping[str, Any],
    facts: media.Probe,
    shown: media.Presentation,
    expect: Collection[str] = EXPECT,
) -> list[str]:
    """Return the flaws of a measured video as 'word: sentence', those of ``expect`` included."""
    return [
        tables.flaw(word, sentence)
        for word, sentence in (
            *_of_sound(measured, facts, expect),
            *_of_picture(measured, facts, shown, expect),
        )
    ]


def _of_sound(
    measured: Mapping[str, Any], facts: media.Probe, expect: Collection[str]
) -> Iterator[tuple[str, str]]:
    if "sound" in expect and not facts.has_audio:
        yield "silent", "the file has no audio stream"
    elif "sound" in expect and measured.get("audio_rms", 0.0) < SILENT_RMS:
        yield "silent", "the audio stream holds no sound"
    match, offset = measured.get("audio_match"), measured.get("audio_offset_sec")
    if match is not None and offset is None:
        yield "other_sound", f"the sound is not the driving clip's (correlation {match:.2f})"
    if offset is not None and abs(offset) > OFFSET_SEC:
        side = "later" if offset > 0 else "earlier"
        yield "audio_offset", f"the sound is {abs(offset) * 1000:.0f} ms {side} than in the clip"
    lost = measured.get("lost_tail_sec")
    if lost is not None and lost > LOST_TAIL_SEC:
        yield "lost_tail", f"the last {lost:.2f} s of the driving clip are not heard"


def _of_picture(
    measured: Mapping[str, Any],
    facts: media.Probe,
    shown: media.Presentation,
    expect: Collection[str],
) -> Iterator[tuple[str, str]]:
    wanted, against = measured["clip_duration_sec"], "its driving clip"
    if wanted is None and facts.has_audio:
        wanted, against = facts.audio_duration_sec, "its own sound"
    lasts = measured["duration_sec"]
    if wanted is not None and lasts < wanted - CUT_SHORT_SEC:
        yield "cut_short", f"the picture lasts {lasts:.2f} s, {against} {wanted:.2f} s"
    if "face" in expect and measured["face_share"] == 0:
        yield "no_face", f"no face found in {_LOOKED_AT} frames"
    size = f"{shown.width:.0f}x{shown.height:.0f}"
    aspect = max(shown.width, shown.height) / min(shown.width, shown.height)
    panels = round(aspect)
    if panels >= 2 and abs(aspect - panels) < STRIP_TOLERANCE * panels:
        yield "strip", f"{size} looks like {panels} pictures side by side"
    enlarged = min(measured["width"], measured["height"]) / min(shown.width, shown.height)
    if enlarged >= ENLARGED:
        yield "small", f"{size} was enlarged {enlarged:.3g}-fold"
    if "rate" in expect and facts.fps < LOW_RATE:
        yield "low_rate", f"{facts.fps:.4g} frames per second"
    if measured.get("frozen_longest_sec", 0.0) >= FROZEN_SEC:
        yield "frozen", f"the picture stands still for {measured['frozen_longest_sec']:.2f} s"
    if measured.get("black_total_sec", 0.0) >= BLACK_SEC:
        yield "black", f"the picture is black for {measured['black_total_sec']:.2f} s"
    if shown.hdr:
        yield "hdr", "high dynamic range shown as standard: it looks flat"
