"""What a published dataset holds: its tables without names and paths, and the files to share."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from sfqa import store, tables
from sfqa.errors import UserError
from sfqa.identity import digest
from sfqa.publishing.licences import explain_restriction
from sfqa.shareable_files import (
    describe_unshareable,
    explain_unshareable,
    list_dataset_folders,
)
from sfqa.splits.protocols import CROSS, make_splits

Json = dict[str, Any]

#: Columns of the table of samples that describe a sample and hold no path.
_LABELS = ("method", "image_id", "clip_id", "image_source", "image_category", "style", "language",
           "prompt", "split")  # fmt: skip
_MOS_COLUMNS = ("mos", "ci95_low", "ci95_high", "n")


@dataclass(frozen=True)
class Item:
    """One image, clip or video: its licence, its file in the folder, or why it is left out."""

    kind: str
    name: str
    licence: str
    file: str = ""
    sha256: str = ""
    reason: str = ""
    source: Path | None = None


@dataclass
class Content:
    """The tables and files of a published dataset.

    ``samples`` has a row per sample with its labels, its video and its MOS; ``scores`` is None for
    a dataset with published MOS only. ``left_out`` lists what is not shared besides ``items``.
    """

    dataset: str
    config: Json
    samples: pd.DataFrame
    mos: pd.DataFrame
    scores: pd.DataFrame | None
    splits: pd.DataFrame
    correlation: pd.DataFrame
    items: list[Item]
    keys: list[str]
    #: Columns of a dataset of ready features.
    features: list[str] = field(default_factory=list)
    left_out: list[Item] = field(default_factory=list)

    @property
    def dimensions(self) -> list[str]:
        """The rated dimensions, in the order of the configuration."""
        names = sorted(set(self.mos["dimension"]))
        first = [d for d in self.config.get("correlation", {}).get("dimensions", []) if d in names]
        return first + [name for name in names if name not in first]

    @property
    def is_synthetic(self) -> bool:
        """Whether any MOS comes from simulated raters."""
        return bool(len(self.mos) and self.mos["synthetic"].any())


@dataclass(frozen=True)
class Terms:
    """What may be shared: the dataset's licence, that of imported videos, further permitted ones.

    ``video_address`` is the address of a folder with the videos, which are then not copied.
    ``media_folders``: folders outside of the dataset whose files may be copied, too.
    """

    licence: str
    video_licence: str = ""
    allowed: tuple[str, ...] = ()
    copy_videos: bool = True
    video_address: str = ""
    media_folders: tuple[Path, ...] = ()


def collect_content(results: Path, config: Json, terms: Terms) -> Content:
    """Return what a dataset's results folder has to publish.

    ``config`` is the complete configuration of the run. Raises :class:`UserError` for a folder
    without samples.
    """
    folder = Path(results)
    samples = _read_table(folder, tables.SAMPLES)
    if samples.empty:
        raise UserError(
            f"{folder}: no {tables.SAMPLES.path} with rows; name the folder of a dataset that was "
            "run, such as results/demo"
        )
    samples = samples.sort_values("sample_id", ignore_index=True)
    materials = _list_materials(folder, terms)
    videos = _list_videos(folder, samples, materials, config["mode"], terms)
    mos = _read_table(folder, tables.MOS)
    scores = _read_table(folder, tables.SCORES)
    keys = _list_keys(samples)
    return Content(
        dataset=str(config["dataset"]),
        config=config,
        samples=_describe_samples(samples, mos, keys, materials, videos, terms),
        mos=mos,
        scores=replace_rater_names(scores) if len(scores) else None,
        splits=_list_splits(samples, config),
        correlation=_read_table(folder, tables.CORRELATION),
        items=[*materials, *videos.values()],
        keys=keys,
        features=_list_imported_features(folder),
    )


def _read_table(folder: Path, table: tables.Table) -> pd.DataFrame:
    path = folder / table.path
    return store.read(table, [path] if path.is_file() else [])


def _list_imported_features(folder: Path) -> list[str]:
    """Return the columns of an imported table of features, in its order; [] without one."""
    head = {column.name for column in tables.FEATURES.columns}
    for path in sorted(folder.glob(tables.FEATURES.glob(extractor="imported"))):
        return [name for name in store.open_parquet(path).schema_arrow.names if name not in head]
    return []


def replace_rater_names(scores: pd.DataFrame) -> pd.DataFrame:
    """Return raw scores with neutral ids of raters, sorted by them.

    The ids are in the order of a digest of each rater's scores, so that they tell nothing of the
    names, not even their order.

    >>> rows = [("anna", "v1", "q", 1.0, False), ("ben", "v1", "q", 2.0, False)]
    >>> names = ["rater", "sample_id", "dimension", "score", "synthetic"]
    >>> sorted(replace_rater_names(pd.DataFrame(rows, columns=names))["rater"])
    ['r1', 'r2']
    """
    columns = ["dimension", "sample_id", "score"]
    digests = {
        name: digest(rows.sort_values(columns[:2])[columns].values.tolist())
        for name, rows in scores.groupby("rater")
    }
    width = len(str(len(digests)))
    ordered = sorted(digests, key=lambda name: (digests[name], name))
    ids = {name: f"r{number:0{width}d}" for number, name in enumerate(ordered, 1)}
    renamed = scores.assign(rater=scores["rater"].map(ids))
    return renamed.sort_values(["rater", "dimension", "sample_id"], ignore_index=True)


def _list_materials(folder: Path, terms: Terms) -> list[Item]:
    """Return the images and clips; those whose licence forbids sharing have a reason."""
    items = []
    for table, kind, suffix in ((tables.IMAGES, "image", ".png"), (tables.CLIPS, "clip", ".wav")):
        for row in store.to_records(_read_table(folder, table)):
            name, licence = row[f"{kind}_id"], row["licence"] or ""
            reason = explain_restriction(licence, terms.allowed)
            if row["path"] is None:
                reason = reason or f"it failed: {row['detail']}"
            file = "" if reason else f"{kind}s/{name}{suffix}"
            source = None if reason else locate_file(row["path"], folder, terms)
            items.append(Item(kind, name, licence, file, row["sha256"] or "", reason, source))
    return items


def _list_videos(
    folder: Path, samples: pd.DataFrame, materials: Collection[Item], mode: str, terms: Terms
) -> dict[str, Item]:
    """Return the video of each sample as the method made it, by sample id."""
    if mode == "import_features":
        return {}
    reasons = {(item.kind, item.name): item.reason for item in materials}
    paths = sorted(folder.glob(tables.VIDEOS.glob()))
    rows = {row["sample_id"]: row for row in store.to_records(store.read(tables.VIDEOS, paths))}
    files: dict[str, str] = {}
    items = {}
    for sample in store.to_records(samples):
        name, row = sample["sample_id"], rows.get(sample["sample_id"])
        licence = terms.licence
        if mode == "import_videos":
            licence = _read_keys(sample).get("licence") or terms.video_licence
        path = str(row["path"]) if row and row["path"] else ""
        file = f"videos/{sample['method']}/{name}{Path(path).suffix.lower() or '.mp4'}"
        # Samples of one video share its file, as in the dataset.
        file = files.setdefault(path, file) if path else file
        reason = _explain_video(row, licence, mode, terms)
        for kind in ("image", "clip"):
            part = sample[f"{kind}_id"]
            if not reason and reasons.get((kind, part)):
                reason = f"it shows the {kind} {part!r}: {reasons[kind, part]}"
        sha256 = (row or {}).get("sha256") or ""
        source = (
            locate_file(path, folder, terms) if path and not reason and terms.copy_videos else None
        )
        if not reason and not terms.copy_videos and not terms.video_address:
            reason = "left out on request (--no-videos)"
        items[name] = Item("video", name, licence, file, sha256, reason, source)
    return items


def _explain_video(row: Mapping[str, Any] | None, licence: str, mode: str, terms: Terms) -> str:
    if row is None or not row["path"]:
        return f"it failed: {row['detail']}" if row else "it was not made"
    if row["raw"]:
        return "it is a raw video, whose form stands outside of it; convert it to share it"
    if mode == "build":
        return ""
    reason = explain_restriction(licence, terms.allowed)
    if reason == "no licence is stated":
        return f"{reason} (--video-licence, or a column licence with import.keys)"
    return reason


def locate_file(path: str, folder: Path, terms: Terms) -> Path:
    """Return where a file that a table names lies; a moved dataset may be read from anywhere.

    Paths below results/ in the tables start at the folder where the workflow ran, which is the
    second parent of the dataset's folder. Raises :class:`UserError` if there is no such file, and
    for a file that must not be handed on (:mod:`sfqa.shareable_files`).
    """
    candidates = [Path(path), folder.resolve().parents[1] / path]
    if f"/{folder.resolve().name}/" in f"/{path}":
        candidates.append(folder / path.split(f"{folder.resolve().name}/", 1)[1])
    here = list_dataset_folders(Path.cwd() / "results")  # where the command runs
    allowed_folders = [*list_dataset_folders(folder), *here, *terms.media_folders]
    for candidate in candidates:
        if candidate.is_file():
            if reason := explain_unshareable(candidate, allowed_folders):
                raise UserError(describe_unshareable([(str(candidate), reason)], "--media"))
            return candidate
    raise UserError(
        f"{path}: there is no such file, though the tables of {folder} name it; run the command "
        "in the folder where the workflow ran, or run the workflow again"
    )


def _read_keys(sample: Mapping[str, Any]) -> dict[str, str]:
    return json.loads(sample["keys"]) if sample.get("keys") else {}


def _list_keys(samples: pd.DataFrame) -> list[str]:
    """Return the names of the samples' further fields (import.keys)."""
    names: dict[str, None] = {}
    for row in store.to_records(samples):
        names |= dict.fromkeys(_read_keys(row))
    return sorted(names)


