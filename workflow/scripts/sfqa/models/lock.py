"""The lock file of a dataset: the sha256 of every official weights file that it uses.

It belongs to the dataset and not to the project, because it records what the dataset's numbers
were computed with: two datasets may use different versions of a file, and deleting a dataset's
results removes its pins.
"""

from __future__ import annotations

import json
from pathlib import Path

from sfqa.errors import UserError
from sfqa.store import replacing
from sfqa.untrusted.documents import read_json


class WeightsLock:
    """The pinned sha256 of weights files, by the names of their entries.

    Raises :class:`UserError` for a lock file that cannot be read: what it pinned is then unknown.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pins: dict[str, str] = {}
        if not path.exists():
            return
        try:
            stored = read_json(path)
            self._pins = {str(name): str(sha256) for name, sha256 in stored.items()}
        except (OSError, ValueError, AttributeError) as error:
            raise UserError(
                f"{path}: the lock file of the weights cannot be read ({error}); restore it, or "
                "delete it to accept the present files"
            ) from None

    def get_pin(self, name: str) -> str:
        """Return the pinned sha256 of an entry, '' if it is not pinned."""
        return self._pins.get(name, "")

    def pin(self, name: str, sha256: str) -> None:
        """Pin an entry and write the lock file; raises :class:`UserError` if it has another pin."""
        current = WeightsLock(self.path).get_pin(name) or sha256
        if current != sha256:
            raise UserError(
                f"{self.path}: {name} is pinned to the sha256 {current}, not {sha256}; put the "
                "pinned file there, or delete its line to accept the other one"
            )
        self._pins = {**WeightsLock(self.path)._pins, name: sha256}
        with replacing(self.path) as temporary:
            text = json.dumps(self._pins, indent=1, sort_keys=True)
            temporary.write_text(text + "\n", encoding="utf-8")
