"""Which addresses files may be downloaded from."""

from __future__ import annotations

from urllib.parse import urlsplit

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def is_web_address(url: str) -> bool:
    """Return whether downloads from a URL are allowed: https, a local file, http on loopback.

    >>> [is_web_address(u) for u in ("https://a.org/x", "http://a.org/x", "http://127.0.0.1:1/x")]
    [True, False, True]
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.username is not None or any(c.isspace() for c in url):
        return False
    if parts.scheme == "file":
        return host in ("", "localhost") and parts.path.startswith("/")
    return bool(host) and (
        parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)
    )
