"""Read videos ahead in worker processes: a bounded number at a time, each within a time limit.

A worker is a fresh interpreter that runs :func:`serve`, not a child of ``multiprocessing``, which
would run the job's script again in it. What is read crosses in anonymous memory whose handle goes
through a socket: one copy, and nothing to tidy up after a kill -9 of either side.
"""

from __future__ import annotations

import json
import mmap
import os
import pickle
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, Any

from sfqa.errors import UserError
from sfqa.features import costs
from sfqa.features.base import Reader, UnusableError, Video

#: Seconds in which a worker must have started: imports alone, but perhaps on a crowded disk.
_START_SEC = 300.0
#: Videos that one worker has before it: one is read, one waits, so that it never waits for us.
_QUEUE = 2
#: Address space of a worker and of each process that it starts. A sound 8k video needs 2 GiB; one
#: whose header says a thousand million frames makes a decoder ask for 30 and more.
MEMORY_BYTES = 16 * 2**30
_ALIGNMENT = 64
_PR_SET_PDEATHSIG = 1
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from sfqa.features.reader import serve; serve(int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))"
)
#: Workers are many, so each computes on one thread; and none touches a GPU.
_ALONE = {
    "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
    "OPENCV_FOR_THREADS_NUM": "1", "NUMBA_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "",
    "MALLOC_ARENA_MAX": "4",  # else each thread reserves address space of its own
}  # fmt: skip


class LostError(UnusableError):
    """A video that could not be read for a reason that may not be its own; never kept.

    ``trace`` is the traceback of an error that the reader should not have raised.
    """

    trace = ""


@dataclass(frozen=True)
class Read:
    """A video as it was read: what :meth:`Reader.prepare` returned, or why there is nothing."""

    video: Video
    value: Any
    seconds: float
    peak_mb: float
    pid: int


def read_here(reader: Reader, videos: Sequence[Video]) -> Iterator[Read]:
    """Yield the videos as read by this process, one at a time, when asked for."""
    for video in videos:
        yield Read(video, *_attempt(reader, video))


def _attempt(reader: Reader, video: Video) -> tuple[Any, float, float, int]:
    """What the reader returned, or the error; seconds, peak memory in MiB, and who did it."""
    started = time.monotonic()
    costs.restart_peak()
    value: Any
    try:
        value = reader.prepare(video)
    except UnusableError as error:
        value = error
    except UserError:
        raise
    except Exception as error:
        first = (str(error).splitlines() or [""])[0][:200]
        value = LostError(f"unexpected: {type(error).__name__} {first}".rstrip())
        value.trace = traceback.format_exc()
    return value, time.monotonic() - started, costs.peak_mb(), os.getpid()


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    link: socket.socket
    born: float
    ready: bool = False
    tasks: deque[int] = field(default_factory=deque)  # given and not answered; the first is read
    since: float | None = None  # when it began to read the first


class Pool:
    """Worker processes that read videos; they end with the block, and with their parent.

    ``count`` workers import ``module`` at once, so that a model can be built meanwhile. A video
    that ends its worker, or takes longer than ``time_limit_sec``, is lost and its worker replaced;
    one that asks for more than ``memory_bytes`` is an error of its decoder.
    """

    def __init__(
        self, count: int, module: str, time_limit_sec: float, memory_bytes: int = MEMORY_BYTES
    ) -> None:
        self.count, self.module, self.limit = count, module, time_limit_sec
        self.memory = memory_bytes
        self.most = 0
        self._workers: list[_Worker] = []
        self._ready: deque[Read] = deque()
        for _ in range(count):
            self._workers.append(self._started())

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            _end(worker)
        self._workers = []

    def read(self, reader: Reader, videos: Sequence[Video], ahead: int) -> Iterator[Read]:
        """Yield the videos as they are read, in order of completion.

        At most ``ahead`` are being read, or read and not yet taken, at any time: that bounds the
        memory.
        """
        self._reader, self._videos = reader, videos
        self._todo = deque(range(len(videos)))
        for worker in self._workers:
            with suppress(ConnectionError):  # it has just died: it will be heard of
                _send(worker.link, reader)
        for _ in videos:
            self._give_out(ahead)
            self._listen(wait=False)
            while not self._ready:
                self._listen(wait=True)
                self._give_out(ahead)
            yield self._ready.popleft()

    def _give_out(self, ahead: int) -> None:
        held = len(self._ready) + sum(len(w.tasks) for w in self._workers)
        while self._todo and held < ahead:
            worker = min(self._workers, key=lambda w: len(w.tasks))
            if len(worker.tasks) >= _QUEUE:
                break
            number = self._todo.popleft()
            worker.tasks.append(number)
            with suppress(ConnectionError):  # it has just died: its tasks come back
                _send(worker.link, (number, self._videos[number]))
            held += 1
        self.most = max(self.most, held)

    def _listen(self, wait: bool) -> None:
        """Take in what the workers say; replace those that died or took too long."""
        poll = select.poll()
        for worker in self._workers:
            poll.register(worker.link, select.POLLIN)
        ends = [end for w in self._workers if (end := self._deadline(w)) is not None]
        pause = None if wait else 0.0
        if wait and ends:
            pause = max(0.0, min(ends) - time.monotonic()) + 0.001
        heard = {fd for fd, _ in poll.poll(None if pause is None else 1000 * pause)}
        for worker in list(self._workers):
            if worker.link.fileno() in heard and not self._heard(worker):
                self._bury(worker)
                continue
            end = self._deadline(worker)
            if end is not None and time.monotonic() >= end:
                self._too_late(worker)

    def _deadline(self, worker: _Worker) -> float | None:
        if not worker.ready:
            return worker.born + max(self.limit, _START_SEC)
        return None if worker.since is None else worker.since + self.limit

    def _heard(self, worker: _Worker) -> bool:
        """Take in all that a worker has said; False where it is gone."""
        while True:
            try:
                word, *said = _receive(worker.link)
            except BlockingIOError:
                return True
            except ConnectionResetError:
                continue  # it died with a task unread; what it said before comes first
            except EOFError:
                return False
            if word == "ready":
                worker.ready = True
            elif word == "began":
                worker.since = said[0]
            elif word == "read":
                worker.since = None
                self._ready.append(Read(self._videos[worker.tasks.popleft()], *said))
            elif word == "wrong":
                raise UserError(said[0])
            else:
                raise RuntimeError(f"a worker process failed:\n{said[0]}")

    def _too_late(self, worker: _Worker) -> None:
        if not worker.ready:
            raise RuntimeError(f"a worker process did not start within {_START_SEC:.0f} s")
        why = f"timed_out: reading the video took longer than {self.limit:g} s"
        self._replace(worker, LostError(why))

    def _bury(self, worker: _Worker) -> None:
        code = worker.process.wait()
        how = f"exit status {code}" if code >= 0 else signal.Signals(-code).name
        if not worker.ready:
            raise RuntimeError(f"a worker process ended before it could read ({how})")
        why = f"decoder_died: the process that read the video ended ({how})"
        self._replace(worker, LostError(why))

    def _replace(self, worker: _Worker, error: LostError) -> None:
        """Blame the video that was being read, give back the others, start anew if need be."""
        _end(worker)
        if worker.since is not None:
            video = self._videos[worker.tasks.popleft()]
            seconds = time.monotonic() - worker.since
            self._ready.append(Read(video, error, seconds, 0.0, worker.process.pid))
        self._todo.extendleft(reversed(worker.tasks))
        self._workers.remove(worker)
        if self._todo:
            new = self._started()
            _send(new.link, self._reader)
            self._workers.append(new)

    def _started(self) -> _Worker:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        with theirs:
            command = [sys.executable, "-P", "-c", _START, json.dumps(sys.path)]
            process = subprocess.Popen(
                [*command, str(theirs.fileno()), self.module, str(self.memory)],
                stdin=subprocess.DEVNULL,
                env={**os.environ, **_ALONE},
                pass_fds=(theirs.fileno(),),
                process_group=0,  # so that an ffmpeg of its own goes with it
            )
        return _Worker(process, ours, time.monotonic())


