"""Send values between two processes of this project, over a Unix socket.

A value crosses in anonymous memory whose handle goes through the socket: arrays are copied once,
and nothing is left on the disk if either side is killed.
"""

from __future__ import annotations

import mmap
import os
import pickle
import socket
import struct
import tempfile
from typing import IO, Any

_ALIGNMENT = 64


def make_socket_pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected sockets that keep each message in one piece."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send_value(link: socket.socket, value: Any) -> None:
    """Send any picklable value: the pickle and each array's bytes in one piece of memory."""
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    views = [memoryview(pickled), *(buffer.raw() for buffer in buffers)]
    with _open_memory_file() as file:
        for view in views:
            file.write(view)
            file.write(b"\0" * (-view.nbytes % _ALIGNMENT))
        file.flush()
        sizes = struct.pack(f"<{len(views)}Q", *(view.nbytes for view in views))
        socket.send_fds(link, [sizes], [file.fileno()])


def receive_value(link: socket.socket) -> Any:
    """Return the next value that was sent; its arrays lie in the sender's memory and are writable.

    Raises ``EOFError`` after the last value, when the other side has closed its socket.
    """
    message, handles, _, _ = socket.recv_fds(link, 1 << 16, 1)
    if not message:
        raise EOFError
    sizes = struct.unpack(f"<{len(message) // 8}Q", message)
    with open(handles[0], "rb") as file:
        memory = memoryview(mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE))
    parts, start = [], 0
    for size in sizes:
        parts.append(memory[start : start + size])
        start += size + -size % _ALIGNMENT
    return pickle.loads(parts[0], buffers=parts[1:])


def _open_memory_file() -> IO[bytes]:
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("sfqa"), "wb")
    return tempfile.TemporaryFile()
