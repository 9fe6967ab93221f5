"""The time stamps of a file, where they jump and what they count from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from av.format import Flags as FormatFlags

#: A clock that goes back, or forward, by more than this was set anew (the limits of ffmpeg). The
#: time stamps that FFmpeg interpolates for sound may go back by up to 0.2 s, so that sound alone
#: needs more.
_BACK_SEC, _BACK_SOUND_SEC, _FORWARD_SEC = 0.1, 0.5, 10.0
#: Where the sounds of two recordings overlap by more, the later recording begins later; less is
#: the padding of a codec.
_OVERLAP_SEC = 0.1


class ShiftedRun(NamedTuple):
    """From a packet of a stream on, counted from 0: the seconds added to all times."""

    first_packet: int
    shift_sec: float


@dataclass
class Clock:
    """The time stamps of a file's packets, in seconds; where they jump, a recording begins.

    Jumps are those of the stream ``reference``: the picture, or the sound if there is no picture.
    ``restarts``: the container is one of those (MPEG-TS, MPEG-PS, Ogg) for which ffmpeg moves the
    recordings one after the other; ``shifts`` are those of the reference stream alone. In other
    containers, frames of later recordings that come too late are not shown: ``lost_frames``; with
    ``joins_all`` they are moved, too, which ffmpeg does not do. ``jump_times``: since the first
    packet.
    ``error``: why the packets could not be read up to the end of the file, or ''.
    """

    reference: int
    restarts: bool
    back_sec: float
    joins_all: bool = False
    shifts: list[float] = field(default_factory=lambda: [0.0])
    jump_times: list[float] = field(default_factory=list)
    lost_frames: int = 0
    error: str = ""
    _packets: dict[int, list[tuple[float, float, int]]] = field(default_factory=dict)
    _reference_times: list[float] = field(default_factory=list)
    _reference_recordings: list[int] = field(default_factory=list)
    _shown_times: dict[int, float] = field(default_factory=dict)
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
        self._packets.setdefault(packet.stream_index, []).append(
            (raw_time, duration, len(self._reference_times))
        )
        if packet.stream_index != self.reference:
            return
        time = raw_time + self.shifts[-1]
        if self._last is None:
            self._first = self._end = time
        elif time < self._last - self.back_sec or (
            self.restarts and abs(time - self._next) > _FORWARD_SEC
        ):
            self.jump_times.append(self._next - self._first)
            if self.restarts or self.joins_all:
                self.shifts.append(self._next - raw_time)
                time = self._next
        self._reference_times.append(raw_time)
        self._reference_recordings.append(recording := len(self.shifts) - 1)
        shown_time = raw_time if packet.pts is None else packet.pts * tick_sec
        self._shown_times[recording] = min(self._shown_times.get(recording, shown_time), shown_time)
        self._last, self._next = time, time + duration
        self.lost_frames += bool(self.jump_times) and self._next < self._end
        self._end = max(self._end, self._next)

    def count_packets(self, stream: int) -> int:
        """Return the number of packets of a stream that have been added."""
        return len(self._packets.get(stream, []))

    def list_shifts(self, stream: int) -> tuple[ShiftedRun, ...]:
        """Return how the times of a stream are shifted, delays included (:meth:`list_delays`).

        A packet that continues its recording belongs to it. Otherwise it belongs to the recording
        of the packet of the reference stream, before or after it in the file, whose time is nearer.
        """
        shifts = [
            shift + delay for shift, delay in zip(self.shifts, self._add_delays(), strict=True)
        ]
        runs: list[ShiftedRun] = []
        for number, recording in enumerate(self._list_recordings(stream)):
            if not runs or runs[-1].shift_sec != shifts[recording]:
                runs.append(ShiftedRun(number, shifts[recording]))
        return tuple(runs) or (ShiftedRun(0, 0.0),)

    def list_delays(self) -> tuple[tuple[float, float], ...]:
        """Return when recordings are delayed, and the seconds, so that their sounds do not overlap.

        The times are those of the first frames shown, shifted but not delayed. Without a delay, the
        sound of a recording that lasts longer than its picture, or begins earlier, would be cut.
        """
        totals = self._add_delays()
        return tuple(
            (self._shown_times[i] + self.shifts[i], totals[i] - totals[i - 1])
            for i in range(1, len(totals))
            if totals[i] > totals[i - 1]
        )

    def _add_delays(self) -> list[float]:
        """Return by how many seconds each recording is delayed, the delays before it included."""
        if not self.restarts:
            return [0.0] * len(self.shifts)
        starts: dict[int, float] = {}
        ends: dict[int, float] = {}
        for stream in self._packets.keys() - {self.reference}:
            packets = zip(self._packets[stream], self._list_recordings(stream), strict=True)
            for (time, duration, _), i in packets:
                starts[i] = min(starts.get(i, time), time)
                ends[i] = max(ends.get(i, time), time + duration)
        totals: list[float] = []
        total, end = 0.0, float("-inf")
        for i, shift in enumerate(self.shifts):
            if i in starts:
                overlap = end - (starts[i] + shift + total)
                total += overlap if overlap > _OVERLAP_SEC else 0.0
                end = max(end, ends[i] + shift + total)
            totals.append(total)
        return totals

    def _list_recordings(self, stream: int) -> list[int]:
        """Return the number of the recording of each packet of a stream."""
        if stream == self.reference:
            return self._reference_recordings
        recordings: list[int] = []
        recording, expected = 0, None
        for time, duration, position in self._packets.get(stream, []):
            recording = max(recording, self._find_recording(time, position, recording, expected))
            recordings.append(recording)
            expected = time + self.shifts[recording] + duration
        return recordings

    def _find_recording(
        self, time: float, position: int, current: int, expected: float | None
    ) -> int:
        """Return the recording of a packet before packet ``position`` of the reference stream."""
        neighbours = [i for i in (position - 1, position) if 0 <= i < len(self._reference_times)]
        recordings = [self._reference_recordings[i] for i in neighbours] or [0]
        if expected is not None and abs(time + self.shifts[current] - expected) < _BACK_SOUND_SEC:
            errors = {r: abs(time + self.shifts[r] - expected) for r in (current, *recordings)}
            return min(errors, key=lambda recording: errors[recording])
        if len(set(recordings)) == 1:
            recording = recordings[0]
            has_gone_back = expected is not None and time + self.shifts[current] < expected
            if has_gone_back and recording == current and current + 1 in self._shown_times:
                # stored before the last frames of the recording that ends
                before = abs(time - self._reference_times[neighbours[0]])
                return current + (abs(time - self._shown_times[current + 1]) < before)
            return recording
        before, after = (abs(time - self._reference_times[i]) for i in neighbours)
        return recordings[0] if before < after else recordings[1]

    def measure_duration(self, stream: int) -> float:
        """Return the duration of a stream, all its recordings together."""
        packets, runs = self._packets.get(stream, []), self.list_shifts(stream)
        spans = [
            (time + find_shift(runs, number), duration)
            for number, (time, duration, _) in enumerate(packets)
        ]
        if not spans:
            return 0.0
        return max(time + duration for time, duration in spans) - spans[0][0]


def find_shift(runs: Sequence[ShiftedRun], packet_number: int) -> float:
    """Return the seconds added to the time of a packet.

    >>> find_shift([ShiftedRun(0, 0.0), ShiftedRun(50, 2.0)], 49)
    0.0
    """
    return next(run.shift_sec for run in reversed(runs) if run.first_packet <= packet_number)


def shift_times(times: Iterable[tuple[int, float]], runs: Sequence[ShiftedRun]) -> list[float]:
    """Return shifted times, given in the order of their packets' numbers.

    >>> shift_times([(0, 1.0), (1, 1.0)], [ShiftedRun(0, 0.0), ShiftedRun(1, 2.0)])
    [1.0, 3.0]
    """
    shifted, run = [], 0
    for number, time in times:
        while run + 1 < len(runs) and runs[run + 1].first_packet <= number:
            run += 1
        shifted.append(time + runs[run].shift_sec)
    return shifted


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
