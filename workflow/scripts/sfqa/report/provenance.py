"""Where the numbers come from: files with sha256 and metadata, the code, an RO-Crate of it all."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow.parquet as pq

from sfqa import __version__, store, tables
from sfqa.identity import digest, sha256_file

VERSION = 1

#: What a report reads of a dataset, inside its folder; the last ones may be absent.
READ = (
    "samples.parquet",
    "rejects.parquet",
    "conform/videos.parquet",
    "features/*/*/*.parquet",
    "ratings/*.parquet",
    "regression/*/predictions.parquet",
    "correlation/*.parquet",
)

#: Packages whose version can change a number.
PACKAGES = (
    "numpy", "scipy", "pandas", "pyarrow", "scikit-learn", "torch", "torchvision",
    "open-clip-torch", "av", "decord", "opencv-python-headless", "librosa", "duckdb", "matplotlib",
)  # fmt: skip

_ROOT = Path(__file__).parents[4]


def found(folder: Path) -> list[Path]:
    """Return the tables of a dataset's folder that a report reads, sorted.

    >>> found(Path("no such folder"))
    []
    """
    paths = {path for pattern in READ for path in Path(folder).glob(pattern)}
    return sorted(path for path in paths if "cache" not in path.relative_to(folder).parts)


def file_records(folder: Path, files: Iterable[Path]) -> list[dict[str, Any]]:
    """Return each file's path below ``folder``, sha256, size, table kind, rows and own metadata."""
    records = []
    for path in sorted(files):
        schema = pq.read_schema(path)
        records.append(
            {
                "path": path.relative_to(folder).as_posix(),
                "sha256": sha256_file(path),
                "bytes": path.stat().st_size,
                "rows": pq.read_metadata(path).num_rows,
                "table": ((schema.metadata or {}).get(b"table") or b"").decode(),
                "about": store.metadata(path),
            }
        )
    return records


def identity_of(records: Iterable[Mapping[str, Any]]) -> str:
    """Return the identity of a whole result: a digest of the paths and contents of its tables.

    >>> identity_of([{"path": "a", "sha256": "1"}]) == identity_of([{"path": "a", "sha256": "2"}])
    False
    """
    return digest(sorted([record["path"], record["sha256"]] for record in records))


def code_state(root: Path = _ROOT) -> dict[str, Any]:
    """Return version and commit of the code in use, whether its files were edited, and packages.

    ``commit`` is None where the code is no git checkout or git is not installed.
    """
    commit = _git(root, "rev-parse", "HEAD") if (root / ".git").exists() else None
    edited = bool(commit and _git(root, "status", "--porcelain", "--untracked-files=no"))
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "sfqa": __version__,
        "commit": commit,
        "committed": _git(root, "show", "-s", "--format=%cs", "HEAD") if commit else None,
        "edited": edited,
        "python": platform.python_version(),
        "packages": versions,
    }


