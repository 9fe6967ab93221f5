"""The reader of XML: a stream without document types, of limited depth, tags and elements."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import IO
from xml.parsers import expat

from sfqa.untrusted import limits
from sfqa.untrusted.limits import RefusedError, format_bytes

#: Path of an element in the names of a vocabulary, such as worksheet/sheetData/row.
StartHandler = Callable[[str, dict[str, str]], None]
EndHandler = Callable[[str, str], None]

_CHUNK_BYTES = 2**16
_OTHER = "?"
_SEPARATOR = " "
_TOO_MANY_NAMES = f"it has more than {limits.XML_NAMES:,} different names or paths"


@dataclass(slots=True)
class _Element:
    """A path of elements, and those below it by their names."""

    path: str
    is_reported: bool
    has_text: bool
    children: dict[str, _Element] = field(default_factory=dict)


def parse_xml(
    stream: IO[bytes],
    namespaces: Collection[str],
    reported: Collection[str] = (),
    on_start: StartHandler = lambda path, attributes: None,
    on_end: EndHandler = lambda path, text: None,
    texts: Collection[str] = (),
) -> None:
    """Call ``on_start(path, attributes)`` and ``on_end(path, text)`` for the ``reported`` elements.

    A path has the names of the element and of those around it, joined by slashes; a name that is
    not of ``namespaces`` is a question mark. Attributes of a namespace have its address and a space
    in front. ``text`` is the character data directly in an element whose path is in ``texts``, ''
    for others. Encodings, comments, references and CDATA are those of XML.

    The time is linear in the size, and the memory does not depend on it. Raises
    :class:`RefusedError` for text that is not XML, and for a document type (the only place that
    can declare entities), too deep elements, too many elements or names, and too long a tag.
    """
    names: dict[str, str] = {}
    parser = expat.ParserCreate(namespace_separator=_SEPARATOR, intern=names)
    parser.buffer_text = True
    element = _Element("", False, False)
    around: list[_Element] = []
    pieces: list[str] = []
    element_count = known_paths = 0

    def refuse_document_type(*_: object) -> None:
        raise RefusedError("it declares a document type (<!DOCTYPE), which no table needs")

    def add_element(name: str) -> _Element:
        nonlocal known_paths
        if len(around) >= limits.XML_DEPTH:
            raise RefusedError(f"its elements are nested deeper than {limits.XML_DEPTH}")
        known_paths += 1
        if known_paths > limits.XML_NAMES:
            raise RefusedError(_TOO_MANY_NAMES)
        namespace, _, local = name.rpartition(_SEPARATOR)
        if namespace not in namespaces or len(local) > limits.SHOWN_CHARS:
            local = _OTHER
        path = f"{element.path}/{local}".removeprefix("/")
        element.children[name] = child = _Element(path, path in reported, path in texts)
        return child

    def open_element(name: str, attributes: dict[str, str]) -> None:
        nonlocal element_count, element
        element_count += 1
        child = element.children.get(name) or add_element(name)
        around.append(element)
        element = child
        if child.has_text:
            pieces.clear()
        if child.is_reported:
            on_start(child.path, attributes)

    def close_element(_: str) -> None:
        nonlocal element
        if element.is_reported:
            on_end(element.path, "".join(pieces) if element.has_text else "")
        element = around.pop()

    def add_text(text: str) -> None:
        if element.has_text:
            pieces.append(text)

    parser.StartDoctypeDeclHandler = refuse_document_type
    parser.StartElementHandler = open_element
    parser.EndElementHandler = close_element
    parser.CharacterDataHandler = add_text
    fed = 0
    try:
        while chunk := stream.read(_CHUNK_BYTES):
            parser.Parse(chunk, False)
            fed += len(chunk)
            if element_count > limits.XML_ELEMENTS:
                raise RefusedError(f"it has more than {limits.XML_ELEMENTS:,} elements")
            if len(names) > limits.XML_NAMES:
                raise RefusedError(_TOO_MANY_NAMES)
            # The parser begins a tag anew with each chunk, and keeps all of its attributes.
            if fed - parser.CurrentByteIndex > limits.XML_TAG_BYTES:
                raise RefusedError(f"a tag has more than {format_bytes(limits.XML_TAG_BYTES)}")
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise RefusedError(
            f"it is not valid XML (line {error.lineno}, column {error.offset + 1}: "
            f"{expat.ErrorString(error.code)})"
        ) from error
    except RefusedError:
        raise
    except (LookupError, ValueError) as error:  # of the codec that the XML names
        raise RefusedError(f"it has an encoding that is not read ({str(error)[:80]})") from error