def _describe_samples(
    samples: pd.DataFrame,
    mos: pd.DataFrame,
    keys: list[str],
    materials: Collection[Item],
    videos: Mapping[str, Item],
    terms: Terms,
) -> pd.DataFrame:
    """Return a row per sample: labels, files, why its video is left out, MOS with intervals."""
    shared = {(item.kind, item.name): item.file for item in materials if not item.reason}
    by_sample: dict[str, Json] = {}
    for rated in store.to_records(mos):
        values = {f"{rated['dimension']}_{name}": rated[name] for name in _MOS_COLUMNS}
        by_sample.setdefault(rated["sample_id"], {}).update(values)
    rows = []
    for sample in store.to_records(samples):
        video = videos.get(sample["sample_id"])
        is_shared = video is not None and not video.reason
        row: Json = {"sample_id": sample["sample_id"]}
        row["video"] = video.file if video is not None and is_shared else None
        if terms.video_address and video is not None:
            row["url"] = terms.video_address.rstrip("/") + "/" + video.file if is_shared else None
        row |= {name: sample[name] for name in _LABELS}
        row |= {name: _read_keys(sample).get(name) for name in keys}
        for kind in ("image", "clip"):
            row[kind] = shared.get((kind, sample[f"{kind}_id"]))
        if video is not None:
            row |= {"video_sha256": video.sha256 or None, "left_out": video.reason or None}
        rows.append(row | by_sample.get(sample["sample_id"], {}))
    frame = pd.DataFrame(rows)
    empty = [
        name for name in frame if name not in ("sample_id", "method") and frame[name].isna().all()
    ]
    return frame.drop(columns=empty)


def _list_splits(samples: pd.DataFrame, config: Json) -> pd.DataFrame:
    """Return a row for each sample of each trial of each protocol, with its part."""
    columns = ["protocol", "trial", "sample_id", "part"]
    rows = [
        (split.protocol, split.trial, sample_id, part)
        for protocol in config.get("regression", {}).get("protocols", [])
        if protocol["kind"] != CROSS
        for split in make_splits(samples, protocol, config["seed"])
        for sample_id, part in sorted(split.part.items())
    ]
    return pd.DataFrame(rows, columns=columns)
