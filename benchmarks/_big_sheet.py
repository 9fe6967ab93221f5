"""A generated dataset of any size for ``scale.py``: a sheet, stand-ins for all that a run makes.

No video is needed to plan a run. Where files must be there, a few drawn videos stand for all, as
hard links, and empty files for tables that nobody reads before the next job.
"""

from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _common  # noqa: F401  (puts the package on the path)

from sfqa import tables

ROOT = Path(__file__).resolve().parents[1]
EXTRACTORS = ("clip", "lse", "slowfast")
#: Videos of a shard, as config/README.md recommends, and where there are more than so many.
PER_SHARD, MANY, PER_LARGE_SHARD = 120, 100_000, 1_000
#: What else a run makes without ratings.
_REST = (
    tables.CONFORMED.merged_path, tables.REJECTS.path, "report/rejects.html", "catalog.duckdb",
    "report/site/index.html", "ro-crate-metadata.json", "report/manifest.json",
)  # fmt: skip
#: Hard links of one file; file systems allow 65,000.
_LINKS = 2_000


@dataclass(frozen=True)
class Used:
    """What a process took: seconds on the clock and of processors, the most memory in MB."""

    wall: float
    cpu: float
    mb: float
    said: str


#: A small process in between: the kernel counts the memory of the one that starts a program as
#: memory of the program.
_MEASURE = """
import json, os, subprocess, sys, time
with open(sys.argv[1], "w") as out:
    start = time.perf_counter()
    process = subprocess.Popen(sys.argv[2:], stdout=out, stderr=subprocess.STDOUT)
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
code = os.waitstatus_to_exitcode(status)
print(json.dumps([code, wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
"""