def _end(worker: _Worker) -> None:
    """Kill a worker and what it started, and leave no zombie."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(worker.process.pid, signal.SIGKILL)
    worker.process.wait()
    worker.link.close()


def serve(handle: int, module: str, memory_bytes: int) -> None:
    """Be a worker: receive a reader, then videos, and answer each, until the parent is gone."""
    _die_with(os.getppid())
    _no_more_than(memory_bytes)
    link = socket.socket(fileno=handle)
    link.set_inheritable(False)
    with suppress(EOFError, ConnectionError):
        try:
            __import__(module)
            reader = _receive(link)
            _send(link, ("ready",))
            while True:
                _, video = _receive(link)
                _send(link, ("began", time.monotonic()))
                _send(link, ("read", *_attempt(reader, video)))
        except (EOFError, ConnectionError):
            pass
        except UserError as error:
            _send(link, ("wrong", str(error)))
        except Exception:
            _send(link, ("failed", traceback.format_exc()))


def _die_with(parent: int) -> None:
    """Let the kernel kill this process when its parent dies, also inside a decoder that hangs."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)  # it died before that; elsewhere the closed socket ends us after the video


def _no_more_than(memory_bytes: int) -> None:
    """Bound the memory of this process and of each that it starts: a header may lie."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    least = memory_bytes if hard == resource.RLIM_INFINITY else min(memory_bytes, hard)
    with suppress(ValueError, OSError):  # macOS knows no such limit
        resource.setrlimit(resource.RLIMIT_AS, (least, hard))


def _send(link: socket.socket, value: Any) -> None:
    """Send any picklable value: arrays without a copy of their own, all in one piece of memory."""
    buffers: list[pickle.PickleBuffer] = []
    parts = [pickle.dumps(value, protocol=5, buffer_callback=buffers.append)]
    views = [memoryview(parts[0]), *(b.raw() for b in buffers)]
    with _memory() as file:
        for view in views:
            file.write(view)
            file.write(b"\0" * (-view.nbytes % _ALIGNMENT))
        file.flush()
        sizes = struct.pack(f"<{len(views)}Q", *(v.nbytes for v in views))
        socket.send_fds(link, [sizes], [file.fileno()])


def _receive(link: socket.socket) -> Any:
    """Return the next value sent; arrays lie in the sender's memory. ``EOFError`` at the end."""
    message, handles, _, _ = socket.recv_fds(link, 1 << 16, 1)
    if not message:
        raise EOFError
    sizes = struct.unpack(f"<{len(message) // 8}Q", message)
    with open(handles[0], "rb") as file:
        whole = memoryview(mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE))
    parts, start = [], 0
    for size in sizes:
        parts.append(whole[start : start + size])
        start += size + -size % _ALIGNMENT
    return pickle.loads(parts[0], buffers=parts[1:])


def _memory() -> IO[bytes]:
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("sfqa"), "wb")
    return tempfile.TemporaryFile()
