"""The wheel of the project, built from the files that git tracks."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Folders of the project that the wheel holds beside the package.
BUNDLE = ("config", "resources/demo", "resources/published", "workflow/schemas")


def list_tracked_files(folder: str) -> list[str]:
    done = subprocess.run(
        ["git", "ls-files", "-z", folder], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [path for path in done.stdout.split("\0") if path]


def build_wheel(folder: Path) -> Path:
    """Build the wheel into a folder, with the tools that are installed."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    (wheel,) = folder.glob("sfqa-*.whl")
    return wheel


def copy_tracked_files(folder: Path) -> None:
    """Copy the workflow and its configurations, as git tracks them, into a folder."""
    for name in ("Snakefile", "workflow", "config", "profiles"):
        for path in list_tracked_files(name):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, folder / path)
