"""The data of a dataset's site: columns of its tables, in parts that the page loads separately."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sfqa import store, tables
from sfqa.correlation.fits import DEFAULT, MAPPINGS, fit_mapping
from sfqa.correlation.marks import UNRANKED
from sfqa.correlation.summarise import MEAN, pool_points
from sfqa.errors import UserError
from sfqa.report import provenance
from sfqa.report.metric_cards import Registries, add_cards
from sfqa.report.overview import describe_dataset
from sfqa.report.run_comparison import compare_runs
from sfqa.report.site_columns import Parts, encode_column, encode_columns, to_numbers, to_text
from sfqa.statistics.functions import why_undefined
from sfqa.statistics.registry import STATISTICS
from sfqa.tables import STATUSES

VERSION = 4

#: Labels that samples can be filtered by, with their names on the page.
LABELS = {
    "method": "Method",
    "image_category": "Image category",
    "style": "Style",
    "language": "Language",
    "image_source": "Image source",
    "split": "Side",
}
#: Hashes of a sample's files: table, column, name on the page.
HASHES = (
    ("conformed", "sha256", "conformed video"),
    ("conformed", "source_sha256", "video as it came"),
    ("conformed", "audio_sha256", "its sound"),
    ("conformed", "viewing_sha256", "copy for raters"),
    ("samples", "image_sha256", "image"),
    ("samples", "clip_sha256", "driving clip"),
)
_MEASURES = ("fps", "frames", "width", "height", "duration_sec", "face_share", "audio_offset_sec")
#: Turns a path of a table into the URL that the page uses.
MakeUrl = Callable[[str | None], str | None]


@dataclass(frozen=True)
class InitialView:
    """What the page shows first: protocol, order of dimensions and metrics, pooling."""

    protocol: str | None = None
    dimensions: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    pooling: str = MEAN


@dataclass(frozen=True)
class DatasetTables:
    """A dataset's folder and those of its tables that the site is built from."""

    folder: Path
    files: tuple[Path, ...]

    def list_paths(self, pattern: str) -> list[Path]:
        """Return the files whose path inside the folder matches a pattern, sorted."""
        return sorted(p for p in self.files if p.relative_to(self.folder).match(pattern))

    def read_frame(self, table: tables.Table, **wildcards: str) -> pd.DataFrame:
        """Return the rows of all files of a table whose path has the given wildcards.

        If there is no such file, the frame has the table's columns and no rows.
        """
        paths = self.list_paths(table.merged_path or table.glob(**wildcards))
        if not paths:
            return pd.DataFrame(columns=table.names)
        parts = [store.load(path).replace_schema_metadata(None) for path in paths]
        joined: pd.DataFrame = pa.concat_tables(parts, promote_options="permissive").to_pandas()
        return joined


def collect_parts(
    source: DatasetTables,
    initial_view: InitialView,
    make_url: MakeUrl,
    registries: Registries | None = None,
    other: Path | None = None,
) -> Parts:
    """Return the parts of a site by name: meta, samples, rejects, features, hashes, scores, ...

    ``predictions-N`` holds the predictions under the N-th protocol of ``meta``. ``registries`` are
    those that describe the quality models, by default the project's. ``other`` is the results
    folder of a second run, which gives the part ``against``. Raises :class:`UserError` for a folder
    without samples.
    """
    samples = source.read_frame(tables.SAMPLES)
    if samples.empty:
        raise UserError(
            f"{source.folder}: no {tables.SAMPLES.path} with rows; name the folder of a dataset "
            "that was run, such as results/demo"
        )
    samples = samples.sort_values("sample_id", ignore_index=True)
    mos = source.read_frame(tables.MOS)
    rejects = source.read_frame(tables.REJECTS)
    correlation = source.read_frame(tables.CORRELATION)
    ids = samples["sample_id"]
    dimensions = _order_values(mos["dimension"], initial_view.dimensions)
    metrics = _describe_metrics(source, correlation, initial_view.metrics)
    add_cards(metrics, registries or Registries())
    protocols = _order_values(
        correlation["protocol"], [initial_view.protocol] if initial_view.protocol else []
    )
    parts: Parts = {
        "samples": _collect_samples(source, samples, mos, dimensions, rejects, make_url),
        "rejects": encode_columns(rejects, ("stage", "item", "method", "status", "detail")),
        "features": _collect_features(source, ids),
        "hashes": _collect_hashes(source, samples),
        "scores": _collect_scores(source, ids),
    }
    mapping = _find_mapping(correlation)
    shown_parts = (metrics, dimensions, protocols)
    predictions = _collect_predictions(source, samples, mos, *shown_parts, mapping)
    for number, protocol in enumerate(protocols):
        parts[f"predictions-{number}"] = predictions[protocol]
    records = provenance.describe_tables(source.folder, source.files)
    parts["files"] = records
    optional = {"significance": tables.SIGNIFICANCE, "by_method": tables.CORRELATION_BY_METHOD}
    for name, table in optional.items():
        frame = source.read_frame(table)
        if not frame.empty:
            parts[name] = encode_columns(frame, list(frame.columns))
    if other is not None:
        parts["against"] = compare_runs(correlation, other)
    reliability = source.read_frame(tables.RELIABILITY)
    meta: Parts = {
        "dataset": source.folder.resolve().name,
        "identity": provenance.compute_identity(records),
        "code": provenance.describe_code(),
        "dimensions": dimensions,
        "protocols": protocols,
        "pooling": initial_view.pooling,
        "metrics": metrics,
        "statistics": [
            {
                "name": statistic.name,
                "label": statistic.label,
                "higher_is_better": statistic.higher_is_better,
                "is_mapped": statistic.is_mapped,
            }
            for statistic in STATISTICS
        ],
        "unranked": list(UNRANKED),
        "labels": {k: name for k, name in LABELS.items() if k in parts["samples"]["labels"]},
        "correlation": encode_columns(correlation, list(correlation.columns)),
        "more": [name for name in (*optional, "against") if name in parts],
        "reliability": (
            encode_columns(reliability, list(reliability.columns)) if len(reliability) else None
        ),
        "overview": describe_dataset(source.folder, samples, source.read_frame, dimensions),
        "count": len(samples),
        "videos": sum(path is not None for path in parts["samples"]["video"]),
        "rejected": len(rejects),
        "synthetic_mos": bool(len(mos) and mos["synthetic"].any()),
        "random": [m["name"] for m in metrics if m["weights"] == "random"],
    }
    return {"meta": meta, **parts}


