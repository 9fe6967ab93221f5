"""Follow a page of docs/ word by word: write its files, run its commands, in a copy of the project."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from flow import ROOT

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


def copy_project(folder: Path) -> None:
    """Copy what a user has of the project, without results."""
    for name in ("workflow", "config", "profiles", "resources/demo", "resources/published"):
        shutil.copytree(ROOT / name, folder / name)  # with __pycache__: nothing is compiled again
    for name in ("Snakefile", "pyproject.toml", "sfqa"):
        shutil.copy(ROOT / name, folder)


def follow_page(page: str, folder: Path) -> list[str]:
    """Do what every block of docs/``page`` says; return what its commands printed.

    A block of bash is run; one of console is only read. Any other is written to the file that its first line names, or
    appended to it if the line says so. Blocks inside a list are only read.
    """
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    printed = []
    for language, text in BLOCK.findall((ROOT / "docs" / page).read_text()):
        if language == "bash":
            done = subprocess.run(
                ["bash", "-euc", text], cwd=folder, env=environment, capture_output=True,
                text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
            printed.append(done.stdout + done.stderr)
            continue
        if language == "console":
            continue
        first, rest = text.split("\n", 1)
        named = re.fullmatch(r"# (append to )?(\S+)", first)
        assert named, f"docs/{page}: the block does not begin with '# FILE': {first}"
        path = folder / named[2]
        path.parent.mkdir(parents=True, exist_ok=True)
        if named[1]:
            with path.open("a") as handle:
                handle.write("\n" + rest)
        else:
            path.write_text(rest if language == "text" else text)
    return printed
