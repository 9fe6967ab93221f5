"""Copies of finished files by the digest of what they were made from, safe against kill -9."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from sfqa import store
from sfqa.untrusted.documents import read_json

_RECORD = "files.json"


class FileCache:
    """The files that one item of a job was last made into, as copies in a folder of its own.

    Snakemake deletes the declared outputs of a job before the job runs again; the copies are not
    declared, so an item whose inputs are the same is copied back instead of computed. A missing,
    incomplete or changed copy is a miss.

    >>> import tempfile; folder = Path(tempfile.mkdtemp())
    >>> cache, path = FileCache(folder / "cache"), folder / "table.csv"
    >>> _ = path.write_text("a,b"); cache.keep_files("key", [path]); path.unlink()
    >>> cache.restore_files("key", [path]), path.read_text(), cache.restore_files("other", [path])
    (True, 'a,b', False)
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def keep_files(self, key: str, paths: Sequence[Path]) -> None:
        """Copy the files of an item; an earlier copy of the same names is replaced."""
        sha256 = {}
        for path in paths:
            content = path.read_bytes()
            sha256[path.name] = hashlib.sha256(content).hexdigest()
            with store.replacing(self._copy_of(path)) as temporary:
                temporary.write_bytes(content)
        # Written last: until then the old record does not fit the new copies.
        with store.replacing(self.folder / _RECORD) as temporary:
            temporary.write_text(json.dumps({"key": key, "sha256": sha256}), "utf-8")

    def restore_files(self, key: str, paths: Sequence[Path]) -> bool:
        """Copy the files of an item back and return True if sound copies have this key."""
        try:
            record = read_json(self.folder / _RECORD)
            contents = [self._copy_of(path).read_bytes() for path in paths]
            digests = [record["sha256"][path.name] for path in paths]
            is_sound = record["key"] == key and digests == [
                hashlib.sha256(content).hexdigest() for content in contents
            ]
        except (OSError, ValueError, LookupError, TypeError):
            return False
        if is_sound:
            for path, content in zip(paths, contents, strict=True):
                with store.replacing(path) as temporary:
                    temporary.write_bytes(content)
        return is_sound

    def _copy_of(self, path: Path) -> Path:
        # Another ending, so that no reader of *.parquet takes the copy for one more table.
        return self.folder / f"{path.name}.copy"
