"""Compare the scores of two quality models video by video, such as DOVER and its official code."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfqa.cli._tables import check_out, format_table, write_csv
from sfqa.csv_text import restore_cell
from sfqa.errors import UserError, hint
from sfqa.sample_fields import ALL_PROTOCOL
from sfqa.untrusted.parquet import load_table

if TYPE_CHECKING:
    import pandas as pd

#: A sample and a dimension; '' for a score that is the same for all dimensions.
Key = tuple[str, str]
#: File types of ``--out``.
SUFFIXES = (".csv", ".md")
_TABLES = (".parquet", ".csv")
#: Rows that are printed, and reasons of missing scores.
_SHOWN, _REASONS = 20, 5


@dataclass
class Scores:
    """The scores of one side, and why other rows have none."""

    name: str
    values: dict[Key, float] = field(default_factory=dict)
    reasons: dict[Key, str] = field(default_factory=dict)

    def add(self, key: Key, value: Any, detail: Any) -> None:
        """Add a row: its number, or its reason if it has none."""
        if value is not None and value == value:  # not NaN
            self.values[key] = float(value)
        else:
            self.reasons[key] = str(detail or "no number, and no reason beside it")


def compare_models(args: argparse.Namespace) -> None:
    """Print the differences of two models, and write them to ``--out`` if it is given."""
    check_out(args.out, "--out", SUFFIXES)
    first, second = (read_scores(name, args.config) for name in args.words[1:])
    if second.name == first.name:
        second.name += " (second)"
    match_dimensions(first, second)
    rows = list_differences(first, second)
    if not rows:
        raise UserError(
            f"models compare: {first.name} and {second.name} have no video in common with a score "
            f"({len(first.values)} and {len(second.values)} scores); compare tables of one dataset"
        )
    columns = list(rows[0])
    summary = summarise_differences(first, second, rows)
    if args.out and args.out.suffix.lower() == ".csv":
        write_csv(args.out, columns, (row.values() for row in rows))
    elif args.out:
        _write_markdown(args.out, columns, rows, summary)
    print(format_table(rows, columns, _SHOWN))
    print()
    print("\n".join(summary))


def match_dimensions(first: Scores, second: Scores) -> None:
    """Repeat scores that are the same for all dimensions for each one of the other side."""
    for scores, other in ((first, second), (second, first)):
        dimensions = {key[1] for key in [*other.values, *other.reasons]} - {""}
        if dimensions and all(key[1] == "" for key in [*scores.values, *scores.reasons]):
            scores.values = {(s, d): v for (s, _), v in scores.values.items() for d in dimensions}
            scores.reasons = {(s, d): r for (s, _), r in scores.reasons.items() for d in dimensions}


def list_differences(first: Scores, second: Scores) -> list[dict[str, Any]]:
    """Return a row for each video that both score, with the second minus the first."""
    keys = sorted(first.values.keys() & second.values.keys())
    has_dimensions = any(dimension for _, dimension in keys)
    return [
        {
            "sample_id": key[0],
            **({"dimension": key[1]} if has_dimensions else {}),
            first.name: first.values[key],
            second.name: second.values[key],
            "difference": second.values[key] - first.values[key],
        }
        for key in keys
    ]


def summarise_differences(first: Scores, second: Scores, rows: list[dict[str, Any]]) -> list[str]:
    """Return lines with the number of videos, the largest difference and the correlation."""
    from sfqa.statistics.functions import srcc

    differences = [row["difference"] for row in rows]
    largest = max(rows, key=lambda row: abs(row["difference"]))
    correlation = srcc([row[first.name] for row in rows], [row[second.name] for row in rows])
    lines = [
        f"scores of both: {len(rows)}",
        f"largest absolute difference: {abs(largest['difference']):.6g} ({largest['sample_id']})",
        f"mean difference: {sum(differences) / len(differences):.6g}",
        f"SRCC between both: {'undefined' if correlation is None else f'{correlation:.4f}'}",
    ]
    for scores, other in ((first, second), (second, first)):
        missing = sorted(other.values.keys() - scores.values.keys())
        if missing:
            lines.append(f"without a score of {scores.name}: {len(missing)}")
            for key in missing[:_REASONS]:
                lines.append(f"  {key[0]}: {scores.reasons.get(key, 'no row')}")
    return lines


def read_scores(name: str, config_path: Path | None) -> Scores:
    """Return the scores of a model of a configuration, or of a column of a table.

    A table is written as FILE:COLUMN, FILE a .parquet or .csv file with ``sample_id``; without a
    column it is a table of predictions. Raises :class:`UserError` if there are none.
    """
    file, _, column = name.rpartition(":") if ":" in name else (name, "", "")
    if Path(file).suffix.lower() in _TABLES:
        return _read_table(Path(file), column or "prediction", Path(file).stem)
    if config_path is None:
        raise UserError(
            f"models compare: {name!r} is a model of a configuration; add --config FILE, or name a "
            "table and its column, such as features.parquet:score"
        )
    return _read_model(name, config_path)


def _read_model(name: str, config_path: Path) -> Scores:
    from sfqa import tables
    from sfqa.cli._config import SCHEMA, load_config
    from sfqa.plan import Plan

    plan = Plan(load_config(config_path), SCHEMA, check_files=False, needs_data=False)
    metrics: Mapping[str, Any] = plan.config["regression"]["metrics"]
    if name not in metrics:
        raise UserError(f"{config_path}: no model or metric {name!r}; {hint(name, metrics)}")
    metric = metrics[name]
    scores = Scores(name)
    if metric["kind"] == "regressor":
        path = Path(tables.table_path("predictions", dataset=plan.dataset, metric=name))
        return _read_table(path, "prediction", name, plan.main_protocol)
    inputs = metric["inputs"]
    columns = inputs if isinstance(inputs, Mapping) else {"": inputs[0]}
    for dimension, text in columns.items():
        extractor, _, column = text.partition(".")
        pattern = tables.table_path(
            "features", dataset=plan.dataset, extractor=extractor, method="*", shard="*"
        )
        files = sorted(Path().glob(pattern))
        if not files:
            raise UserError(
                f"models compare: there are no feature tables {pattern}; run snakemake features "
                f"--cores 2 --configfile {config_path}"
            )
        for file in files:
            _add_features(scores, _load(file), file, column, dimension)
    return scores


def _read_table(path: Path, column: str, name: str, protocol: str = "") -> Scores:
    frame = _load(path)
    scores = Scores(name)
    if column == "prediction" and "protocol" in frame.columns:
        chosen = frame[frame["part"] == "test"]
        # Of all rated videos only if there is nothing else: regressors have no rows of it.
        protocols = sorted(set(chosen["protocol"]), key=lambda name: (name == ALL_PROTOCOL, name))
        protocol = protocol or str(protocols[0])
        chosen = chosen[chosen["protocol"] == protocol]
        for (sample, dimension), group in chosen.groupby(["sample_id", "dimension"]):
            detail = next((d for d in group["detail"] if d), "")
            scores.add((str(sample), str(dimension)), group["prediction"].mean(), detail)
        return scores
    _add_features(scores, frame, path, column, "")
    if name == path.stem:
        scores.name = f"{name}:{column}"
    return scores


def _add_features(
    scores: Scores, frame: pd.DataFrame, path: Path, column: str, dimension: str
) -> None:
    for needed in ("sample_id", column):
        if needed not in frame.columns:
            raise UserError(f"{path}: no column {needed!r}; {hint(needed, list(frame.columns))}")
    details = frame["detail"] if "detail" in frame.columns else [""] * len(frame)
    for sample, value, detail in zip(frame["sample_id"], frame[column], details, strict=True):
        if isinstance(value, str) or hasattr(value, "__len__"):
            raise UserError(f"{path}: {column} of {sample} is not a number; name a scalar column")
        scores.add((str(sample), dimension), value, detail)


def _load(path: Path) -> pd.DataFrame:
    import pandas as pd

    if not path.is_file():
        raise UserError(f"models compare: there is no table {path}; make it, or correct the path")
    if path.suffix.lower() == ".csv":
        frame = pd.read_csv(path, dtype={"sample_id": str})
        if "sample_id" in frame.columns:
            frame["sample_id"] = frame["sample_id"].map(restore_cell, na_action="ignore")
        return frame
    return load_table(path).to_pandas()


def _write_markdown(
    path: Path, columns: list[str], rows: list[dict[str, Any]], summary: list[str]
) -> None:
    from sfqa import store

    def format_cell(value: Any) -> str:
        return f"{value:.6g}" if isinstance(value, float) else str(value).replace("|", r"\|")

    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(map(format_cell, row.values())) + " |" for row in rows]
    text = "\n".join([*lines, "", *(f"- {line.strip()}" for line in summary)]) + "\n"
    with store.replacing(path) as part:
        part.write_text(text, encoding="utf-8")
