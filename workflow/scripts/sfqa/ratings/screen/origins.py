"""Which addresses the study's server answers for: foreign pages and names must change nothing."""

from __future__ import annotations

import ipaddress
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from sfqa.ratings.screen.database import get_setting, set_setting

#: Setting of a study: the addresses that raters use, as JSON.
_URLS = "urls"
_DEFAULT_PORTS = {"http": 80, "https": 443}
_SAME = ("same-origin", "none")


@dataclass(frozen=True)
class Origins:
    """The origins of a study's pages (``https://study.example.org``), as raters' browsers see them.

    ``any_host``: requests for every name are answered, because the study's address is not known.
    """

    urls: frozenset[str] = frozenset()
    any_host: bool = True

    def add_urls(self, urls: frozenset[str]) -> Origins:
        """Return the origins with further ones, of links that were created meanwhile."""
        return replace(self, urls=self.urls | urls)

    def explain_foreign(self, headers: Mapping[str, str]) -> str:
        """Return why a request that changes something is refused, '' if it is not.

        >>> origins = Origins(frozenset({"https://study.example.org"}), any_host=False)
        >>> origins.explain_foreign({"host": "127.0.0.1:8765", "origin": "http://127.0.0.1:8765"})
        ''
        >>> origins.explain_foreign({"host": "evil.example"})
        'the server does not answer for this name, which --url did not state'
        >>> origins.explain_foreign({"host": "study.example.org", "origin": "http://evil.example"})
        'another page sent the request'
        """
        host = headers.get("host", "")
        if not self.any_host and not self._is_known(host):
            return "the server does not answer for this name, which --url did not state"
        if headers.get("sec-fetch-site", "none") not in _SAME:
            return "another page sent the request"
        origin = headers.get("origin")
        if origin is None or normalize_origin(origin) in self.urls:
            return ""
        own = normalize_origin(f"{origin.partition('://')[0]}://{host}")
        return "" if own and own == normalize_origin(origin) else "another page sent the request"

    def _is_known(self, host: str) -> bool:
        """Return whether a host is an address, this machine, or a name of the study.

        A page of another name cannot get an address as its own, so addresses are no danger.
        """
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name == "localhost" or name in {urlsplit(url).hostname for url in self.urls}:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def normalize_origin(url: str) -> str:
    """Return scheme, name and port of a URL in lower case, '' for what is none.

    >>> normalize_origin("https://Study.example.org:443/r/x"), normalize_origin("null")
    ('https://study.example.org', '')
    """
    try:
        parts = urlsplit(url)
        name, port = parts.hostname, parts.port
    except ValueError:
        return ""
    if parts.scheme not in _DEFAULT_PORTS or not name:
        return ""
    host = f"[{name}]" if ":" in name else name
    suffix = "" if port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{host}{suffix}"


def read_urls(connection: sqlite3.Connection) -> frozenset[str]:
    """Return the origins of the links that were created for this study."""
    return frozenset(json.loads(get_setting(connection, _URLS) or "[]"))


def add_url(connection: sqlite3.Connection, url: str) -> None:
    """Store the origin of a study's links."""
    urls = read_urls(connection) | {normalize_origin(url)}
    set_setting(connection, _URLS, json.dumps(sorted(urls)))
