"""What a rater gets after the last video: a completion code and the address to return to."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import sqlite3
from collections.abc import Mapping
from urllib.parse import quote

from sfqa.ratings.screen.database import get_setting
from sfqa.ratings.screen.study_options import Completion

#: Setting with the random key from which the codes of raters are computed.
KEY = "completion_key"


def ensure_key(connection: sqlite3.Connection) -> str:
    """Return the study's key of completion codes, which is created if it does not exist."""
    connection.execute(
        "INSERT OR IGNORE INTO settings VALUES (?, ?)", (KEY, secrets.token_urlsafe(32))
    )
    return str(get_setting(connection, KEY))


def make_code(completion: Completion, key: str, rater: str) -> str | None:
    """Return the completion code of a rater, None if the study has none.

    The code of a rater never changes and cannot be guessed without the key.

    >>> make_code(Completion(code="C1A2"), "key", "r001")
    'C1A2'
    >>> make_code(Completion(code_per_rater=True), "key", "r001")
    'PZWHRK245X'
    """
    if not completion.code_per_rater:
        return completion.code
    digest = hmac.new(key.encode(), rater.encode(), hashlib.sha256).digest()
    return base64.b32encode(digest).decode()[:10]


def describe_completion(
    completion: Completion, key: str, rater: str, ids: Mapping[str, str]
) -> dict[str, str | None] | None:
    """Return the code and the URL for a rater's last page, None if the study has neither.

    ``ids``: the parameters of the address by which the rater enrolled. A parameter that was not
    given is replaced by nothing.

    >>> completion = Completion("C1", url="https://example.org/?cc={code}&who={rater}")
    >>> describe_completion(completion, "", "r001", {"rater": "ann b"})
    {'code': 'C1', 'url': 'https://example.org/?cc=C1&who=ann%20b'}
    """
    code = make_code(completion, key, rater)
    if code is None and completion.url is None:
        return None
    values = {"code": code or "", "rater": rater} | dict(ids)
    quoted = _Values({name: quote(value, safe="") for name, value in values.items()})
    return {"code": code, "url": completion.url.format_map(quoted) if completion.url else None}


class _Values(dict[str, str]):
    """Values of placeholders; a missing one is empty."""

    def __missing__(self, name: str) -> str:
        return ""
