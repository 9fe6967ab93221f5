"""Identity by content: sha256 of files and values, names of samples, shards, seeds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

#: Size, time of the last change of the content and of any change; None if there is no file.
Stamp = list[int] | None


def sha256_file(path: Path | str) -> str:
    """Return the sha256 of a file's bytes as 64 hex digits.

    Raises ``FileNotFoundError`` if there is no such file.

    >>> import tempfile; f = tempfile.NamedTemporaryFile(); sha256_file(f.name)[:8]
    'e3b0c442'
    """
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def read_stamp(path: Path | str) -> Stamp:
    """Return size, time of the last content change and of any change; None if there is no file.

    It changes with the file's content, and no byte of the file is read.
    """
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def digest(value: Any) -> str:
    """Return the sha256 of a JSON-like value, independent of dictionary order.

    Raises ``TypeError`` for values that JSON cannot hold, since their identity would be a guess.

    >>> digest({"a": 1, "b": [2.5, None]}) == digest({"b": [2.5, None], "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def shard_of(sample_id: str, shards: int) -> int:
    """Return the shard of a sample, 0 to ``shards - 1``.

    The shard depends on the sample's name only, so a new sample does not move another one.

    >>> shard_of("a__b__sharp", 4) == shard_of("a__b__sharp", 4)
    True
    """
    return int(hashlib.sha256(sample_id.encode()).hexdigest()[:12], 16) % shards


def pair_id(image_id: str, clip_id: str) -> str:
    """Return the name of an image/clip pair.

    >>> pair_id("img01", "clip02")
    'img01__clip02'
    """
    return f"{image_id}__{clip_id}"


def sample_id(pair: str, method: str) -> str:
    """Return the name of a sample: a pair animated by a method.

    >>> sample_id("img01__clip02", "sharp")
    'img01__clip02__sharp'
    """
    return f"{pair}__{method}"


def seed_of(*parts: str | int) -> int:
    """Return a seed below 2**63 that depends on the given parts only.

    >>> seed_of(1, "rater03", "a__b__sharp") == seed_of(1, "rater03", "a__b__sharp")
    True
    """
    return int(digest([str(part) for part in parts])[:15], 16)


def random_generator(*parts: str | int) -> np.random.Generator:
    """Return a numpy generator seeded by the given parts (:func:`seed_of`).

    >>> bool(random_generator(1, "a").random() == random_generator(1, "a").random())
    True
    """
    return np.random.default_rng(seed_of(*parts))


def digest_rows(rows: Iterable[dict[str, Any]]) -> str:
    """Return one digest for table rows, independent of their order.

    >>> digest_rows([{"a": 1}, {"a": 2}]) == digest_rows([{"a": 2}, {"a": 1}])
    True
    """
    return digest(sorted(digest(row) for row in rows))
