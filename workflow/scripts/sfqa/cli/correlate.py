"""``sfqa correlate``: agreement of scores with MOS, and which scores differ significantly."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sfqa.cli import FAILURE, SUCCESS, _score_tables
from sfqa.cli._tables import check_out, format_table, write_table
from sfqa.errors import UserError

SUMMARY = "SRCC, PLCC, KRCC and RMSE of scores against MOS, with intervals and tests"
EXAMPLES = """
sfqa correlate predictions.csv --mos mos.csv
sfqa correlate ours.csv theirs.csv --mos mos.csv --id video --mos-column MOS --out table.csv
sfqa correlate features_and_mos.csv --id Image --mos-column Score --score qalign --score clipiqa+
sfqa correlate p.parquet --mos mos.parquet --group portrait --method model --mapping logistic5
"""

#: Statistics whose intervals fit the screen: in the table, and in the table by method.
_INTERVALS, _INTERVALS_BY_METHOD = ("srcc", "plcc"), ("srcc",)
_PAIR_COLUMNS = (
    "metric_a",
    "metric_b",
    "n",
    "difference",
    "95 %",
    "p_bootstrap",
    "p_steiger",
    "p_holm",
)
#: Largest number of metrics whose matrix fits the screen.
_MAX_MATRIX = 12
_MAIN_SCORE = "(|SRCC| + |PLCC|) / 2"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    _score_tables.add_arguments(parser)
    add = parser.add_argument
    add(
        "--mapping", default="logistic4", metavar="NAME",
        help="mapping before PLCC and RMSE: none, rescale (to mean and sd of the MOS), "
        "logistic4, logistic5, cubic (logistic4)",
    )  # fmt: skip
    add(
        "--bootstrap",
        type=int,
        default=1000,
        metavar="N",
        help="number of resamples (1000; 0: no interval)",
    )
    add("--interval", default="percentile", metavar="KIND", help="percentile or bca (percentile)")
    add("--seed", type=int, default=0, metavar="N", help="seed of the resamples (0)")
    add("--rows", type=int, default=30, metavar="N", help="rows to print (30; 0: all)")
    add(
        "--out", type=Path, metavar="FILE",
        help="write the table as .csv or .parquet, and FILE_significance and FILE_by_method in "
        "the same folder",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Compute, print and write. Returns 1 if a metric's statistics are undefined."""
    import pandas as pd

    from sfqa import tables
    from sfqa.correlation.fit_cache import FitCache
    from sfqa.correlation.levels import method_rows
    from sfqa.correlation.significance import significance_rows
    from sfqa.correlation.summarise import Settings, correlation_rows, round_rows
    from sfqa.store import to_records

    for name in ("rows", "bootstrap"):
        if getattr(args, name) < 0:
            raise UserError(f"--{name} {getattr(args, name)}: give 0 or more")
    check_out(args.out, "--out")
    settings = Settings(
        args.mapping,
        args.bootstrap,
        args.interval,
        args.seed,
        {"all": list(args.group)} if args.group else {},
    )
    inputs = _score_tables.read_tables(args)
    data = (inputs.predictions, inputs.mos, inputs.samples, inputs.metrics, settings, FitCache())
    rows = [row for row in round_rows(correlation_rows(*data)) if row["pooling"] == "pooled"]
    if args.method is None:
        rows = [row for row in rows if row["level"] == "video"]
    tests = round_rows(significance_rows(*data))
    by_method = round_rows(method_rows(*data)) if args.method is not None else []
    if args.out:
        for suffix, table, table_rows in (
            ("", tables.CORRELATION, rows),
            ("_significance", tables.SIGNIFICANCE, tests),
            ("_by_method", tables.CORRELATION_BY_METHOD, by_method),
        ):
            if table_rows or not suffix:
                frame = pd.DataFrame(table_rows, columns=table.names)
                path = args.out.with_name(f"{args.out.stem}{suffix}{args.out.suffix}")
                write_table(path, frame, table)
    for note in inputs.notes:
        print(f"sfqa: {note}", file=sys.stderr)
    print(_format_title(rows))
    for level in ("video", "model"):
        for dimension in dict.fromkeys(row["dimension"] for row in rows):
            _print_level(rows, level, dimension, args)
    if by_method:
        print("\nby method")
        columns = ["metric", "method", "n", *_list_columns(_INTERVALS_BY_METHOD)]
        by_method = [{**row, **_format_intervals(row, _INTERVALS_BY_METHOD)} for row in by_method]
        print(format_table(_round_rows(by_method), columns, args.rows))
    if tests:
        _print_tests(to_records(pd.DataFrame(tests)), args.rows)
    if args.out:
        print(f"sfqa: wrote {args.out}", file=sys.stderr)
    return FAILURE if any(row["status"] == tables.FAILED for row in rows) else SUCCESS


