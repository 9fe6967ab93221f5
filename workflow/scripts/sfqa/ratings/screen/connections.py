"""Connections to the study's server: time limits, bounds, and which one is closed if all are used.

Raters share the server with strangers. A connection that sends no complete request is closed after
a time limit. If an address or the server has too many, the one that was idle for longest is closed
for a new one, those without any complete request first, so that idle connections shut nobody out.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import resource
import socket
import ssl
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

log = logging.getLogger("sfqa.rate")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Connections that the event loop accepts at once, before it looks at the first of them.
ACCEPTED_AT_ONCE = 64
#: Files that the server needs beside its connections: database, videos that are sent, log, and
#: those connections that are accepted or closed at the moment.
_OTHER_FILES = 100 + 2 * ACCEPTED_AT_ONCE
_MAX_CONNECTIONS = 4096
_UNAVAILABLE = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\ncontent-length: 0\r\n"
    b"connection: close\r\n\r\n"
)


@dataclass(frozen=True)
class Limits:
    """Limits of connections. Times are in seconds.

    ``head_sec``: until the head of a request is complete, the handshake of TLS included.
    ``stall_sec``: until a client that reads slowly has emptied the buffer (64 KiB and one chunk).
    ``per_address``: open connections of one address; named proxies may have more. ``total``: open
    connections of all.
    """

    head_sec: float = 20.0
    stall_sec: float = 120.0
    per_address: int = 200
    total: int = 900


@dataclass(eq=False)
class Connection:
    """One open connection. ``idle_since`` is None while a request is served."""

    transport: asyncio.Transport
    address: str
    idle_since: float | None
    has_requested: bool = False
    timer: asyncio.TimerHandle | None = None

    def stop_timer(self) -> None:
        """Cancel the time limit that runs."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


@dataclass
class Connections:
    """All open connections of a server, by address."""

    limits: Limits
    proxies: tuple[Network, ...] = ()
    by_address: dict[str, set[Connection]] = field(default_factory=dict)
    count: int = 0

    def admit(self, transport: asyncio.Transport) -> Connection | None:
        """Return the entry of a new connection; None if it has to be closed.

        Another connection is closed if there are too many.
        """
        address = str((transport.get_extra_info("peername") or ("?",))[0])
        entries = self.by_address.get(address, set())
        if len(entries) >= self.limits.per_address and not is_in(address, self.proxies):
            if not self._close_idle(entries):
                log.warning(
                    "%s has %d busy connections; a new one is closed", address, len(entries)
                )
                return None
        elif self.count >= self.limits.total and not self._close_any():
            log.warning("%d connections are busy; a new one is closed", self.count)
            return None
        loop = asyncio.get_running_loop()
        connection = Connection(transport, address, loop.time())
        self.by_address.setdefault(address, set()).add(connection)
        self.count += 1
        self.start_timer(connection)
        return connection

    def discard(self, connection: Connection) -> None:
        """Forget a connection that is closed."""
        connection.stop_timer()
        entries = self.by_address.get(connection.address, set())
        if connection in entries:
            entries.discard(connection)
            self.count -= 1
            if not entries:
                del self.by_address[connection.address]

    def start_timer(self, connection: Connection, seconds: float | None = None) -> None:
        """Close a connection after a time limit, by default that of a head; keep a running one."""
        if connection.timer is None:
            delay = self.limits.head_sec if seconds is None else seconds
            loop = asyncio.get_running_loop()
            connection.timer = loop.call_later(delay, self._abort, connection)

    def _abort(self, connection: Connection) -> None:
        self.discard(connection)
        connection.transport.abort()

    def _close_idle(self, entries: Iterable[Connection]) -> bool:
        """Close the connection that was idle for longest; return False if all are busy."""
        idle = [entry for entry in entries if entry.idle_since is not None]
        if not idle:
            return False
        self._abort(min(idle, key=lambda entry: (entry.has_requested, entry.idle_since or 0.0)))
        return True

    def _close_any(self) -> bool:
        """Close a connection of the address that has most; those of proxies are the last."""
        order = sorted(
            self.by_address, key=lambda a: (is_in(a, self.proxies), -len(self.by_address[a]))
        )
        return any(self._close_idle(self.by_address[address]) for address in order)


