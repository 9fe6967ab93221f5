"""Installing a generator: repository, weights, environment, and the manifest of what is there."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from sfqa.errors import UserError
from sfqa.generation.install import checkout, hub
from sfqa.generation.install.digests import Digests, regular_files
from sfqa.generation.install.download import fetch_url, place
from sfqa.generation.install.environments import make_environment
from sfqa.generation.install.sources import Source
from sfqa.generation.install.tools import Say
from sfqa.identity import digest, sha256_file
from sfqa.store import replacing

MANIFEST = "manifest.json"
_CODE = (".py", ".yaml", ".yml", ".json")
_POINTER = b"version https://git-lfs.github.com/spec/"


def fetch_generator(
    label: str, source: Source, folder: Path, env_file: Path, say: Say
) -> dict[str, Any]:
    """Install a generator in ``folder`` and return its manifest, the same for the same content.

    Each part (``repo/``, the weights in it, ``env/``) that is there is checked and used; only what
    is missing is fetched. A call that was killed is continued by the next. Raises
    :class:`UserError` with all that is missing and how to fill it by hand. Nothing fetched is run
    or unpickled but the environment's own Python, for its version.
    """
    folder = folder.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".lock").touch()
    except OSError as error:
        raise UserError(
            f"method {label}: {folder} cannot be written to ({error.strerror}); the manifest and "
            "the digests go there. Make a folder of your own and link repo and env into it"
        ) from None
    with _alone(folder, say):
        kind = checkout.check_out(label, source, folder, say)
        digests = Digests(folder, say)
        try:
            files = _fill_weights(label, source, folder, digests)
            weights = [
                {
                    "path": path.relative_to(folder).as_posix(),
                    "size": path.stat().st_size,
                    "sha256": digests.of(path),
                }
                for path in files
            ]
        finally:
            digests.save()
        digests.save(files)
        say(f"{label}: {len(files)} weights files, {digests.hashed} of them hashed now")
        return {
            "label": label,
            "repository": source.repository,
            "commit": source.commit,
            "repo": kind,
            "code_sha256": code_digest(folder / "repo", kind, source.weights.files),
            "weights": weights,
            "python": make_environment(label, folder, env_file, say),
        }


def write_manifest(manifest: dict[str, Any], path: Path) -> None:
    """Write a manifest as JSON, whole, by rename; equal content gives equal bytes."""
    with replacing(path) as temporary:
        text = json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def installed_digest(folder: Path) -> str:
    """Return the sha256 of an installation's manifest, "" where there is none.

    >>> installed_digest(Path("no such folder"))
    ''
    """
    path = folder / MANIFEST
    return sha256_file(path) if path.is_file() else ""


def missing(source: Source, repo: Path) -> tuple[str, ...]:
    """Return the entries of ``weights.files`` that are not there; an empty folder is not."""
    return tuple(entry for entry in source.weights.files if not _is_there(repo / entry))


def code_digest(repo: Path, kind: str, weights: Iterable[str] = ()) -> str:
    """Return one sha256 over the paths and bytes of a repository's Python, YAML and JSON files.

    Those that git tracks, or all where it was filled by hand, without the weights: a ZIP of the
    commit unpacked by hand gives the digest of its clone.
    """
    if kind == checkout.GIT:
        names = checkout.tracked_files(repo)
    else:
        names = [path.relative_to(repo).as_posix() for path in regular_files(repo)]
    apart = [PurePosixPath(entry) for entry in weights]
    rows = []
    for name in sorted(names):
        path = PurePosixPath(name)
        if path.suffix in _CODE and not any(path.is_relative_to(entry) for entry in apart):
            found = repo / name
            rows.append([name, sha256_file(found) if found.is_file() else ""])
    return digest(rows)


def _fill_weights(label: str, source: Source, folder: Path, digests: Digests) -> list[Path]:
    """Fetch what is missing, and return all files at or below the entries, sorted by path."""
    repo, parts = folder / "repo", folder / ".downloads"
    faults = []
    for download in source.weights.downloads:
        try:
            if download.url:
                target = place(repo, download.to) if not (repo / download.to).exists() else None
                if target is not None:
                    fetch_url(download.url, download.sha256, target, parts, digests)
                else:
                    _compare(repo / download.to, download.sha256, digests)
            else:
                begun = hub.pending(download, parts)
                needed = [e for e in missing(source, repo) if hub.may_hold(download, e)]
                if needed or begun:
                    hub.fetch_hub(download, needed, repo, parts, digests)
        except UserError as error:
            left = ""
            if download.hub and hub.pending(download, parts) and not missing(source, repo):
                left = f"; where you filled {repo / download.to} by hand, delete {parts}"
            faults.append(f"{error}{left}")
    absent = missing(source, repo)
    files = sorted(
        {path for entry in source.weights.files for path in regular_files(repo / entry)},
        key=lambda path: path.as_posix(),
    )
    faults += [
        f"{path} is a pointer of git-lfs, not the file; fetch it (git lfs pull) or download it"
        for path in files
        if path.stat().st_size < 1024 and path.read_bytes().startswith(_POINTER)
    ]
    if absent or faults:
        told = [f"method {label}: its weights are not complete."]
        told += [f"  {fault}" for fault in faults]
        told += [f"  missing: {repo / entry}" for entry in absent]
        raise UserError("\n".join([*told, f"  By hand: {source.weights.by_hand}"]))
    return files


def _compare(path: Path, sha256: str, digests: Digests) -> None:
    found = digests.of(path)
    if found != sha256:
        raise UserError(
            f"{path} has the sha256 {found}, not {sha256}; put the right file there, "
            "or delete it, so that it is fetched"
        )


def _is_there(path: Path) -> bool:
    """A file with bytes in it, or a folder with a file below it."""
    if path.is_dir():
        return next(regular_files(path), None) is not None
    return path.is_file() and path.stat().st_size > 0


@contextmanager
def _alone(folder: Path, say: Say) -> Iterator[None]:
    """Hold the folder's lock, which ends with the process; waits for another that holds it."""
    with open(folder / ".lock", "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{folder}: another process installs there; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:
            pass  # file systems without locks: the workflow's own lock has to do
        yield
