"""Extract one extractor's features for the videos of one shard, through the row cache."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from sfqa import store
from sfqa.cache import RowCache
from sfqa.features import base, pipeline, weights
from sfqa.features.progress import Progress
from sfqa.identity import digest

log = logging.getLogger("sfqa")

Row = dict[str, Any]
Record = Mapping[str, Any]


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
    workers: int = 0,
    time_limit_sec: float = pipeline.TIME_LIMIT_SEC,
) -> tuple[pa.Table, dict[str, Any], list[dict[str, Any]]]:
    """Return the feature table of a shard (rows of the conformed table), its metadata, its costs.

    ``spec`` is ``features.<name>`` of the configuration. Only rows that the cache does not hold
    are computed, and a device is taken and the model built only when there are any. A video that
    failed earlier, or cannot be scored, is a row with the reason. ``workers`` processes read ahead
    (0: none, and no time limit); a video that ends one, or takes longer than ``time_limit_sec``,
    fails, and is tried again by the next run. Costs are rows of ``tables.COSTS``.
    """
    started = time.monotonic()
    kind = base.load_extractor(name)
    options = base.merge_options(name, spec.get("options") or {})
    found = weights.resolve(spec, name)
    base.check_weights(name, found.kind)
    identity = {
        "extractor": name, "version": base.extractor_version(name), "options": options,
        "weights": found.identity,
    }  # fmt: skip
    cache = RowCache(cache_folder, writer, _cache_schema(kind))
    records = store.records(conformed)
    failed = [r for r in records if r["status"] == "failed"]
    groups: dict[str, list[Row]] = {}  # records of the same content are one row
    for record in records:
        if record["status"] != "failed":
            groups.setdefault(row_key(kind, identity, _video(record)), []).append(record)
    stored = {key: hit for key in groups if (hit := cache.get(key))}
    missing = {key: group for key, group in groups.items() if key not in stored}
    progress = Progress(name, len(records), len(missing))
    with closing(progress):
        for record in failed:
            progress.row(record["sample_id"], "failed", record["detail"], False)
        for key, known in stored.items():
            _tell(progress, groups[key], known, computed=False)
        task = pipeline.Task(kind, options, found, device, workers, time_limit_sec)
        made = _compute(task, missing, cache, progress) if missing else {}
    log.info(
        "%s: %d rows, %d computed, %d from the cache or failed before, %.1f s",
        name, len(records), len(made), len(records) - len(made), time.monotonic() - started,
    )  # fmt: skip
    rows = {r["sample_id"]: _head(r) | _failed(r["detail"]) for r in failed}
    costs: dict[str, Row] = {}
    for key, group in groups.items():
        for place, record in enumerate(group):
            row = _shaped(dict(made.get(key) or stored[key])) | _head(record)
            about = {"extractor": name, "computed": key in made and place == 0}
            costs[record["sample_id"]] = _head(record) | json.loads(row.pop("costs")) | about
            rows[record["sample_id"]] = row
    ids = [record["sample_id"] for record in records]
    metadata = {
        **{k: v for k, v in identity.items() if k != "weights"},
        "weights": {"kind": found.kind, "identity": found.identity},
    }
    table = base.to_table(kind.FEATURES, [rows[i] for i in ids])
    return table, metadata, [costs[i] for i in ids if i in costs]


def _compute(
    task: pipeline.Task,
    missing: Mapping[str, Sequence[Record]],
    cache: RowCache,
    progress: Progress,
) -> dict[str, Row]:
    """Compute a row per key and cache it at once; return the rows as the cache gives them."""
    keys = {group[0]["sample_id"]: key for key, group in missing.items()}
    made: dict[str, Row] = {}

    def keep(row: pipeline.Row) -> None:
        key = keys[row.video.sample_id]
        cells = _flat(task.kind, _head(missing[key][0]) | {"key": key} | _cells(row.values))
        cells["costs"] = json.dumps(row.cost)
        if row.lasting:
            cache.put(key, cells)
            cells = cache.get(key) or cells
        made[key] = cells
        _tell(progress, missing[key], cells, computed=True)

    pipeline.compute(task, [_video(group[0]) for group in missing.values()], keep)
    return made


def _tell(progress: Progress, group: Sequence[Record], row: Record, computed: bool) -> None:
    for place, record in enumerate(group):
        first = computed and place == 0
        progress.row(record["sample_id"], row["status"], row["detail"], first)


def _head(record: Record) -> Row:
    return {"sample_id": record["sample_id"], "method": record["method"]}


def _failed(detail: str) -> Row:
    return {"status": "failed", "detail": detail}


def _cells(values: Record | base.UnusableError) -> Row:
    if isinstance(values, base.UnusableError):
        return _failed(str(values))
    detail = values.get("detail") or ""
    return {**values, "status": "flawed" if detail else "ok", "detail": detail}


def _cache_schema(kind: type[base.Extractor]) -> pa.Schema:
    """The feature table's columns; as JSON the tensors' shapes, as they are flat, and the cost."""
    made = base.schema(kind.FEATURES)
    for name in ("shapes", "costs"):
        made = made.append(pa.field(name, pa.string()))
    return made.remove_metadata()


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
