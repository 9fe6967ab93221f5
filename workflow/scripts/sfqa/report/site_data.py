"""The tables of a dataset as the columns that its site shows, in parts that load on their own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sfqa import store, tables
from sfqa.correlation.fits import fit_mapping
from sfqa.correlation.statistics import why_undefined
from sfqa.correlation.summarise import pooled_points
from sfqa.errors import UserError
from sfqa.report import provenance
from sfqa.tables import STATUSES

VERSION = 1

#: Labels that samples can be chosen by, with their words on the page.
LABELS = {
    "method": "Method",
    "image_category": "Image category",
    "style": "Style",
    "language": "Language",
    "image_source": "Image source",
    "split": "Side",
}
#: Hashes of a sample's files: table, column, words.
HASHES = (
    ("conformed", "sha256", "conformed video"),
    ("conformed", "source_sha256", "video as it came"),
    ("conformed", "audio_sha256", "its sound"),
    ("conformed", "viewing_sha256", "copy for raters"),
    ("samples", "image_sha256", "image"),
    ("samples", "clip_sha256", "driving clip"),
)
_MEASURES = ("fps", "frames", "width", "height", "duration_sec", "face_share", "audio_offset_sec")
#: Significant digits of predictions and features on the page; the tables hold all.
DIGITS = 6

Address = Callable[[str | None], str | None]
Parts = dict[str, Any]


@dataclass(frozen=True)
class Opening:
    """What the page opens with: the main protocol, the order of dimensions and of metrics."""

    protocol: str | None = None
    dimensions: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """A dataset's folder and those of its tables that the site is made of."""

    folder: Path
    files: tuple[Path, ...]

    def paths(self, pattern: str) -> list[Path]:
        """Return the files whose path below the folder fits a pattern, sorted."""
        return sorted(p for p in self.files if p.relative_to(self.folder).match(pattern))

    def frame(self, pattern: str, table: tables.Table | None = None) -> pd.DataFrame:
        """Return the rows of all fitting files; where there is none, an empty ``table``."""
        paths = self.paths(pattern)
        if not paths:
            return pd.DataFrame(columns=table.names if table else [])
        parts = [store.load(path).replace_schema_metadata(None) for path in paths]
        joined: pd.DataFrame = pa.concat_tables(parts, promote_options="permissive").to_pandas()
        return joined


def collect(source: Source, opening: Opening, address: Address) -> Parts:
    """Return the parts of a site by name: meta, samples, rejects, features, hashes, scores, ...

    ``predictions-N`` holds the predictions under the Nth protocol of ``meta``. ``address`` turns a
    path of a table into the address that the page uses. Raises :class:`UserError` for a folder
    without samples.
    """
    samples = source.frame("samples.parquet", tables.SAMPLES)
    if samples.empty:
        raise UserError(
            f"{source.folder}: no samples.parquet with rows there; name the folder of a dataset "
            "that was run, such as results/demo"
        )
    samples = samples.sort_values("sample_id", ignore_index=True)
    mos = source.frame("ratings/mos.parquet", tables.MOS)
    rejects = source.frame("rejects.parquet", tables.REJECTS)
    correlation = source.frame("correlation/correlation.parquet", tables.CORRELATION)
    ids = samples["sample_id"]
    dimensions = _ordered(mos["dimension"], opening.dimensions)
    metrics = _metrics(source, correlation, opening.metrics)
    protocols = _ordered(correlation["protocol"], [opening.protocol] if opening.protocol else [])
    parts: Parts = {
        "samples": _samples(source, samples, mos, dimensions, rejects, address),
        "rejects": _columns(rejects, ("stage", "item", "method", "status", "detail")),
        "features": _features(source, ids),
        "hashes": _hashes(source, samples),
        "scores": _scores(source, ids),
    }
    predictions = _predictions(source, samples, mos, metrics, dimensions, protocols)
    for number, protocol in enumerate(protocols):
        parts[f"predictions-{number}"] = predictions[protocol]
    records = provenance.file_records(source.folder, source.files)
    parts["files"] = records
    for name in ("significance", "by_method"):
        frame = source.frame(f"correlation/{name}.parquet")
        if not frame.empty:
            parts[name] = _columns(frame, list(frame.columns))
    trust = source.frame("ratings/reliability.parquet", tables.RELIABILITY)
    meta: Parts = {
        "dataset": source.folder.resolve().name,
        "identity": provenance.identity_of(records),
        "code": provenance.code_state(),
        "dimensions": dimensions,
        "protocols": protocols,
        "metrics": metrics,
        "labels": {k: words for k, words in LABELS.items() if k in parts["samples"]["labels"]},
        "correlation": _columns(correlation, list(correlation.columns)),
        "more": [name for name in ("significance", "by_method") if name in parts],
        "reliability": _columns(trust, list(trust.columns)) if len(trust) else None,
        "count": len(samples),
        "videos": sum(path is not None for path in parts["samples"]["video"]),
        "rejected": len(rejects),
        "synthetic_mos": bool(len(mos) and mos["synthetic"].any()),
        "random": [m["name"] for m in metrics if m["weights"] == "random"],
    }
    return {"meta": meta, **parts}