def _git(root: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def date_of(code: Mapping[str, Any], files: Iterable[Path]) -> str:
    """Return the day a crate is dated with, as ISO 8601, so that the same input gives the same.

    SOURCE_DATE_EPOCH where it is set, else the day of the code's commit, else of the newest table.
    """
    stamp = os.environ.get("SOURCE_DATE_EPOCH")
    if stamp is None and code.get("committed"):
        return str(code["committed"])
    seconds = float(stamp) if stamp else max((p.stat().st_mtime for p in files), default=0.0)
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


#: Terms beside the context of RO-Crate 1.1, as its section on additional terms has it.
_TERMS = {"sha256": "https://schema.org/sha256"}

#: The published JSON-LD context and the specification that the crate keeps to.
_CONTEXT = "https://w3id.org/ro/crate/1.1/context"
_SPECIFICATION = "https://w3id.org/ro/crate/1.1"


def crate(
    dataset: str,
    records: Sequence[Mapping[str, Any]],
    code: Mapping[str, Any],
    date: str,
    pages: Sequence[tuple[str, str]] = (),
) -> dict[str, Any]:
    """Return an RO-Crate 1.1 (JSON-LD) of a dataset's folder: its tables, and what made them.

    The file belongs into the folder as ``ro-crate-metadata.json``. Each table is a ``File`` with
    size and sha256; metrics and extractors are ``SoftwareApplication`` with their options; one
    ``CreateAction`` joins tables and code. ``pages``: (path, name) of what is for the eye.
    """
    files = [_file(record) for record in records]
    views = [
        {"@id": path, "@type": ["Dataset"] if path.endswith("/") else ["File"], "name": name}
        for path, name in pages
    ]
    parts = [{"@id": entity["@id"]} for entity in (*files, *views)]
    makers = _makers(records)
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"SFQA results: {dataset}",
        "description": f"Tables of the quality-assessment dataset {dataset}: samples, ratings, "
        "features, predictions of metrics and their correlation with the MOS, with the "
        "identity of every file.",
        "datePublished": date,
        "license": {"@id": "#licence"},
        "identifier": identity_of(records),
        "hasPart": parts,
        "mentions": {"@id": "#run"},
    }
    licence = {
        "@id": "#licence",
        "@type": "CreativeWork",
        "name": "No licence stated for the whole",
        "description": "The dataset states none; images and clips carry their own in the tables of "
        "the materials.",
    }
    workflow = {
        "@id": "#sfqa",
        "@type": "SoftwareApplication",
        "name": "SFQA",
        "softwareVersion": _version_of(code),
        "softwareRequirements": [f"Python {code['python']}"]
        + [f"{name} {version}" for name, version in sorted(code["packages"].items())],
    }
    run = {
        "@id": "#run",
        "@type": "CreateAction",
        "name": "The run that made the tables",
        "instrument": [{"@id": "#sfqa"}, *({"@id": maker["@id"]} for maker in makers)],
        "result": [{"@id": entity["@id"]} for entity in files],
    }
    descriptor = {
        "@id": "ro-crate-metadata.json",
        "@type": "CreativeWork",
        "conformsTo": {"@id": _SPECIFICATION},
        "about": {"@id": "./"},
    }
    graph = [descriptor, root, licence, workflow, run, *makers, *files, *views]
    return {"@context": [_CONTEXT, _TERMS], "@graph": graph}


def _version_of(code: Mapping[str, Any]) -> str:
    commit = f", commit {code['commit']}" if code["commit"] else ""
    return f"{code['sfqa']}{commit}{' with local edits' if code['edited'] else ''}"


def _file(record: Mapping[str, Any]) -> dict[str, Any]:
    known = tables.TABLES.get(record["table"])
    what = known.row if known else f"the features of one sample, {Path(record['path']).parts[1]}"
    return {
        # An IRI cannot hold every sign of a name.
        "@id": quote(record["path"], safe="/._-~()+,=@"),
        "@type": "File",
        "name": record["path"],
        "description": f"{record['rows']} rows; one row: {what}",
        "encodingFormat": "application/vnd.apache.parquet",
        "contentSize": str(record["bytes"]),
        "sha256": record["sha256"],
    }


def _makers(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The extractors and metrics that the files' metadata names, each once."""
    made: dict[str, dict[str, Any]] = {}
    for record in records:
        about = record["about"]
        if "extractor" in about:
            name, version = f"extractor {about['extractor']}", str(about.get("version", "imported"))
            options = {k: about[k] for k in ("options", "weights") if k in about}
        elif "metric" in about:
            name, version = f"metric {about['metric']['name']}", ""
            versions = about["metric"].get("versions")
            version = json.dumps(versions, sort_keys=True) if versions else "1"
            options = about["metric"]
        else:
            continue
        identity = f"#{digest([name, version, options])[:16]}"
        made[identity] = {
            "@id": identity,
            "@type": "SoftwareApplication",
            "name": name,
            "softwareVersion": version,
            "description": json.dumps(options, sort_keys=True, ensure_ascii=False),
        }
    return sorted(made.values(), key=lambda entity: (entity["name"], entity["@id"]))
