"""Bring one video to the common size, rate and sound, and name what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ffmpeg
import numpy as np

from sfqa import faces, media, store, tables
from sfqa.identity import digest, sha256_file

VERSION = 1

#: A picture this much shorter than its clip has lost its end; a frame and encoder padding have not.
CUT_SHORT_SEC = 0.25
#: Below this root mean square the sound is taken as none (16-bit dither is about 2e-5).
SILENT_RMS = 1e-4
#: Motion below this rate is seen as a slide show; film is 24.
LOW_RATE = 20.0
#: Panels of squares side by side are 2, 3, ... times as long as they are high, to this fraction.
STRIP_TOLERANCE = 0.02
#: Enlarging this much shows as blur on the screen.
ENLARGED = 2.0
_LOOKED_AT = 8


@dataclass(frozen=True)
class Form:
    """The common form: short side in pixels, frames per second, wave rate in hertz, encoder."""

    short_side: int
    fps: float
    sample_rate: int
    crf: int
    preset: str

    @property
    def identity(self) -> str:
        """Digest of all that changes the conformed bytes."""
        return digest({"version": VERSION, **self.__dict__})


def target_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Return even (width, height) with the given short side and the picture's aspect.

    >>> target_size(1280, 720, 256)
    (456, 256)
    """
    scale = short_side / min(width, height)
    even = (max(2, 2 * round(width * scale / 2)), max(2, 2 * round(height * scale / 2)))
    return even


def conform(source: Path, video: Path, sound: Path, form: Form) -> media.Probe:
    """Write the conformed video and, where there is sound, its wave; return the source's probe.

    The frame rate becomes constant: each output frame is the source frame nearest in time, late
    starts are filled with the first frame and with silence. Raises :class:`media.MediaError`.
    """
    facts = media.probe(source)
    if not facts.has_video:
        raise media.MediaError(f"{source}: holds no picture")
    turned = facts.rotation % 180 != 0
    shape = (facts.height, facts.width) if turned else (facts.width, facts.height)
    width, height = target_size(*shape, form.short_side)
    stream = ffmpeg.input(str(source))
    picture = (
        stream.video.filter("fps", fps=form.fps, start_time=0, round="near")
        .filter("scale", width, height, flags="lanczos+accurate_rnd+full_chroma_int")
        .filter("setsar", 1)
    )
    encoding = media.encoding(form.crf, form.preset)
    with store.replacing(video) as video_part, store.replacing(sound) as sound_part:
        if facts.has_audio:
            heard = stream.audio.filter("aresample", **{"async": 1, "first_pts": 0})
            split = heard.filter_multi_output("asplit", 2)
            graph = ffmpeg.merge_outputs(
                ffmpeg.output(picture, split[0], str(video_part), ar=48000, **encoding),
                ffmpeg.output(
                    split[1], str(sound_part), acodec="pcm_s16le", ac=1, ar=form.sample_rate,
                    fflags="+bitexact", **{"flags:a": "+bitexact"},
                ),
            )  # fmt: skip
        else:
            graph = ffmpeg.output(picture, str(video_part), an=None, **encoding)
        media.run_ffmpeg(graph, source)
    if not facts.has_audio:
        sound.unlink()
    return facts


def conform_row(row: Mapping[str, Any], folder: Path, form: Form) -> dict[str, Any]:
    """Return the row of the conformed table for one row of the videos table.

    A record beside the result makes a second call with the same source and form a look-up; the
    result is checked against it byte for byte.
    """
    result = {k: row[k] for k in ("sample_id", "method", "shard", "prompt")}
    result |= {"source_sha256": row["sha256"], "status": row["status"], "detail": row["detail"]}
    if row["status"] == "failed":
        return result
    source = Path(row["path"])
    video = folder / "videos" / f"{row['sample_id']}.mp4"
    sound = video.with_suffix(".wav")
    try:
        if sha256_file(source) != row["sha256"]:
            raise media.MediaError(f"{source}: changed while the workflow ran; run it again")
        facts = conform(source, video, sound, form)
        result |= measure(facts, video, sound, row)
    except (media.MediaError, OSError) as error:
        return result | {"status": "failed", "detail": tables.flaw("broken", str(error))}
    found = [d for d in (row["detail"], *result.pop("found")) if d]
    return result | {"status": "flawed" if found else "ok", "detail": "; ".join(found)}


def measure(facts: media.Probe, video: Path, sound: Path, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return sizes, rates and lengths of a conformed video, and under ``found`` its defects."""
    frames, fps = media.frame_times(video)
    if frames == 0:
        raise media.MediaError(f"{video}: no frame survived")
    looked_at = media.read_frames(video, [frames * i // _LOOKED_AT for i in range(_LOOKED_AT)])
    share = float(np.mean([bool(faces.detect(frame)) for frame in looked_at]))
    height, width = looked_at.shape[1:3]
    clip_sec = None
    if row.get("clip_path") and Path(row["clip_path"]).is_file():
        clip_sec = media.probe(row["clip_path"]).audio_duration_sec
    heard = media.read_audio(sound, media.probe(sound).sample_rate) if sound.is_file() else None
    measured: dict[str, Any] = {
        "path": str(video), "sha256": sha256_file(video), "fps": fps, "frames": frames,
        "width": width, "height": height, "duration_sec": frames / fps,
        "source_fps": facts.fps, "source_width": facts.width, "source_height": facts.height,
        "source_duration_sec": facts.duration_sec, "clip_duration_sec": clip_sec,
        "face_share": share,
    }  # fmt: skip
    if heard is not None:
        measured |= {
            "audio_path": str(sound),
            "audio_sha256": sha256_file(sound),
            "sample_rate": media.probe(sound).sample_rate,
        }
    measured["found"] = defects(measured, facts, heard)
    return measured


def defects(
    measured: Mapping[str, Any], facts: media.Probe, heard: media.Sound | None
) -> list[str]:
    """Return the defects that can be told without a reference, as 'word: sentence'."""
    found = []
    if heard is None:
        found.append("silent: the file has no audio stream")
    elif float(np.sqrt(np.mean(np.square(heard)))) < SILENT_RMS:
        found.append("silent: the audio stream holds no sound")
    wanted = measured["clip_duration_sec"]
    against = "its driving clip"
    if wanted is None and facts.has_audio:
        wanted, against = facts.audio_duration_sec, "its own sound"
    if wanted is not None and measured["duration_sec"] < wanted - CUT_SHORT_SEC:
        found.append(
            f"cut_short: the picture lasts {measured['duration_sec']:.2f} s, "
            f"{against} {wanted:.2f} s"
        )
    if measured["face_share"] == 0:
        found.append(f"no_face: no face found in {_LOOKED_AT} frames")
    aspect = max(facts.width, facts.height) / min(facts.width, facts.height)
    panels = round(aspect)
    if panels >= 2 and abs(aspect - panels) < STRIP_TOLERANCE * panels:
        found.append(
            f"strip: {facts.width}x{facts.height} looks like {panels} pictures side by side"
        )
    enlarged = min(measured["width"], measured["height"]) / min(facts.width, facts.height)
    if enlarged >= ENLARGED:
        found.append(f"small: {facts.width}x{facts.height} was enlarged {enlarged:.3g}-fold")
    if facts.fps < LOW_RATE:
        found.append(f"low_rate: {facts.fps:.4g} frames per second")
    return found
