"""Assemble a sound whose form changes, or whose clock starts anew, into one piece.

ffmpeg builds its filters anew at such a change, and each time they count from 0. With media.py,
decoding.py, survey.py and presentation.py the only module that knows FFmpeg.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import numpy.typing as npt

from sfqa.clock import ShiftedRun, find_shift, start_clock, stores_times
from sfqa.decoding import MediaError, to_ffmpeg_path, translate_errors
from sfqa.survey import frame_time

Samples = npt.NDArray[np.float32]

#: Larger gaps in the time stamps are filled with silence (as in the conformed sound of a file in
#: one piece), larger overlaps are cut.
_GAP_SEC = 0.01
#: A gap counts if all time stamps agree for this long: where the rate changes in MPEG-TS, FFmpeg
#: interpolates them with the old rate between the stamps that are stored, up to 0.2 s apart.
_AGREEMENT_SEC = 0.5
#: Weight of a channel in the left and right channel, as in ffmpeg's downmix; others are dropped.
_HALF = float(np.sqrt(0.5))
_WEIGHTS = {
    "FL": (1.0, 0.0), "FR": (0.0, 1.0), "FC": (_HALF, _HALF), "BL": (_HALF, 0.0),
    "BR": (0.0, _HALF), "SL": (_HALF, 0.0), "SR": (0.0, _HALF), "BC": (0.5, 0.5),
    "FLC": (1.0, 0.0), "FRC": (0.0, 1.0),
}  # fmt: skip


class _Piece(NamedTuple):
    """Stereo sound of one frame; ``time_sec`` is None if the file stores no time for it."""

    time_sec: float | None
    samples: Samples
    rate: int

    @property
    def duration_sec(self) -> float:
        return len(self.samples) / self.rate


def assemble_sound(
    path: Path | str,
    stream: int,
    rate: int,
    out: Path,
    shifts: Sequence[ShiftedRun],
    delay_sec: float,
) -> bool:
    """Write an audio stream in one piece to ``out``; return whether some part did not decode.

    ``out`` gets interleaved little-endian float32 stereo at ``rate``, after ``delay_sec`` of
    silence; with a negative delay the beginning is cut. ``shifts`` are those of
    :meth:`sfqa.clock.Clock.list_shifts`. A mono part is equal in both channels, at its level; parts
    with more channels are mixed by ffmpeg's matrix, scaled so that they cannot clip. Raises
    :class:`MediaError` if nothing decodes or the file cannot be read.
    """
    decoder = _PieceReader(path, stream, shifts)
    has_sound = False
    excess = max(0, round(-delay_sec * rate))
    with out.open("wb") as file:
        file.write(bytes(8 * max(0, round(delay_sec * rate))))
        for samples in _read_samples(decoder, rate):
            has_sound = True
            file.write(samples[excess:].astype("<f4").tobytes())
            excess = max(0, excess - len(samples))
    if not has_sound:
        raise MediaError(f"{path}: holds no sound")
    return decoder.has_errors


class _PieceReader:
    """Iterate over the pieces of an audio stream; ``has_errors``: some part did not decode."""

    def __init__(self, path: Path | str, stream: int, shifts: Sequence[ShiftedRun]) -> None:
        self.path, self._stream = path, stream
        self._shifts = shifts
        self.has_errors = False

    def __iter__(self) -> Iterator[_Piece]:
        with av.open(to_ffmpeg_path(self.path)) as container:
            has_times = stores_times(container)
            for packet_number, frame in self._decode(container):
                samples = mix_to_stereo(
                    _read_planes(frame), [channel.name for channel in frame.layout.channels]
                )
                time = None
                if has_times and frame.pts is not None:
                    time = frame_time(frame) + find_shift(self._shifts, packet_number)
                yield _Piece(time, samples, frame.sample_rate)

    def _decode(self, container: Any) -> Iterator[tuple[int, Any]]:
        """Yield each frame with the number of its packet."""
        stream = container.streams[self._stream]
        clock = start_clock(container, stream)
        try:
            for packet in container.demux(stream):
                clock.add_packet(packet)
                number = max(0, clock.count_packets(self._stream) - 1)
                try:
                    for frame in packet.decode():
                        yield number, frame
                except av.error.FFmpegError:
                    self.has_errors = True
        except av.error.FFmpegError:
            self.has_errors = True


def _read_planes(frame: Any) -> Samples:
    """Return the samples of a frame, (channels, samples), integers scaled to [-1, 1)."""
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    if samples.dtype.kind == "u":
        return np.asarray((samples.astype(np.float64) - 128) / 128, np.float32)
    if samples.dtype.kind == "i":
        return np.asarray(samples / -float(np.iinfo(samples.dtype).min), np.float32)
    return np.asarray(samples, np.float32)


def mix_to_stereo(planes: Samples, channel_names: Sequence[str]) -> Samples:
    """Mix channels, shape (channels, samples), to stereo (samples, 2) without clipping.

    >>> mix_to_stereo(np.array([[0.5]], np.float32), ["FC"])
    array([[0.5, 0.5]], dtype=float32)
    >>> mix_to_stereo(np.array([[0.6], [0.2], [0.0]], np.float32), ["FL", "FR", "LFE"])
    array([[0.6, 0.2]], dtype=float32)
    """
    if len(planes) == 1:
        return np.repeat(planes.T, 2, axis=1)
    weights = np.array([_WEIGHTS.get(name, (0.0, 0.0)) for name in channel_names])
    if not weights.any():  # channels without names
        weights[:2] = np.eye(2)
    weights /= max(1.0, weights.sum(axis=0).max())
    return np.asarray(planes.T @ weights.astype(np.float32), np.float32)


def _read_samples(decoder: _PieceReader, rate: int) -> Iterator[Samples]:
    with translate_errors(decoder.path):
        yield from _resample(_join_pieces(decoder), rate)


def _join_pieces(pieces: _PieceReader) -> Iterator[_Piece]:
    """Yield pieces that follow each other: gaps become silence, overlaps are cut."""
    waiting: deque[_Piece] = deque()
    expected: float | None = None
    waiting_sec = 0.0
    iterator = iter(pieces)
    while True:
        while waiting_sec < _AGREEMENT_SEC and (piece := next(iterator, None)) is not None:
            waiting.append(piece)
            waiting_sec += piece.duration_sec
        if not waiting:
            return
        if expected is None:
            expected = waiting[0].time_sec or 0.0
        gap_sec = _measure_gap(waiting, expected)
        piece = waiting.popleft()
        waiting_sec -= piece.duration_sec
        if gap_sec > _GAP_SEC:
            silence = np.zeros((round(gap_sec * piece.rate), 2), np.float32)
            yield _Piece(None, silence, piece.rate)
            expected += len(silence) / piece.rate
        elif gap_sec < -_GAP_SEC:
            piece = piece._replace(samples=piece.samples[round(-gap_sec * piece.rate) :])
        expected += piece.duration_sec
        yield piece


def _measure_gap(waiting: Sequence[_Piece] | deque[_Piece], expected: float) -> float:
    """Return the gap before the first piece on which all pieces agree; negative for an overlap."""
    gaps = []
    for piece in waiting:
        if piece.time_sec is not None:
            gaps.append(piece.time_sec - expected)
        expected += piece.duration_sec
    return max(0.0, min(gaps, default=0.0)) + min(0.0, max(gaps, default=0.0))


def _resample(pieces: Iterator[_Piece], rate: int) -> Iterator[Samples]:
    """Yield the samples of all pieces at one rate; each run of one rate is resampled by itself."""
    resampler: Any = None
    run_rate = rate
    for piece in pieces:
        if not len(piece.samples):
            continue
        if piece.rate != run_rate:
            yield from _drain(resampler)
            resampler, run_rate = None, piece.rate
        if run_rate == rate:
            yield piece.samples
            continue
        if resampler is None:
            resampler = av.AudioResampler(format="flt", layout="stereo", rate=rate)
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(piece.samples.reshape(1, -1)), format="flt", layout="stereo"
        )
        frame.sample_rate = run_rate
        yield from _convert(resampler, frame)
    yield from _drain(resampler)


def _drain(resampler: Any) -> Iterator[Samples]:
    if resampler is not None:
        yield from _convert(resampler, None)


def _convert(resampler: Any, frame: Any) -> Iterator[Samples]:
    for converted in resampler.resample(frame):
        yield converted.to_ndarray().reshape(-1, 2)