def _format_title(rows: list[dict[str, Any]]) -> str:
    from sfqa.correlation.summarise import VERSION

    mappings = sorted({row["mapping"] for row in rows if row["dimension"] != "overall"})
    intervals = sorted({row["interval"] for row in rows if row["level"] == "video"})
    lines = [
        f"correlate (VERSION {VERSION}): PLCC and RMSE after {', '.join(mappings)}; "
        f"main = {_MAIN_SCORE}",
        f"95 % intervals: {'; '.join(intervals)}",
    ]
    if any(row["synthetic_mos"] for row in rows):
        lines.append("SYNTHETIC: MOS of simulated raters, not of people")
    return "\n".join(lines)


def _print_level(
    rows: list[dict[str, Any]], level: str, dimension: str, args: argparse.Namespace
) -> None:
    """Print the metrics of one level and dimension, by SRCC, and the reasons for their status."""
    rows = [row for row in rows if row["level"] == level and row["dimension"] == dimension]
    if not rows:
        return
    rows.sort(key=lambda row: (row["srcc"] is None, -(row["srcc"] or 0.0), row["metric"]))
    table = [
        {**row, **_format_intervals(row, _INTERVALS), "main": row["main_score"]} for row in rows
    ]
    columns = ["metric", "n", *_list_columns(_INTERVALS), "main"]
    unit = "samples" if level == "video" else f"means of the column {args.method}"
    print(f"\n{dimension}, {unit}")
    print(format_table(_round_rows(table), columns, args.rows))
    for row in rows[: args.rows or None]:
        if row["detail"]:
            print(f"{row['metric']}: {row['status']}, {row['detail']}")


def _print_tests(tests: list[dict[str, Any]], limit: int) -> None:
    """Print, per dimension, how many SRCC differences are significant, their matrix and the pairs.

    At most ``limit`` pairs (0: all), by p-value after Holm; untested pairs with their reason.
    """
    for dimension in dict.fromkeys(row["dimension"] for row in tests):
        pairs = [r for r in tests if r["statistic"] == "srcc" and r["dimension"] == dimension]
        tested = [r for r in pairs if r["p_holm"] is not None]
        significant = sum(bool(r["significant"]) for r in tested)
        print(
            f"\n{dimension}: SRCC differs significantly in {significant} of {len(tested)} pairs "
            "(paired bootstrap, p < .05 after Holm)"
        )
        names = {name for row in tested for name in (row["metric_a"], row["metric_b"])}
        if 2 < len(names) <= _MAX_MATRIX:
            print(_format_matrix(tests, dimension) + "\n")
        tested.sort(key=lambda r: (r["p_holm"], r["metric_a"], r["metric_b"]))
        for row in tested:
            row["95 %"] = _format_range(row["ci95_low"], row["ci95_high"])
        if tested:
            print(format_table(_round_rows(tested), _PAIR_COLUMNS, limit))
        for row in [r for r in pairs if r["p_holm"] is None][: limit or None]:
            print(f"{row['metric_a']} and {row['metric_b']}: {row['detail']}")


def _format_matrix(tests: list[dict[str, Any]], dimension: str) -> str:
    """Return a matrix of the row's metric against the column's.

    + better, - worse, = no significant difference.
    """
    import pandas as pd

    from sfqa.correlation.significance import significance_matrix

    frame = significance_matrix(pd.DataFrame(tests), dimension, "all")
    signs = {1.0: "+", -1.0: "-", 0.0: "="}
    rows: list[dict[str, Any]] = [
        {"": str(name), **{str(other): signs.get(cell, ".") for other, cell in row.items()}}
        for name, row in frame.to_dict("index").items()
    ]
    return format_table(rows, list(rows[0]))


def _list_columns(with_interval: Sequence[str]) -> list[str]:
    """Return the columns of the statistics, some of them followed by their interval."""
    from sfqa.statistics.registry import NAMES

    return [
        column
        for name in NAMES
        for column in (name, *([f"{name} 95 %"] if name in with_interval else []))
    ]


def _format_intervals(row: dict[str, Any], names: Sequence[str]) -> dict[str, str]:
    return {
        f"{name} 95 %": _format_range(row[f"{name}_low"], row[f"{name}_high"]) for name in names
    }


def _format_range(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"[{low:.3f}, {high:.3f}]"


def _round_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Round numbers to four decimals, p-values to two significant digits."""
    return [{k: _round_value(k, v) for k, v in row.items()} for row in rows]


def _round_value(key: str, value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return float(f"{value:.2g}") if key.startswith("p_") else round(value, 4)