def _samples(
    source: Source,
    samples: pd.DataFrame,
    mos: pd.DataFrame,
    dimensions: Sequence[str],
    rejects: pd.DataFrame,
    address: Address,
) -> Parts:
    ids = samples["sample_id"]
    conformed = source.frame("conform/videos.parquet", tables.CONFORMED)
    conformed = conformed.set_index("sample_id").reindex(ids)
    shown = conformed["viewing_path"].where(conformed["viewing_path"].notna(), conformed["path"])
    # Where nothing was conformed, the video may still be there as it came.
    shown = shown.where(shown.notna(), samples.set_index("sample_id")["source_path"])
    worst = pd.Series(0, ids)
    for item, status in zip(rejects["item"], rejects["status"], strict=True):
        if item in worst.index:
            worst[item] = max(int(worst[item]), STATUSES.index(status))
    opinions = {}
    for dimension in dimensions:
        own = mos[mos["dimension"] == dimension].set_index("sample_id").reindex(ids)
        opinions[dimension] = {
            name: _numbers(own[column], None)
            for name, column in (
                ("mos", "mos"), ("n", "n"), ("sd", "sd"),
                ("low", "ci95_low"), ("high", "ci95_high"),
            )
        }  # fmt: skip
    labels = {k: coded(samples[k]) for k in LABELS if k in samples and samples[k].notna().any()}
    return {
        "id": list(ids),
        "pair": coded(samples["pair_id"]),
        "labels": labels,
        "status": coded([STATUSES[code] for code in worst]),
        "prompt": coded(samples["prompt"]),
        "video": [address(_text(path)) for path in shown],
        "image": coded([address(_text(path)) for path in samples["image_path"]]),
        "mos": opinions,
        "measures": {
            k: _numbers(conformed[k])
            for k in _MEASURES
            if k in conformed and conformed[k].notna().any()
        },
    }


def _metrics(
    source: Source, correlation: pd.DataFrame, order: Sequence[str]
) -> list[dict[str, Any]]:
    """What the predictions' files say of their metric, with group and weights of the table."""
    about: dict[str, dict[str, Any]] = {}
    for path in source.paths("regression/*/predictions.parquet"):
        found = store.metadata(path).get("metric", {})
        about[path.parent.name] = found
    listed = []
    first = correlation.drop_duplicates("metric").set_index("metric")
    for name in _ordered(first.index, order):
        row, own = first.loc[name], about.get(name, {})
        listed.append(
            {
                "name": name,
                "group": str(row["group"]),
                "kind": str(row["kind"]),
                "weights": str(row["weights"]),
                "direction": int(own.get("direction", 1)),
                "about": {k: v for k, v in sorted(own.items()) if k != "name"},
            }
        )
    return listed


def _predictions(
    source: Source,
    samples: pd.DataFrame,
    mos: pd.DataFrame,
    metrics: Sequence[Mapping[str, Any]],
    dimensions: Sequence[str],
    protocols: Sequence[str],
) -> dict[str, Parts]:
    """Scores as the metric gives them and as mapped to MOS, by protocol, metric and dimension."""
    made: dict[str, Parts] = {protocol: {} for protocol in protocols}
    ids = samples["sample_id"]
    for metric in metrics:
        frame = source.frame(f"regression/{metric['name']}/predictions.parquet")
        if frame.empty:
            continue
        for (protocol, dimension), own in frame.groupby(["protocol", "dimension"]):
            if protocol not in made or dimension not in dimensions:
                continue
            points = pooled_points(own, mos, samples, metric, str(dimension), str(protocol))
            if points.empty:
                continue
            signed = points["prediction"].astype(float)
            column: Parts = {"raw": _numbers((signed * metric["direction"]).reindex(ids))}
            reason = why_undefined(signed.to_numpy(), points["mos"].to_numpy(float))
            if reason:
                column["reason"] = reason
            else:
                mapping = fit_mapping(signed, points["mos"].astype(float))
                mapped = pd.Series(mapping(signed), points.index)
                column |= {"mapped": _numbers(mapped.reindex(ids)), "mapping": mapping.name}
            made[str(protocol)].setdefault(metric["name"], {})[str(dimension)] = column
    return made


