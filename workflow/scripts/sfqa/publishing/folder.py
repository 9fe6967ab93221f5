"""Write the folder of a published dataset: tables, files, licences, card, metadata, checksums."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from sfqa import store, tables
from sfqa.csv_text import write_frame
from sfqa.errors import UserError
from sfqa.identity import sha256_file
from sfqa.publishing import configuration
from sfqa.publishing.card import Card, build_card
from sfqa.publishing.content import Content, Item, Terms, collect_content
from sfqa.publishing.croissant import About, SharedTable, build_croissant
from sfqa.report.manifest import RUN, SAME, read_manifest

CHECKSUM_FILE = "SHA256SUMS"
#: Figures of a run that show no frames of videos and no raters, with their captions.
FIGURES = {
    "mos_distributions.png": "Distribution of the MOS",
    "mos_by_label.png": "MOS by method and label, with 95 % intervals",
    "metric_bars.png": "SRCC of every metric with its 95 % interval",
    "metric_ranks.png": "Ranks of the metrics",
}
_COMMENT = """\
Computes the tables of this dataset again, from the videos and raw scores of this folder:
  sfqa import FOLDER               checks the folder, writes a configuration for any place
  snakemake -s PROJECT/Snakefile --cores 8 --directory FOLDER --configfile FOLDER/sfqa.yaml
Paths start at this folder."""


@dataclass(frozen=True)
class Request:
    """What to publish: a results folder, its terms, what people wrote about it, and features."""

    results: Path
    about: About
    terms: Terms
    features: bool = False


def publish_dataset(request: Request, out: Path) -> Content:
    """Write the folder ``out``, which must not exist, and return what is in it.

    Raises :class:`UserError` for a folder that exists, results without a manifest or samples, and
    files that the tables name and that are gone.
    """
    if out.exists():
        raise UserError(f"{out}: it is there already; name a new folder with --out")
    manifest = read_manifest(request.results / "report" / "manifest.json")
    content = collect_content(request.results, manifest[SAME]["configuration"], request.terms)
    temporary = out.with_name(f".{out.name}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        _write_folder(temporary, content, request, _choose_date(manifest))
        temporary.replace(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return content


def _choose_date(manifest: dict[str, Any]) -> str:
    """Return the date of the run, or that of SOURCE_DATE_EPOCH."""
    if stamp := os.environ.get("SOURCE_DATE_EPOCH"):
        return datetime.fromtimestamp(float(stamp), UTC).date().isoformat()
    return str(manifest[RUN].get("written", ""))[:10]


def _write_folder(folder: Path, content: Content, request: Request, date: str) -> None:
    for item in content.items:
        if item.source is not None:
            target = folder / item.file
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                shutil.copyfile(item.source, target)
    config = configuration.build_config(content)
    _write_import_files(folder, content, request.results)
    configuration.write_config(config, folder / configuration.CONFIG_FILE, _COMMENT)
    shared_tables = list_tables(content)
    parts = write_tables(folder, content, shared_tables)
    if request.features and content.config["mode"] != "import_features":
        _write_features(folder, request.results)
    _write_lists(folder, content)
    figures = _copy_figures(folder, request.results)
    card = Card(content, request.about, shared_tables, parts, figures, request.results)
    (folder / "README.md").write_text(build_card(card, folder), encoding="utf-8")
    digests = {name: sha256_file(folder / name) for name in list_files(folder)}
    metadata = build_croissant(content.dataset, request.about, date, shared_tables, digests)
    text = json.dumps(metadata, indent=1, ensure_ascii=False) + "\n"
    (folder / "croissant.json").write_text(text, encoding="utf-8")
    digests["croissant.json"] = sha256_file(folder / "croissant.json")
    lines = [f"{sha256}  {name}\n" for name, sha256 in sorted(digests.items())]
    (folder / CHECKSUM_FILE).write_text("".join(lines), encoding="utf-8")
    check_machine_paths(folder, request.results)


def list_files(folder: Path) -> list[str]:
    """Return the paths of all files below a folder, sorted, with / between their parts."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in paths)


