"""Files of a Hugging Face repository: fetch the missing ones and check the digests of all.

``huggingface_hub.snapshot_download`` downloads: several files at once, with retries, and after an
interruption only those that are not complete. This module adds what it does not do: it selects the
files that are missing in the program's repository, compares the digest of each file with that of
the hub, and marks a folder that is half filled.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from sfqa.digests import Digests, Log
from sfqa.download import check_free_space, move_into_place, resolve_target
from sfqa.errors import UserError
from sfqa.identity import digest
from sfqa.repositories.commands import get_error_line, run_command
from sfqa.repositories.sources import Download
from sfqa.store import replacing
from sfqa.untrusted.documents import read_json

_LIMIT_SEC = 7 * 24 * 3600.0
_PROCESS = Path(__file__).with_name("hub_process.py")


def fetch_hub(
    download: Download, entries: Iterable[str], repo: Path, parts: Path, digests: Digests
) -> None:
    """Fetch the files of a hub repository that lie at or below ``entries`` and are missing.

    They are downloaded into ``parts``, compared with the digests that the hub states (sha256 of
    large files, git's blob name of small ones) and renamed into place. While a folder is half
    filled, from the first rename to the last, a marker names the entries (:func:`list_pending`).
    Files that arrived before an error are kept. Raises :class:`UserError` for every failure of the
    hub.
    """
    marker, staging = _marker_path(download, parts), _staging_path(download, parts)
    staging.mkdir(parents=True, exist_ok=True)
    unfinished = list_pending(download, parts)
    entries = tuple(sorted({*entries, *unfinished}))
    commit, files = _list_files(download)
    digests.log(f"hub {download.hub}, revision {download.revision}: commit {commit}")
    missing = _select_missing(download, files, entries, repo, digests)
    for stale in staging.rglob(
        "*.incomplete"
    ):  # of a killed call; the library begins such files anew
        stale.unlink()
    to_download = [file for file, _ in missing if not (staging / file.path).is_file()]
    check_free_space(parts, sum(file.size for file in to_download), f"hub {download.hub}")
    names = [str(file.path) for file, _ in missing]
    failure = _download_files(download, commit, staging, names, digests.log) if names else ""
    for number, (file, target) in enumerate(missing, 1):
        staged = staging / file.path
        if not staged.is_file():
            continue
        sha256 = _check_digest(download, file, staged, digests)
        if unfinished != entries:
            unfinished = entries
            with replacing(marker) as temporary:
                temporary.write_text(json.dumps(entries) + "\n", encoding="utf-8")
        move_into_place(staged, target)
        if sha256:
            digests.add_sha256(target, sha256)
        size = f"{file.size / 1e6:.1f} MB"
        digests.log(f"hub {download.hub}: {number} of {len(missing)}, {file.path} ({size})")
    if failure:
        raise UserError(failure)
    shutil.rmtree(staging)
    marker.unlink(missing_ok=True)


def list_pending(download: Download, parts: Path) -> tuple[str, ...]:
    """Return the entries that an interrupted call of :func:`fetch_hub` left half filled."""
    try:
        stored = read_json(_marker_path(download, parts))
    except (OSError, ValueError):
        return ()
    return tuple(name for name in stored if isinstance(name, str))


def may_hold(download: Download, entry: str) -> bool:
    """Return whether a hub download can have files at or below an entry, judged by names alone.

    >>> may_hold(Download("w", "a/b", only=("unet/*",)), "w/unet/config.json")
    True
    >>> may_hold(Download("w", "a/b", only=("unet/*",)), "w/vae/")
    False
    """
    folder, path = PurePosixPath(download.to), PurePosixPath(entry)
    if folder.is_relative_to(path):
        return True
    if not path.is_relative_to(folder):
        return False
    name = path.relative_to(folder).as_posix()
    prefixes = [_literal_prefix(pattern) for pattern in download.only]
    return not prefixes or any(
        name.startswith(prefix.rstrip("/")) or prefix.startswith(name) for prefix in prefixes
    )


def _list_files(download: Download) -> tuple[str, list[Any]]:
    """Return the commit of the download's revision and the files of the repository there."""
    library = _import_library(download)
    api = library.HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None)
    with _errors_as_sentences(download):
        commit = str(api.repo_info(download.hub, revision=download.revision).sha)
        tree = list(api.list_repo_tree(download.hub, revision=commit, recursive=True))
    return commit, [item for item in tree if isinstance(item, library.hf_api.RepoFile)]


