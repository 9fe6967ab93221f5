"""Where results come from: the files with their sha256 and metadata, the code, an RO-Crate."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow.parquet as pq

from sfqa import __version__, store, tables
from sfqa.identity import digest, sha256_file
from sfqa.project_files import PROJECT

VERSION = 1

#: Tables of a dataset that a report reads, as patterns inside its folder. Any may be absent.
REPORT_TABLES = (
    tables.SAMPLES.path,
    tables.REJECTS.path,
    tables.CONFORMED.merged_path,
    tables.FEATURES.glob(),
    "ratings/*.parquet",
    tables.PREDICTIONS.glob(),
    "correlation/*.parquet",
)

#: Packages whose version can change a result.
PACKAGES = (
    "numpy", "scipy", "pandas", "pyarrow", "scikit-learn", "torch", "torchvision",
    "open-clip-torch", "av", "decord", "opencv-python-headless", "librosa", "duckdb", "matplotlib",
)  # fmt: skip

_QUERY_SEC = 30.0


def list_report_tables(folder: Path) -> list[Path]:
    """Return the tables in a dataset's folder that a report reads, sorted.

    >>> list_report_tables(Path("no such folder"))
    []
    """
    paths = {path for pattern in REPORT_TABLES for path in Path(folder).glob(pattern)}
    return sorted(path for path in paths if "cache" not in path.relative_to(folder).parts)


def describe_tables(folder: Path, files: Iterable[Path]) -> list[dict[str, Any]]:
    """Return a record of each Parquet file: path below ``folder``, sha256, bytes, rows, metadata.

    ``table`` is the name of the file's schema, ``about`` the metadata that its writer stored.
    """
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
                "about": store.read_metadata(path),
            }
        )
    return records


def compute_identity(records: Iterable[Mapping[str, Any]]) -> str:
    """Return one digest of the paths and contents of all tables.

    >>> compute_identity([{"path": "a", "sha256": "1"}]) == compute_identity([])
    False
    """
    return digest(sorted([record["path"], record["sha256"]] for record in records))


def describe_code(root: Path = PROJECT) -> dict[str, Any]:
    """Return version and commit of the code, whether files were edited, and package versions.

    ``commit`` is None if the code is not a git checkout or git is not installed.
    """
    commit = _run_git(root, "rev-parse", "HEAD") if (root / ".git").exists() else None
    edited = bool(commit and _run_git(root, "status", "--porcelain", "--untracked-files=no"))
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = installed_version(name)
        except PackageNotFoundError:
            continue
    return {
        "sfqa": __version__,
        "commit": commit,
        "committed": _run_git(root, "show", "-s", "--format=%cs", "HEAD") if commit else None,
        "edited": edited,
        "python": platform.python_version(),
        "packages": versions,
    }


def read_output(command: Sequence[str]) -> str | None:
    """Return a command's standard output without surrounding space, or None if it fails."""
    try:
        process = subprocess.run(
            list(command), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", timeout=_QUERY_SEC, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return process.stdout.strip()


def _run_git(root: Path, *arguments: str) -> str | None:
    return read_output(["git", "-C", str(root), *arguments])


def choose_date(code: Mapping[str, Any], files: Iterable[Path]) -> str:
    """Return the date of a crate in ISO 8601; the same input gives the same date.

    The first that is available: SOURCE_DATE_EPOCH, the date of the code's commit, the date of the
    newest file.
    """
    stamp = os.environ.get("SOURCE_DATE_EPOCH")
    if stamp is None and code.get("committed"):
        return str(code["committed"])
    seconds = float(stamp) if stamp else max((p.stat().st_mtime for p in files), default=0.0)
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


#: Terms in addition to the context of RO-Crate 1.1, as its section on extensions allows.
_TERMS = {"sha256": "https://schema.org/sha256"}

#: The published JSON-LD context, and the specification that the crate conforms to.
_CONTEXT = "https://w3id.org/ro/crate/1.1/context"
_SPECIFICATION = "https://w3id.org/ro/crate/1.1"


def build_crate(
    dataset: str,
    records: Sequence[Mapping[str, Any]],
    code: Mapping[str, Any],
    date: str,
    pages: Sequence[tuple[str, str]] = (),
) -> dict[str, Any]:
    """Return an RO-Crate 1.1 (JSON-LD) of a dataset's folder, its tables and their software.

    It belongs in the folder as ``ro-crate-metadata.json``. Each table is a ``File`` with size and
    sha256; metrics and extractors are ``SoftwareApplication`` entities with their options; one
    ``CreateAction`` links tables and code. ``pages``: (path, name) of pages for readers.
    """
    files = [_describe_file(record) for record in records]
    page_entities = [
        {"@id": path, "@type": ["Dataset"] if path.endswith("/") else ["File"], "name": name}
        for path, name in pages
    ]
    parts = [{"@id": entity["@id"]} for entity in (*files, *page_entities)]
    software = _list_software(records)
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"SFQA results: {dataset}",
        "description": f"Tables of the quality-assessment dataset {dataset}: samples, ratings, "
        "features, predictions of metrics and their correlation with the MOS, with the "
        "identity of every file.",
        "datePublished": date,
        "license": {"@id": "#licence"},
        "identifier": compute_identity(records),
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
        "softwareVersion": _format_version(code),
        "softwareRequirements": [f"Python {code['python']}"]
        + [f"{name} {version}" for name, version in sorted(code["packages"].items())],
    }
    run = {
        "@id": "#run",
        "@type": "CreateAction",
        "name": "The run that made the tables",
        "instrument": [{"@id": "#sfqa"}, *({"@id": entity["@id"]} for entity in software)],
        "result": [{"@id": entity["@id"]} for entity in files],
    }
    descriptor = {
        "@id": "ro-crate-metadata.json",
        "@type": "CreativeWork",
        "conformsTo": {"@id": _SPECIFICATION},
        "about": {"@id": "./"},
    }
    graph = [descriptor, root, licence, workflow, run, *software, *files, *page_entities]
    return {"@context": [_CONTEXT, _TERMS], "@graph": graph}


