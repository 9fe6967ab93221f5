"""The time stamps of a file, where they jump and what they count from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from av.format import Flags as FormatFlags

#: A clock that goes back, or forward, by more than this was set anew (the limits of ffmpeg). The
#: time stamps that FFmpeg interpolates for sound may go back by up to 0.2 s, so that sound alone
#: needs more.
_BACK_SEC, _BACK_SOUND_SEC, _FORWARD_SEC = 0.1, 0.5, 10.0


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


def start_clock(container: Any, reference: Any) -> Clock:
    """Return the clock of an open container whose jumps are those of the stream ``reference``."""
    restarts = bool(container.format.flags & FormatFlags.ts_discont.value)
    back_sec = _BACK_SEC if reference.type == "video" else _BACK_SOUND_SEC
    return Clock(reference.index, restarts, back_sec)


def stores_times(container: Any) -> bool:
    """Return whether a container stores time stamps, and not only a bit stream (MP3, AAC, AC-3)."""
    flags = container.format.flags
    restarts = flags & FormatFlags.ts_discont.value
    return bool(restarts or not flags & FormatFlags.generic_index.value)
