"""What a run has made so far, and which processes are at work for it."""

from __future__ import annotations

import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from flow import Flow
from sfqa.cache import find_records

#: Files whose bytes are those of a run in peace.
TABLES = (".parquet", ".csv", ".md", ".tex")
_SCRIPT = re.compile(r"\.snakemake/scripts/tmp[^/]*?\.(\w+)\.py$")


@dataclass
class Made:
    """What is finished: keys of feature rows, the inodes of files never rewritten, tables."""

    rows: Counter[str]
    files: dict[str, tuple[int, int]]
    tables: int

    @property
    def things(self) -> int:
        """How far a run is, in things made; a run in peace only gains."""
        return sum(self.rows.values()) + len(self.files) + self.tables


def tables(flow: Flow) -> dict[str, bytes]:
    """The bytes of every table, but of those of costs: they hold times."""
    return {
        str(path.relative_to(flow.results)): path.read_bytes()
        for path in sorted(flow.results.rglob("*"))
        if path.suffix in TABLES and not path.name.startswith(".") and "costs" not in path.parts
    }


def made(flow: Flow) -> Made:
    """What a folder holds that no later run may make again."""
    rows: Counter[str] = Counter()
    for path in sorted(flow.results.glob("features/*/cache/**/*.rows")):
        rows.update(key for key, _, _ in find_records(path))  # a digest of extractor and video
    patterns = ("generation/*/videos/*.mp4", "conform/*/videos/*.mp4", "regression/*/trials/*.npz")
    files = {}
    for path in (p for pattern in patterns for p in flow.results.glob(pattern)):
        if not path.name.startswith("."):
            with suppress(FileNotFoundError):
                facts = path.stat()
                files[str(path.relative_to(flow.results))] = (facts.st_ino, facts.st_mtime_ns)
    whole = [p for p in flow.results.rglob("*.parquet") if not p.name.startswith(".")]
    return Made(rows, files, len(whole))


def jobs(process: subprocess.Popen[bytes]) -> list[tuple[str, psutil.Process]]:
    """The script processes of the jobs that run now, with their rules, in a fixed order."""
    found = []
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                match = _SCRIPT.search(" ".join(child.cmdline()))
                if match and child.status() != psutil.STATUS_ZOMBIE:
                    found.append((match[1], child))
    return sorted(found, key=lambda job: (job[0], job[1].pid))


def within(folder: Path) -> Iterator[str]:
    """The processes whose working folder is ``folder``."""
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError):
            if process.status() != psutil.STATUS_ZOMBIE and process.cwd() == str(folder.resolve()):
                yield f"{process.pid} {' '.join(process.cmdline())[:200]}"


def sleep_until(
    reached: Callable[[], bool], process: subprocess.Popen[bytes], seconds: float = float("inf")
) -> None:
    """Wait until something is reached, the process has ended, or the time is over."""
    end = time.monotonic() + seconds
    while process.poll() is None and not reached() and (left := end - time.monotonic()) > 0:
        time.sleep(min(0.05, left))
