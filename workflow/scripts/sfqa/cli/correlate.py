"""``sfqa correlate``: how well anyone's scores agree with MOS, and which are better than which."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfqa.cli import BAD, FINE, _predictions, _sheet
from sfqa.errors import UserError

if TYPE_CHECKING:
    pass

SUMMARY = "SRCC, PLCC, KRCC and RMSE of scores against MOS, with intervals and tests"
EXAMPLES = """
sfqa correlate predictions.csv --mos mos.csv
sfqa correlate ours.csv theirs.csv --mos mos.csv --id video --mos-column MOS --out table.csv
sfqa correlate features_and_mos.csv --id Image --mos-column Score --score qalign --score clipiqa+
sfqa correlate p.parquet --mos mos.parquet --group portrait --method model --mapping logistic5
"""

_HEAD = ("metric", "n", "srcc", "srcc 95 %", "plcc", "plcc 95 %", "krcc", "rmse", "main")
_BY_METHOD = ("metric", "method", "n", "srcc", "srcc 95 %", "plcc", "krcc", "rmse")
_PAIRS = ("metric_a", "metric_b", "n", "difference", "95 %", "p_bootstrap", "p_steiger", "p_holm")
#: Metrics at most whose matrix fits the screen.
_MATRIX = 12
_MAIN = "(|SRCC| + |PLCC|) / 2"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    _predictions.add_arguments(parser)
    add = parser.add_argument
    add(
        "--mapping", default="logistic4", metavar="NAME",
        help="before PLCC and RMSE: none, rescale (to mean and sd of the MOS), logistic4, "
        "logistic5, cubic (logistic4)",
    )  # fmt: skip
    add("--bootstrap", type=int, default=1000, metavar="N", help="resamples (1000); 0: no interval")
    add("--interval", default="percentile", metavar="KIND", help="percentile or bca (percentile)")
    add("--seed", type=int, default=0, metavar="N", help="of the resamples (0)")
    add("--rows", type=int, default=30, metavar="N", help="rows of a table on the screen (30; 0: all)")  # fmt: skip  # noqa: E501
    add(
        "--out", type=Path, metavar="FILE",
        help="write the table as .csv or .parquet, and beside it FILE_significance, "
        "FILE_by_method",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Compute, print and write; 1 where a metric's statistics are undefined."""
    import pandas as pd

    from sfqa import tables
    from sfqa.correlation.levels import method_rows
    from sfqa.correlation.significance import significance_rows
    from sfqa.correlation.summarise import Settings, correlation_rows, rounded
    from sfqa.store import to_records

    for name in ("rows", "bootstrap"):
        if getattr(args, name) < 0:
            raise UserError(f"--{name} {getattr(args, name)}: give 0 or more")
    _sheet.check_out(args.out, "--out")
    settings = Settings(
        args.mapping,
        args.bootstrap,
        args.interval,
        args.seed,
        {"all": list(args.group)} if args.group else {},
    )
    given = _predictions.read(args)
    data = (given.predictions, given.mos, given.samples, given.metrics, settings)
    rows = [row for row in rounded(correlation_rows(*data)) if row["pooling"] == "pooled"]
    if args.method is None:
        rows = [row for row in rows if row["level"] == "video"]
    tests = rounded(significance_rows(*data))
    by_method = rounded(method_rows(*data)) if args.method is not None else []
    if args.out:
        for ending, kind, made in (
            ("", tables.CORRELATION, rows),
            ("_significance", tables.SIGNIFICANCE, tests),
            ("_by_method", tables.CORRELATION_BY_METHOD, by_method),
        ):
            if made or not ending:
                frame = pd.DataFrame(made, columns=kind.names)
                _sheet.write_table(
                    args.out.with_name(f"{args.out.stem}{ending}{args.out.suffix}"), frame, kind
                )
    for note in given.notes:
        print(f"sfqa: {note}", file=sys.stderr)
    print(_title(rows))
    for level in ("video", "model"):
        for dimension in dict.fromkeys(row["dimension"] for row in rows):
            _print_level(rows, level, dimension, args)
    if by_method:
        print("\nby method")
        shown = [{**row, "srcc 95 %": _ends(row, "srcc")} for row in by_method]
        print(_sheet.grid(_dashed(shown), _BY_METHOD, args.rows))
    if tests:
        _print_tests(to_records(pd.DataFrame(tests)), args.rows)
    if args.out:
        print(f"sfqa: wrote {args.out}", file=sys.stderr)
    return BAD if any(row["status"] == tables.FAILED for row in rows) else FINE


