"""The readers of JSON and YAML text: size, depth and expanded aliases are limited."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfqa.errors import UserError
from sfqa.shown_text import quote_value
from sfqa.untrusted import limits
from sfqa.untrusted.limits import RefusedError, format_bytes

if TYPE_CHECKING:
    import yaml

_REASON_CHARS = 200
#: Longest whole number in YAML: longer ones cannot be shown, and have no float.
_INTEGER_CHARS = 300


def parse_json(
    text: str | bytes,
    max_bytes: int = limits.JSON_BYTES,
    *,
    max_values: int = limits.JSON_VALUES,
    allow_nan: bool = False,
    object_pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None,
) -> Any:
    """Return the content of a JSON text.

    ``allow_nan``: also read NaN, Infinity and numbers beyond the range of a float, which JSON has
    not. ``object_pairs_hook``: makes each object of its keys and values, as in ``json.loads``.

    Raises ``json.JSONDecodeError`` for a wrong text and :class:`RefusedError` for a text that is
    too large, has too many values, is nested too deep, is not UTF-8, has a key twice in one object
    or has a number of thousands of digits.

    >>> parse_json('{"a": [1, 2.5]}')
    {'a': [1, 2.5]}
    """
    if len(text) > max_bytes:
        raise RefusedError(f"it has more than {format_bytes(max_bytes)}")
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        check_value_count(text, max_values=max_values)
        content = _make_decoder(allow_nan, object_pairs_hook or _build_object).decode(text)
    except UnicodeDecodeError as error:
        raise RefusedError(f"it is not UTF-8 text (byte {error.start})") from error
    except RecursionError as error:
        raise RefusedError("its lists and objects are nested too deep") from error
    except ValueError as error:
        if type(error) is not ValueError:  # wrong JSON, or an error of a hook
            raise
        raise RefusedError(f"a number in it cannot be read ({str(error)[:80]})") from error
    _check_depth(content)
    return content


@lru_cache(maxsize=8)
def _make_decoder(allow_nan: bool, hook: Callable[[list[tuple[str, Any]]], Any]) -> Any:
    """Return a decoder; making one takes longer than reading a line of JSON lines."""
    return json.JSONDecoder(
        object_pairs_hook=hook,
        parse_float=float if allow_nan else _read_finite,
        parse_constant=float if allow_nan else _refuse_constant,
    )


def check_value_count(
    text: str, separators: str = ",[{", max_values: int = limits.JSON_VALUES
) -> None:
    """Raise :class:`RefusedError` if a text may have more than ``max_values`` values.

    Each value has a comma or an opening bracket before it. Those in strings count, too, because
    finding the strings would take as long as reading them. ``separators`` of several JSON texts
    include what separates the texts.
    """
    count = sum(map(text.count, separators))
    if count > max_values:
        raise RefusedError(
            f"it has {count:,} commas, opening brackets and lines of values; at most "
            f"{max_values:,} are read"
        )


def read_json(
    path: Path | str,
    max_bytes: int = limits.JSON_BYTES,
    *,
    max_values: int = limits.JSON_VALUES,
    allow_nan: bool = False,
) -> Any:
    """Return the content of a JSON file; raises as :func:`parse_json`, and ``OSError``."""
    data = read_limited(path, max_bytes)
    return parse_json(data, max_bytes, max_values=max_values, allow_nan=allow_nan)


def read_limited(path: Path | str, max_bytes: int) -> bytes:
    """Return the bytes of a file; raises :class:`RefusedError` if it has more than ``max_bytes``.

    At most that much is read, whatever size the file states: a device has none.
    """
    with open(path, "rb") as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise RefusedError(f"it has more than {format_bytes(max_bytes)}")
    return data


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON; raises :class:`RefusedError` for a key that occurs twice."""
    content = dict(pairs)
    if len(content) < len(pairs):
        ((name, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise RefusedError(f"the key {quote_value(name)} is there twice in one object")
    return content


def _read_finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise RefusedError(f"the number {digits[:40]} is too large")
    return number


def _refuse_constant(name: str) -> float:
    raise RefusedError(f"{name} in it is not a number of JSON")


def _check_depth(content: Any) -> None:
    """Raise :class:`RefusedError` if lists and objects are nested too deep, one level at a time.

    ``json`` itself stops at Python's recursion limit; what uses the content later may not.
    """
    level = [content]
    for _ in range(limits.JSON_DEPTH + 1):
        level = [parent for parent in level if isinstance(parent, dict | list)]
        if not level:
            return
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
    raise RefusedError(f"its lists and objects are nested deeper than {limits.JSON_DEPTH}")


def load_yaml(
    text: str,
    max_bytes: int = limits.YAML_BYTES,
    loader_class: Callable[[str], Any] | None = None,
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
        _check_yaml_depth(text)
        loader = (loader_class or _get_loader_class())(text)
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


def _get_loader_class() -> Any:
    """Return PyYAML's loader over libyaml, which takes a tenth of the time, if it has one."""
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _check_yaml_depth(text: str) -> None:
    """Raise :class:`RefusedError` if lists and mappings are nested too deep.

    PyYAML's composer over libyaml calls itself for each level without a limit, which ends the
    process. So the events, which need no such calls, are counted before.
    """
    import yaml

    depth = 0
    for event in yaml.parse(text, Loader=_get_loader_class()):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > limits.YAML_DEPTH:
                raise RefusedError(
                    f"its lists and mappings are nested deeper than {limits.YAML_DEPTH}"
                )
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


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
    loader_class: Callable[[str], Any] | None = None,
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