class FirstProtocol(asyncio.Protocol):
    """Admits a new connection, secures it by TLS, and passes it on to :class:`ScreenProtocol`.

    ``uvicorn`` calls it like its own protocols, with ``arguments``. It has no certificate itself:
    a handshake would not count as a connection.
    """

    def __init__(
        self, connections: Connections, context: ssl.SSLContext | None, **arguments: Any
    ) -> None:
        self._connections, self._context, self._arguments = connections, context, arguments
        self._entry: Connection | None = None
        self._early_data: list[bytes] = []
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit a connection or close it."""
        assert isinstance(transport, asyncio.Transport)
        with suppress(OSError):
            connection_socket = transport.get_extra_info("socket")
            connection_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._entry = self._connections.admit(transport)
        if self._entry is None:
            if self._context is None:
                transport.write(_UNAVAILABLE)
            transport.close()
        elif self._context is None:
            self._pass_on(self._entry, transport)
        else:
            transport.pause_reading()
            self._task = asyncio.get_running_loop().create_task(
                self._start_tls(self._entry, transport, self._context)
            )

    async def _start_tls(
        self, entry: Connection, transport: asyncio.Transport, context: ssl.SSLContext
    ) -> None:
        try:
            secured = await asyncio.get_running_loop().start_tls(
                transport, self, context, server_side=True,
                ssl_handshake_timeout=self._connections.limits.head_sec,
            )  # fmt: skip
        except OSError:  # the handshake failed or took too long
            secured = None
        if secured is None or secured.is_closing():
            self._connections.discard(entry)
            transport.abort()
            return
        self._pass_on(entry, secured)

    def _pass_on(self, entry: Connection, transport: asyncio.Transport) -> None:
        protocol = ScreenProtocol(self._connections, entry, **self._arguments)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if self._early_data:
            protocol.data_received(b"".join(self._early_data))

    def data_received(self, data: bytes) -> None:
        """Keep what arrives with the end of the handshake."""
        self._early_data.append(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if self._entry is not None:
            self._connections.discard(self._entry)


class ScreenProtocol(H11Protocol):
    """HTTP/1.1 by uvicorn and h11, with time limits of heads, bodies and slow readers."""

    def __init__(self, connections: Connections, entry: Connection, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._all, self._entry = connections, entry

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._all.discard(self._entry)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read data, and note whether a request is complete."""
        super().data_received(data)
        self._follow_request()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._follow_request()

    def pause_writing(self) -> None:
        """Start the time limit of a client that does not read."""
        super().pause_writing()
        self._entry.stop_timer()
        self._all.start_timer(self._entry, self._all.limits.stall_sec)

    def resume_writing(self) -> None:
        """End that time limit."""
        super().resume_writing()
        self._entry.stop_timer()

    def _follow_request(self) -> None:
        entry = self._entry
        if self.transport.is_closing():
            return
        now = self.loop.time()
        if self.conn.their_state is h11.IDLE:
            entry.idle_since = now if entry.idle_since is None else entry.idle_since
            # uvicorn closes a connection that keeps silent after an answer.
            if entry.has_requested and not self.conn.trailing_data[0]:
                entry.stop_timer()
            else:
                self._all.start_timer(entry)
        elif self.conn.our_state is h11.DONE:  # answered before the body was complete
            self._all.start_timer(entry)
        else:
            if entry.idle_since is not None:
                entry.stop_timer()
            entry.idle_since, entry.has_requested = None, True


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Return addresses and networks; raises ``ValueError`` for any other text.

    >>> parse_networks(["127.0.0.1", "10.0.0.0/8"])
    (IPv4Network('127.0.0.1/32'), IPv4Network('10.0.0.0/8'))
    """
    return tuple(ipaddress.ip_network(text) for text in texts)


def is_in(address: str, networks: Collection[Network]) -> bool:
    """Return whether an address lies in one of the networks.

    >>> is_in("10.1.2.3", parse_networks(["10.0.0.0/8"])), is_in("?", parse_networks(["10.0.0.1"]))
    (True, False)
    """
    with suppress(ValueError):
        return any(ipaddress.ip_address(address) in network for network in networks)
    return False


def raise_file_limit() -> int:
    """Raise the number of files that this process may open, and return how many connections fit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = 2 * _MAX_CONNECTIONS
    if soft != resource.RLIM_INFINITY and soft < enough:
        raised = enough if hard == resource.RLIM_INFINITY else min(hard, enough)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = _MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else soft - _OTHER_FILES
    return max(1, min(_MAX_CONNECTIONS, limit))
