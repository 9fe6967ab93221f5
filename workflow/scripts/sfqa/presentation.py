"""How a file is presented: which streams are shown, when they start, and what changes within them.

With media.py, decoding.py, survey.py and joined_sound.py the only module that knows FFmpeg.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from sfqa.clock import Clock, ShiftedRun, stores_times
from sfqa.decoding import MediaError, select_stream, shorten_message, to_ffmpeg_path
from sfqa.survey import (
    Change,
    PictureForm,
    PictureSurvey,
    SoundForm,
    SoundSurvey,
    frame_time,
    limit_aspect,
    survey_sound,
    survey_streams,
)

#: Jumps of the clock are told by the order of storage, which is ahead of that of presentation.
_TOLERANCE_SEC = 0.2
#: Stated durations of sound are right within this.
_MISSING_SEC = 0.5


@dataclass(frozen=True)
class Presentation:
    """How a player presents a file, from all its frames.

    Sizes in square pixels after rotation, of the first frame; times in seconds on the container's
    clock; ``video`` and ``audio`` are stream indices. ``interlaced``, ``alpha`` and ``hdr``:
    whether any frame is; ``channels``: the largest number. ``decoder`` names the decoder needed for
    a hidden alpha channel. ``has_fixed_aspect``: ffmpeg gives all pixels the shape of the first.
    ``picture_changes`` and ``sound_changes`` are all forms of the frames, the first included;
    ``is_rejoined``: the file holds recordings that ffmpeg puts one after the other, the sound by
    ``sound_shifts``; ``picture_delays``: when a recording begins, in seconds since the first frame
    without delays, and by how many seconds it is delayed; ``jump_times`` and ``lost_frames`` are
    those of :class:`sfqa.clock.Clock`, delays included;
    ``video_sec`` and ``audio_sec`` are the durations of the packets, all recordings together.
    """

    video: int
    audio: int | None
    width: float
    height: float
    start_sec: float
    video_start_sec: float
    audio_start_sec: float = 0.0
    channels: int = 0
    interlaced: bool = False
    alpha: bool = False
    hdr: bool = False
    has_fixed_aspect: bool = False
    decoder: str | None = None
    picture_changes: tuple[Change[PictureForm], ...] = ()
    sound_changes: tuple[Change[SoundForm], ...] = ()
    is_rejoined: bool = False
    sound_shifts: tuple[ShiftedRun, ...] = (ShiftedRun(0, 0.0),)
    picture_delays: tuple[tuple[float, float], ...] = ()
    jump_times: tuple[float, ...] = ()
    lost_frames: int = 0
    video_sec: float = 0.0
    audio_sec: float = 0.0

    @property
    def is_resized(self) -> bool:
        """Whether the size of the picture, or the shape of its pixels, changes."""
        sizes = {(*change.form[:2], change.form.pixel_aspect) for change in self.picture_changes}
        return len(sizes) > 1

    @property
    def needs_assembled_sound(self) -> bool:
        """Whether ffmpeg's filters cannot keep the time of the sound."""
        return self.audio is not None and (self.is_rejoined or len(self.sound_changes) > 1)


def read_presentation(path: Path | str) -> Presentation:
    """Return how a video is presented; decodes all of it.

    ``start_sec`` is the earlier start of picture and sound. Raises :class:`MediaError` if there is
    no moving picture or no frame decodes.
    """
    try:
        with av.open(to_ffmpeg_path(path)) as container:
            video = select_stream(container.streams.video)
            audio = select_stream(container.streams.audio)
            if video is None:
                raise MediaError(f"{path}: holds no moving picture")
            picture, sound, clock = survey_streams(container, video, audio)
            if picture.first_frame is None:
                raise MediaError(f"{container.name}: no frame decodes")
            return _describe_presentation(video, audio, picture, sound, clock)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise MediaError(
            f"{path}: cannot be read as a media file ({shorten_message(error)})"
        ) from error


@dataclass(frozen=True)
class SoundPresentation:
    """The sound of a file that is presented.

    ``stream``: its index; ``channels``: the largest number, 0 if none decodes; ``delay_sec``: its
    start on the clock of the file; ``changes``: all forms of its frames, the first included;
    ``shifts``: see :class:`sfqa.clock.Clock`; ``is_rejoined``: it holds recordings that ffmpeg
    does not put one after the other; ``is_cut_off``: the file cannot be read up to its end;
    ``damage``: a sentence if it cannot, or if parts of the sound do not decode. All but the first
    two are unknown, and empty, for a sound that is known to have one form, such as uncompressed
    sound.
    """

    stream: int
    channels: int
    delay_sec: float = 0.0
    changes: tuple[Change[SoundForm], ...] = ()
    shifts: tuple[ShiftedRun, ...] = (ShiftedRun(0, 0.0),)
    is_rejoined: bool = False
    is_cut_off: bool = False
    damage: str = ""

    @property
    def needs_assembled_sound(self) -> bool:
        """Whether ffmpeg's filters cannot keep the time of the sound."""
        return len(self.changes) > 1 or self.is_rejoined or self.is_cut_off