def list_tables(content: Content) -> list[SharedTable]:
    """Return the tables of a published dataset, with the meanings of their columns."""
    mos_columns = {column.name: column.meaning for column in tables.MOS.columns}
    meanings = {column.name: column.meaning for column in tables.SAMPLES.columns}
    meanings |= {
        "video": "path of the video as the method made it, in this folder",
        "url": "address of the video",
        "image": "path of the image in this folder",
        "clip": "path of the driving clip in this folder",
        "video_sha256": "sha256 of the video",
        "left_out": "why the video is not in this folder, else empty",
    }
    for dimension in content.dimensions:
        for name in ("mos", "ci95_low", "ci95_high", "n"):
            meanings[f"{dimension}_{name}"] = f"{dimension}: {mos_columns[name]}"
    shared = [SharedTable("samples", content.samples, tables.SAMPLES.row, meanings, ("sample_id",))]
    rows: list[tuple[tables.Table, pd.DataFrame | None]] = [
        (tables.MOS, content.mos),
        (tables.SCORES, content.scores),
        (tables.CORRELATION, content.correlation),
    ]
    for table, frame in rows:
        if frame is not None and len(frame):
            texts = {column.name: column.meaning for column in table.columns}
            if table is tables.SCORES:
                texts["rater"] = "neutral id of the rater"
            shared.append(SharedTable(table.name, frame, table.row, texts, table.key))
    if len(content.splits):
        texts = {
            "protocol": "how train and test were split",
            "trial": "number of the split",
            "sample_id": "name of the sample",
            "part": "train, validation or test",
        }
        row, key = "one sample in one trial of a protocol", ("protocol", "trial", "sample_id")
        shared.append(SharedTable("splits", content.splits, row, texts, key))
    return [SharedTable(t.name, _convert_counts(t.frame), t.row, t.meanings, t.key) for t in shared]