def _select_missing(
    download: Download, files: list[Any], entries: Iterable[str], repo: Path, digests: Digests
) -> list[tuple[Any, Path]]:
    """Return the files to fetch and their targets; existing large files are compared instead."""
    missing = []
    for file in sorted(files, key=lambda file: str(file.path)):
        name = PurePosixPath(str(file.path))
        if download.only and not any(fnmatchcase(str(name), p) for p in download.only):
            continue
        if name.is_absolute() or {"..", ".git"} & set(name.parts) or "\\" in str(name):
            raise UserError(f"hub {download.hub}: the file name {str(name)!r} is not safe; refused")
        inside = PurePosixPath(download.to) / name
        if not any(inside.is_relative_to(PurePosixPath(entry)) for entry in entries):
            continue
        target = resolve_target(repo, str(inside))
        if not target.exists():
            missing.append((file, target))
        elif file.lfs is not None and (
            target.stat().st_size != file.size or digests.get_sha256(target) != file.lfs.sha256
        ):
            actual, stated = digests.get_sha256(target), file.lfs.sha256
            raise UserError(
                f"{target} is not the file of hub {download.hub} (sha256 {actual}, on the hub "
                f"{stated}); delete it, so that it is fetched"
            )
    return missing


def _download_files(
    download: Download, commit: str, staging: Path, names: list[str], log: Log
) -> str:
    """Download files into a folder; return '' or why that failed."""
    code, lines = run_command(
        [sys.executable, "-P", _PROCESS, str(os.getpid()), download.hub, commit, staging, *names],
        staging,
        log,
        _LIMIT_SEC,
        {**os.environ, "TQDM_MININTERVAL": "5"},
        f"hub {download.hub}",
    )
    if code == 0:
        return ""
    error, _, message = (
        get_error_line(lines, code, _LIMIT_SEC).removeprefix("ERROR ").partition(": ")
    )
    return _describe_failure(download, error, message)


def _check_digest(download: Download, file: Any, staged: Path, digests: Digests) -> str:
    """Return the sha256 of a large file, '' for a small one; delete and raise if it is wrong."""
    if file.lfs is not None:
        actual, stated = digests.get_sha256(staged), str(file.lfs.sha256)
    else:
        content = staged.read_bytes()
        actual = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        stated = str(file.blob_id)
    if actual != stated:
        staged.unlink()
        raise UserError(
            f"hub {download.hub}: {file.path} came with the digest {actual}, not {stated}; it is "
            "deleted. Run again, or put the file there by hand"
        )
    return actual if file.lfs is not None else ""


def _literal_prefix(pattern: str) -> str:
    """Return what stands before the first wildcard of a pattern."""
    return pattern[: min((pattern.find(c) for c in "*?[" if c in pattern), default=len(pattern))]


def _marker_path(download: Download, parts: Path) -> Path:
    return parts / f"hub-{_download_key(download)}.json"


def _staging_path(download: Download, parts: Path) -> Path:
    return parts / f"hub-{_download_key(download)}"


def _download_key(download: Download) -> str:
    return digest([download.hub, download.revision, download.to])[:16]


def _import_library(download: Download) -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise UserError(
            f"hub {download.hub}: the package huggingface_hub is not installed ({error}); "
            "install it (pip install huggingface_hub), or put the files there by hand"
        ) from None

    return huggingface_hub


@contextmanager
def _errors_as_sentences(download: Download) -> Iterator[None]:
    """Turn what the hub's library raises into a sentence with what to do.

    It raises errors of its own, of its HTTP client and of the system, which differ between its
    versions: everything that is raised here comes from talking to a hub.
    """
    try:
        yield
    except Exception as error:
        message = _describe_failure(download, type(error).__name__, str(error))
        raise UserError(message) from None


def _describe_failure(download: Download, error: str, message: str) -> str:
    """Return the sentence for an error of the hub's library, with what to do."""
    text = " ".join(message.split())[:300]
    advice = ""
    if "Gated" in error or "401" in text or "403" in text:
        advice = (
            "; where the model asks for its licence to be accepted, accept it on its page, "
            "and give your token as HF_TOKEN"
        )
    return (
        f"hub {download.hub}, revision {download.revision}, cannot be fetched "
        f"({error}: {text}){advice}"
    )
