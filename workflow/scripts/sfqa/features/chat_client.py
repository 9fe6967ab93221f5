"""Ask a server that speaks the OpenAI protocol, such as vLLM or SGLang, about pictures and sound.

This is own code, because the protocol is one request with JSON: the packages that wrap it bring
twenty others, and none keeps a key from being sent over an open connection.
"""

from __future__ import annotations

import http.client
import json
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from sfqa.errors import UserError
from sfqa.untrusted.documents import parse_json
from sfqa.web_address import is_web_address
from sfqa.workers import LostTaskError

#: The environment variable with the key of the server. It is in no file and in no message.
KEY_VARIABLE = "SFQA_LMM_API_KEY"
# Answers of the server that are tried again: too many requests, and its own failures.
_RETRIED = (408, 409, 425, 429, 500, 502, 503, 504)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
# The longest pause before an attempt, in seconds, and the largest answer, in bytes.
_LONGEST_PAUSE, _LARGEST_ANSWER = 120.0, 1 << 22


@dataclass(frozen=True)
class Reply:
    """What the server answered: a text, and log probabilities of its first token by word.

    ``is_cut``: the server ended the text at the limit of tokens.
    """

    text: str
    first_words: Mapping[str, float]
    is_cut: bool = False


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Refuses to follow an address to another server, which would get the key."""

    def redirect_request(self, *_: Any) -> None:
        return None


class ChatClient:
    """A model on a server: retries with growing pauses, at a limited rate, from several threads.

    ``address`` begins the addresses of the server, such as ``http://127.0.0.1:8000/v1``.
    ``per_minute`` limits the requests (None: no limit), ``time_limit_sec`` is how long the server
    may send nothing. After a request that no attempt could bring to the server, each of the next
    ones is tried once, until one arrives. Raises :class:`UserError` for an address that is none,
    and for a key that would be sent without encryption.
    """

    def __init__(
        self,
        address: str,
        model: str,
        attempts: int = 5,
        pause_sec: float = 1.0,
        time_limit_sec: float = 300.0,
        per_minute: float | None = None,
    ) -> None:
        where = "config, features.lmm_server.options"
        if not _is_server_address(address):
            raise UserError(
                f"{where}.address: {address!r} is no address; write one such as "
                "http://127.0.0.1:8000/v1, without a user name"
            )
        if not model:
            raise UserError(f"{where}.model: missing; write the model's name on the server")
        self._key = _read_key()
        if self._key and not is_web_address(address):
            raise UserError(
                f"{where}.address: {address} has no encryption, and {KEY_VARIABLE} would be sent "
                "to it; write an https address, or unset the variable"
            )
        self.url = f"{address.rstrip('/')}/chat/completions"
        self.model, self.attempts, self.pause_sec = model, attempts, pause_sec
        self.time_limit_sec = time_limit_sec
        self._interval = 60.0 / per_minute if per_minute else 0.0
        self._lock, self._next_start = threading.Lock(), 0.0
        self._is_reachable = True
        handlers: list[Any] = [_NoRedirects]
        if urlsplit(address).hostname in _LOOPBACK:
            handlers.append(urllib.request.ProxyHandler({}))  # this machine needs no proxy
        self._opener = urllib.request.build_opener(*handlers)

    def ask(self, messages: Sequence[Mapping[str, Any]], **settings: Any) -> Reply:
        """Return the reply to a chat; ``settings`` are further keys of the request.

        Raises :class:`UserError` if the server refuses the key or does not know the model, and
        :class:`LostTaskError`, so that the next run asks again, for any other failure.
        """
        request = {"model": self.model, "messages": messages, "temperature": 0, **settings}
        content = self._hide_key(self._post(json.dumps(request).encode()))
        try:
            reply = parse_json(content, allow_nan=True)
            model, choice = reply["model"], reply["choices"][0]
            text = choice["message"]["content"]
            if not isinstance(text, str):
                raise TypeError(text)
            first_words = _read_first_words(choice.get("logprobs"))
            is_cut = choice.get("finish_reason") == "length"
        except (ValueError, LookupError, TypeError, AttributeError):
            raise LostTaskError(
                "wrong_reply: the server's reply is no answer in the protocol: "
                f"{self._quote(content)}"
            ) from None
        if model != self.model:
            raise LostTaskError(
                f"another_model: the server answered with the model {model!r}, not {self.model!r}"
            )
        return Reply(text, first_words, is_cut)

    def _post(self, body: bytes) -> bytes:
        """Return the body of the reply, after as many attempts as are allowed."""
        attempts = self.attempts if self._is_reachable else 1
        pause_sec = self.pause_sec
        for attempt in range(1, attempts + 1):
            self._wait_turn()
            try:
                content = self._send(body)
            except urllib.error.HTTPError as error:
                reason = self._explain_status(error)
                stated_pause = _read_pause(error.headers.get("Retry-After"))
                if error.code not in _RETRIED:
                    raise LostTaskError(reason) from None
                self._is_reachable = True
            except (OSError, http.client.HTTPException) as error:
                reason, stated_pause = self._explain_failure(error), 0.0
                if attempt == attempts:
                    self._is_reachable = False
            else:
                self._is_reachable = True
                return content
            if attempt < attempts:
                time.sleep(min(max(pause_sec, stated_pause), _LONGEST_PAUSE))
                pause_sec *= 2
        times = "once" if attempts == 1 else f"{attempts} times"
        raise LostTaskError(f"{reason}; tried {times}".replace("; ", ", "))

    def _send(self, body: bytes) -> bytes:
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        request = urllib.request.Request(self.url, body, headers, method="POST")
        with self._opener.open(request, timeout=self.time_limit_sec) as reply:
            content: bytes = reply.read(_LARGEST_ANSWER)
            # With a size, read() says nothing of a connection that ends before the whole body.
            if reply.length and len(content) < _LARGEST_ANSWER:
                raise http.client.IncompleteRead(b"", reply.length)
            return content

    def _wait_turn(self) -> None:
        """Wait until the next request may be sent."""
        with self._lock:
            start = max(time.monotonic(), self._next_start)
            self._next_start = start + self._interval
        time.sleep(max(0.0, start - time.monotonic()))

    def _explain_status(self, error: urllib.error.HTTPError) -> str:
        """Return the reason for a reply with an error status; raises for mistakes of the user."""
        excerpt = self._quote(error.read(1000))
        if error.code in (401, 403):
            raise UserError(
                f"the server {self.url} refuses the key (status {error.code}); put the right one "
                f"into the environment variable {KEY_VARIABLE}"
            ) from None
        if error.code == 404:
            raise UserError(
                f"the server {self.url} has no such address or no model {self.model!r} (status "
                f"404); correct address or model of features.lmm_server.options: {excerpt}"
            ) from None
        return f"server_error: the server answered with status {error.code}: {excerpt}"

    def _quote(self, content: bytes) -> str:
        """Return the beginning of what the server sent, on one line and without the key."""
        text = " ".join(self._hide_key(content).decode(errors="replace").split())
        return repr(text[:150]).replace("; ", ", ")

    def _hide_key(self, content: bytes) -> bytes:
        """Return what the server sent without the key, which some servers repeat."""
        return content.replace(self._key.encode(), b"[key]") if self._key else content

    def _explain_failure(self, error: OSError | http.client.HTTPException) -> str:
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            return f"timeout: the server sent nothing for {self.time_limit_sec:g} s"
        return f"unreachable: the server {self.url} cannot be asked ({reason})"


def _is_server_address(address: str) -> bool:
    """Return whether a text is the address of a server, without a user name.

    >>> [_is_server_address(a) for a in ("http://[::1]:8000/v1", "http://[::1/v1", "http://a:b/v1")]
    [True, False, False]
    """
    try:
        parts = urlsplit(address)
        _ = parts.port  # raises for a port that is no number up to 65535
    except ValueError:
        return False
    is_whole = bool(parts.hostname) and not any(c.isspace() for c in address)
    return is_whole and parts.scheme in ("http", "https") and "@" not in parts.netloc


def _read_key() -> str:
    """Return the server's key, '' without one; raises :class:`UserError` if it cannot be sent.

    The message does not have the key, which that of the HTTP library would.
    """
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not key.isascii() or any(c.isspace() or not c.isprintable() for c in key):
        raise UserError(
            f"the environment variable {KEY_VARIABLE} is no key: it has a gap, a line break or a "
            "letter outside ASCII; set it to the key alone"
        )
    return key


def _read_first_words(logprobs: Any) -> dict[str, float]:
    """Return the log probabilities of the words that the first token may be; the higher of two."""
    tokens = (logprobs or {}).get("content") or []
    words: dict[str, float] = {}
    for candidate in (tokens[0].get("top_logprobs") or []) if tokens else []:
        word, value = str(candidate["token"]).strip().lower(), float(candidate["logprob"])
        words[word] = max(value, words.get(word, value))
    return words


def _read_pause(stated: str | None) -> float:
    """Return the seconds of a Retry-After, which has seconds or a date; 0 if there is none."""
    if not stated:
        return 0.0
    try:
        return max(float(stated), 0.0)
    except ValueError:
        pass
    try:
        return max((parsedate_to_datetime(stated) - datetime.now(UTC)).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return 0.0
