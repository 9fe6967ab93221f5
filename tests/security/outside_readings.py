"""Run files from outside through their readers, and check what became of each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PACKAGE = HERE.parents[1] / "workflow" / "scripts"
#: What a file may cost: memory above that of the process before it, time, and its message.
MAX_MB, MAX_SEC, MAX_CHARS = 500.0, 10.0, 6000


@dataclass(frozen=True)
class Reading:
    """What one file cost, and the sentences about it; [] if it is good."""

    path: str
    sentences: list[str]
    crash: str
    seconds: float
    mb: float

    @property
    def text(self) -> str:
        return " | ".join(self.sentences)

    def check(self) -> None:
        """Assert that the file was good or refused with short sentences, in time and memory."""
        assert not self.crash, self
        assert self.mb <= MAX_MB, self
        assert self.seconds <= MAX_SEC, self
        assert len(self.text) <= MAX_CHARS, self
        for sentence in self.sentences:
            assert len(sentence.split()) >= 3, self
            assert sentence.isprintable(), self


def read_files(jobs: Sequence[tuple[str, Path]]) -> list[Reading]:
    """Read files, each a type of reading_child.py and a path, in one process."""
    completed = subprocess.run(
        [sys.executable, str(HERE / "reading_child.py")],
        input=json.dumps([[file_type, str(path)] for file_type, path in jobs]),
        stdout=subprocess.PIPE, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(PACKAGE), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    readings = [Reading(**json.loads(line)) for line in completed.stdout.splitlines()]
    assert len(readings) == len(jobs), f"{jobs[len(readings)]} ended the process: {completed}"
    return readings
