"""Reading what a command wrote."""

from __future__ import annotations

import csv
from pathlib import Path


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file, all cells as text."""
    with open(path, newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))
