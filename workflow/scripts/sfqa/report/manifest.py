"""The manifest of a run: everything that its results depend on, and when and where it ran.

``same everywhere`` holds what two machines share when they compute the same thing: code, packages,
configuration, seeds, versions, and the sha256 of inputs and outputs. ``this run`` holds the rest:
time, hardware, and the cost of the features. :func:`compare_manifests` compares only the first
part. The RO-Crate is made from the same records (:mod:`sfqa.report.provenance`) for other tools.
"""

from __future__ import annotations

import json
import os
import platform
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pyarrow.parquet as pq

from sfqa import store, tables
from sfqa.device import get_processor_name
from sfqa.errors import UserError
from sfqa.identity import digest, sha256_file
from sfqa.plugins import read_version
from sfqa.project_files import IS_CHECKOUT, PACKAGE, PROJECT
from sfqa.report import provenance
from sfqa.untrusted.documents import read_json

VERSION = 1

#: The two parts of a manifest.
SAME, RUN = "same everywhere", "this run"

#: Tables that list input files: pattern, column of the original path, column of its sha256.
INPUT_TABLES = (
    (tables.IMAGES.path, "original", "original_sha256"),
    (tables.CLIPS.path, "original", "original_sha256"),
    (tables.VIDEOS.glob(), "path", "sha256"),
)

#: The code that made a run: all of the workflow in a checkout, else the installed package.
_WORKFLOW = PROJECT / "workflow" if IS_CHECKOUT else PACKAGE

Json = dict[str, Any]


def build_manifest(
    folder: Path,
    files: Iterable[Path],
    config: Mapping[str, Any],
    methods: Sequence[Mapping[str, Any]] = (),
    generators: Iterable[Path] = (),
) -> Json:
    """Return the manifest of a dataset's folder, JSON-like.

    ``files``: the final tables inside ``folder``, Parquet or text. ``config``: the complete
    configuration. ``methods``: the methods in use. ``generators``: manifests of installed ones.
    """
    folder, files = Path(folder), sorted(set(map(Path, files)))
    parquet_files = [path for path in files if path.suffix == ".parquet"]
    records = provenance.describe_tables(folder, parquet_files)
    outputs = {r["path"]: {k: r[k] for k in ("sha256", "bytes", "rows")} for r in records}
    for path in files:
        if path.suffix != ".parquet":
            name = path.relative_to(folder).as_posix()
            outputs[name] = {"sha256": sha256_file(path), "bytes": path.stat().st_size}
    same = {
        "dataset": config["dataset"],
        "identity": provenance.compute_identity({"path": p, **of} for p, of in outputs.items()),
        "code": describe_workflow(),
        "configuration": dict(config),
        "seeds": dict(_find_seeds(config)),
        "versions": {"modules": list_module_versions(), **_list_software(records)},
        "methods": {str(m["label"]): dict(m) for m in methods},
        "inputs": {**hash_named_files(config), **hash_inputs(folder)},
        "generators": {p.parent.name: sha256_file(p) for p in map(Path, generators) if p.is_file()},
        "devices": _count_devices(records),
        "tables": dict(sorted(outputs.items())),
    }
    run = {
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(),
        "scored": summarise_costs(folder, files),
    }
    return {"manifest": VERSION, SAME: same, RUN: run}


def write_manifest(manifest: Mapping[str, Any], path: Path) -> None:
    """Write a manifest as JSON, atomically. Equal content gives equal bytes.

    Keys are sorted, except those of the configuration: tables list metrics in its order.
    """
    with store.replacing(path) as temporary:
        ordered = json.loads(json.dumps(manifest, sort_keys=True))
        ordered[SAME]["configuration"] = manifest[SAME]["configuration"]
        text = json.dumps(ordered, indent=1, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def read_manifest(path: Path) -> Json:
    """Read a manifest. Raises :class:`UserError` if the file is not one."""
    try:
        content = read_json(Path(path), allow_nan=True)  # options of a configuration
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict) or not all(
        isinstance(content.get(part), dict) for part in (SAME, RUN)
    ):
        raise UserError(
            f"{path}: not a manifest of a run; name results/<dataset>/report/manifest.json"
        )
    return content


