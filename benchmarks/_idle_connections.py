"""Idle connections to the rating server, for ``rating_load.py --idle``."""

from __future__ import annotations

import selectors
import socket
import threading


class IdleConnections:
    """Connections of strangers from several addresses that send nothing, or half a request.

    Each that the server closes is opened again, so that ``count`` of them are open all the time.
    """

    per_address = 100

    def __init__(self, port: int, count: int, stop: threading.Event) -> None:
        self.port, self.count, self.stop = port, count, stop
        self.open_counts: list[int] = []
        self.reopened = 0

    def hold(self) -> None:
        """Hold the connections open until the run stops."""
        selector = selectors.DefaultSelector()
        free = list(range(self.count))
        while not self.stop.is_set():
            while free and not self.stop.is_set():
                number = free.pop()
                if not self._connect(selector, number):
                    free.append(number)  # no server listens at the moment
                    break
            for key, _ in selector.select(timeout=0.1):
                connection = key.fileobj
                assert isinstance(connection, socket.socket)
                try:
                    data = connection.recv(4096)
                except OSError:
                    data = b""
                if not data:
                    selector.unregister(connection)
                    connection.close()
                    free.append(key.data)
                    self.reopened += 1
            self.open_counts.append(len(selector.get_map()))
        for key in list(selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]

    def _connect(self, selector: selectors.BaseSelector, number: int) -> bool:
        address = f"127.0.1.{1 + number // self.per_address}"
        try:
            connection = socket.create_connection(
                ("127.0.0.1", self.port), timeout=5, source_address=(address, 0)
            )
            if number % 2:
                connection.sendall(b"GET /r/x HTTP/1.1\r\nHost: x\r\nX-a: ")
        except OSError:
            return False
        connection.setblocking(False)
        selector.register(connection, selectors.EVENT_READ, number)
        return True
