"""Results of checks that take time, remembered until the files that they depend on change."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from sfqa.errors import UserError
from sfqa.untrusted.documents import read_json


class PlanMemory:
    """Values that the plan of a dataset computed, one JSON file each in its folder ``.plan``.

    Every value has a key that covers what it depends on. Another key, a damaged file and a missing
    one mean that the value is computed again. Only successful checks are stored, so a mistake is
    reported at every call until it is corrected.

    >>> import tempfile; memory = PlanMemory(Path(tempfile.mkdtemp()))
    >>> memory.remember("counts", "key of today", {"image": 6})
    >>> memory.recall("counts", "key of today"), memory.recall("counts", "another key")
    ({'image': 6}, None)
    """

    def __init__(self, results: Path) -> None:
        self.folder = results / ".plan"

    def recall(self, name: str, key: str) -> Any:
        """Return a value that was stored with this key, else None."""
        try:
            stored = read_json(self.folder / f"{name}.json", allow_nan=True)
            return stored["value"] if stored["key"] == key else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def remember(self, name: str, key: str, value: Any) -> None:
        """Store a value, which JSON can hold; a folder that is read-only stores nothing."""
        from sfqa.store import replacing  # loads Arrow, which a plan of unchanged files needs not

        with suppress(OSError, UserError):
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(self.folder / f"{name}.json") as temporary:
                text = json.dumps({"key": key, "value": value}, ensure_ascii=False)
                temporary.write_text(text, "utf-8")
