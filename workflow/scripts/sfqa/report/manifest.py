"""The manifest of a run: all that its numbers rest on, kept apart from when and where it ran.

``same everywhere`` holds what two machines share when they made the same thing: code, packages,
configuration, seeds, versions, and the sha256 of what came in and what came out. ``this run`` holds
the rest: time, hardware, and what scored the rows. Two manifests are compared by the former alone
(:func:`compare`). The RO-Crate beside it describes the tables to others' tools; both are made of
the same records (:mod:`sfqa.report.provenance`).
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from sfqa import store, tables
from sfqa.device import get_processor_name
from sfqa.errors import UserError
from sfqa.features.base import literal_version
from sfqa.identity import digest, sha256_file
from sfqa.media import ffmpeg_exe
from sfqa.report import provenance

VERSION = 1

#: The two halves of a manifest.
SAME, RUN = "same everywhere", "this run"

#: Files that came in, by table: glob, column of the path as it was given, column of its sha256.
BROUGHT = (
    ("materials/images.parquet", "original", "original_sha256"),
    ("materials/clips.parquet", "original", "original_sha256"),
    ("generation/*/*.parquet", "path", "sha256"),
)

_PACKAGE = Path(__file__).parents[1]
_WORKFLOW = Path(__file__).parents[3]
_QUERY_SEC = 30.0

Json = dict[str, Any]


def manifest(
    folder: Path,
    files: Iterable[Path],
    config: Mapping[str, Any],
    methods: Sequence[Mapping[str, Any]] = (),
    generators: Iterable[Path] = (),
) -> Json:
    """Return the manifest of a dataset's folder, JSON-like.

    ``files``: the final tables, Parquet or text, inside ``folder``; ``config``: the complete
    configuration; ``methods``: those in use as data; ``generators``: manifests of installed ones.
    """
    folder, given = Path(folder), sorted(set(map(Path, files)))
    records = provenance.file_records(folder, [p for p in given if p.suffix == ".parquet"])
    made = {r["path"]: {k: r[k] for k in ("sha256", "bytes", "rows")} for r in records}
    for path in given:
        if path.suffix != ".parquet":
            name = path.relative_to(folder).as_posix()
            made[name] = {"sha256": sha256_file(path), "bytes": path.stat().st_size}
    same = {
        "dataset": config["dataset"],
        "identity": provenance.identity_of({"path": p, **of} for p, of in made.items()),
        "code": code(),
        "configuration": dict(config),
        "seeds": dict(_seeds(config)),
        "versions": {"modules": module_versions(), **_makers(records)},
        "methods": {str(m["label"]): dict(m) for m in methods},
        "inputs": {**named_files(config), **brought(folder)},
        "generators": {p.parent.name: sha256_file(p) for p in map(Path, generators) if p.is_file()},
        "tables": dict(sorted(made.items())),
    }
    run = {"written": _now(), "machine": machine(), "scored": scored(folder, given)}
    return {"manifest": VERSION, SAME: same, RUN: run}


def write(made: Mapping[str, Any], path: Path) -> None:
    """Write a manifest as JSON, whole, by rename; equal content gives equal bytes."""
    with store.replacing(path) as temporary:
        text = json.dumps(made, indent=1, sort_keys=True, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def read(path: Path) -> Json:
    """Read a manifest; raises :class:`UserError` for a file that is none."""
    try:
        made = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        made = None
    if not isinstance(made, dict) or not all(isinstance(made.get(h), dict) for h in (SAME, RUN)):
        raise UserError(
            f"{path}: not a manifest of a run; name results/<dataset>/report/manifest.json"
        )
    return made


def compare(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each difference between two runs that may matter; none: the same run.

    Time and hardware do not count. Causes come first (code, packages, configuration, inputs), then
    the tables that differ.

    >>> a = {SAME: {"seeds": {"seed": 1}, "tables": {}}, RUN: {"written": "today"}}
    >>> compare(a, {SAME: {"seeds": {"seed": 2}, "tables": {}}, RUN: {"written": "tomorrow"}})
    ['seeds, seed: 1 in the first, 2 in the second']
    """
    one, two = first[SAME], second[SAME]
    causes = sorted((set(one) | set(two)) - {"identity", "tables"})
    said = [line for name in causes for line in _apart((name,), one, two)]
    there, here = one.get("tables", {}), two.get("tables", {})
    for path in sorted(set(there) | set(here)):
        a, b = there.get(path), here.get(path)
        if a is None or b is None:
            said.append(f"tables, {path}: only in the {'second' if a is None else 'first'}")
        elif a["sha256"] != b["sha256"]:
            rows = f" ({a['rows']} rows, {b['rows']} rows)" if "rows" in a and "rows" in b else ""
            said.append(f"tables, {path}: other content{rows}")
    return said


def _apart(path: tuple[str, ...], one: Any, two: Any) -> Iterator[str]:
    """Sentences for what differs at and below a place that both may have."""
    where = ", ".join(path)
    if path[-1] not in one or path[-1] not in two:
        yield f"{where}: only in the {'second' if path[-1] not in one else 'first'}"
        return
    a, b = one[path[-1]], two[path[-1]]
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for name in sorted(set(a) | set(b)):
            yield from _apart((*path, name), a, b)
    elif a != b:
        yield f"{where}: {a!r} in the first, {b!r} in the second"


