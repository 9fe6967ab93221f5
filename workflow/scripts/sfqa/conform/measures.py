"""Measure a conformed video, and list its flaws."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sfqa import faces, media, tables, timing
from sfqa.conform import changes, sound
from sfqa.identity import sha256_file
from sfqa.loudness import measure_loudness

VERSION = 2

#: Properties that a dataset may expect of its videos; a video without them is flawed.
EXPECT = ("sound", "face", "rate")
#: A picture this much shorter than its clip is cut short; a frame or encoder padding is less.
CUT_SHORT_SEC = 0.25
#: Missing sound at the end of the clip: one syllable (speech has 4 to 5 per second).
LOST_TAIL_SEC = 0.25
#: Sound below this root mean square counts as silence (16-bit dither is about 2e-5).
SILENT_RMS = 1e-4
#: Below this frame rate motion looks like a slide show; film has 24.
LOW_RATE = 20.0
#: Square panels side by side are 2, 3, ... times as wide as high, within this fraction.
STRIP_TOLERANCE = 0.02
#: Enlargement by this factor is visible as blur.
ENLARGED = 2.0
#: Half of the default of ffmpeg's freezedetect (2 s), because clips of faces are short; real
#: generator videos stand still for at most 0.2 s.
FROZEN_SEC = 1.0
#: Five frames at 25 per second: more than a flash or a splice.
BLACK_SEC = 0.2
#: Early sound is noticeable from 45 ms (ITU-R BT.1359); EBU R 37 allows 40 ms, a frame at 25 fps.
OFFSET_SEC = 0.04
_FACE_FRAMES = 8


def measure_video(
    probed: media.Probe,
    presentation: media.Presentation,
    video: Path,
    wave: Path,
    clip: Path | None,
) -> dict[str, Any]:
    """Measure sizes, rates, durations and sound of a conformed video.

    ``probed`` and ``presentation`` describe the source, ``wave`` is the video's own sound (the file
    may be absent), ``clip`` the driving audio. Returns columns of the conformed table, times in
    seconds. Raises :class:`media.MediaError` if the video does not decode.
    """
    frames, fps = media.frame_times(video)
    if frames == 0:
        raise media.MediaError(f"{video}: no frame survived")
    sampled_frames = media.read_frames(
        video, [frames * i // _FACE_FRAMES for i in range(_FACE_FRAMES)]
    )
    face_share = float(np.mean([bool(faces.detect_faces(frame)) for frame in sampled_frames]))
    height, width = sampled_frames.shape[1:3]
    clip_sec = media.probe(clip).audio_duration_sec if clip is not None else None
    measured: dict[str, Any] = {
        "path": str(video), "sha256": sha256_file(video), "fps": fps, "frames": frames,
        "width": width, "height": height, "duration_sec": frames / fps,
        "source_fps": probed.fps, "source_width": probed.width, "source_height": probed.height,
        "source_duration_sec": probed.duration_sec or None, "clip_duration_sec": clip_sec,
        "face_share": face_share,
    }  # fmt: skip
    if clip_sec is not None:
        measured["duration_difference_sec"] = frames / fps - clip_sec
    if not wave.is_file():
        return measured
    own_sound = media.read_audio(wave, sound.RATE)
    measured |= {
        "audio_path": str(wave),
        "audio_sha256": sha256_file(wave),
        "sample_rate": media.probe(wave).sample_rate,
        "audio_rms": float(np.sqrt(np.mean(np.square(own_sound, dtype=np.float64)))),
    }
    loudness = measure_loudness(video, not presentation.needs_assembled_sound)
    measured |= {
        "loudness_lufs": loudness.integrated_lufs,
        "true_peak_dbtp": loudness.true_peak_dbtp,
    }
    if clip is not None and measured["audio_rms"] >= SILENT_RMS:
        comparison = sound.compare_sounds(own_sound, media.read_audio(clip, sound.RATE))
        if comparison is not None:
            measured |= {
                "audio_match": comparison.match,
                "audio_offset_sec": comparison.offset_sec,
                "lost_tail_sec": comparison.lost_tail_sec,
            }
    return measured


def list_flaws(
    measured: Mapping[str, Any],
    probed: media.Probe,
    presentation: media.Presentation,
    expect: Collection[str] = EXPECT,
) -> list[str]:
    """Return the flaws of a measured video, each as 'word: sentence'.

    ``expect`` lists properties that the video must have.
    """
    return [
        tables.flaw(word, sentence)
        for word, sentence in (
            *_list_sound_flaws(measured, probed, expect),
            *_list_picture_flaws(measured, probed, presentation, expect),
            *changes.list_change_flaws(presentation),
        )
    ]


def _list_sound_flaws(
    measured: Mapping[str, Any], probed: media.Probe, expect: Collection[str]
) -> Iterator[tuple[str, str]]:
    if "sound" in expect and not probed.has_audio:
        yield "silent", "the file has no audio stream"
    elif "sound" in expect and measured.get("audio_rms", 0.0) < SILENT_RMS:
        yield "silent", "the audio stream holds no sound"
    match, offset = measured.get("audio_match"), measured.get("audio_offset_sec")
    if match is not None and offset is None:
        yield "other_sound", f"the sound is not the driving clip's (correlation {match:.2f})"
    if offset is not None and abs(offset) > OFFSET_SEC:
        side = "later" if offset > 0 else "earlier"
        yield "audio_offset", f"the sound is {abs(offset) * 1000:.0f} ms {side} than in the clip"
    lost_sec = measured.get("lost_tail_sec")
    if lost_sec is not None and lost_sec > LOST_TAIL_SEC:
        yield "lost_tail", f"the last {lost_sec:.2f} s of the driving clip are not heard"


def _list_picture_flaws(
    measured: Mapping[str, Any],
    probed: media.Probe,
    presentation: media.Presentation,
    expect: Collection[str],
) -> Iterator[tuple[str, str]]:
    expected_sec, reference = measured["clip_duration_sec"], "its driving clip"
    if expected_sec is None and probed.has_audio:
        expected_sec, reference = probed.audio_duration_sec, "its own sound"
    picture_sec = measured["duration_sec"]
    if expected_sec is not None and picture_sec < expected_sec - CUT_SHORT_SEC:
        yield (
            "cut_short",
            f"the picture lasts {picture_sec:.2f} s, {reference} {expected_sec:.2f} s",
        )
    if "face" in expect and measured["face_share"] == 0:
        yield "no_face", f"no face found in {_FACE_FRAMES} frames"
    size = f"{presentation.width:.0f}x{presentation.height:.0f}"
    aspect = max(presentation.width, presentation.height) / min(
        presentation.width, presentation.height
    )
    panels = round(aspect)
    if panels >= 2 and abs(aspect - panels) < STRIP_TOLERANCE * panels:
        yield "strip", f"{size} looks like {panels} pictures side by side"
    enlarged = min(measured["width"], measured["height"]) / min(
        presentation.width, presentation.height
    )
    if enlarged >= ENLARGED:
        yield "small", f"{size} was enlarged {enlarged:.3g}-fold"
    if "rate" in expect and probed.fps < LOW_RATE:
        yield "low_rate", f"{probed.fps:.4g} frames per second"
    if "time_error_sec" in measured:
        yield (
            timing.VARIABLE_RATE,
            f"the frame rate varies: frames are up to {measured['time_error_sec']:.2f} s from "
            f"frame / {measured['fps']:.4g}",
        )
    if measured.get("frozen_longest_sec", 0.0) >= FROZEN_SEC:
        yield "frozen", f"the picture stands still for {measured['frozen_longest_sec']:.2f} s"
    if measured.get("black_total_sec", 0.0) >= BLACK_SEC:
        yield "black", f"the picture is black for {measured['black_total_sec']:.2f} s"
    if presentation.hdr:
        yield "hdr", "high dynamic range shown as standard: it looks flat"