def _features(source: Source, ids: pd.Series[str]) -> list[Parts]:
    """The scalar features of all extractors, a column each; tensors stay in the tables."""
    head = {column.name for column in tables.FEATURES.columns}
    found: list[Parts] = []
    for extractor, paths in _by_extractor(source).items():
        schema = pq.read_schema(paths[0])
        scalars = [f for f in schema if f.name not in head and not pa.types.is_nested(f.type)]
        if not scalars:
            continue
        names = [field.name for field in scalars]
        parts = [store.load(path, ["sample_id", *names]) for path in paths]
        whole = pa.concat_tables([p.replace_schema_metadata(None) for p in parts]).to_pandas()
        whole = whole.drop_duplicates("sample_id").set_index("sample_id").reindex(ids)
        for field in scalars:
            about = field.metadata or {}
            column: Parts = {
                "extractor": extractor,
                "name": field.name,
                "unit": about.get(b"unit", b"").decode(),
                "meaning": about.get(b"meaning", b"").decode(),
            }
            numeric = pa.types.is_floating(field.type) or pa.types.is_integer(field.type)
            values = whole[field.name]
            column["values"] = _numbers(values) if numeric else [_text(v) for v in values]
            found.append(column)
    return found


def _by_extractor(source: Source) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in source.paths("features/*/*/*.parquet"):
        found.setdefault(path.relative_to(source.folder).parts[1], []).append(path)
    return dict(sorted(found.items()))


def _hashes(source: Source, samples: pd.DataFrame) -> list[Parts]:
    ids = samples["sample_id"]
    frames = {
        "samples": samples.set_index("sample_id"),
        "conformed": source.frame("conform/videos.parquet", tables.CONFORMED)
        .set_index("sample_id")
        .reindex(ids),
    }
    found: list[Parts] = []
    for table, column, words in HASHES:
        values = frames[table][column] if column in frames[table] else pd.Series(dtype=object)
        if values.notna().any():
            found.append({"name": words, "values": coded(values)})
    for extractor, paths in _by_extractor(source).items():
        parts = [store.load(path, ["sample_id", "key"]).to_pandas() for path in paths]
        keys = pd.concat(parts).drop_duplicates("sample_id").set_index("sample_id")["key"]
        if keys.notna().any():
            found.append({"name": f"cache key, {extractor}", "values": coded(keys.reindex(ids))})
    return found


def _scores(source: Source, ids: pd.Series[str]) -> Parts:
    """Raw ratings by dimension, sample after sample: ``start[i]:start[i+1]`` are those of i."""
    scores = source.frame("ratings/scores.parquet", tables.SCORES)
    raters = source.frame("ratings/raters.parquet", tables.RATERS)
    names = sorted(set(scores["rater"]))
    place = {name: number for number, name in enumerate(ids)}
    codes = {name: number for number, name in enumerate(names)}
    made: Parts = {"raters": names, "dimensions": {}}
    for dimension, own in scores.groupby("dimension"):
        own = own.assign(place=own["sample_id"].map(place)).dropna(subset=["place"])
        own = own.sort_values(["place", "rater"])
        counts = own.groupby("place").size().reindex(range(len(place)), fill_value=0)
        out = raters[(raters["dimension"] == dimension) & (raters["rejected"] == True)]  # noqa: E712
        made["dimensions"][str(dimension)] = {
            "start": [0, *(int(n) for n in counts.cumsum())],
            "rater": [codes[name] for name in own["rater"]],
            "score": _numbers(own["score"]),
            "rejected": sorted(codes[name] for name in out["rater"] if name in codes),
        }
    return made


def _columns(frame: pd.DataFrame, names: Sequence[str]) -> Parts:
    made: Parts = {}
    for name in names:
        values = frame[name]
        if pd.api.types.is_bool_dtype(values):
            made[name] = [bool(v) for v in values]
        elif pd.api.types.is_numeric_dtype(values):
            made[name] = _numbers(values, None)
        else:
            made[name] = [v if isinstance(v, bool) else _text(v) for v in values]
    return made


def _ordered(values: Iterable[Any], first: Sequence[str]) -> list[str]:
    """Return the distinct values, those of ``first`` in their order, the others by name."""
    there = {str(value) for value in values}
    given = [name for name in dict.fromkeys(first) if name in there]
    return given + sorted(there - set(given))


def coded(values: Iterable[Any]) -> Parts:
    """Return a column as its distinct values and a number for each row, -1 for empty."""
    texts = [_text(value) for value in values]
    distinct = sorted({text for text in texts if text is not None})
    numbers = {text: number for number, text in enumerate(distinct)}
    return {"values": distinct, "codes": [-1 if t is None else numbers[t] for t in texts]}


def _text(value: Any) -> str | None:
    if value is None or (isinstance(value, float) and math.isnan(value)) or value is pd.NA:
        return None
    return str(value)


def _numbers(values: Iterable[Any], digits: int | None = DIGITS) -> list[float | int | None]:
    """Return numbers that JSON can hold: NaN and infinity as None, whole ones without a point."""
    return [_number(value, digits) for value in values]


def _number(value: Any, digits: int | None) -> float | int | None:
    if value is None or pd.isna(value) or not math.isfinite(value):
        return None
    number = float(value) if digits is None else float(f"{float(value):.{digits}g}")
    return int(number) if number.is_integer() and abs(number) < 2**53 else number