def compare_manifests(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each difference between two runs, an empty list for equal runs.

    Time and hardware are ignored. Causes come first (code, packages, configuration, inputs), then
    the tables that differ.

    >>> a = {SAME: {"seeds": {"seed": 1}, "tables": {}}, RUN: {"written": "today"}}
    >>> b = {SAME: {"seeds": {"seed": 2}, "tables": {}}, RUN: {"written": "tomorrow"}}
    >>> compare_manifests(a, b)
    ['seeds, seed: 1 in the first, 2 in the second']
    """
    first, second = first[SAME], second[SAME]
    causes = sorted((set(first) | set(second)) - {"identity", "tables"})
    differences = [
        line for name in causes for line in _describe_differences((name,), first, second)
    ]
    first_tables, second_tables = first.get("tables", {}), second.get("tables", {})
    for path in sorted(set(first_tables) | set(second_tables)):
        a, b = first_tables.get(path), second_tables.get(path)
        if a is None or b is None:
            differences.append(f"tables, {path}: only in the {'second' if a is None else 'first'}")
        elif a["sha256"] != b["sha256"]:
            rows = f" ({a['rows']} rows, {b['rows']} rows)" if "rows" in a and "rows" in b else ""
            differences.append(f"tables, {path}: different content{rows}")
    return differences


def _describe_differences(path: tuple[str, ...], first: Any, second: Any) -> Iterator[str]:
    """Yield a sentence for each difference at ``path[-1]`` of two mappings, and below it."""
    where, key = ", ".join(path), path[-1]
    if key not in first or key not in second:
        yield f"{where}: only in the {'second' if key not in first else 'first'}"
        return
    a, b = first[key], second[key]
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for name in sorted(set(a) | set(b)):
            yield from _describe_differences((*path, name), a, b)
    elif a != b:
        yield f"{where}: {a!r} in the first, {b!r} in the second"


def describe_workflow() -> Json:
    """Return commit, a digest of all files, packages, ffmpeg's version and environment files.

    ``files`` distinguishes two edited checkouts. ``packages`` are those of the environment that
    wrote the manifest; with one environment per rule, ``environments`` has the others.
    """
    paths = [_WORKFLOW.parent / "Snakefile", *sorted(_WORKFLOW.rglob("*"))]
    suffixes = (".py", ".smk", ".yaml", ".js", ".css", ".html", ".xml", "")
    sources = [
        path
        for path in paths
        if path.is_file() and path.suffix in suffixes and "__pycache__" not in path.parts
    ]
    files = digest([[p.relative_to(_WORKFLOW.parent).as_posix(), sha256_file(p)] for p in sources])
    environments = {p.stem: sha256_file(p) for p in sorted((_WORKFLOW / "envs").glob("*.yaml"))}
    return {
        **provenance.describe_code(),
        "files": files,
        "environments": environments,
        "ffmpeg": read_ffmpeg_version(),
    }


def read_ffmpeg_version() -> str | None:
    """Return the version that ffmpeg prints, or None if ffmpeg does not run."""
    from sfqa.media import ffmpeg_exe  # needs PyAV, which comparing and publishing do not

    try:
        program = ffmpeg_exe()
    except UserError:
        return None
    line = (provenance.read_output([program, "-version"]) or "").partition("\n")[0]
    return line.removeprefix("ffmpeg version ").partition(" Copyright")[0] or None


def list_module_versions() -> dict[str, int]:
    """Return the VERSION of every module that has one. Raising a VERSION re-runs its stage.

    >>> list_module_versions()["features/extractors/lse"] >= 1
    True
    """
    versions = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if "\nVERSION = " in path.read_text(encoding="utf-8"):
            name = path.relative_to(PACKAGE).with_suffix("").as_posix()
            versions[name] = read_version(path)
    return versions


def _find_seeds(config: Mapping[str, Any], *path: str) -> Iterator[tuple[str, Any]]:
    """Yield every ``seed`` of the configuration with its dotted key."""
    for key, value in config.items():
        if key == "seed":
            yield ".".join((*path, key)), value
        elif isinstance(value, Mapping):
            yield from _find_seeds(value, *path, str(key))


def _list_software(records: Sequence[Mapping[str, Any]]) -> Json:
    """Return extractors with options and weights, and metrics, as the tables' metadata has them."""
    extractors: dict[str, list[Json]] = {}
    metrics: Json = {}
    for metadata in (record["about"] for record in records):
        if "extractor" in metadata:
            variant = {k: metadata[k] for k in ("version", "options", "weights") if k in metadata}
            variants = extractors.setdefault(str(metadata["extractor"]), [])
            if variant not in variants:  # several if shards were made with different settings
                variants.append(variant)
        elif "metric" in metadata:
            models = {"models": metadata["models"]} if "models" in metadata else {}
            metrics[str(metadata["metric"]["name"])] = {**metadata["metric"], **models}
    ordered = {name: sorted(variants, key=digest) for name, variants in extractors.items()}
    return {"extractors": ordered, "metrics": metrics}


def _count_devices(records: Sequence[Mapping[str, Any]]) -> Json:
    """Return, for each extractor, how many rows were computed on a CPU and on a GPU.

    Their numbers differ in the last digits, so that this may be why two runs differ.
    """
    counts: dict[str, Counter[str]] = {}
    for metadata in (record["about"] for record in records):
        if metadata.get("extractor") and isinstance(metadata.get("devices"), Mapping):
            name = str(metadata["extractor"])
            counts.setdefault(name, Counter()).update(metadata["devices"])
    return {name: dict(sorted(count.items())) for name, count in sorted(counts.items())}


def hash_named_files(config: Mapping[str, Any], *path: str) -> Json:
    """Return path and sha256 of every file that the configuration names, by its dotted key.

    >>> hash_named_files({"ratings": {"path": "no such file"}})
    {}
    """
    hashes: Json = {}
    for name, value in config.items():
        key = (*path, str(name))
        if isinstance(value, Mapping):
            hashes |= hash_named_files(value, *key)
        elif isinstance(value, str) and "\n" not in value and len(value) < 4096:
            file = Path(value)
            if file.is_file():
                hashes[".".join(key)] = {"path": value, "sha256": sha256_file(file)}
    return hashes


def hash_inputs(folder: Path) -> Json:
    """Return the number of input files that each table lists, and one digest of their contents.

    Only the file name of a path counts, so that a moved folder is the same input.
    """
    hashes: Json = {}
    for pattern, path_column, sha256_column in INPUT_TABLES:
        rows = []
        for path in sorted(Path(folder).glob(pattern)):
            table = pq.read_table(path, columns=[path_column, sha256_column]).to_pydict()
            pairs = zip(table[path_column], table[sha256_column], strict=True)
            rows += [[Path(name or "").name, sha256] for name, sha256 in pairs if sha256]
        if rows:
            hashes[pattern] = {"files": len(rows), "digest": digest(sorted(rows))}
    return hashes


def describe_machine() -> Json:
    """Return processor, usable cores, memory in bytes, system, and GPUs with their driver."""
    affinity = getattr(os, "sched_getaffinity", None)
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    return {
        "processor": get_processor_name(),
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "gpus": (provenance.read_output(query) or "").splitlines(),
    }


def summarise_costs(folder: Path, files: Iterable[Path]) -> Json:
    """Return rows, seconds and peak memory of each extractor by device, from the cost tables.

    ``computed`` counts the rows that this run computed. The other rows came from the cache, and
    their device is that of the run that computed them. Cost tables are found next to the feature
    tables among ``files``.
    """
    frames = []
    for path in files:
        if not path.relative_to(folder).match(tables.FEATURES.glob()):
            continue
        extractor, method, shard = path.parts[-3], path.parts[-2], path.stem
        costs = folder / tables.COSTS.fill_path(extractor=extractor, method=method, shard=shard)
        if costs.is_file():
            frames.append(store.read(tables.COSTS, costs))
    summary: Json = {}
    if frames:
        for (name, device), rows in pd.concat(frames).groupby(["extractor", "device"]):
            seconds = rows["prepare_sec"].sum() + rows["device_sec"].sum()
            summary.setdefault(str(name), {})[str(device)] = {
                "rows": len(rows),
                "computed": int(rows["computed"].sum()),
                "seconds": round(float(seconds), 1),
                "peak_memory_mb": round(float(rows["peak_memory_mb"].max()), 1),
            }
    return summary
