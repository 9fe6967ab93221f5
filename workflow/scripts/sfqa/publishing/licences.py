"""Which licences of images, clips and videos permit that others get a copy or a changed copy."""

from __future__ import annotations

import re
from collections.abc import Collection

#: Licences without permission to share changed copies.
_NO_DERIVATIVES = re.compile(r"(?i)\bND\b|no-?derivatives")
#: Licences that permit to share copies and changed copies, if their conditions are met.
_PERMISSIVE = re.compile(
    r"(?i)\b(CC0|public[ -]domain|PDM|PDDL|Unlicense|MIT|BSD|Apache|ISC|ODC[ -]?BY|ODbL"
    r"|CC[ -]BY|Creative Commons (Attribution|Zero))\b"
)
#: Names of the Hugging Face Hub for licences, by the beginning of their usual names.
_HUB_NAMES = {
    "cc0": "cc0-1.0", "cc-by-nc-nd": "cc-by-nc-nd-4.0", "cc-by-nc-sa": "cc-by-nc-sa-4.0",
    "cc-by-nc": "cc-by-nc-4.0", "cc-by-nd": "cc-by-nd-4.0", "cc-by-sa": "cc-by-sa-4.0",
    "cc-by": "cc-by-4.0", "mit": "mit", "apache": "apache-2.0", "pddl": "pddl",
    "odc-by": "odc-by", "odbl": "odbl",
}  # fmt: skip
#: Addresses of licence texts, by their names at the Hub.
_TEXTS = {
    "cc0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "mit": "https://opensource.org/license/mit",
    "apache-2.0": "https://www.apache.org/licenses/LICENSE-2.0",
    "pddl": "https://opendatacommons.org/licenses/pddl/1-0/",
    "odc-by": "https://opendatacommons.org/licenses/by/1-0/",
    "odbl": "https://opendatacommons.org/licenses/odbl/1-0/",
}


def explain_restriction(licence: str | None, allowed: Collection[str] = ()) -> str:
    """Return why a changed copy may not be shared, '' if it may.

    ``allowed`` lists further licences that permit it, exactly as the sheets write them.

    >>> explain_restriction("CC-BY-4.0"), explain_restriction("own work", ["own work"])
    ('', '')
    >>> explain_restriction("")
    'no licence is stated'
    >>> explain_restriction("CC BY-ND 4.0")
    "the licence 'CC BY-ND 4.0' permits no changed copies"
    """
    text = (licence or "").strip()
    if not text:
        return "no licence is stated"
    if text in allowed:
        return ""
    if _NO_DERIVATIVES.search(text):
        return f"the licence {text!r} permits no changed copies"
    if not _PERMISSIVE.search(text):
        return f"the licence {text!r} is not known to permit sharing (--allow {text!r} if it does)"
    return ""


def get_hub_name(licence: str) -> str | None:
    """Return the name that the Hugging Face Hub has for a licence, None if it has none.

    >>> get_hub_name("CC BY 4.0"), get_hub_name("cc-by-nc-sa-3.0"), get_hub_name("our terms")
    ('cc-by-4.0', 'cc-by-nc-sa-3.0', None)
    """
    text = re.sub(r"[ _]+", "-", licence.strip().lower())
    for start, name in _HUB_NAMES.items():
        if re.fullmatch(rf"{re.escape(start)}([-.]?v?[\d.]+)?", text):
            version = re.search(r"\d+(\.\d+)*$", text)
            base = re.sub(r"-[\d.]+$", "", name)
            return f"{base}-{version[0]}" if version and base != name else name
    return None


def get_licence_address(licence: str) -> str:
    """Return the address of a licence's text, or the licence itself if none is known.

    >>> get_licence_address("CC-BY-4.0")
    'https://creativecommons.org/licenses/by/4.0/'
    """
    name = get_hub_name(licence)
    if name and name.startswith("cc-by"):
        terms, version = name.removeprefix("cc-").rsplit("-", 1)
        return f"https://creativecommons.org/licenses/{terms}/{version}/"
    return _TEXTS.get(name or "", licence)
