"""Run the workflow in a folder of its own, as a user would, and read what it did."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from demo_material import write_sheets

ROOT = Path(__file__).parents[2]

#: Eight small videos of two methods, rated by nobody; a test adds features and regression. The
#: sheets, with the demo's first four portraits and clips, are written by :class:`Flow`.
SMALL = {
    "dataset": "small",
    "mode": "build",
    "shards": 1,
    "materials": {"images": "images.csv", "clips": "clips.csv", "image_px": 256},
    "pairs": {"count": 4},
    "generation": {"methods": ["sharp", "late"], "size": 128},
    "conform": {"short_side": 128},
    "ratings": {"source": "simulated", "raters": 6},
}
#: Two ways to split the eight.
PROTOCOLS = [
    {"name": "disjoint", "kind": "fixed"},
    {"name": "random", "kind": "random_kfold", "k": 2},
]


class Flow:
    """A folder with the project in it (as links), two small sheets and results of its own."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        resources = ("resources/demo", "resources/published")
        for name in ("Snakefile", "workflow", "config", "profiles", *resources):
            link = folder / name
            if not link.exists():
                link.parent.mkdir(exist_ok=True)
                link.symlink_to(ROOT / name)
        if not (folder / "images.csv").exists():
            write_sheets(folder, 4, 4)
        self.configure(config)

    def configure(self, config: dict[str, Any]) -> None:
        self.config = config
        (self.folder / "test.yaml").write_text(yaml.safe_dump(config))

    @property
    def results(self) -> Path:
        return self.folder / "results" / self.config["dataset"]

    def command(self, *options: str) -> list[str]:
        return [
            sys.executable, "-m", "snakemake", *options, "--cores", "2", "--configfile", "test.yaml"
        ]  # fmt: skip

    def run(self, *options: str, ok: bool = True) -> str:
        """Run Snakemake to its end; return what it printed."""
        done = subprocess.run(
            self.command(*options), cwd=self.folder, capture_output=True, text=True, check=False
        )
        said = done.stdout + done.stderr
        assert (done.returncode == 0) == ok, said[-6000:] + self.logs()
        return said

    def planned(self, *options: str) -> dict[str, int]:
        """Jobs per rule that a run would start."""
        said = self.run(*options, "-n", "--quiet", "rules")
        return job_counts(said)

    def logs(self) -> str:
        """The ends of all job logs that speak of an error."""
        parts = []
        for path in sorted(self.results.glob("logs/**/*.log")):
            text = path.read_text()
            if "Error" in text or "Traceback" in text:
                parts.append(f"\n--- {path.name}\n{text[-2000:]}")
        return "".join(parts)

    def computed(self, extractor: str) -> int:
        """Rows that the last feature jobs of an extractor computed, by their logs."""
        total = 0
        for path in self.results.glob(f"logs/features/{extractor}/**/*.log"):
            found = re.findall(r"(\d+) rows, (\d+) computed", path.read_text())
            total += sum(int(computed) for _, computed in found)
        return total

    def forget_logs(self) -> None:
        for path in self.results.glob("logs/**/*.log"):
            path.unlink()

    def tables(self) -> dict[str, bytes]:
        """The bytes of every table that the workflow declares, but of those that hold times."""
        return {
            str(p.relative_to(self.results)): p.read_bytes()
            for p in sorted(self.results.rglob("*.parquet"))
            if not p.name.startswith(".") and "costs" not in p.parts
        }

    def kill_when(self, reached: Callable[[], bool], timeout_sec: float = 300) -> str:
        """Start a run, kill -9 it and all its jobs as soon as ``reached``; return its output."""
        log = self.folder / "killed.log"
        with open(log, "w") as out:
            process = subprocess.Popen(
                self.command(), cwd=self.folder, stdout=out, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
            end = time.monotonic() + timeout_sec
            while not reached():
                assert process.poll() is None, log.read_text()[-4000:] + self.logs()
                assert time.monotonic() < end, "the moment to kill never came"
                time.sleep(0.02)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return log.read_text()


def job_counts(said: str) -> dict[str, int]:
    """The counts of Snakemake's table of jobs, without the target rule."""
    found = re.findall(r"^(\w+) +(\d+)$", said, flags=re.MULTILINE)
    return {rule: int(count) for rule, count in found if rule not in ("total", "all")}


def started(said: str) -> dict[str, int]:
    """Jobs per rule that a run started, those behind a checkpoint too."""
    found = re.findall(r"^(?:local)?(?:rule|checkpoint) (\w+):$", said, flags=re.MULTILINE)
    return {rule: found.count(rule) for rule in found}


def nothing_to_do(said: str) -> bool:
    return "Nothing to be done" in said
