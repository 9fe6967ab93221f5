"""What the licences of a quality model forbid, in short sentences for tables and command lines."""

from __future__ import annotations

import re
from collections.abc import Mapping

#: Licences that forbid commercial use: Creative Commons NC, S-Lab, PolyForm Noncommercial.
_NON_COMMERCIAL = re.compile(r"(?i)\bNC\b|S-Lab|non-?commercial")
#: What is written of code or weights that are published without a licence.
_NONE_STATED = re.compile(r"none stated\b")


def is_non_commercial(licence: str) -> bool:
    """Return whether a licence forbids commercial use.

    >>> is_non_commercial("CC BY-NC 4.0, non-commercial use only"), is_non_commercial("MIT")
    (True, False)
    """
    return bool(_NON_COMMERCIAL.search(licence))


def has_no_licence(licence: str) -> bool:
    """Return whether code or weights are published without a licence.

    >>> has_no_licence("none stated"), has_no_licence("none published")
    (True, False)
    """
    return bool(_NONE_STATED.match(licence))


def list_restrictions(licences: Mapping[str, str]) -> list[str]:
    """Return a sentence for each restriction of ``licences``, those of ``code`` and ``weights``.

    >>> list_restrictions({"code": "none stated", "weights": "S-Lab, non-commercial use only"})
    ['Code without a licence.', 'Weights for non-commercial use only.']
    """
    sentences = []
    for part, licence in licences.items():
        if has_no_licence(licence):
            sentences.append(f"{part.capitalize()} without a licence.")
        if is_non_commercial(licence):
            sentences.append(f"{part.capitalize()} for non-commercial use only.")
    return sentences
