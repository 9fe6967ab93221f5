"""The readers of JSON and YAML text: size, depth and expanded aliases are limited."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfqa.errors import UserError
from sfqa.untrusted import limits
from sfqa.untrusted.limits import RefusedError, format_bytes

if TYPE_CHECKING:
    import yaml

_JSON_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NO_BRACKET = re.compile(r"[^\[\]{}]+")
_REASON_CHARS = 200
#: Longest whole number in YAML: longer ones cannot be shown, and have no float.
_INTEGER_CHARS = 300


def parse_json(text: str | bytes, max_bytes: int = limits.JSON_BYTES, **hooks: Any) -> Any:
    """Return the content of a JSON text; ``hooks`` are arguments of ``json.loads``.

    Raises ``json.JSONDecodeError`` for a wrong text and :class:`RefusedError` for a text that is
    too large, nested too deep, not UTF-8, or that has a number of thousands of digits.

    >>> parse_json('{"a": [1, 2.5]}')
    {'a': [1, 2.5]}
    """
    if len(text) > max_bytes:
        raise RefusedError(f"it has more than {format_bytes(max_bytes)}")
    try:
        decoded = text if isinstance(text, str) else text.decode("utf-8-sig")
        _check_depth(decoded)
        return json.loads(decoded, **hooks)
    except UnicodeDecodeError as error:
        raise RefusedError(f"it is not UTF-8 text (byte {error.start})") from error
    except RecursionError as error:
        raise RefusedError("its lists and objects are nested too deep") from error
    except ValueError as error:
        if type(error) is not ValueError:  # wrong JSON, or an error of a hook
            raise
        raise RefusedError(f"a number in it cannot be read ({str(error)[:80]})") from error


def read_json(path: Path | str, max_bytes: int = limits.JSON_BYTES, **hooks: Any) -> Any:
    """Return the content of a JSON file; raises as :func:`parse_json`, and ``OSError``."""
    return parse_json(read_limited(path, max_bytes), max_bytes, **hooks)


def read_limited(path: Path | str, max_bytes: int) -> bytes:
    """Return the bytes of a file; raises :class:`RefusedError` if it has more than ``max_bytes``.

    At most that much is read, whatever size the file states: a device has none.
    """
    with open(path, "rb") as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise RefusedError(f"it has more than {format_bytes(max_bytes)}")
    return data


def _check_depth(text: str) -> None:
    """Raise :class:`RefusedError` if lists and objects are nested too deep.

    Pairs of brackets are removed from the inside, one level at a time; the parser finds the error
    of brackets that do not match.
    """
    if text.count("[") + text.count("{") <= limits.JSON_DEPTH:
        return
    brackets = _NO_BRACKET.sub("", _JSON_TEXT.sub("", text))
    for _ in range(limits.JSON_DEPTH):
        shorter = brackets.replace("[]", "").replace("{}", "")
        if len(shorter) == len(brackets):
            return
        brackets = shorter
    if "[]" in brackets or "{}" in brackets:
        raise RefusedError(f"its lists and objects are nested deeper than {limits.JSON_DEPTH}")


def load_yaml(
    text: str,
    max_bytes: int = limits.YAML_BYTES,
    loader_class: Callable[[str], yaml.SafeLoader] | None = None,
) -> Any:
    """Return the content of a YAML text, of which nothing runs.

    Raises :class:`RefusedError` for a text that is not YAML, is too large, is nested too deep, has
    aliases that stand for more than ``limits.YAML_NODES`` nodes or for themselves, or has a value
    that cannot be read, such as the date 2001-99-99.

    >>> load_yaml("a: &x [1, 2]\\nb: *x")
    {'a': [1, 2], 'b': [1, 2]}
    """
    import yaml

    if len(text) > max_bytes:
        raise RefusedError(f"it has more than {format_bytes(max_bytes)}")
    if sum(map(text.count, "\n,[{")) > limits.YAML_LINES:
        raise RefusedError(f"it has more than {limits.YAML_LINES:,} lines and entries in brackets")
    try:
        loader = (loader_class or yaml.SafeLoader)(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            if _count_nodes(node, {}) > limits.YAML_NODES:
                raise RefusedError(
                    f"it has more than {limits.YAML_NODES:,} values when each alias (*name) is "
                    "replaced by what it stands for"
                )
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise RefusedError(" ".join(str(error).split())[:_REASON_CHARS]) from error
    except RecursionError as error:
        raise RefusedError("its lists and mappings are nested too deep") from error
    except RefusedError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        reason = f"{type(error).__name__}: {str(error)[:80]}"
        raise RefusedError(f"it has a value that cannot be read ({reason})") from error


def _count_nodes(node: yaml.Node, sizes: dict[int, int]) -> int:
    """Return the nodes below a node, an alias counted as what it stands for.

    ``sizes`` holds the size of each node that was counted, 0 while it is being counted.
    """
    if not isinstance(node.value, list):  # a scalar
        if node.tag.endswith(":int") and len(node.value) > _INTEGER_CHARS:
            raise RefusedError(f"it has a whole number of {len(node.value):,} digits")
        return 1
    if id(node) in sizes:
        if not sizes[id(node)]:
            raise RefusedError("an alias (*name) in it stands for a value that contains it")
        return sizes[id(node)]
    sizes[id(node)] = 0
    total = 1
    for entry in node.value:
        for child in entry if isinstance(entry, tuple) else (entry,):
            total += _count_nodes(child, sizes)
    sizes[id(node)] = total
    return total


def read_yaml(
    path: Path | str,
    remedy: str = "correct it",
    loader_class: Callable[[str], yaml.SafeLoader] | None = None,
) -> Any:
    """Return the content of a YAML file.

    Raises ``OSError``, and :class:`UserError` naming the file for content that
    :func:`load_yaml` refuses.
    """
    try:
        data = read_limited(path, limits.YAML_BYTES)
        return load_yaml(data.decode("utf-8-sig"), loader_class=loader_class)
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start}); {remedy}") from error
    except RefusedError as error:
        raise UserError(f"{path}: not valid YAML ({error}); {remedy}") from error
