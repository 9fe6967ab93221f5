"""Pictures out of a video, each decoded once: the other file that knows decord and PyAV."""

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

Pixels = npt.NDArray[np.uint8]

#: Colours that both ways make the same RGB of: (pixel format, matrix), as ITU-T H.273 counts it.
_PLAIN_FORMAT, _PLAIN_MATRICES = "yuv420p", (1, 2, 5, 6)
#: Containers that say the time of each packet.
_INDEXED = {"mp4", "matroska"}
#: Bytes of a compressed video that are held in memory; a larger one is decord's.
_MOST_COMPRESSED = 256 << 20
#: Frames that decord holds at once.
_BLOCK = 16


class MediaError(Exception):
    """A file that cannot be read or written as sound or pictures, as a sentence."""


class _OddError(Exception):
    """A video that is not as plain as the stream wants it."""


def named(path: Path | str) -> str:
    """Return a path as FFmpeg takes it for a file: 'a:b.mp4' alone would be a protocol 'a'.

    >>> named("a:b.mp4"), named("/tmp/c.mp4")
    ('./a:b.mp4', '/tmp/c.mp4')
    """
    return str(path) if Path(path).is_absolute() else f"./{path}"


def each_frame(path: Path | str, indices: Sequence[int]) -> Iterator[Pixels]:
    """Yield frames of rising index, uint8 RGB of shape (height, width, 3), one at a time.

    One pass, and only the wanted frames and those that they refer to are decoded. That is done by
    PyAV for plain H.264 in MP4 or Matroska (what the workflow writes), else, and wherever anything
    is odd, by decord; the pictures are the same. Raises :class:`MediaError` for a file that does
    not decode and ``ValueError`` for indices that do not rise.
    """
    wanted = list(indices)
    if any(b <= a for a, b in pairwise(wanted)):
        raise ValueError("frames are given in rising order, each once")
    done = 0
    try:
        for picture in _streamed(path, wanted):
            yield picture
            done += 1
    except (_OddError, av.error.FFmpegError, OSError, ValueError):
        yield from _seen_by_decord(path, wanted[done:])


def read_frames(
    path: Path | str,
    indices: Sequence[int] | None = None,
    made: Callable[[Pixels], Pixels] = np.asarray,
) -> Pixels:
    """Return frames as uint8 RGB of shape (n, height, width, 3), all or the given ones in order.

    Or what ``made`` makes of each, as (1, height, width, 3), before the next is decoded. Raises
    :class:`MediaError` for a file that does not decode.
    """
    wanted = range(frame_times(path)[0]) if indices is None else indices
    if len(wanted) == 0:
        with _by_decord(path) as reader:
            return np.asarray(reader.get_batch([]).asnumpy(), np.uint8)
    order = sorted(set(wanted))
    pictures: Pixels | None = None
    for place, picture in enumerate(each_frame(path, order)):
        one = made(picture[None])
        if pictures is None:
            pictures = np.empty((len(order), *one.shape[1:]), one.dtype)
        pictures[place] = one[0]
    assert pictures is not None
    if list(wanted) == order:
        return pictures
    return pictures[np.searchsorted(order, np.asarray(wanted))]


def frame_times(path: Path | str) -> tuple[int, float]:
    """Return the number of frames that decode and the average frame rate, a finite one above 0."""
    with _by_decord(path) as reader:
        count, fps = len(reader), float(reader.get_avg_fps())
    if not 0 < fps < float("inf"):
        raise MediaError(f"{path}: its times give no frame rate")
    return count, fps


def _streamed(path: Path | str, wanted: Sequence[int]) -> Iterator[Pixels]:
    """Yield the frames; raises :class:`_OddError` before the first that may not be decord's."""
    painter = av.video.reformatter.VideoReformatter()
    with av.open(named(path)) as container:
        streams = container.streams.video
        indexed = _INDEXED & set(container.format.name.split(","))
        if not indexed or len(streams) != 1 or streams[0].codec_context.name != "h264":
            raise _OddError
        packets = _packets(container, streams[0])
        times = sorted({packet.pts for packet in packets})
        if len(times) < len(packets) or not wanted or not 0 <= wanted[0] <= wanted[-1] < len(times):
            raise _OddError
        left = deque(times[index] for index in wanted)
        sought = set(left)
        codec = streams[0].codec_context
        codec.thread_type, codec.thread_count = "NONE", 1
        size = None
        for packet in [*packets, None]:
            # The decoder then leaves out a frame that no other refers to.
            codec.skip_frame = "DEFAULT" if packet and packet.pts in sought else "NONREF"
            for frame in codec.decode(packet):
                _check_plain(frame)
                size = size or (frame.width, frame.height)
                if (frame.width, frame.height) != size:
                    raise _OddError
                if frame.pts not in sought:
                    continue
                if frame.pts != left.popleft():
                    raise _OddError
                yield np.asarray(painter.reformat(frame, format="rgb24").to_ndarray(), np.uint8)
                if not left:
                    return
    raise _OddError  # it ended too early


def _packets(container: Any, stream: Any) -> list[Any]:
    """All of the stream, compressed as it is: the times say which frame is which."""
    packets, size = [], 0
    for packet in container.demux(stream):
        if packet.size == 0:
            continue
        size += packet.size
        odd = packet.pts is None or packet.is_discard or packet.is_corrupt
        if odd or size > _MOST_COMPRESSED:
            raise _OddError
        packets.append(packet)
    return packets


def _check_plain(frame: Any) -> None:
    plain = (
        frame.format.name == _PLAIN_FORMAT
        and int(frame.colorspace) in _PLAIN_MATRICES
        and frame.width % 16 == 0
        and frame.height % 2 == 0
        and not frame.rotation
        and not frame.is_corrupt
        and not frame.interlaced_frame
    )
    if not plain:
        raise _OddError


@contextmanager
def _by_decord(path: Path | str) -> Iterator[Any]:
    """Give decord's reader; what it cannot open or decode is a :class:`MediaError`."""
    try:
        yield decord.VideoReader(named(path), num_threads=1)
    except (RuntimeError, decord.DECORDError, IndexError, OSError) as error:
        raise MediaError(f"{path}: does not decode ({short(error)})") from error


def _seen_by_decord(path: Path | str, wanted: Sequence[int]) -> Iterator[Pixels]:
    with _by_decord(path) as reader:
        for start in range(0, len(wanted), _BLOCK):
            part = wanted[start : start + _BLOCK]
            try:
                pictures = reader.get_batch(part).asnumpy()
            except decord.DECORDError as error:
                if "size must exactly match" not in str(error):
                    raise
                pictures = _narrow_frames(path, part)
            yield from pictures


def _narrow_frames(path: Path | str, wanted: Sequence[int]) -> Pixels:
    """The frames of a video whose rows decord pads (48 pixels wide, for one) and then refuses."""
    with av.open(named(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.stack([frames[number] for number in wanted])


def short(error: BaseException) -> str:
    """Return the first line of a library's message, without what differs from run to run."""
    # decord begins with the time of day, a place in its source and the path.
    text = re.sub(r"^\[[\d:]+\] \S+: (\[[^]]*\]\s?)?", "", str(error).strip())
    return (text.splitlines() or [type(error).__name__])[0][:200]
