"""Files of a Hugging Face hub repository: the missing ones, checked by the hub's own digests."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from sfqa.errors import UserError
from sfqa.generation.install.digests import Digests
from sfqa.generation.install.download import move_into_place, need_space, place
from sfqa.generation.install.sources import Download
from sfqa.identity import digest
from sfqa.store import replacing


def fetch_hub(
    download: Download, entries: Iterable[str], repo: Path, parts: Path, digests: Digests
) -> None:
    """Fetch the files of a hub repository that lie at or below ``entries`` and are not there.

    Each is downloaded into ``parts``, compared with the digest that the hub states (sha256 of
    large files, git's blob name of small ones) and renamed into place. From the first to the last
    of these a marker says so (:func:`pending`). Raises :class:`UserError` in every way a hub can
    fail.
    """
    library = _library(download)
    marker, staging = _marker(download, parts), _staging(download, parts)
    staging.mkdir(parents=True, exist_ok=True)
    begun = pending(download, parts)
    wanted = tuple(sorted({*entries, *begun}))
    endpoint = os.environ.get("HF_ENDPOINT") or None
    api = library.HfApi(endpoint=endpoint)
    with _sentences(download):
        commit = str(api.repo_info(download.hub, revision=download.revision).sha)
        tree = list(api.list_repo_tree(download.hub, revision=commit, recursive=True))
    digests.say(f"hub {download.hub}, revision {download.revision}: commit {commit}")
    files = [item for item in tree if type(item).__name__ == "RepoFile"]  # not its folders
    chosen = _absent(download, files, wanted, repo, digests)
    need_space(parts, sum(file.size for file, _ in chosen), f"hub {download.hub}")
    for number, (file, target) in enumerate(chosen, 1):
        start = time.monotonic()
        with _sentences(download):
            got = library.hf_hub_download(
                download.hub, file.path, revision=commit, local_dir=staging, endpoint=endpoint
            )
        found = _checked(download, file, Path(got), digests)
        if begun != wanted:  # from here on a folder may be half filled
            begun = wanted
            with replacing(marker) as temporary:
                temporary.write_text(json.dumps(wanted) + "\n", encoding="utf-8")
        move_into_place(Path(got), target)
        if found:
            digests.learn(target, found)
        rate = file.size / max(time.monotonic() - start, 1e-3) / 1e6
        digests.say(
            f"hub {download.hub}: {number} of {len(chosen)}, {file.path} "
            f"({file.size / 1e6:.1f} MB, {rate:.1f} MB/s)"
        )
    shutil.rmtree(staging)
    marker.unlink(missing_ok=True)


def pending(download: Download, parts: Path) -> tuple[str, ...]:
    """Return the entries that an interrupted call of :func:`fetch_hub` had begun to fill."""
    try:
        stored = json.loads(_marker(download, parts).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ()
    return tuple(name for name in stored if isinstance(name, str))


def may_hold(download: Download, entry: str) -> bool:
    """Return whether a hub download can have files at or below an entry, going by names alone.

    >>> may_hold(Download("w", "a/b", only=("unet/*",)), "w/unet/config.json")
    True
    >>> may_hold(Download("w", "a/b", only=("unet/*",)), "w/vae/")
    False
    """
    to, wanted = PurePosixPath(download.to), PurePosixPath(entry)
    if to.is_relative_to(wanted):
        return True
    if not wanted.is_relative_to(to):
        return False
    name = wanted.relative_to(to).as_posix()
    heads = [_before_wildcard(pattern) for pattern in download.only]
    return not heads or any(name.startswith(h.rstrip("/")) or h.startswith(name) for h in heads)


def _absent(
    download: Download, files: list[Any], entries: Iterable[str], repo: Path, digests: Digests
) -> list[tuple[Any, Path]]:
    """The hub's files to fetch with their places; those that are there are compared instead."""
    chosen = []
    for file in sorted(files, key=lambda file: str(file.path)):
        name = PurePosixPath(str(file.path))
        if download.only and not any(fnmatchcase(str(name), p) for p in download.only):
            continue
        unsafe = name.is_absolute() or {"..", ".git"} & set(name.parts) or "\\" in str(name)
        if unsafe:
            raise UserError(f"hub {download.hub}: the file name {str(name)!r} is not safe; refused")
        inside = PurePosixPath(download.to) / name
        if not any(inside.is_relative_to(PurePosixPath(entry)) for entry in entries):
            continue
        target = place(repo, str(inside))
        if not target.exists():
            chosen.append((file, target))
        elif file.lfs is not None and (
            target.stat().st_size != file.size or digests.of(target) != file.lfs.sha256
        ):
            raise UserError(
                f"{target} is not the file of hub {download.hub} (sha256 {digests.of(target)}, "
                f"there {file.lfs.sha256}); delete it, so that it is fetched"
            )
    return chosen


def _checked(download: Download, file: Any, got: Path, digests: Digests) -> str:
    """The sha256 of a large file, "" for a small one; deletes and raises where it is another."""
    if file.lfs is not None:
        found, wanted = digests.of(got), str(file.lfs.sha256)
    else:
        content = got.read_bytes()
        found = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        wanted = str(file.blob_id)
    if found != wanted:
        got.unlink()
        raise UserError(
            f"hub {download.hub}: {file.path} came with the digest {found}, not {wanted}; it is "
            "deleted. Run again, or put the file there by hand"
        )
    return found if file.lfs is not None else ""


def _before_wildcard(pattern: str) -> str:
    return pattern[: min((pattern.find(c) for c in "*?[" if c in pattern), default=len(pattern))]


def _marker(download: Download, parts: Path) -> Path:
    return parts / f"hub-{_key(download)}.json"


def _staging(download: Download, parts: Path) -> Path:
    return parts / f"hub-{_key(download)}"


def _key(download: Download) -> str:
    return digest([download.hub, download.revision, download.to])[:16]


def _library(download: Download) -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise UserError(
            f"hub {download.hub}: the package huggingface_hub is not installed ({error}); "
            "install it (pip install huggingface_hub), or put the files there by hand"
        ) from None

    return huggingface_hub


class _sentences:
    """Turn what the hub's library raises into a sentence with what to do.

    It raises errors of its own, of its http client and of the system, which differ between its
    versions: everything that is raised here comes from talking to a hub.
    """

    def __init__(self, download: Download) -> None:
        self.download = download

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: object, _: object) -> None:
        if kind is None or not issubclass(kind, Exception):
            return
        text = " ".join(str(error).split())[:300]
        advice = ""
        if "Gated" in kind.__name__ or "401" in text or "403" in text:
            advice = (
                "; where the model asks for its licence to be accepted, accept it on its page, "
                "and give your token as HF_TOKEN"
            )
        raise UserError(
            f"hub {self.download.hub}, revision {self.download.revision}, cannot be fetched "
            f"({kind.__name__}: {text}){advice}"
        ) from None