def _convert_counts(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame whose counts are whole numbers, also beside empty cells."""
    counts = [name for name in frame if name == "n" or str(name).endswith("_n")]
    return frame.astype(dict.fromkeys(counts, "Int64"))


def write_tables(
    folder: Path, content: Content, shared_tables: list[SharedTable]
) -> dict[str, dict[str, str]]:
    """Write each table as ``tables/NAME.csv`` and ``data/NAME.parquet``.

    The samples of a dataset with an official split have one Parquet file per part. Returns the
    Parquet files of each table by part.
    """
    (folder / "tables").mkdir(exist_ok=True)
    files: dict[str, dict[str, str]] = {}
    for table in shared_tables:
        write_frame(table.frame, folder / f"tables/{table.name}.csv")
        for part, rows in _split_rows(table):
            name = table.name if part == "train" and len(rows) == len(table.frame) else ""
            path = f"data/{name or f'{table.name}-{part}'}.parquet"
            files.setdefault(table.name, {})[part] = path
            store.write_arrow(_to_arrow(rows), folder / path)
    for protocol in content.config.get("regression", {}).get("protocols", []):
        if "lists" in protocol:
            rows = content.splits[content.splits["protocol"] == protocol["name"]]
            rows = rows.drop(columns="protocol")
            write_frame(rows, folder / f"tables/trials_{protocol['name']}.csv")
    return files


def _split_rows(table: SharedTable) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the parts of a table, as loaders name them, and their rows."""
    frame = table.frame
    if table.name != "samples" or "split" not in frame or frame["split"].isna().any():
        yield "train", frame
        return
    for part in sorted(set(frame["split"])):
        rows = frame[frame["split"] == part]
        yield {"val": "validation"}.get(part, part), rows.reset_index(drop=True)


def _to_arrow(frame: pd.DataFrame) -> pa.Table:
    arrow = pa.Table.from_pandas(frame, preserve_index=False)
    return arrow.replace_schema_metadata(None)


def _write_import_files(folder: Path, content: Content, results: Path) -> None:
    """Write the sheets that the configuration of the folder names."""
    if content.config["mode"] == "import_features":
        frame = configuration.build_features_table(content, results)
        write_frame(frame, folder / configuration.FEATURES_FILE)
    else:
        sheet = configuration.build_sheet(content)
        write_frame(sheet, folder / configuration.SHEET_FILE)
    tags = content.config.get("ratings", {}).get("tags")
    if tags:
        from sfqa.user_tables import read_table

        (folder / "tables").mkdir(exist_ok=True)
        frame = pd.DataFrame(read_table(Path(tags), "tags").columns)
        write_frame(frame, folder / configuration.TAGS_FILE)


def _write_features(folder: Path, results: Path) -> None:
    """Write the features of each extractor as ``features/EXTRACTOR.parquet``."""
    by_extractor: dict[str, list[Path]] = {}
    for path in sorted(results.glob(tables.FEATURES.glob())):
        by_extractor.setdefault(path.relative_to(results).parts[1], []).append(path)
    for name, paths in by_extractor.items():
        parts = [store.load(path).replace_schema_metadata(None) for path in paths]
        joined = pa.concat_tables(parts, promote_options="permissive")
        joined = joined.drop_columns(["key"]).sort_by("sample_id")
        metadata = store.read_metadata(paths[0])
        shared = {k: v for k, v in metadata.items() if k in ("extractor", "version", "options")}
        store.write_arrow(joined, folder / f"features/{name}.parquet", shared)


def _write_lists(folder: Path, content: Content) -> None:
    """Write the licence of every image, clip and video, and what is left out with its reason."""
    columns = ["kind", "name", "licence", "file", "sha256", "shared", "reason"]
    rows = [
        (i.kind, i.name, i.licence, i.file, i.sha256, "no" if i.reason else "yes", i.reason)
        for i in content.items
    ]
    frame = pd.DataFrame(rows, columns=columns)
    write_frame(frame, folder / "licences.csv")
    left_out = [(i.kind, i.name, i.reason) for i in list_left_out(content)]
    frame = pd.DataFrame(left_out, columns=["kind", "name", "reason"])
    write_frame(frame, folder / "left_out.csv")


def list_left_out(content: Content) -> list[Item]:
    """Return what is not in the folder, each with its reason."""
    return [item for item in content.items if item.reason] + content.left_out


def _copy_figures(folder: Path, results: Path) -> dict[str, str]:
    """Copy the figures of the run; return their captions by path."""
    copied = {}
    for name, caption in FIGURES.items():
        source = results / "correlation" / name
        if source.is_file():
            (folder / "figures").mkdir(exist_ok=True)
            shutil.copyfile(source, folder / "figures" / name)
            copied[f"figures/{name}"] = caption
    return copied


def check_machine_paths(folder: Path, results: Path) -> None:
    """Raise :class:`UserError` if a text or table of the folder holds a path of this machine."""
    home = str(Path.home())
    paths = {str(Path.cwd()), str(results.resolve()), str(folder.resolve().parent)}
    paths |= {home} if home != "/" else set()
    needles = [path.encode() for path in paths if len(path) > 2]
    for name in list_files(folder):
        if name.split("/")[0] in ("videos", "images", "clips", "figures"):
            continue
        data = _read_plain(folder / name)
        for needle in needles:
            if needle + b"/" in data or needle + b'"' in data:
                raise UserError(
                    f"{name}: it would hold the path {needle.decode()} of this machine; remove it "
                    "from the sheets or the configuration, run the workflow, and publish again"
                )


def _read_plain(path: Path) -> bytes:
    """Return the bytes of a file; those of a table are its cells as text and its metadata."""
    if path.suffix != ".parquet":
        return path.read_bytes()
    arrow = store.load(path)
    texts = [name for name in arrow.schema.names if arrow.schema.field(name).type == pa.string()]
    cells = [str(value) for name in texts for value in arrow[name].unique().to_pylist()]
    metadata = b"".join((arrow.schema.metadata or {}).values())
    return "\n".join(cells).encode() + metadata
