"""Install a program: repository, weights, environment, and a manifest of all of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from sfqa.digests import Digests, Log, iterate_files
from sfqa.download import fetch_url, lock_folder, resolve_target
from sfqa.errors import UserError
from sfqa.identity import digest, sha256_file
from sfqa.repositories import checkout, hub
from sfqa.repositories.environments import make_environment
from sfqa.repositories.sources import Source
from sfqa.store import replacing

MANIFEST = "manifest.json"
_CODE_SUFFIXES = (".py", ".yaml", ".yml", ".json")
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


def fetch_repository(
    label: str, source: Source, folder: Path, env_file: Path, log: Log, noun: str = "method"
) -> dict[str, Any]:
    """Install a program in ``folder`` and return its manifest, the same for the same content.

    ``label`` is the name of its entry in a registry, and ``noun`` what messages call such an entry.

    The parts are ``repo/``, the weights in it and ``env/``. A part that exists is checked and used;
    only missing parts are fetched. A call that was killed is resumed by the next one. Raises
    :class:`UserError` that lists what is missing and how to add it by hand. Of all that is fetched,
    only the Python of the environment is run, for its version; nothing is unpickled.
    """
    owner = f"{noun} {label}"
    folder = folder.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".lock").touch()
    except OSError as error:
        raise UserError(
            f"{owner}: {folder} cannot be written to ({error.strerror}); the manifest and "
            "the digests go there. Make a folder of your own and link repo and env into it"
        ) from None
    with lock_folder(folder, log):
        origin = checkout.check_out(owner, source, folder, log)
        digests = Digests(folder, log)
        try:
            files = _fill_weights(owner, source, folder, digests)
            weights = [
                {
                    "path": path.relative_to(folder).as_posix(),
                    "size": path.stat().st_size,
                    "sha256": digests.get_sha256(path),
                }
                for path in files
            ]
        finally:
            digests.save()
        digests.save(files)
        log(f"{owner}: {len(files)} weights files, {digests.hashed} of them hashed now")
        return {
            "label": label,
            "repository": source.repository,
            "commit": source.commit,
            "repo": origin,
            "code_sha256": digest_code(folder / "repo", origin, source.weights.files),
            "weights": weights,
            "python": make_environment(owner, folder, env_file, log),
        }


def write_manifest(manifest: dict[str, Any], path: Path) -> None:
    """Write a manifest as JSON, atomically; equal content gives equal bytes."""
    with replacing(path) as temporary:
        text = json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def digest_installation(folder: Path) -> str:
    """Return the sha256 of an installation's manifest, "" if there is none.

    >>> digest_installation(Path("no such folder"))
    ''
    """
    path = folder / MANIFEST
    return sha256_file(path) if path.is_file() else ""


def list_missing(source: Source, repo: Path) -> tuple[str, ...]:
    """Return the entries of ``weights.files`` that do not exist or are empty."""
    return tuple(entry for entry in source.weights.files if not _has_content(repo / entry))


def digest_code(repo: Path, origin: str, weights: Iterable[str] = ()) -> str:
    """Return one sha256 of the paths and bytes of a repository's Python, YAML and JSON files.

    In a clone these are the files that git tracks, in a folder filled by hand all files; weights
    are left out. So the unpacked ZIP of a commit has the same digest as its clone.
    """
    if origin == checkout.GIT:
        names = checkout.list_tracked_files(repo)
    else:
        names = [path.relative_to(repo).as_posix() for path in iterate_files(repo)]
    weights_paths = [PurePosixPath(entry) for entry in weights]
    rows = []
    for name in sorted(names):
        path = PurePosixPath(name)
        if path.suffix in _CODE_SUFFIXES and not any(map(path.is_relative_to, weights_paths)):
            file = repo / name
            rows.append([name, sha256_file(file) if file.is_file() else ""])
    return digest(rows)


def _fill_weights(owner: str, source: Source, folder: Path, digests: Digests) -> list[Path]:
    """Fetch the missing weights; return all files at or below the entries, sorted by path."""
    repo, parts = folder / "repo", folder / ".downloads"
    faults = []
    for download in source.weights.downloads:
        try:
            if download.url:
                if (repo / download.to).exists():
                    _check_sha256(repo / download.to, download.sha256, digests)
                else:
                    target = resolve_target(repo, download.to)
                    fetch_url(download.url, download.sha256, target, parts, digests)
            else:
                entries = [e for e in list_missing(source, repo) if hub.may_hold(download, e)]
                if entries or hub.list_pending(download, parts):
                    hub.fetch_hub(download, entries, repo, parts, digests)
        except UserError as error:
            advice = ""
            pending = download.hub and hub.list_pending(download, parts)
            if pending and not list_missing(source, repo):
                advice = f"; if you filled {repo / download.to} by hand, delete {parts}"
            faults.append(f"{error}{advice}")
    missing = list_missing(source, repo)
    files = sorted(
        {path for entry in source.weights.files for path in iterate_files(repo / entry)},
        key=lambda path: path.as_posix(),
    )
    faults += [
        f"{path} is a pointer of git-lfs, not the file; fetch it (git lfs pull) or download it"
        for path in files
        if path.stat().st_size < 1024 and path.read_bytes().startswith(_LFS_POINTER)
    ]
    if missing or faults:
        lines = [f"{owner}: its weights are not complete."]
        lines += [f"  {fault}" for fault in faults]
        lines += [f"  missing: {repo / entry}" for entry in missing]
        raise UserError("\n".join([*lines, f"  By hand: {source.weights.by_hand}"]))
    return files


def _check_sha256(path: Path, sha256: str, digests: Digests) -> None:
    actual = digests.get_sha256(path)
    if actual != sha256:
        raise UserError(
            f"{path} has the sha256 {actual}, not {sha256}; put the right file there, "
            "or delete it, so that it is fetched"
        )


def _has_content(path: Path) -> bool:
    """Return whether a path is a file with bytes in it, or a folder with a file below it."""
    if path.is_dir():
        return next(iterate_files(path), None) is not None
    return path.is_file() and path.stat().st_size > 0