def code() -> Json:
    """Return what made the numbers: commit, a digest of all files, packages, tools, environments.

    ``files`` tells two edited checkouts apart. ``packages`` are those of the environment in which
    the manifest was written; with one environment per rule, ``environments`` says what was pinned.
    """
    paths = [_WORKFLOW.parent / "Snakefile", *sorted(_WORKFLOW.rglob("*"))]
    kinds = (".py", ".smk", ".yaml", ".js", ".css", ".html", ".xml", "")
    own = [p for p in paths if p.is_file() and p.suffix in kinds and "__pycache__" not in p.parts]
    files = digest([[p.relative_to(_WORKFLOW.parent).as_posix(), sha256_file(p)] for p in own])
    environments = {p.stem: sha256_file(p) for p in sorted((_WORKFLOW / "envs").glob("*.yaml"))}
    state = provenance.code_state()
    return {**state, "files": files, "environments": environments, "ffmpeg": ffmpeg_version()}


def ffmpeg_version() -> str | None:
    """Return the version of the ffmpeg in use, as it says it; None where it does not run."""
    line = (_output([ffmpeg_exe(), "-version"]) or "").partition("\n")[0]
    return line.removeprefix("ffmpeg version ").partition(" Copyright")[0] or None


def module_versions() -> dict[str, int]:
    """Return every VERSION of the package by module: what re-runs a stage when it is raised.

    >>> module_versions()["features/extractors/lse"] >= 1
    True
    """
    found = {}
    for path in sorted(_PACKAGE.rglob("*.py")):
        if "\nVERSION = " in path.read_text(encoding="utf-8"):
            name = path.relative_to(_PACKAGE).with_suffix("").as_posix()
            found[name] = literal_version(path)
    return found


def _seeds(config: Mapping[str, Any], *path: str) -> Iterator[tuple[str, Any]]:
    """Every ``seed`` of the configuration by its place; all random numbers come from these."""
    for key, value in config.items():
        if key == "seed":
            yield ".".join((*path, key)), value
        elif isinstance(value, Mapping):
            yield from _seeds(value, *path, str(key))


def _makers(records: Sequence[Mapping[str, Any]]) -> Json:
    """What the tables say made them: extractors with options and weights, metrics with versions."""
    extractors: dict[str, list[Json]] = {}
    metrics: Json = {}
    for about in (record["about"] for record in records):
        if "extractor" in about:
            told = {k: about[k] for k in ("version", "options", "weights") if k in about}
            listed = extractors.setdefault(str(about["extractor"]), [])
            if told not in listed:  # more than one: shards of different making
                listed.append(told)
        elif "metric" in about:
            extra = {"models": about["models"]} if "models" in about else {}
            metrics[str(about["metric"]["name"])] = {**about["metric"], **extra}
    steady = {name: sorted(told, key=digest) for name, told in extractors.items()}
    return {"extractors": steady, "metrics": metrics}


def named_files(config: Mapping[str, Any], *path: str) -> Json:
    """Return path and sha256 of every file that the configuration names, by its key.

    >>> named_files({"ratings": {"path": "no such file"}})
    {}
    """
    found: Json = {}
    for key, value in config.items():
        place = (*path, str(key))
        if isinstance(value, Mapping):
            found |= named_files(value, *place)
        elif isinstance(value, str) and "\n" not in value and len(value) < 4096:
            file = Path(value)
            if file.is_file():
                found[".".join(place)] = {"path": value, "sha256": sha256_file(file)}
    return found


def brought(folder: Path) -> Json:
    """Return how many files each table speaks of that came in, and one digest of their contents.

    Paths count by their name alone, so that another folder is no other input.
    """
    found: Json = {}
    for pattern, name, sha in BROUGHT:
        paths = sorted(Path(folder).glob(pattern))
        rows = []
        for path in paths:
            part = pq.read_table(path, columns=[name, sha]).to_pydict()
            pairs = zip(part[name], part[sha], strict=True)
            rows += [[Path(p or "").name, s] for p, s in pairs if s]
        if rows:
            found[pattern] = {"files": len(rows), "digest": digest(sorted(rows))}
    return found


def machine() -> Json:
    """Return processor, cores that may be used, memory in bytes, system, GPUs with their driver."""
    known = os.sysconf_names if hasattr(os, "sysconf_names") else {}
    memory = None
    if "SC_PHYS_PAGES" in known:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    affinity = getattr(os, "sched_getaffinity", None)
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    return {
        "processor": get_processor_name(),
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
        "memory_bytes": memory,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "gpus": (_output(query) or "").splitlines(),
    }


def scored(folder: Path, files: Iterable[Path]) -> Json:
    """Return what the cost tables say of each extractor: by device rows, seconds, peak memory.

    ``computed`` rows were computed by the jobs of this run, the others came from the cache: their
    device is that of the run that computed them. Costs lie beside the feature tables ``files``.
    """
    frames = []
    for path in files:
        parts = path.relative_to(folder).parts
        costs = path.parents[1] / "costs" / path.parent.name / path.name
        if parts[0] == "features" and costs.is_file():
            frames.append(store.read(tables.COSTS, costs))
    found: Json = {}
    if frames:
        for (name, device), own in pd.concat(frames).groupby(["extractor", "device"]):
            seconds = own["prepare_sec"].sum() + own["device_sec"].sum()
            found.setdefault(str(name), {})[str(device)] = {
                "rows": len(own),
                "computed": int(own["computed"].sum()),
                "seconds": round(float(seconds), 1),
                "peak_memory_mb": round(float(own["peak_memory_mb"].max()), 1),
            }
    return found


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _output(command: Sequence[str]) -> str | None:
    try:
        done = subprocess.run(
            list(command), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", timeout=_QUERY_SEC, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