def _collect_samples(
    source: DatasetTables,
    samples: pd.DataFrame,
    mos: pd.DataFrame,
    dimensions: Sequence[str],
    rejects: pd.DataFrame,
    make_url: MakeUrl,
) -> Parts:
    ids = samples["sample_id"]
    conformed = source.read_frame(tables.CONFORMED)
    conformed = conformed.set_index("sample_id").reindex(ids)
    paths = conformed["viewing_path"].where(conformed["viewing_path"].notna(), conformed["path"])
    # A video that was not conformed may still exist in its original form.
    paths = paths.where(paths.notna(), samples.set_index("sample_id")["source_path"])
    worst = pd.Series(0, ids)
    for item, status in zip(rejects["item"], rejects["status"], strict=True):
        if item in worst.index:
            worst[item] = max(int(worst[item]), STATUSES.index(status))
    opinions = {}
    for dimension in dimensions:
        ratings = mos[mos["dimension"] == dimension].set_index("sample_id").reindex(ids)
        opinions[dimension] = {
            name: to_numbers(ratings[column], None)
            for name, column in (
                ("mos", "mos"), ("n", "n"), ("sd", "sd"),
                ("low", "ci95_low"), ("high", "ci95_high"),
            )
        }  # fmt: skip
    labels = {
        k: encode_column(samples[k]) for k in LABELS if k in samples and samples[k].notna().any()
    }
    return {
        "id": list(ids),
        "pair": encode_column(samples["pair_id"]),
        "labels": labels,
        "status": encode_column([STATUSES[code] for code in worst]),
        "prompt": encode_column(samples["prompt"]),
        "video": [make_url(to_text(path)) for path in paths],
        "image": encode_column([make_url(to_text(path)) for path in samples["image_path"]]),
        "mos": opinions,
        "measures": {
            k: to_numbers(conformed[k])
            for k in _MEASURES
            if k in conformed and conformed[k].notna().any()
        },
    }


def _describe_metrics(
    source: DatasetTables, correlation: pd.DataFrame, order: Sequence[str]
) -> list[dict[str, Any]]:
    """Return a record of each metric, from the metadata of its predictions and the table."""
    metadata: dict[str, dict[str, Any]] = {
        path.parent.name: store.read_metadata(path).get("metric", {})
        for path in source.list_paths(tables.PREDICTIONS.glob())
    }
    records = []
    first_rows = correlation.drop_duplicates("metric").set_index("metric")
    for name in _order_values(first_rows.index, order):
        row, metric = first_rows.loc[name], metadata.get(name, {})
        records.append(
            {
                "name": name,
                "group": str(row["group"]),
                "kind": str(row["kind"]),
                "weights": str(row["weights"]),
                "direction": int(metric.get("direction", 1)),
                "about": {k: v for k, v in sorted(metric.items()) if k != "name"},
            }
        )
    return records


def _find_mapping(correlation: pd.DataFrame) -> str:
    """Return the mapping of the correlation table: the name that most of its rows have."""
    defined = correlation[
        correlation["plcc"].notna() & correlation["mapping"].isin(MAPPINGS.values())
    ]
    counts = defined["mapping"].value_counts()
    return min(counts.index, key=lambda name: (-counts[name], name), default=DEFAULT)


