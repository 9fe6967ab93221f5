"""Find official weights files on this machine and check them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sfqa.digests import Digests
from sfqa.download import is_web_page
from sfqa.errors import UserError
from sfqa.models.weights_files import WeightsFile
from sfqa.project_files import FETCHED
from sfqa.untrusted.documents import read_json

THERE, MISSING, WRONG = "there", "missing", "wrong"
#: The folder of the project into which weights files are fetched by default.
FOLDER = FETCHED / "weights"
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


@dataclass(frozen=True)
class WeightsStatus:
    """Whether a weights file is on this machine.

    ``state`` is there, missing or wrong. ``path`` and ``sha256`` are those of the file, if there
    is one. ``reason`` is a sentence for a wrong file: the expected and the actual digest.
    """

    state: str
    path: Path | None = None
    sha256: str = ""
    reason: str = ""


def list_candidates(
    entry: WeightsFile, folder: Path, mirrors: Sequence[str] = ()
) -> Iterator[Path]:
    """Yield the files that may be the weights, nearest first.

    They are sought in ``folder``, in mirrors that are folders, in the cache of the Hugging Face
    hub (HF_HUB_CACHE, HF_HOME) and in that of torch (TORCH_HOME).
    """
    folders = [folder, *(Path(mirror) for mirror in mirrors if "://" not in mirror)]
    paths = [parent / entry.file for parent in folders]
    if entry.hub:
        paths += _list_hub_snapshots(entry)
    checkpoints = _get_torch_folder() / "hub" / "checkpoints"
    paths.append(checkpoints / entry.file)
    for path in paths:
        if path.is_file():
            yield path


def find_weights(
    entry: WeightsFile,
    folder: Path,
    digests: Digests,
    mirrors: Sequence[str] = (),
    pinned: str = "",
) -> WeightsStatus:
    """Return the first file with the right content, else what is wrong with the first file.

    ``pinned`` is the sha256 that a dataset used before ('': none). Without it and without a
    published digest, any file of that name and size is accepted.
    """
    faults = []
    for path in list_candidates(entry, folder, mirrors):
        fault, sha256 = check_file(entry, path, digests, pinned)
        if not fault:
            return WeightsStatus(THERE, path, sha256)
        faults.append(WeightsStatus(WRONG, path, sha256, fault))
    return faults[0] if faults else WeightsStatus(MISSING)


def check_file(
    entry: WeightsFile, path: Path, digests: Digests, pinned: str = ""
) -> tuple[str, str]:
    """Return what is wrong with a file ('' if nothing is) and its sha256."""
    size = path.stat().st_size
    with open(path, "rb") as handle:
        beginning = handle.read(512)
    if beginning.startswith(_LFS_POINTER):
        return f"{path} is a pointer of git-lfs and not the file; fetch it (git lfs pull)", ""
    if not beginning:
        return f"{path} is empty", ""
    if is_web_page(beginning):
        return f"{path} is a web page and not the file", ""
    if entry.size is not None and size != entry.size:
        return f"{path} has {size} bytes, expected {entry.size}", ""
    sha256 = digests.get_sha256(path)
    if not sha256.startswith(entry.sha256):
        rest = "" if len(entry.sha256) == len(sha256) else "..."
        return (
            f"{path} has the sha256 {sha256}, expected {entry.sha256}{rest} ({entry.sha256_source})"
        ), sha256
    if pinned and sha256 != pinned:
        return (
            f"{path} has the sha256 {sha256}, expected {pinned}, which this dataset used before"
        ), sha256
    return "", sha256


def describe_missing(entry: WeightsFile, folder: Path) -> str:
    """Return how to get a missing file: the command, or what to do by hand.

    >>> entry = WeightsFile("net", "net.pth", "its authors", "MIT", "lse", by_hand="Ask them")
    >>> describe_missing(entry, Path("w"))
    'by hand: Ask them; put it into w as net.pth'
    """
    if entry.is_downloadable:
        option = (
            ""
            if folder.absolute() == FOLDER.absolute()
            else f" --folder {shlex.quote(str(folder))}"
        )
        return f"sfqa weights --fetch {entry.name}{option} (from {entry.source})"
    return f"by hand: {entry.by_hand}; put it into {folder} as {entry.file}"


def require_weights(
    entry: WeightsFile, folder: Path, sha256: str, where: str, mirrors: Sequence[str] = ()
) -> tuple[Path, str]:
    """Return the path and sha256 of a weights file for a job.

    ``sha256`` is the digest that the dataset uses ('': any that the publisher's digest allows).
    Raises :class:`UserError`, which begins with ``where``, if the file is missing or wrong.
    """
    digests = open_digests(folder)
    status = find_weights(entry, folder, digests, mirrors, sha256)
    save_digests(digests)
    if status.path is None:
        raise UserError(
            f"{where}: the official weights {entry.name} ({entry.file}) are missing; sfqa weights "
            f"{entry.name} says how to get them"
        )
    if status.state == WRONG:
        raise UserError(f"{where}: {status.reason}; put the right file there")
    return status.path, status.sha256


def read_manifest(path: Path | str) -> dict[str, Any]:
    """Return what :func:`sfqa.models.fetching.write_manifest` wrote: name, file, size, sha256."""
    manifest: dict[str, Any] = read_json(Path(path))
    return manifest


def open_digests(folder: Path) -> Digests:
    """Return the remembered digests of weights files, which are stored in their folder."""
    return Digests(folder.absolute(), lambda line: None)


def save_digests(digests: Digests) -> None:
    """Store digests for later calls, if their folder can be written to."""
    if digests.hashed:
        digests.save_if_possible()


def _list_hub_snapshots(entry: WeightsFile) -> list[Path]:
    """Return the file in every snapshot of its repository, that of the revision first."""
    cache = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    home = os.environ.get("HF_HOME") or str(_get_cache_home() / "huggingface")
    hub = Path(cache).expanduser() if cache else Path(home).expanduser() / "hub"
    repository = hub / f"models--{entry.hub.replace('/', '--')}"
    snapshots = sorted((repository / "snapshots").glob("*"))
    try:
        current = (repository / "refs" / entry.revision).read_text(encoding="utf-8").strip()
    except OSError:
        current = entry.revision
    snapshots.sort(key=lambda snapshot: snapshot.name != current)
    return [snapshot / entry.path for snapshot in snapshots]


def _get_torch_folder() -> Path:
    home = os.environ.get("TORCH_HOME")
    return Path(home).expanduser() if home else _get_cache_home() / "torch"


def _get_cache_home() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
