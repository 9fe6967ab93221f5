"""Every message that docs/troubleshooting.md explains is one that the package, its scripts or Snakemake gives."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/troubleshooting.md"
#: Messages of other programs, and what is seen in tables.
OF_OTHERS = (
    "snakemake: command not found", "Config file is not valid JSON or YAML", "FileNotFoundError",
    "Error: Directory cannot be locked", "does not match '^[0-9a-f]{64}$'", "PLCC", "SRCC", "flawed",
    "No files found that match the pattern", "screened_out",
)  # fmt: skip


def list_messages() -> list[str]:
    """Return the messages of the page: text in code type in the first column of its tables."""
    cells = [line.split("|")[1] for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    messages = [message for cell in cells for message in re.findall(r"`([^`]+)`", cell)]
    return [m for m in messages if not m.startswith(OF_OTHERS)]


@pytest.fixture(scope="module")
def texts() -> str:
    """Every string of the package and its scripts; the values of f-strings are left out."""
    files = (ROOT / "workflow/scripts").rglob("*.py")
    return "\n".join(text for path in files for text in _list_strings(ast.parse(path.read_text())))


def _list_strings(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(p.value if isinstance(p, ast.Constant) else "..." for p in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.mark.parametrize("message", list_messages())
def test_an_explained_message_is_given(message: str, texts: str) -> None:
    for part in re.split(r"\.\.\.", message):
        assert part.strip(" ,'()") in texts, part