def _format_version(code: Mapping[str, Any]) -> str:
    commit = f", commit {code['commit']}" if code["commit"] else ""
    return f"{code['sfqa']}{commit}{' with local edits' if code['edited'] else ''}"


def _describe_file(record: Mapping[str, Any]) -> dict[str, Any]:
    table = tables.TABLES.get(record["table"])
    row = table.row if table else f"the features of one sample, {Path(record['path']).parts[1]}"
    return {
        # An IRI cannot hold every character of a file name.
        "@id": quote(record["path"], safe="/._-~()+,=@"),
        "@type": "File",
        "name": record["path"],
        "description": f"{record['rows']} rows; one row: {row}",
        "encodingFormat": "application/vnd.apache.parquet",
        "contentSize": str(record["bytes"]),
        "sha256": record["sha256"],
    }


def _list_software(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return an entity for each extractor and metric named in the files' metadata."""
    entities: dict[str, dict[str, Any]] = {}
    for record in records:
        metadata = record["about"]
        if "extractor" in metadata:
            name = f"extractor {metadata['extractor']}"
            version = str(metadata.get("version", "imported"))
            options = {k: metadata[k] for k in ("options", "weights") if k in metadata}
        elif "metric" in metadata:
            options = metadata["metric"]
            name = f"metric {options['name']}"
            versions = options.get("versions")
            version = json.dumps(versions, sort_keys=True) if versions else "1"
        else:
            continue
        identity = f"#{digest([name, version, options])[:16]}"
        entities[identity] = {
            "@id": identity,
            "@type": "SoftwareApplication",
            "name": name,
            "softwareVersion": version,
            "description": json.dumps(options, sort_keys=True, ensure_ascii=False),
        }
    return sorted(entities.values(), key=lambda entity: (entity["name"], entity["@id"]))
