"""Look at every frame of a file once: what changes within a stream, and where its clock jumps.

With media.py, decoding.py, presentation.py and joined_sound.py the only module that knows FFmpeg.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

import av
from av.format import Flags as FormatFlags

from sfqa.decoding import shorten_message

#: A clock that goes back, or forward, by more than this was set anew (the limits of ffmpeg). The
#: time stamps that FFmpeg interpolates for sound may go back by up to 0.2 s, so that sound alone
#: needs more.
_BACK_SEC, _BACK_SOUND_SEC, _FORWARD_SEC = 0.1, 0.5, 10.0
#: PQ and HLG (ITU-T H.273).
_HDR_CURVES = (16, 18)


class PictureForm(NamedTuple):
    """The form of a frame: ffmpeg builds its filters anew where it changes.

    ``rotation``: that of the last frame that states one.
    """

    width: int
    height: int
    pixel_format: str
    colorspace: int
    color_range: int
    rotation: int


class SoundForm(NamedTuple):
    """The form of a piece of sound: ffmpeg builds its filters anew where it changes."""

    rate: int
    layout: str
    channels: int
    sample_format: str


FormT = TypeVar("FormT", PictureForm, SoundForm)


class Change(NamedTuple, Generic[FormT]):
    """A form that begins at a time, in seconds since the first frame of its stream."""

    at_sec: float
    form: FormT


@dataclass
class PictureSurvey:
    """What the frames of a picture are. ``first_frame`` is None if none decodes."""

    first_frame: Any = None
    changes: list[Change[PictureForm]] = field(default_factory=list)
    interlaced: bool = False
    alpha: bool = False
    hdr: bool = False

    def add_frame(self, frame: Any, shift_sec: float) -> None:
        """Add a frame, in the order of presentation; ``shift_sec`` is added to its time."""
        if self.first_frame is None:
            self.first_frame = frame
        components = frame.format.components
        self.interlaced |= bool(frame.interlaced_frame)
        self.alpha |= any(component.is_alpha for component in components)
        # 8-bit video with this tag is mislabelled
        self.hdr |= frame.color_trc in _HDR_CURVES and components[0].bits > 8
        previous_rotation = self.changes[-1].form.rotation if self.changes else 0
        form = PictureForm(
            frame.width, frame.height, frame.format.name, int(frame.colorspace),
            int(frame.color_range), int(frame.rotation) or previous_rotation,
        )  # fmt: skip
        _add_change(self.changes, form, frame, self.first_frame, shift_sec)


@dataclass
class SoundSurvey:
    """What the frames of a sound are. ``first_frame`` is None if none decodes.

    ``decoded_sec``: the duration of all frames together.
    """

    first_frame: Any = None
    changes: list[Change[SoundForm]] = field(default_factory=list)
    decoded_sec: float = 0.0

    def add_frame(self, frame: Any, shift_sec: float) -> None:
        """Add a frame, in the order of presentation; ``shift_sec`` is added to its time."""
        if self.first_frame is None:
            self.first_frame = frame
        self.decoded_sec += frame.samples / frame.sample_rate
        layout = frame.layout
        form = SoundForm(frame.sample_rate, layout.name, layout.nb_channels, frame.format.name)
        _add_change(self.changes, form, frame, self.first_frame, shift_sec)


def _add_change(
    changes: list[Change[FormT]], form: FormT, frame: Any, first_frame: Any, shift_sec: float
) -> None:
    if not changes or changes[-1].form != form:
        at_sec = frame_time(frame) - frame_time(first_frame) + shift_sec
        changes.append(Change(at_sec, form))


class Aligner:
    """Put the time stamps of several recordings in one stream one after the other.

    ``shifts``: what is added to the times of each recording, in seconds; a recording begins where
    its shift fits the expected time better than that of the recording before.

    >>> aligner = Aligner([0.0, 2.0])
    >>> [aligner.align(time, 1.0) for time in (0.0, 1.0, 0.0, 1.0)]
    [0.0, 1.0, 2.0, 3.0]
    """

    def __init__(self, shifts: Sequence[float]) -> None:
        self._shifts = list(shifts)
        self._recording = 0
        self._expected: float | None = None

    def align(self, time: float, duration: float) -> float:
        """Return the time with its shift; times come in the order of the stream."""
        if self._expected is not None:
            while self._recording + 1 < len(self._shifts):
                current, following = (
                    abs(time + shift - self._expected)
                    for shift in self._shifts[self._recording : self._recording + 2]
                )
                if current <= following:
                    break
                self._recording += 1
        aligned = time + self._shifts[self._recording]
        self._expected = aligned + duration
        return aligned


@dataclass
class Clock:
    """The time stamps of a file's packets, in seconds; where they jump, a recording begins.

    Jumps are those of the stream ``reference``: the picture, or the sound if there is no picture.
    ``restarts``: the container is one of those (MPEG-TS, MPEG-PS, Ogg) for which ffmpeg moves the
    recordings one after the other by ``shifts``. In other containers, frames of later recordings
    that come too late are not shown: ``lost_frames``. ``jump_times``: since the first packet.
    ``error``: why the packets could not be read up to the end of the file, or ''.
    """

    reference: int
    restarts: bool
    back_sec: float
    shifts: list[float] = field(default_factory=lambda: [0.0])
    jump_times: list[float] = field(default_factory=list)
    lost_frames: int = 0
    error: str = ""
    _times: dict[int, list[tuple[float, float]]] = field(default_factory=dict)
    _tick_sec: dict[int, float] = field(default_factory=dict)
    _last: float | None = None
    _next: float = 0.0
    _first: float = 0.0
    _end: float = 0.0

    def add_packet(self, packet: Any) -> None:
        """Add a packet; they come in the order in which they are stored."""
        if packet.dts is None or not packet.size:
            return
        if packet.stream_index not in self._tick_sec:  # fractions are slow
            self._tick_sec[packet.stream_index] = float(packet.time_base)
        tick_sec = self._tick_sec[packet.stream_index]
        raw_time, duration = packet.dts * tick_sec, (packet.duration or 0) * tick_sec
        self._times.setdefault(packet.stream_index, []).append((raw_time, duration))
        if packet.stream_index != self.reference:
            return
        time = raw_time + self.shifts[-1]
        if self._last is None:
            self._first = self._end = time
        elif time < self._last - self.back_sec or (
            self.restarts and abs(time - self._next) > _FORWARD_SEC
        ):
            self.jump_times.append(self._next - self._first)
            if self.restarts:
                self.shifts.append(self._next - raw_time)
                time = self._next
        self._last, self._next = time, time + duration
        self.lost_frames += bool(self.jump_times) and self._next < self._end
        self._end = max(self._end, self._next)

    def measure_duration(self, stream: int) -> float:
        """Return the duration of a stream, all its recordings together."""
        aligner = Aligner(self.shifts)
        spans = [(aligner.align(*span), span[1]) for span in self._times.get(stream, [])]
        if not spans:
            return 0.0
        return max(time + duration for time, duration in spans) - spans[0][0]


def survey_streams(
    container: Any, video: Any, audio: Any
) -> tuple[PictureSurvey, SoundSurvey, Clock]:
    """Decode the picture and the sound (may be None) of an open container; return what they hold.

    Frames of the picture to which no other frame refers are skipped after the first, and the
    deblocking filter is off: this halves the time and changes none of the properties. Parts that
    do not decode are skipped.
    """
    picture, sound = PictureSurvey(), SoundSurvey()
    clock = _start_clock(container, video.index, _BACK_SEC)
    video.codec_context.options = {"skip_loop_filter": "all"}
    for packet in _read_packets(container, clock, (video, audio)):
        survey = picture if packet.stream.index == video.index else sound
        with suppress(av.error.FFmpegError):
            for frame in packet.decode():
                survey.add_frame(frame, clock.shifts[-1])
        if picture.first_frame is not None:
            video.codec_context.skip_frame = "NONREF"
    return picture, sound, clock


def survey_sound(container: Any, audio: Any, video: Any) -> tuple[SoundSurvey, Clock]:
    """Decode the sound of an open container and return what it holds.

    The picture (may be None) is not decoded; its time stamps tell where the clock starts anew.
    """
    sound = SoundSurvey()
    reference, back_sec = (audio, _BACK_SOUND_SEC) if video is None else (video, _BACK_SEC)
    clock = _start_clock(container, reference.index, back_sec)
    for packet in _read_packets(container, clock, (video, audio)):
        if packet.stream.index == audio.index:
            with suppress(av.error.FFmpegError):
                for frame in packet.decode():
                    sound.add_frame(frame, clock.shifts[-1])
    return sound, clock


def stores_times(container: Any) -> bool:
    """Return whether a container stores time stamps, and not only a bit stream (MP3, AAC, AC-3)."""
    flags = container.format.flags
    restarts = flags & FormatFlags.ts_discont.value
    return bool(restarts or not flags & FormatFlags.generic_index.value)


def _start_clock(container: Any, reference: int, back_sec: float) -> Clock:
    restarts = bool(container.format.flags & FormatFlags.ts_discont.value)
    return Clock(reference, restarts, back_sec)


def _read_packets(container: Any, clock: Clock, streams: Sequence[Any]) -> Iterator[Any]:
    """Yield the packets of the streams that are not None, each added to the clock."""
    try:
        for packet in container.demux([stream for stream in streams if stream is not None]):
            clock.add_packet(packet)
            yield packet
    except av.error.FFmpegError as error:  # ffmpeg, too, shows what comes before it
        clock.error = shorten_message(error)


def frame_time(frame: Any) -> float:
    """Return the time of a frame on the container's clock in seconds; 0 if it has none."""
    return 0.0 if frame.pts is None else float(frame.pts * frame.time_base)
