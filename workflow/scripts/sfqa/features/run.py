"""Extract one extractor's features for the videos of one shard, through the row cache."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from sfqa import store, tables, timing
from sfqa.cache import RowCache
from sfqa.errors import raise_if_disk_full
from sfqa.features import base, pipeline, rows, view_columns, weights
from sfqa.features.extractors import EXTRACTORS
from sfqa.features.pass_sizes import PassNote
from sfqa.features.shard_rows import ShardRow, ShardRows
from sfqa.identity import digest
from sfqa.progress import Progress

log = logging.getLogger("sfqa")

Record = Mapping[str, Any]


def make_row_key(
    extractor_class: type[base.Extractor], identity: Mapping[str, Any], video: base.Video
) -> str:
    """Return the cache key of a row: the content that the numbers depend on, and nothing else."""
    content = {
        "video": video.sha256,
        "audio": video.audio_sha256,
        "prompt": video.prompt,
        "fps": video.fps,
    }
    used: dict[str, Any] = {name: content[name] for name in (*extractor_class.INPUTS, "fps")}
    if video.variable_rate:
        used["times"] = timing.VERSION
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
    """Return the feature table of a shard of a few videos; see :func:`extract_rows`."""
    shard_rows, metadata, costs = extract_rows(
        conformed, name, spec, cache_folder, writer, device, workers, time_limit_sec
    )
    return shard_rows.read_table(), metadata, costs


def extract_rows(
    conformed: pd.DataFrame,
    name: str,
    spec: Mapping[str, Any],
    cache_folder: Path,
    writer: str,
    device: Callable[[], AbstractContextManager[str]],
    workers: int = 0,
    time_limit_sec: float = pipeline.TIME_LIMIT_SEC,
) -> tuple[ShardRows, dict[str, Any], list[dict[str, Any]]]:
    """Return the feature rows of a shard (rows of the conformed table), their metadata and costs.

    ``spec`` is ``features.<name>`` of the configuration. Only rows that the cache does not hold
    are computed; without any, no device is taken and no network built. A video that failed
    earlier, or cannot be scored, is a row with the reason. ``workers`` processes read ahead (0:
    none, and no time limit); a video that ends one, or takes longer than ``time_limit_sec``,
    fails, and the next run tries it again. Costs are rows of ``tables.COSTS``.
    """
    started = time.monotonic()
    extractor_class = base.load_extractor(name)
    options = base.merge_options(name, spec.get("options") or {})
    features = view_columns.select_columns(extractor_class.FEATURES, options)
    extractor_weights = weights.resolve_weights(spec, name)
    base.check_weights(name, extractor_weights.kind)
    if extractor_weights.program:
        work = cache_folder.parent / "work" / writer
        program = replace(extractor_weights.program, work=work)
        extractor_weights = replace(extractor_weights, program=program)
    identity = {
        "extractor": EXTRACTORS.drop_label(name), "version": base.read_extractor_version(name),
        "options": base.select_keyed_options(name, options),
        "weights": extractor_weights.identity,
    }  # fmt: skip
    cache = RowCache(cache_folder, writer, rows.get_row_schema(features))
    records = store.to_records(conformed)
    failed = [r for r in records if r["status"] == "failed"]
    groups: dict[str, list[dict[str, Any]]] = {}  # records of the same content share one row
    for record in records:
        if record["status"] != "failed":
            key = make_row_key(extractor_class, identity, make_video(record))
            groups.setdefault(key, []).append(record)
    # Rows are read again when the table is written: all maps of a shard do not fit in memory.
    summaries = {
        key: rows.summarise_row(row) for key in groups if (row := cache.get(key)) is not None
    }
    missing = {key: group for key, group in groups.items() if key not in summaries}
    with Progress(name, len(records), len(missing)) as progress:
        for record in failed:
            outcome = f"failed {record['detail']}"
            progress.report(record["sample_id"], outcome, computed=False, failed=True)
        for key, summary in summaries.items():
            _report_row(progress, groups[key], summary, computed=False)
        task = pipeline.ExtractionTask(
            extractor_class, options, extractor_weights, device, workers, time_limit_sec,
            PassNote(cache_folder / f"{writer}.passes.json", digest(identity)),
        )  # fmt: skip
        computed = _Computed()
        if missing:
            computed = _compute_missing(task, features, missing, cache, progress)
    log.info(
        "%s: %d rows, %d computed, %d from the cache or failed before, %.1f s",
        name, len(records), len(computed.summaries), len(records) - len(computed.summaries),
        time.monotonic() - started,
    )  # fmt: skip
    summaries |= computed.summaries
    entries = {
        record["sample_id"]: ShardRow(record, row=rows.make_failed_row(features, record["detail"]))
        for record in failed
    }
    costs: dict[str, dict[str, Any]] = {}
    for key, group in groups.items():
        for number, record in enumerate(group):
            lost = computed.lost.get(key)
            entries[record["sample_id"]] = ShardRow(record, None if lost else key, lost)
            is_computed = key in computed.summaries and number == 0
            provenance = {"extractor": name, "computed": is_computed}
            costs[record["sample_id"]] = _get_sample(record) | summaries[key].cost | provenance
    ids = [record["sample_id"] for record in records]
    device_kinds = [cost["device_kind"] for cost in costs.values() if "device_kind" in cost]
    metadata = {
        **{k: v for k, v in identity.items() if k != "weights"},
        "extractor": name,
        "weights": {"kind": extractor_weights.kind, "identity": extractor_weights.identity},
        # How many rows each kind of device computed, whenever that was.
        "devices": dict(sorted(Counter(device_kinds).items())),
    }
    schema = rows.build_schema(features, [summary.shapes for summary in summaries.values()])
    # A table with such rows would tell the next run that they are final.
    raise_if_disk_full(
        {"sample_id": group[0]["sample_id"], "detail": summaries[key].detail}
        for key, group in groups.items()
        if key in computed.lost
    )
    shard_rows = ShardRows(features, cache, [entries[i] for i in ids], schema)
    return shard_rows, metadata, [costs[i] for i in ids if i in costs]


@dataclass
class _Computed:
    """What was computed, by key; ``lost`` are rows that the cache must not keep."""

    summaries: dict[str, rows.RowSummary] = field(default_factory=dict)
    lost: dict[str, pa.RecordBatch] = field(default_factory=dict)


def _compute_missing(
    task: pipeline.ExtractionTask,
    features: Sequence[base.Feature],
    missing: Mapping[str, Sequence[Record]],
    cache: RowCache,
    progress: Progress,
) -> _Computed:
    """Compute a row per key and put it into the cache at once, unless its video was lost."""
    keys = {group[0]["sample_id"]: key for key, group in missing.items()}
    computed = _Computed()

    def keep(computed_row: pipeline.ComputedRow) -> None:
        key = keys[computed_row.video.sample_id]
        cells = _get_sample(missing[key][0]) | {"key": key} | _get_cells(computed_row.values)
        row = rows.make_row(features, cells, computed_row.cost)
        if computed_row.is_final:
            cache.put(key, row)
        else:
            computed.lost[key] = row
        computed.summaries[key] = rows.summarise_row(row)
        _report_row(progress, missing[key], computed.summaries[key], computed=True)

    pipeline.compute_rows(task, [make_video(group[0]) for group in missing.values()], keep)
    return computed


def _report_row(
    progress: Progress, group: Sequence[Record], summary: rows.RowSummary, computed: bool
) -> None:
    for number, record in enumerate(group):
        progress.report(
            record["sample_id"],
            f"{summary.status} {summary.detail}".rstrip(),
            computed=computed and number == 0,
            failed=summary.status == tables.FAILED,
        )


def _get_sample(record: Record) -> dict[str, Any]:
    return {"sample_id": record["sample_id"], "method": record["method"]}


def _get_cells(values: Record | base.UnusableError) -> dict[str, Any]:
    if isinstance(values, base.UnusableError):
        return {"status": tables.FAILED, "detail": str(values)}
    detail = values.get("detail") or ""
    return {**values, "status": tables.FLAWED if detail else tables.OK, "detail": detail}


def make_video(record: Record) -> base.Video:
    """Return the video of a row of the conformed table, as an extractor gets it."""
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
        variable_rate=tables.has_flaw(record["detail"], timing.VARIABLE_RATE),
    )