def _collect_predictions(
    source: DatasetTables,
    samples: pd.DataFrame,
    mos: pd.DataFrame,
    metrics: Sequence[Mapping[str, Any]],
    dimensions: Sequence[str],
    protocols: Sequence[str],
    mapping: str,
) -> dict[str, Parts]:
    """Return raw scores and scores mapped to MOS, by protocol, metric and dimension."""
    predictions: dict[str, Parts] = {protocol: {} for protocol in protocols}
    ids = samples["sample_id"]
    for metric in metrics:
        frame = source.read_frame(tables.PREDICTIONS, metric=metric["name"])
        if frame.empty:
            continue
        for (protocol, dimension), rows in frame.groupby(["protocol", "dimension"]):
            if protocol not in predictions or dimension not in dimensions:
                continue
            points = pool_points(rows, mos, samples, metric, str(dimension), str(protocol))
            if points.empty:
                continue
            signed = points["prediction"].astype(float)
            column: Parts = {"raw": to_numbers((signed * metric["direction"]).reindex(ids))}
            reason = why_undefined(signed.to_numpy(), points["mos"].to_numpy(float))
            if reason:
                column["reason"] = reason
            else:
                curve = fit_mapping(signed, points["mos"].astype(float), mapping)
                mapped = pd.Series(curve(signed), points.index)
                column |= {"mapped": to_numbers(mapped.reindex(ids)), "mapping": curve.name}
            by_dimension = predictions[str(protocol)].setdefault(metric["name"], {})
            by_dimension[str(dimension)] = column
    return predictions


def _collect_features(source: DatasetTables, ids: pd.Series[str]) -> list[Parts]:
    """Return a column for each scalar feature of all extractors. Tensors are left out."""
    head = {column.name for column in tables.FEATURES.columns}
    columns: list[Parts] = []
    for extractor, paths in _group_by_extractor(source).items():
        schema = pq.read_schema(paths[0])
        scalars = [f for f in schema if f.name not in head and not pa.types.is_nested(f.type)]
        if not scalars:
            continue
        names = [field.name for field in scalars]
        shards = [store.load(path, ["sample_id", *names]) for path in paths]
        frame = pa.concat_tables([p.replace_schema_metadata(None) for p in shards]).to_pandas()
        frame = frame.drop_duplicates("sample_id").set_index("sample_id").reindex(ids)
        for field in scalars:
            metadata = field.metadata or {}
            column: Parts = {
                "extractor": extractor,
                "name": field.name,
                "unit": metadata.get(b"unit", b"").decode(),
                "meaning": metadata.get(b"meaning", b"").decode(),
            }
            numeric = pa.types.is_floating(field.type) or pa.types.is_integer(field.type)
            values = frame[field.name]
            column["values"] = to_numbers(values) if numeric else [to_text(v) for v in values]
            columns.append(column)
    return columns


def _group_by_extractor(source: DatasetTables) -> dict[str, list[Path]]:
    paths: dict[str, list[Path]] = {}
    for path in source.list_paths(tables.FEATURES.glob()):
        paths.setdefault(path.relative_to(source.folder).parts[1], []).append(path)
    return dict(sorted(paths.items()))


def _collect_hashes(source: DatasetTables, samples: pd.DataFrame) -> list[Parts]:
    ids = samples["sample_id"]
    frames = {
        "samples": samples.set_index("sample_id"),
        "conformed": source.read_frame(tables.CONFORMED).set_index("sample_id").reindex(ids),
    }
    columns: list[Parts] = []
    for table, column, name in HASHES:
        values = frames[table][column] if column in frames[table] else pd.Series(dtype=object)
        if values.notna().any():
            columns.append({"name": name, "values": encode_column(values)})
    for extractor, paths in _group_by_extractor(source).items():
        parts = [store.load(path, ["sample_id", "key"]).to_pandas() for path in paths]
        keys = pd.concat(parts).drop_duplicates("sample_id").set_index("sample_id")["key"]
        if keys.notna().any():
            encoded = encode_column(keys.reindex(ids))
            columns.append({"name": f"cache key, {extractor}", "values": encoded})
    return columns


def _collect_scores(source: DatasetTables, ids: pd.Series[str]) -> Parts:
    """Return the raw ratings by dimension; those of sample i are at ``start[i]:start[i + 1]``."""
    scores = source.read_frame(tables.SCORES)
    raters = source.read_frame(tables.RATERS)
    names = sorted(set(scores["rater"]))
    positions = {name: number for number, name in enumerate(ids)}
    codes = {name: number for number, name in enumerate(names)}
    result: Parts = {"raters": names, "dimensions": {}}
    for dimension, group in scores.groupby("dimension"):
        rows = group.assign(position=group["sample_id"].map(positions)).dropna(subset=["position"])
        rows = rows.sort_values(["position", "rater"])
        counts = rows.groupby("position").size().reindex(range(len(positions)), fill_value=0)
        rejected = raters[(raters["dimension"] == dimension) & (raters["rejected"] == True)]  # noqa: E712
        result["dimensions"][str(dimension)] = {
            "start": [0, *(int(n) for n in counts.cumsum())],
            "rater": [codes[name] for name in rows["rater"]],
            "score": to_numbers(rows["score"]),
            "rejected": sorted(codes[name] for name in rejected["rater"] if name in codes),
        }
    return result


def _order_values(values: Iterable[Any], first: Sequence[str]) -> list[str]:
    """Return the distinct values: those of ``first`` in its order, then the others by name."""
    names = {str(value) for value in values}
    leading = [name for name in dict.fromkeys(first) if name in names]
    return leading + sorted(names - set(leading))
