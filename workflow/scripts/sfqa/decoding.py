"""Decode the frames of a video, each once; with media.py the only module that knows decord."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import decord
import numpy as np
import numpy.typing as npt

from sfqa.clock import shift_times, start_clock

Pixels = npt.NDArray[np.uint8]

#: Pixel format and matrix coefficients (ITU-T H.273) for which PyAV and decord give equal RGB.
_SUPPORTED_FORMAT, _SUPPORTED_MATRICES = "yuv420p", (1, 2, 5, 6)
#: Containers that store the time of each packet.
_INDEXED_CONTAINERS = {"mp4", "matroska"}
#: Largest compressed video held in memory, in bytes; decord decodes larger ones.
_MAX_COMPRESSED_BYTES = 256 << 20
#: Number of frames that decord decodes at once.
_DECORD_BATCH = 16


class MediaError(Exception):
    """A file cannot be read or written as sound or pictures; the message is a sentence."""


class _UnsupportedError(Exception):
    """A video that only decord decodes (see :func:`_check_supported`)."""


@contextmanager
def translate_errors(path: Path | str) -> Iterator[None]:
    """Turn the errors that PyAV raises for a file into :class:`MediaError`."""
    try:
        yield
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise MediaError(f"{path}: does not decode ({shorten_message(error)})") from error


def to_ffmpeg_path(path: Path | str) -> str:
    """Return a path that FFmpeg reads as a file: 'a:b.mp4' alone would mean the protocol 'a'.

    >>> to_ffmpeg_path("a:b.mp4"), to_ffmpeg_path("/tmp/c.mp4")
    ('./a:b.mp4', '/tmp/c.mp4')
    """
    return str(path) if Path(path).is_absolute() else f"./{path}"


def select_stream(streams: Sequence[Any]) -> Any:
    """Return the stream that ffmpeg and players choose, or None if there is none.

    Streams of unknown codecs and cover art do not count. A stream that is marked as default comes
    first, then the largest picture or the sound with the most channels, then the first in order.
    """
    default = av.stream.Disposition.default

    def rank(stream: Any) -> tuple[bool, int]:
        codec = stream.codec_context
        size = codec.width * codec.height if stream.type == "video" else codec.channels
        return bool(default & stream.disposition), size

    return max(_list_candidates(streams), key=rank, default=None)


def _list_candidates(streams: Sequence[Any]) -> list[Any]:
    cover = av.stream.Disposition.attached_pic
    return [
        stream for stream in streams if stream.codec_context and cover not in stream.disposition
    ]


def iterate_frames(path: Path | str, indices: Sequence[int]) -> Iterator[Pixels]:
    """Yield the frames of increasing indices, uint8 RGB (height, width, 3), one at a time.

    One pass that decodes only the requested frames and those that they refer to. PyAV decodes plain
    H.264 in MP4 or Matroska (what the workflow writes), and the streams of a file with several
    pictures, of which decord may read another one. decord decodes everything else, and takes over
    when a plain file turns out to be irregular. Both give the same pixels. Raises
    :class:`MediaError` if the file does not decode and ``ValueError`` if the indices do not
    increase.
    """
    frame_indices = list(indices)
    if any(b <= a for a, b in pairwise(frame_indices)):
        raise ValueError("frame indices must be strictly increasing")
    yielded = 0
    try:
        for picture in _decode_sequentially(path, frame_indices):
            yield picture
            yielded += 1
    except (_UnsupportedError, av.error.FFmpegError, OSError, ValueError):
        decode = _decode_selected if _has_several_pictures(path) else _decode_with_decord
        yield from decode(path, frame_indices[yielded:])


def read_frames(
    path: Path | str,
    indices: Sequence[int] | None = None,
    transform: Callable[[Pixels], Pixels] = np.asarray,
) -> Pixels:
    """Return frames as uint8 RGB (n, height, width, 3): all, or those of ``indices`` in order.

    ``transform`` maps each frame, shape (1, height, width, 3), before the next one is decoded.
    Raises :class:`MediaError` if the file does not decode.
    """
    frame_indices = range(frame_times(path)[0]) if indices is None else indices
    if len(frame_indices) == 0:
        with _open_decord(path) as reader:
            return np.asarray(reader.get_batch([]).asnumpy(), np.uint8)
    sorted_indices = sorted(set(frame_indices))
    pictures: Pixels | None = None
    for position, picture in enumerate(iterate_frames(path, sorted_indices)):
        transformed = transform(picture[None])
        if pictures is None:
            pictures = np.empty((len(sorted_indices), *transformed.shape[1:]), transformed.dtype)
        pictures[position] = transformed[0]
    assert pictures is not None
    if list(frame_indices) == sorted_indices:
        return pictures
    return pictures[np.searchsorted(sorted_indices, np.asarray(frame_indices))]


def frame_times(path: Path | str) -> tuple[int, float]:
    """Return the number of frames that decode and the average frame rate (finite, above 0)."""
    if _has_several_pictures(path):
        stamps, fps = _read_stamps(path)
        count = len(stamps)
    else:
        with _open_decord(path) as reader:
            count, fps = len(reader), float(reader.get_avg_fps())
    if not 0 < fps < float("inf"):
        raise MediaError(f"{path}: its timestamps give no frame rate")
    return count, fps


def read_frame_times(path: Path | str) -> npt.NDArray[np.float64]:
    """Return when each frame that decord decodes is shown, in seconds after the first one.

    Shape (frames,). The times are those of the packets by FFmpeg, because decord's are wrong for
    H.264 in AVI, unless some frames have no packet of their own; where the clock starts anew, the
    times go on. Raises :class:`MediaError` if
    decord cannot read the video, or the times do not increase.
    """
    times = np.sort(np.array(_read_stamps(path)[0], np.float64))
    if not _has_several_pictures(path):
        with _open_decord(path) as reader:
            if len(reader) != len(times):
                times = reader.get_frame_timestamp(range(len(reader))).astype(np.float64)[:, 0]
    if not len(times) or not np.all(np.diff(times) > 0):
        raise MediaError(f"{path}: the times of its frames do not increase")
    return np.asarray(times - times[0])


def _has_several_pictures(path: Path | str) -> bool:
    """Return whether a file holds several moving pictures; decord may show another of them."""
    try:
        with av.open(to_ffmpeg_path(path)) as container:
            return len(_list_candidates(container.streams.video)) > 1
    except (av.error.FFmpegError, OSError, ValueError):
        return False


def _read_stamps(path: Path | str) -> tuple[list[float], float]:
    """Return the times of the frames of the picture that is presented, and its stated rate."""
    stamps: list[tuple[int, float]] = []
    with translate_errors(path), av.open(to_ffmpeg_path(path)) as container:
        stream = select_stream(container.streams.video)
        clock = start_clock(container, stream)
        sound = select_stream(container.streams.audio) if clock.restarts else None
        for packet in container.demux(stream if sound is None else [stream, sound]):
            clock.add_packet(packet)
            if packet.stream_index != stream.index or not packet.size or packet.pts is None:
                continue
            if not packet.is_discard:
                number = max(0, clock.count_packets(stream.index) - 1)
                stamps.append((number, float(packet.pts * packet.time_base)))
        times = shift_times(stamps, clock.list_shifts(stream.index))
        return times, float(stream.average_rate or 0)


def _decode_sequentially(path: Path | str, frame_indices: Sequence[int]) -> Iterator[Pixels]:
    """Yield frames decoded by PyAV; raises :class:`_UnsupportedError` before any doubtful frame."""
    reformatter = av.video.reformatter.VideoReformatter()
    with av.open(to_ffmpeg_path(path)) as container:
        streams = container.streams.video
        indexed = _INDEXED_CONTAINERS & set(container.format.name.split(","))
        if not indexed or len(streams) != 1 or streams[0].codec_context.name != "h264":
            raise _UnsupportedError
        packets = _read_packets(container, streams[0])
        times = sorted({packet.pts for packet in packets})
        if (
            len(times) < len(packets)
            or not frame_indices
            or not 0 <= frame_indices[0] <= frame_indices[-1] < len(times)
        ):
            raise _UnsupportedError
        remaining = deque(times[index] for index in frame_indices)
        wanted_times = set(remaining)
        codec = streams[0].codec_context
        codec.thread_type, codec.thread_count = "NONE", 1
        size = None
        for packet in [*packets, None]:
            # Lets the decoder skip an unwanted frame that no other frame refers to.
            codec.skip_frame = "DEFAULT" if packet and packet.pts in wanted_times else "NONREF"
            for frame in codec.decode(packet):
                _check_supported(frame)
                size = size or (frame.width, frame.height)
                if (frame.width, frame.height) != size:
                    raise _UnsupportedError
                if frame.pts not in wanted_times:
                    continue
                if frame.pts != remaining.popleft():
                    raise _UnsupportedError
                yield np.asarray(reformatter.reformat(frame, format="rgb24").to_ndarray(), np.uint8)
                if not remaining:
                    return
    raise _UnsupportedError  # the stream ended too early


def _read_packets(container: Any, stream: Any) -> list[Any]:
    """Return all compressed packets of a stream; their times identify the frames."""
    packets, size = [], 0
    for packet in container.demux(stream):
        if packet.size == 0:
            continue
        size += packet.size
        is_unsupported = packet.pts is None or packet.is_discard or packet.is_corrupt
        if is_unsupported or size > _MAX_COMPRESSED_BYTES:
            raise _UnsupportedError
        packets.append(packet)
    return packets


def _check_supported(frame: Any) -> None:
    is_supported = (
        frame.format.name == _SUPPORTED_FORMAT
        and int(frame.colorspace) in _SUPPORTED_MATRICES
        and frame.width % 16 == 0
        and frame.height % 2 == 0
        and not frame.rotation
        and not frame.is_corrupt
        and not frame.interlaced_frame
    )
    if not is_supported:
        raise _UnsupportedError


@contextmanager
def _open_decord(path: Path | str) -> Iterator[Any]:
    """Open a video with decord; errors of opening and decoding become :class:`MediaError`."""
    try:
        yield decord.VideoReader(to_ffmpeg_path(path), num_threads=1)
    except (RuntimeError, decord.DECORDError, IndexError, OSError) as error:
        raise MediaError(f"{path}: does not decode ({shorten_message(error)})") from error


def _decode_with_decord(path: Path | str, frame_indices: Sequence[int]) -> Iterator[Pixels]:
    with _open_decord(path) as reader:
        for start in range(0, len(frame_indices), _DECORD_BATCH):
            batch = frame_indices[start : start + _DECORD_BATCH]
            try:
                pictures = reader.get_batch(batch).asnumpy()
            except decord.DECORDError as error:
                if "size must exactly match" not in str(error):
                    raise
                pictures = _decode_padded_frames(path, batch)
            yield from pictures


def _decode_selected(path: Path | str, frame_indices: Sequence[int]) -> Iterator[Pixels]:
    """Yield frames of the picture that is presented, at the size of its first one."""
    reformatter = av.video.reformatter.VideoReformatter()
    wanted_indices = set(frame_indices)
    size: tuple[int, int] | None = None
    with translate_errors(path), av.open(to_ffmpeg_path(path)) as container:
        frames = container.decode(select_stream(container.streams.video))
        for number, frame in enumerate(frames):
            size = size or (frame.width, frame.height)
            if number in wanted_indices:
                picture = reformatter.reformat(frame, *size, format="rgb24")
                yield np.asarray(picture.to_ndarray(), np.uint8)
                wanted_indices.remove(number)
            if not wanted_indices:
                return
    raise MediaError(f"{path}: holds no frame {min(wanted_indices)}")


def _decode_padded_frames(path: Path | str, frame_indices: Sequence[int]) -> Pixels:
    """Decode a video whose rows decord pads (width 48, for example) and then refuses."""
    with translate_errors(path), av.open(to_ffmpeg_path(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.stack([frames[number] for number in frame_indices])


def shorten_message(error: BaseException) -> str:
    """Return the first line of a library's message, without parts that differ between runs."""
    # decord's messages start with the time of day, a source location and the path.
    text = re.sub(r"^\[[\d:]+\] \S+: (\[[^]]*\]\s?)?", "", str(error).strip())
    return (text.splitlines() or [type(error).__name__])[0][:200]
