"""Extract one extractor's features for the videos of one shard, through the row cache."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from sfqa import store
from sfqa.cache import RowCache
from sfqa.features import base, weights
from sfqa.identity import digest

log = logging.getLogger("sfqa")


def row_key(kind: type[base.Extractor], identity: Mapping[str, Any], video: base.Video) -> str:
    """Return the cache key of a row: the content that the numbers depend on, and nothing else."""
    content = {
        "video": video.sha256,
        "audio": video.audio_sha256,
        "prompt": video.prompt,
        "fps": video.fps,
    }
    used = {name: content[name] for name in (*kind.INPUTS, "fps")}
    return digest({"content": used, **identity})


def extract_shard(
    conformed: pd.DataFrame,
    name: str,
    spec: Mapping[str, Any],
    cache_folder: Path,
    writer: str,
    device: Callable[[], AbstractContextManager[str]],
) -> tuple[pa.Table, dict[str, Any]]:
    """Return the feature table of a shard (rows of the conformed table) and its metadata.

    ``spec`` is ``features.<name>`` of the configuration. Only rows that the cache does not hold
    are computed, and a device is taken and the model built only when there are any. A video that
    failed earlier, or cannot be scored, is a row with the reason.
    """
    kind = base.load(name)
    options = base.merged_options(kind.OPTIONS, spec.get("options") or {}, name)
    found = weights.resolve(spec, name)
    identity = {
        "extractor": name, "version": base.version(name), "options": options,
        "weights": found.identity,
    }  # fmt: skip
    cache = RowCache(cache_folder, writer, _cache_schema(kind))
    model: base.Extractor | None = None
    rows, computed, started = [], 0, time.monotonic()
    records = store.records(conformed)
    with ExitStack() as stack:
        for number, record in enumerate(records, 1):
            head = {"sample_id": record["sample_id"], "method": record["method"]}
            if record["status"] == "failed":
                rows.append(head | {"status": "failed", "detail": record["detail"]})
                continue
            video = _video(record)
            key = row_key(kind, identity, video)
            row = cache.get(key)
            if row is None:
                model = model or kind(options, found, stack.enter_context(device()))
                cache.put(key, _flat(kind, head | {"key": key} | _extract(model, video)))
                row = cache.get(key) or {}
                computed += 1
            row = _shaped(row) | head
            rows.append(row)
            log.info(
                "%s %d of %d: %s %s %s", name, number, len(records), video.sample_id,
                row["status"], row["detail"],
            )  # fmt: skip
    log.info(
        "%s: %d rows, %d computed, %d from the cache or failed before, %.1f s",
        name, len(rows), computed, len(rows) - computed, time.monotonic() - started,
    )  # fmt: skip
    metadata = {
        **{k: v for k, v in identity.items() if k != "weights"},
        "weights": {"kind": found.kind, "identity": found.identity},
    }
    return base.to_table(kind.FEATURES, rows), metadata


def _extract(model: base.Extractor, video: base.Video) -> dict[str, Any]:
    try:
        values = dict(model.extract(video))
    except base.UnusableError as error:
        return {"status": "failed", "detail": str(error)}
    detail = values.pop("detail", "") or ""
    return {"status": "flawed" if detail else "ok", "detail": detail, **values}


def _cache_schema(kind: type[base.Extractor]) -> pa.Schema:
    """The feature table's columns and, since tensors are stored flat, their shapes as JSON."""
    return base.schema(kind.FEATURES).append(pa.field("shapes", pa.string())).remove_metadata()


def _flat(kind: type[base.Extractor], row: dict[str, Any]) -> dict[str, Any]:
    shapes = {
        f.name: list(np.shape(row[f.name]))
        for f in kind.FEATURES
        if f.axes and row.get(f.name) is not None
    }
    table = base.to_table(kind.FEATURES, [row])
    cells = {name: table.column(name)[0].as_py() for name in table.schema.names}
    return cells | {"shapes": json.dumps(shapes)}


def _shaped(row: dict[str, Any]) -> dict[str, Any]:
    shapes = json.loads(row.pop("shapes"))
    return row | {name: np.reshape(row[name], shape) for name, shape in shapes.items()}


def _video(record: Mapping[str, Any]) -> base.Video:
    sound = record["audio_path"]
    return base.Video(
        sample_id=record["sample_id"],
        path=Path(record["path"]),
        sha256=record["sha256"],
        fps=float(record["fps"]),
        frames=int(record["frames"]),
        audio_path=Path(sound) if sound else None,
        audio_sha256=record["audio_sha256"],
        sample_rate=int(record["sample_rate"]) if sound else None,
        prompt=record["prompt"],
    )