def _title(rows: list[dict[str, Any]]) -> str:
    from sfqa.correlation.summarise import VERSION

    mappings = sorted({row["mapping"] for row in rows if row["dimension"] != "overall"})
    hows = sorted({row["interval"] for row in rows if row["level"] == "video"})
    lines = [
        f"correlate (VERSION {VERSION}): PLCC and RMSE after {', '.join(mappings)}; main = {_MAIN}",
        f"95 % intervals: {'; '.join(hows)}",
    ]
    if any(row["synthetic_mos"] for row in rows):
        lines.append("SYNTHETIC: MOS of simulated raters, not of people")
    return "\n".join(lines)


def _print_level(
    rows: list[dict[str, Any]], level: str, dimension: str, args: argparse.Namespace
) -> None:
    own = [row for row in rows if row["level"] == level and row["dimension"] == dimension]
    if not own:
        return
    own.sort(key=lambda row: (row["srcc"] is None, -(row["srcc"] or 0.0), row["metric"]))
    shown = [
        {
            **row,
            "srcc 95 %": _ends(row, "srcc"),
            "plcc 95 %": _ends(row, "plcc"),
            "main": row["main_score"],
        }
        for row in own
    ]
    what = "samples" if level == "video" else f"means of the column {args.method}"
    print(f"\n{dimension}, {what}")
    print(_sheet.grid(_dashed(shown), _HEAD, args.rows))
    for row in own[: args.rows or None]:
        if row["detail"]:
            print(f"{row['metric']}: {row['status']}, {row['detail']}")


def _print_tests(tests: list[dict[str, Any]], most: int) -> None:
    """The pairs by SRCC: the significant ones first, then the rest by p."""
    for dimension in dict.fromkeys(row["dimension"] for row in tests):
        own = [r for r in tests if r["statistic"] == "srcc" and r["dimension"] == dimension]
        tested = [r for r in own if r["p_holm"] is not None]
        won = sum(bool(r["significant"]) for r in tested)
        print(
            f"\n{dimension}: SRCC differs significantly in {won} of {len(tested)} pairs "
            "(paired bootstrap, p < .05 after Holm)"
        )
        names = {name for row in tested for name in (row["metric_a"], row["metric_b"])}
        if 2 < len(names) <= _MATRIX:
            print(_matrix(tests, dimension) + "\n")
        tested.sort(key=lambda r: (r["p_holm"], r["metric_a"], r["metric_b"]))
        for row in tested:
            row["95 %"] = _bracket(row["ci95_low"], row["ci95_high"])
        if tested:
            print(_sheet.grid(_dashed(tested), _PAIRS, most))
        for row in [r for r in own if r["p_holm"] is None][: most or None]:
            print(f"{row['metric_a']} and {row['metric_b']}: {row['detail']}")


def _matrix(tests: list[dict[str, Any]], dimension: str) -> str:
    """The row's metric against the column's: + better, - worse, = not shown to differ."""
    import pandas as pd

    from sfqa.correlation.significance import significance_matrix

    frame = significance_matrix(pd.DataFrame(tests), dimension, "all")
    signs = {1.0: "+", -1.0: "-", 0.0: "="}
    rows: list[dict[str, Any]] = [
        {"": str(name), **{str(other): signs.get(cell, ".") for other, cell in row.items()}}
        for name, row in frame.to_dict("index").items()
    ]
    return _sheet.grid(rows, list(rows[0]))


def _ends(row: dict[str, Any], name: str) -> str:
    return _bracket(row[f"{name}_low"], row[f"{name}_high"])


def _bracket(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"[{low:.3f}, {high:.3f}]"


def _dashed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows as shown: four decimals, small p-values to two digits."""
    return [{k: _short(k, v) for k, v in row.items()} for row in rows]


def _short(key: str, value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return float(f"{value:.2g}") if key.startswith("p_") else round(value, 4)