def measured(command: list[str], folder: Path) -> Used:
    """Run a command to its end in a process of its own; raise where it fails."""
    log = folder / "said.log"
    done = subprocess.run(
        [sys.executable, "-S", "-c", _MEASURE, str(log), *command],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    code, *used = json.loads(done.stdout)
    said = log.read_text()
    if code:
        raise SystemExit(f"{' '.join(command)}\n{said[-4000:]}")
    return Used(*used, said)


def shards_for(videos: int, methods: int) -> int:
    """Return the number of shards that a dataset of this size should have."""
    return math.ceil(videos / methods / (PER_SHARD if videos <= MANY else PER_LARGE_SHARD))


class Sheet:
    """A project folder with a sheet of videos: (name of the video file, method) in each row."""

    def __init__(self, folder: Path, videos: int, methods: int) -> None:
        self.folder, self.methods = folder, methods
        self.shards = shards_for(videos, methods)
        self.rows = [(f"v{n}.mp4", f"m{n % methods}") for n in range(videos)]
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("Snakefile", "workflow", "config", "profiles"):
            if not (folder / name).exists():
                (folder / name).symlink_to(ROOT / name)
        self.write()

    @property
    def results(self) -> Path:
        """Where all that is made goes."""
        return self.folder / "results" / "big"

    def write(self) -> None:
        """Write the sheet and the configuration."""
        import yaml

        with (self.folder / "videos.csv").open("w", newline="") as handle:
            out = csv.writer(handle)
            out.writerow(("video", "method"))
            out.writerows((f"videos/{name}", method) for name, method in self.rows)
        config = {
            "dataset": "big", "mode": "import_videos", "shards": self.shards, "disk_margin": 0,
            "missing": "skip",
            "import": {"sheet": "videos.csv"}, "ratings": {"source": "none"},
            "conform": {"short_side": 64},
            "features": {name: {"weights": "random"} for name in EXTRACTORS},
        }  # fmt: skip
        (self.folder / "big.yaml").write_text(yaml.safe_dump(config))

    def snakemake(self, *words: str, cores: int = 8) -> Used:
        """Run Snakemake in a process of its own."""
        command = [sys.executable, "-m", "snakemake", *words, "--cores", str(cores)]
        return measured([*command, "--configfile", "big.yaml"], self.folder)

    def list_samples(self) -> Used:
        """Run the one checkpoint, so that all shards are known."""
        return self.snakemake(tables.table_path("samples", dataset="big"))

    def shard_of(self, row: int) -> int:
        """Return the shard of a row of the sheet."""
        from sfqa import store

        samples = store.read(tables.SAMPLES, self.results / tables.SAMPLES.path)
        path = samples["source_path"].str.endswith(f"/{self.rows[row][0]}")
        return int(samples[path]["shard"].iloc[0])

    def finish(self, drawn: Sequence[Path]) -> None:
        """Let stand-ins be there for every video and every table, and Snakemake know them."""
        from sfqa import identity, store

        sound = drawn[0].with_suffix(".wav")
        known = {path: identity.sha256_file(path) for path in [*drawn, sound]}
        samples = store.read(tables.SAMPLES, self.results / tables.SAMPLES.path)
        for (method, shard), part in samples.groupby(["method", "shard"]):
            made, conformed = [], []
            for row in part.to_dict("records"):
                number = int(row["sample_id"].split("__")[0].removeprefix("v"))
                video = drawn[number % len(drawn)]
                name = row["sample_id"]
                paths = {
                    "path": Path(row["source_path"]),
                    "conformed": Path(f"results/big/conform/{method}/videos/{name}.mp4"),
                    "audio": Path(f"results/big/conform/{method}/videos/{name}.wav"),
                }
                for kind, path in paths.items():
                    _link(sound if kind == "audio" else video, self.folder / path, number)
                head = {"sample_id": name, "method": method, "shard": shard}
                head |= {"status": "ok", "detail": ""}
                made.append(head | {"path": str(paths["path"]), "sha256": known[video]})
                conformed.append(
                    head
                    | {"path": str(paths["conformed"]), "sha256": known[video]}
                    | {"audio_path": str(paths["audio"]), "audio_sha256": known[sound]}
                    | {"source_sha256": known[video]}
                )
            wildcards = {"method": str(method), "shard": str(shard)}
            for table, rows in ((tables.VIDEOS, made), (tables.CONFORMED, conformed)):
                complete_rows = [_blank(table) | row for row in rows]
                store.write(table, complete_rows, self.results / table.fill_path(**wildcards))
            for name in EXTRACTORS:
                for table in (tables.FEATURES, tables.COSTS):
                    _empty(self.results / table.fill_path(extractor=name, **wildcards))
        for name in _REST:
            _empty(self.results / name)
        self.snakemake("--touch")


def _link(source: Path, place: Path, number: int) -> None:
    """One more hard link of a file, or of a copy of it where it has many."""
    copy = source.with_name(f"{source.stem}_{number // _LINKS}{source.suffix}")
    if not copy.exists():
        copy.write_bytes(source.read_bytes())
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    place.hardlink_to(copy)


def _blank(table: Any) -> dict[str, Any]:
    """A row of a table without content."""
    import pyarrow as pa

    def value(kind: pa.DataType) -> Any:
        return "" if pa.types.is_string(kind) else False if pa.types.is_boolean(kind) else 0

    return {c.name: None if c.nullable else value(c.type) for c in table.columns}


def _empty(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def one_job_per_video(folder: Path, videos: int) -> list[str]:
    """Write the rival, the same stages with a job per video and extractor; return its command."""
    folder.mkdir(parents=True, exist_ok=True)
    source = f"""\
VIDEOS = [f"v{{n}}" for n in range({videos})]
EXTRACTORS = {list(EXTRACTORS)}


rule all:
    input:
        expand("features/{{extractor}}/{{video}}.parquet", extractor=EXTRACTORS, video=VIDEOS),


rule import_video:
    output:
        "generation/{{video}}.json",
    params:
        source="videos/{{video}}.mp4",
    shell:
        "probe {{params.source}} > {{output}}"


rule conform_video:
    input:
        "generation/{{video}}.json",
    output:
        "conform/{{video}}.mp4",
    shell:
        "conform {{input}} {{output}}"


rule extract_features:
    input:
        "conform/{{video}}.mp4",
    output:
        "features/{{extractor}}/{{video}}.parquet",
    shell:
        "extract {{wildcards.extractor}} {{input}} {{output}}"
"""
    (folder / "Snakefile").write_text(source)
    return [sys.executable, "-m", "snakemake", "-n", "-q", "--cores", "8"]


def jobs(said: str) -> dict[str, Any]:
    """Return the counts of Snakemake's table of jobs."""
    import re

    found = re.findall(r"^(\w+) +(\d+)$", said, flags=re.MULTILINE)
    return {rule: int(count) for rule, count in found}
