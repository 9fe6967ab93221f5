"""Get an official weights file: found on this machine, or downloaded; checked and pinned."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sfqa.digests import Digests, Log
from sfqa.download import fetch_url, lock_folder
from sfqa.errors import UserError
from sfqa.models.locating import (
    THERE,
    WRONG,
    WeightsStatus,
    describe_missing,
    find_weights,
    save_digests,
)
from sfqa.models.lock import WeightsLock
from sfqa.models.weights_files import WeightsFile
from sfqa.store import replacing

_REGISTRY = "config/weights.yaml"


def fetch_weights(
    entry: WeightsFile,
    folder: Path,
    mirrors: Sequence[str] = (),
    lock: WeightsLock | None = None,
    log: Log = print,
    **options: Any,
) -> dict[str, Any]:
    """Return name, file, size and sha256 of a weights file, downloaded if it is missing.

    A file on this machine is used where it is (:func:`sfqa.models.locating.list_candidates`).
    Otherwise it is downloaded into ``folder`` from the first ``mirrors`` address that has it, else
    from its publisher. With a ``lock``, the sha256 is pinned, and another one refused. ``options``
    go to :func:`sfqa.download.fetch_url`. The licence is logged before a download starts. Raises
    :class:`UserError` if the file is wrong or cannot be fetched.
    """
    folder = folder.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".lock").touch()
    except OSError as error:
        raise UserError(
            f"{folder}: weights cannot be stored there ({error.strerror}); name another folder "
            "(weights.folder of the configuration)"
        ) from None
    with lock_folder(folder, log):
        digests = Digests(folder, log)
        pinned = lock.get_pin(entry.name) if lock else ""
        status = find_weights(entry, folder, digests, mirrors, pinned)
        if status.state == WRONG:
            save_digests(digests)
            raise UserError(
                f"weights {entry.name}: {status.reason}; put the right file there, or delete it, "
                "so that it is fetched"
            )
        log(f"weights {entry.name}: licence: {entry.licence}")  # before anything is downloaded
        if status.state != THERE:
            status = _download(entry, folder, mirrors, pinned, digests, options)
        assert status.path is not None
        digests.save()
        if lock is not None:
            lock.pin(entry.name, status.sha256)
        log(f"weights {entry.name}: {status.path}, sha256 {status.sha256}")
        return {
            "name": entry.name,
            "file": entry.file,
            "size": status.path.stat().st_size,
            "sha256": status.sha256,
        }


def write_manifest(manifest: dict[str, Any], path: Path) -> None:
    """Write what :func:`fetch_weights` returns as JSON, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def _download(
    entry: WeightsFile,
    folder: Path,
    mirrors: Sequence[str],
    pinned: str,
    digests: Digests,
    options: dict[str, Any],
) -> WeightsStatus:
    """Download a file from the first address that has it; raises :class:`UserError`."""
    sha256, target = pinned or entry.sha256, folder / entry.file
    faults = []
    addresses = [f"{m.rstrip('/')}/{entry.file}" for m in mirrors if "://" in m]
    for address in [*addresses, ""]:
        try:
            if not address:
                if not entry.is_downloadable:
                    break
                address, sha256 = _resolve_publisher(entry, sha256)
            actual = fetch_url(
                address, sha256, target, folder / ".downloads", digests, size=entry.size,
                registry=_REGISTRY, **options,
            )  # fmt: skip
            return WeightsStatus(THERE, target, actual)
        except UserError as error:
            faults.append(str(error))
            digests.log(f"weights {entry.name}: {error}")
    if not entry.is_downloadable:
        faults.append(f"missing; {describe_missing(entry, folder)}")
    else:
        faults.append(
            f"by hand: get {entry.file} from {entry.source} and put it into {folder}"
            + (f" ({entry.by_hand})" if entry.by_hand else "")
        )
    raise UserError(f"weights {entry.name}: " + "\n  ".join(faults))


def _resolve_publisher(entry: WeightsFile, sha256: str) -> tuple[str, str]:
    """Return the publisher's address of a file, and its sha256, if a hub states it."""
    if not entry.hub:
        return entry.url, sha256
    import huggingface_hub

    endpoint = os.environ.get("HF_ENDPOINT") or None
    address = huggingface_hub.hf_hub_url(
        entry.hub, entry.path, revision=entry.revision, endpoint=endpoint
    )
    try:
        metadata = huggingface_hub.get_hf_file_metadata(address)
    except Exception as error:  # of the library, its HTTP client or the system
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"hub {entry.hub}: {entry.path} cannot be fetched ({type(error).__name__}: {reason}); "
            "where the model asks for its licence to be accepted, accept it on its page and give "
            "your token as HF_TOKEN"
        ) from None
    stated = str(metadata.etag or "")
    if len(stated) != 64:  # a small file: the hub states git's digest
        return metadata.location or address, sha256
    if not stated.startswith(sha256):
        raise UserError(
            f"hub {entry.hub}: {entry.path} now has the sha256 {stated}, not {sha256}; name the "
            f"older revision in {_REGISTRY}"
        )
    return metadata.location or address, stated
