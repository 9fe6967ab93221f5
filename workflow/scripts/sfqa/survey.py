"""Look at every frame of a file once: what changes within a stream, and where its clock jumps.

With media.py, decoding.py, presentation.py and joined_sound.py the only module that knows FFmpeg.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

import av

from sfqa.clock import Clock, ShiftedRun, find_shift, start_clock
from sfqa.decoding import shorten_message

#: PQ and HLG (ITU-T H.273).
_HDR_CURVES = (16, 18)
#: Codecs in which frames to which no other refers may be interlaced, and no other frames.
_INTERLACED_CODECS = {"mpeg2video", "mpeg4", "vc1", "wmv3", "cavs"}
#: How tags begin that are stored between the packets of joined MP3 files.
_TAGS = (b"ID3", b"TAG", b"APETAGEX")
#: Shorter gaps come from rounded times.
_GAP_SEC = 0.1
#: Other ratios of a pixel's width to its height are errors of the file.
_PLAUSIBLE_ASPECTS = (0.1, 10.0)


class PictureForm(NamedTuple):
    """The form of a frame: ffmpeg builds its filters anew where it changes.

    ``rotation``: that of the last frame that states one. ``pixel_aspect``: width of a pixel by its
    height as the codec states it; 1 if it states none.
    """

    width: int
    height: int
    pixel_format: str
    colorspace: int
    color_range: int
    rotation: int
    pixel_aspect: float = 1.0


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

    def add_frame(self, frame: Any, shift_sec: float, pixel_aspect: float = 1.0) -> None:
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
            int(frame.color_range), int(frame.rotation) or previous_rotation, pixel_aspect,
        )  # fmt: skip
        at_sec = frame_time(frame) + shift_sec - frame_time(self.first_frame)
        _add_change(self.changes, form, at_sec)


@dataclass
class SoundSurvey:
    """What the frames of a sound are. ``first_frame`` is None if none decodes.

    ``start_sec``: its time, on the clock of the first recording.
    ``decoded_sec``: the duration of all frames together. ``gap_sec``: that of the gaps between
    their times. ``latest_sec``: the latest end of a frame, on the clock of its recording.
    """

    first_frame: Any = None
    start_sec: float = 0.0
    changes: list[Change[SoundForm]] = field(default_factory=list)
    decoded_sec: float = 0.0
    _packet_numbers: list[int] = field(default_factory=list)
    gap_sec: float = 0.0
    latest_sec: float = 0.0
    _end_sec: float | None = None
    _decoded: list[int] = field(default_factory=list)
    _lost: list[int] = field(default_factory=list)

    def add_packet(self, packet: Any, number: int) -> None:
        """Decode a packet, numbered from 0, and add its frames."""
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            if not bytes(packet)[:8].startswith(_TAGS):
                self._lost.append(number)
            return
        if frames:
            self._decoded.append(number)
        for frame in frames:
            self.add_frame(frame, number)

    def count_lost_packets(self) -> int:
        """Return the number of packets that do not decode.

        One packet at the beginning or the end does not count: files that were cut out of longer
        ones, or end with a tag, have it.
        """
        if not self._decoded:
            return len(self._lost)
        before = sum(number < self._decoded[0] for number in self._lost)
        after = sum(number > self._decoded[-1] for number in self._lost)
        return len(self._lost) - (before == 1) - (after == 1)

    def add_frame(self, frame: Any, packet_number: int) -> None:
        """Add a frame, in the order of presentation, and the number of its packet."""
        if self.first_frame is None:
            self.first_frame = frame
        duration_sec = frame.samples / frame.sample_rate
        self.decoded_sec += duration_sec
        if frame.pts is not None:
            gap_sec = 0.0 if self._end_sec is None else frame_time(frame) - self._end_sec
            self.gap_sec += gap_sec if gap_sec > _GAP_SEC else 0.0
            self._end_sec = frame_time(frame) + duration_sec
            self.latest_sec = max(self.latest_sec, self._end_sec)
        layout = frame.layout
        form = SoundForm(frame.sample_rate, layout.name, layout.nb_channels, frame.format.name)
        if _add_change(self.changes, form, frame_time(frame)):
            self._packet_numbers.append(packet_number)

    def place_changes(self, runs: Sequence[ShiftedRun]) -> None:
        """Shift the times, and count those of changes from the first frame."""
        times = [
            change.at_sec + find_shift(runs, number)
            for change, number in zip(self.changes, self._packet_numbers, strict=True)
        ]
        self.changes = [
            Change(time - times[0], change.form)
            for time, change in zip(times, self.changes, strict=True)
        ]
        self.start_sec = times[0] if times else 0.0


def _add_change(changes: list[Change[FormT]], form: FormT, at_sec: float) -> bool:
    """Add a form if it differs from the last one; return whether it does."""
    is_new = not changes or changes[-1].form != form
    if is_new:
        changes.append(Change(at_sec, form))
    return is_new


def survey_streams(
    container: Any, video: Any, audio: Any
) -> tuple[PictureSurvey, SoundSurvey, Clock]:
    """Decode the picture and the sound (may be None) of an open container; return what they hold.

    Frames of the picture to which no other frame refers are skipped after the first, unless they
    alone may be interlaced, and the deblocking filter is off: this halves the time and changes none
    of the properties. Parts that do not decode are skipped.
    """
    picture, sound = PictureSurvey(), SoundSurvey()
    clock = start_clock(container, video)
    aspects = _AspectReader(video.codec_context)
    video.codec_context.options = {"skip_loop_filter": "all"}
    for packet in _read_packets(container, clock, (video, audio)):
        with suppress(av.error.FFmpegError):
            if packet.stream.index != video.index:
                _add_sound(sound, packet, clock)
                continue
            frames = packet.decode()
            aspects.add_packet(packet)
            for frame in frames:
                picture.add_frame(frame, clock.shifts[-1], aspects.read(frame))
        if picture.first_frame is not None and video.codec_context.name not in _INTERLACED_CODECS:
            video.codec_context.skip_frame = "NONREF"
    if audio is not None:
        sound.place_changes(clock.list_shifts(audio.index))
    return picture, sound, clock


def _add_sound(sound: SoundSurvey, packet: Any, clock: Clock) -> None:
    sound.add_packet(packet, max(0, clock.count_packets(packet.stream.index) - 1))


def survey_sound(container: Any, audio: Any, video: Any) -> tuple[SoundSurvey, Clock]:
    """Decode the sound of an open container and return what it holds.

    The picture (may be None) is not decoded; its time stamps tell where the clock starts anew.
    """
    sound = SoundSurvey()
    clock = start_clock(container, audio if video is None else video)
    if not clock.restarts:  # ffmpeg moves no recording, so that the sound alone counts
        clock = start_clock(container, audio)
        clock.joins_all = True
    for packet in _read_packets(container, clock, (video, audio)):
        if packet.stream.index == audio.index:
            _add_sound(sound, packet, clock)
    sound.place_changes(clock.list_shifts(audio.index))
    return sound, clock


def _read_packets(container: Any, clock: Clock, streams: Sequence[Any]) -> Iterator[Any]:
    """Yield the packets of the streams that are not None, each added to the clock."""
    try:
        for packet in container.demux([stream for stream in streams if stream is not None]):
            clock.add_packet(packet)
            yield packet
    except av.error.FFmpegError as error:  # ffmpeg, too, shows what comes before it
        clock.error = shorten_message(error)


@dataclass
class _AspectReader:
    """The shape of the pixels of each frame, as the codec states it.

    The codec states it for the packet that it has read, whose frame may come some packets later.
    """

    codec: Any
    _aspect: float | None = None
    _later_aspect: float = 1.0
    _later_pts: int | None = None

    def add_packet(self, packet: Any) -> None:
        """Note the shape that a packet, which was decoded, has brought."""
        aspect = limit_aspect(self.codec.sample_aspect_ratio)
        if aspect != self._later_aspect:
            self._later_aspect, self._later_pts = aspect, packet.pts

    def read(self, frame: Any) -> float:
        """Return the shape of the pixels of a frame, given in the order of presentation."""
        if self._aspect is None or self._later_pts is None or frame.pts == self._later_pts:
            self._aspect, self._later_pts = self._later_aspect, None
        return self._aspect


def limit_aspect(aspect: Any) -> float:
    """Return the ratio of a pixel's width to its height, 1 if it is missing or implausible."""
    shortest, longest = _PLAUSIBLE_ASPECTS
    return float(aspect) if aspect and shortest <= aspect <= longest else 1.0


def frame_time(frame: Any) -> float:
    """Return the time of a frame on the container's clock in seconds; 0 if it has none."""
    return 0.0 if frame.pts is None else float(frame.pts * frame.time_base)
