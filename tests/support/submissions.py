"""Submissions to a challenge."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: The videos of the phase that is submitted to.
NAMES = [f"v{n:02d}.mp4" for n in range(40)]
README = """\
runtime per video [s] : 1.50
CPU[1] / GPU[0] : 0
Extra Data [1] / No Extra Data [0] : 1
Other description : a : b
"""


def write_lines(scores: Mapping[str, float]) -> str:
    """The content of output.txt."""
    return "".join(f"{name},{value!r}\n" for name, value in scores.items())


def pack(path: Path, files: Mapping[str, str | bytes], **options: Any) -> Path:
    """Write a zip of files by name."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def pack_scores(path: Path, scores: Mapping[str, float]) -> Path:
    """Write a valid submission with these scores."""
    return pack(path, {"output.txt": write_lines(scores), "readme.txt": README})