def read_sound_presentation(
    path: Path | str, has_one_form: bool = False
) -> SoundPresentation | None:
    """Return which sound of a file is presented and what changes within it; None without sound.

    Decodes all of it, unless it is known to have one form. Raises :class:`MediaError` if the file
    cannot be read.
    """
    try:
        with av.open(to_ffmpeg_path(path)) as container:
            audio = select_stream(container.streams.audio)
            if audio is None:
                return None
            codec = audio.codec_context
            if has_one_form or codec.name.startswith("pcm_"):
                return SoundPresentation(audio.index, codec.channels)
            start_sec = (container.start_time or 0) / av.time_base
            video = select_stream(container.streams.video)
            sound, clock = survey_sound(container, audio, video)
            if sound.first_frame is None:
                return SoundPresentation(audio.index, 0)
            return SoundPresentation(
                stream=audio.index,
                channels=max(change.form.channels for change in sound.changes),
                delay_sec=max(0.0, sound.start_sec - start_sec),
                changes=tuple(sound.changes),
                shifts=clock.list_shifts(audio.index),
                is_rejoined=len(clock.shifts) > 1 and not clock.restarts,
                is_cut_off=bool(clock.error),
                damage=_describe_damage(container, sound, clock),
            )
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise MediaError(
            f"{path}: cannot be read as a media file ({shorten_message(error)})"
        ) from error


def _describe_damage(container: Any, sound: SoundSurvey, clock: Clock) -> str:
    if clock.error:
        return f"only {sound.decoded_sec:.2f} s of the sound can be read ({clock.error})"
    if count := sound.count_lost_packets():
        return f"parts of the sound do not decode (packets: {count}), {sound.decoded_sec:.2f} s do"
    if not stores_times(container):  # elsewhere a gap may be silence
        return f"{sound.gap_sec:.2f} s of the sound are missing" if sound.gap_sec else ""
    has_picture = select_stream(container.streams.video) is not None
    if has_picture or clock.restarts:  # the duration is that of the picture, or a guess
        return ""
    stated_sec = (container.duration or 0) / av.time_base
    decoded_sec = sound.latest_sec - (container.start_time or 0) / av.time_base
    if stated_sec - decoded_sec > _MISSING_SEC:
        return f"only {decoded_sec:.2f} s of the {stated_sec:.2f} s of the sound can be read"
    return ""


def _describe_presentation(
    video: Any, audio: Any, picture: PictureSurvey, sound: SoundSurvey, clock: Clock
) -> Presentation:
    frame, first_sound = picture.first_frame, sound.first_frame
    width = frame.width * limit_aspect(video.sample_aspect_ratio)
    height = float(frame.height)
    is_turned = frame.rotation % 180 != 0
    has_hidden_alpha = video.codec_context.name == "vp9" and video.metadata.get("alpha_mode") == "1"
    start_times = [frame_time(frame)]
    delays = tuple((time - start_times[0], delay_sec) for time, delay_sec in clock.list_delays())
    if first_sound is not None:
        start_times.append(sound.start_sec)
    return Presentation(
        video=video.index,
        audio=audio.index if first_sound is not None else None,
        width=height if is_turned else width,
        height=width if is_turned else height,
        start_sec=min(start_times),
        video_start_sec=start_times[0],
        audio_start_sec=start_times[-1],
        channels=max((change.form.channels for change in sound.changes), default=0),
        interlaced=picture.interlaced,
        alpha=has_hidden_alpha or picture.alpha,
        hdr=picture.hdr,
        has_fixed_aspect=bool(video.sample_aspect_ratio),
        decoder="libvpx-vp9" if has_hidden_alpha else None,
        picture_changes=tuple(
            Change(_delay(change.at_sec, delays), change.form) for change in picture.changes
        ),
        sound_changes=tuple(sound.changes),
        is_rejoined=len(clock.shifts) > 1,
        sound_shifts=clock.list_shifts(audio.index) if audio is not None else (),
        picture_delays=delays,
        jump_times=tuple(_delay(time, delays) for time in clock.jump_times),
        lost_frames=clock.lost_frames,
        video_sec=clock.measure_duration(video.index),
        audio_sec=clock.measure_duration(audio.index) if audio is not None else 0.0,
    )


def _delay(time_sec: float, delays: Sequence[tuple[float, float]]) -> float:
    """Return a time since the first frame with the delays of the recordings up to it."""
    return time_sec + sum(delay for begin, delay in delays if begin <= time_sec + _TOLERANCE_SEC)
