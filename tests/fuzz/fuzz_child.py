"""Conform and measure samples in a process of its own, so that the test outlives any decoder.

``python fuzz_child.py JOB.json``: JSON lines on the standard output before and after each sample.
"""

from __future__ import annotations

import json
import logging
import re
import resource
import sys
import time
from collections.abc import Collection
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from sfqa import identity, store, tables
from sfqa.conform.run import conform_shard
from sfqa.conform.video import Form
from sfqa.features.run import extract_shard
from sfqa.processes import peak_memory_mb


def say(**event: Any) -> None:
    """Tell the parent, at once."""
    print(json.dumps(event), flush=True)


def video_row(sample_id: str, path: Path) -> dict[str, Any]:
    """The row of the videos table for a file, as the import of ready videos makes it."""
    ordinary = path.is_file() and not path.is_symlink()
    return {
        "sample_id": sample_id, "method": "fuzz", "shard": 0, "status": "ok", "detail": "",
        "path": str(path), "sha256": identity.sha256_file(path) if ordinary else "0" * 64,
        "size_bytes": path.stat().st_size if ordinary else 0, "clip_path": None,
        "clip_sha256": None, "prompt": None, "reproducible": True,
    }  # fmt: skip


#: A line of :class:`sfqa.progress.Progress` on a conformed video.
_REPORT = re.compile(
    r"conformed \d+ of \d+: (?P<sample>\S+) (?:kept )?(?P<status>\S+) ?(?P<detail>.*) \([^()]*\)",
    re.DOTALL,
)


class _Teller(logging.Handler):
    """Tells the parent of every sample that the log speaks of, with the time since the last."""

    def __init__(self, samples: Collection[str]) -> None:
        super().__init__()
        self.open, self.last = list(samples), time.monotonic()
        say(began=self.open[0], patience=60)

    def emit(self, record: logging.LogRecord) -> None:
        line = _REPORT.fullmatch(record.getMessage())
        if line is None or line["sample"] not in self.open:
            return
        now = time.monotonic()
        self.open.remove(line["sample"])
        say(
            ended=line["sample"], seconds=now - self.last, status=line["status"],
            detail=line["detail"],
        )  # fmt: skip
        if self.open:
            say(began=self.open[0])
        self.last = now


def conform(job: dict[str, Any], folder: Path) -> None:
    """Conform all files as one shard and write its table."""
    rows = [video_row(sample_id, Path(path)) for sample_id, path in job["samples"].items()]
    videos = store.to_arrow(tables.VIDEOS, rows).to_pandas()
    logging.getLogger("sfqa").addHandler(_Teller(job["samples"]))
    made = conform_shard(videos, folder, Form(**job["form"]), time_limit_sec=job["limit"])
    store.write(tables.CONFORMED, made, folder / f"{job['name']}.parquet")


def extract(job: dict[str, Any], folder: Path) -> None:
    """Extract the features of a conformed table, in one shard each."""
    conformed = store.read(tables.CONFORMED, folder / f"{job['name']}.parquet")
    for name, spec in job["extractors"].items():
        say(began=name, patience=60 + job["limit"] * len(conformed))
        if name == "clip":
            _small_clip(folder / f"{spec['options']['model']}.json")
        started = time.monotonic()
        made, about, _ = extract_shard(
            conformed, name, spec, folder / "cache" / name, job["name"], lambda: nullcontext("cpu"),
            workers=1, time_limit_sec=job["limit"],
        )  # fmt: skip
        store.write_arrow(made, folder / name / f"{job['name']}.parquet", about)
        say(ended=name, seconds=time.monotonic() - started, status="ok", detail="")


def _small_clip(path: Path) -> None:
    """Tell open_clip of an architecture of its kind that is built in no time."""
    import open_clip

    vision = {"image_size": 64, "layers": 2, "width": 64, "head_width": 16, "patch_size": 16}
    text = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
    path.write_text(json.dumps({"embed_dim": 24, "vision_cfg": vision, "text_cfg": text}))
    open_clip.add_model_config(path)


if __name__ == "__main__":
    task = json.loads(Path(sys.argv[1]).read_text())
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    {"conform": conform, "extract": extract}[task["stage"]](task, Path(task["folder"]))
    # Not getrusage of itself: there Linux counts what the parent held when it started this process.
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    say(peak_mb=max(peak_memory_mb(), children))
