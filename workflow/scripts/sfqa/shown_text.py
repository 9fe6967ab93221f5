"""Text from outside in messages, terminals and logs: short, and with visible control characters."""

from __future__ import annotations

import logging
import re
import reprlib
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

_MAX_CHARS = 80
#: Characters of a message that is printed; a longer one loses its middle.
MESSAGE_CHARS = 8000
#: Characters without a glyph, as the inside of a set in a pattern: the format characters (Cf), line
#: and paragraph separators, the Default_Ignorable_Code_Point of Unicode (variation selectors, tags,
#: fillers) and the blank of Braille.
INVISIBLE = (
    r"\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5"
    r"\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0"
    r"\ufff0-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3"
    r"\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_INVISIBLE = re.compile(f"[{INVISIBLE}]")
#: Sequences of bold, underlined and plain text, which the program's own tables have.
_STYLES = re.compile("(\x1b\\[[014]m)")


def _make_short_repr() -> reprlib.Repr:
    """Return a ``repr`` that never visits more than a few entries of a collection."""
    short = reprlib.Repr()
    short.maxlevel = 3
    short.maxlist = short.maxtuple = short.maxdict = short.maxset = 12
    short.maxstring = short.maxother = short.maxlong = _MAX_CHARS
    return short


_SHORT_REPR = _make_short_repr()


def quote_value(value: Any, length: int = _MAX_CHARS) -> str:
    """Return ``repr`` of a value for a message, cut to about ``length`` characters.

    Characters that cannot be seen are escaped. The time does not depend on the size of the value,
    so that a list of lists with a thousand million entries is shown at once.

    >>> quote_value("a\\x1b[2J"), quote_value("x" * 100, 10), quote_value([1, [2.5, None]])
    ("'a\\\\x1b[2J'", "'xxxxxxxxxx...'", '[1, [2.5, None]]')
    """
    if isinstance(value, str | bytes):
        if len(value) <= length:
            return show_controls(repr(value))
        shortened = show_controls(repr(value[:length]))
        return f"{shortened[:-1]}...{shortened[-1]}"
    try:
        text = repr(value) if value is None or isinstance(value, bool) else _SHORT_REPR.repr(value)
    except ValueError:  # a whole number of thousands of digits
        return f"(type {type(value).__name__}, too long to show)"
    return show_controls(text if len(text) <= length else f"{text[:length]}...")


def show_controls(text: str, keep: str = "\n\t") -> str:
    """Return a text with escapes in place of what cannot be seen, except the characters ``keep``.

    Escaped are the characters that can move the cursor, clear the screen, set a title, begin a
    line or change the direction of text, and all that have no glyph: two texts that differ look
    different. Spaces of any width stay. The joiners of Persian, of Indian scripts and of emoji,
    and the variation selectors of emoji, are escaped, too.

    >>> show_controls("a\\x1b[2J\\u202eb"), show_controls("歌 é"), show_controls("a\\nb", keep="")
    ('a\\\\x1b[2J\\\\u202eb', '歌 é', 'a\\\\nb')
    >>> show_controls("a\\u200bb\\ufe0f")
    'a\\\\u200bb\\\\ufe0f'
    """
    if text.isprintable() and (text.isascii() or not _INVISIBLE.search(text)):
        return text
    return "".join(
        character if character in keep or not _is_hidden(character) else _escape(character)
        for character in text
    )


def shorten_message(text: str, length: int = MESSAGE_CHARS) -> str:
    """Return a message without its middle if it has more than ``length`` characters.

    >>> shorten_message("a" * 30 + "z" * 30, 20)
    'aaaaaaaaaa [40 characters are left out] zzzzzzzzzz'
    """
    if len(text) <= length:
        return text
    half = length // 2
    return f"{text[:half]} [{len(text) - 2 * half} characters are left out] {text[-half:]}"


def _is_hidden(character: str) -> bool:
    if character.isprintable():
        return _INVISIBLE.match(character) is not None
    return unicodedata.category(character) != "Zs"


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


class ShownStream:
    """A text stream that shows control characters; everything else is that of the wrapped stream.

    ``keep``: the control characters that are written as they are.
    """

    def __init__(self, stream: TextIO, keep: str = "\n\t") -> None:
        self.wrapped, self._keep = stream, keep

    def write(self, text: str) -> int:
        """Write a text with visible control characters."""
        self.wrapped.write(show_controls(text, self._keep))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.wrapped, name)


class ShownFormatter(logging.Formatter):
    """A formatter of log records that shows control characters.

    Further lines of a record are indented, so that text from outside cannot look like a record.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record."""
        return show_controls(super().format(record)).replace("\n", "\n    ")


def print_styled(text: str) -> None:
    """Print a text whose bold, underlined and plain parts begin with the terminal's sequences.

    All other control characters are shown.
    """
    parts = _STYLES.split(text)
    visible_parts = (part if _STYLES.fullmatch(part) else show_controls(part) for part in parts)
    print("".join(visible_parts), file=get_raw_stream(sys.stdout))


def get_raw_stream(stream: TextIO) -> TextIO:
    """Return the stream that a :class:`ShownStream` wraps, any other stream as it is."""
    return stream.wrapped if isinstance(stream, ShownStream) else stream


@contextmanager
def show_controls_of_output() -> Iterator[None]:
    """Let the standard output and error of the block show control characters."""
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (ShownStream(stream) for stream in streams)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams
