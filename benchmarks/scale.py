"""Planning at scale: shards against one job per video, from 1,000 videos to a million.

Measured, each in fresh processes: a dry run of everything (clock, processor, memory); a run with
nothing to do, every file being there; what one changed row, one changed video and one more method
re-run; and in the shard of the changed row, run for real, how many videos each extractor computes.
The rival has the same stages with one job per video. Every line says its target and whether it is
met. Figures go to ``--out``, the plot to ``--plot``.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import _big_sheet as big
import _common as common

ISSUE = 34_029
TARGETS = {"dry run, s": 3.0, "dry run, MB": 200.0, "no-op run, s": 5.0}


def main(words: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print the lines, write figures and plot; return the figures."""
    parser = common.parser(__doc__.splitlines()[0], repeats=3)
    add = parser.add_argument
    add("--ours", default="1000,3000,5184,10000,34029,62208", help="sizes of our dry runs")
    add("--rival", default="1000,3000,10000,34029", help="sizes of the rival's dry runs")
    add("--at", type=int, default=ISSUE, help=f"size of the no-op run and the changes ({ISSUE})")
    add("--skip-changes", action="store_true", help="dry runs alone")
    add("--plot", type=Path, metavar="FILE", help="write the plot there (.png, .svg)")
    args = parser.parse_args(words)
    methods = 12
    if args.small:
        args.ours, args.rival, args.at, args.repeats, methods = "60,120", "20,60", 48, 1, 3
    figures: dict[str, Any] = {"small": args.small, "ours": [], "rival": [], "ratios": []}
    with common.folder(args) as work:
        work = args.work.resolve() if args.work else work
        for videos in _sizes(args.ours):
            figures["ours"].append(_ours(work / f"ours{videos}", videos, methods, args.repeats))
        for videos in _sizes(args.rival):
            figures["rival"].append(_rival(work / f"rival{videos}", videos, args.repeats))
        if not args.skip_changes:
            figures["changes"] = _changes(work / f"whole{args.at}", args, methods)
    figures["lines"] = _lines(figures)
    for line in figures["lines"]:
        print(line)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n")
    if args.plot:
        plot(figures, args.plot)
    return figures


def _sizes(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part]


def _row(videos: int, runs: Sequence[big.Used], count: int) -> dict[str, Any]:
    """The best of the runs: the others were slowed by something else."""
    made = {
        "videos": videos,
        "jobs": count,
        "wall_sec": min(r.wall for r in runs),
        "cpu_sec": min(r.cpu for r in runs),
        "mb": max(r.mb for r in runs),
        "load": os.getloadavg()[0],
    }
    print(
        f"  {videos:>9} videos {count:>7} jobs {made['wall_sec']:8.2f} s wall "
        f"{made['cpu_sec']:8.2f} s CPU {made['mb']:8.0f} MB  (load {made['load']:.1f})",
        flush=True,
    )
    return made


def _ours(folder: Path, videos: int, methods: int, repeats: int) -> dict[str, Any]:
    sheet = big.Sheet(folder, videos, methods)
    listing = sheet.list_samples()
    first = sheet.snakemake("-n", "--quiet", "rules")
    runs = [first] if videos > big.MANY else [sheet.snakemake("-n", "-q") for _ in range(repeats)]
    row = _row(videos, runs, big.jobs(first.said)["total"])
    return row | {"list_samples_wall_sec": listing.wall, "list_samples_mb": listing.mb}


def _rival(folder: Path, videos: int, repeats: int) -> dict[str, Any]:
    command = big.one_job_per_video(folder, videos)
    once = videos > 5_000
    runs = [big.measured(command, folder) for _ in range(1 if once else repeats)]
    return _row(videos, runs, videos * (2 + len(big.EXTRACTORS)) + 1)


def _changes(folder: Path, args: argparse.Namespace, methods: int) -> dict[str, Any]:
    """The whole dataset made of stand-ins, one shard of it for real, then changed."""
    args.count = 5
    sheet = big.Sheet(folder, args.at, methods)
    sheet.list_samples()
    *drawn, other = common.drawn(args, folder / "drawn", 2.0)
    sheet.finish(drawn)
    sheet.snakemake()  # the first look at all files
    runs = [sheet.snakemake() for _ in range(args.repeats)]
    if "Nothing to be done" not in runs[-1].said:
        raise SystemExit(runs[-1].said[-3000:])
    made: dict[str, Any] = {"nothing": _row(args.at, runs, 0)}
    made["nothing, dry"] = _row(args.at, [sheet.snakemake("-n") for _ in range(args.repeats)], 0)
    method = sheet.rows[5][1]
    shard = sheet.shard_of(5)
    wanted = [f"results/big/features/{name}/{method}/{shard}.parquet" for name in big.EXTRACTORS]
    sheet.snakemake(*wanted, "--forcerun", "import_videos", cores=2)
    sheet.snakemake("--touch")
    # One changed video: other bytes under its name.
    place = folder / "videos" / sheet.rows[5][0]
    place.unlink()
    place.hardlink_to(other)
    made["video"] = _planned(sheet.snakemake("-n").said)
    sheet.snakemake(*wanted, cores=2)
    made["video"]["rows"] = {name: _rows(sheet, name, method, shard) for name in big.EXTRACTORS}
    sheet.snakemake("--touch")
    # One changed row: the name of another video.
    place = folder / "videos/other.mp4"
    place.unlink(missing_ok=True)
    place.hardlink_to(other)
    before = list(sheet.rows)
    sheet.rows[5] = ("other.mp4", method)
    sheet.write()
    sheet.list_samples()
    made["row"] = _planned(sheet.snakemake("-n").said)
    # One more method: as many videos as each of the others.
    added = [(f"w{n}.mp4", f"m{methods}") for n in range(args.at // methods)]
    sheet.rows = before + added
    sheet.write()
    sheet.list_samples()
    made["method"] = _planned(sheet.snakemake("-n").said)
    made["expected_method_cells"] = sheet.shards
    return made


def _planned(said: str) -> dict[str, Any]:
    """Jobs by rule of a dry run, and the shards that they are of."""
    counts = big.jobs(said)
    cells = set(re.findall(r"^ +wildcards: .*method=([\w.-]+), shard=(\d+)", said, flags=re.M))
    return {"jobs": counts, "cells": sorted(map(list, cells))}


def _rows(sheet: big.Sheet, extractor: str, method: str, shard: int) -> dict[str, int]:
    log = sheet.results / "logs" / "features" / extractor / method / f"{shard}.log"
    found = re.search(r"(\d+) rows, (\d+) computed", log.read_text())
    if not found:
        raise SystemExit(log.read_text())
    return {"rows": int(found[1]), "computed": int(found[2])}


def _lines(figures: dict[str, Any]) -> list[str]:
    """What was asked, what came out, and whether that is enough."""
    asked = max((r for r in figures["ours"] if r["videos"] <= ISSUE), key=lambda r: r["videos"])
    size = f"{asked['videos']} videos in {asked['jobs']} jobs"
    lines = [
        _line(f"dry run of {size}, s", asked["wall_sec"], TARGETS["dry run, s"]),
        _line(f"dry run of {size}, s of processor", asked["cpu_sec"], TARGETS["dry run, s"]),
        _line(f"dry run of {size}, MB", asked["mb"], TARGETS["dry run, MB"]),
    ]
    for other in figures["rival"]:
        same = [r for r in figures["ours"] if r["videos"] == other["videos"]]
        if same:
            lines.append(
                f"RATIO one job per video / shards, {other['videos']} videos: "
                f"{other['wall_sec'] / same[0]['wall_sec']:.3g} on the clock, "
                f"{other['cpu_sec'] / same[0]['cpu_sec']:.3g} of processors, "
                f"{other['mb'] / same[0]['mb']:.3g} of memory"
            )
    changes = figures.get("changes")
    if not changes:
        return lines
    for key, unit in (("wall_sec", "s"), ("cpu_sec", "s of processor")):
        said = f"run with nothing to do, {unit}"
        lines.append(_line(said, changes["nothing"][key], TARGETS["no-op run, s"]))
    cell = {"import_videos": 1, "conform_videos": 1, "extract_features": len(big.EXTRACTORS)}
    for what in ("video", "row"):
        got = {rule: changes[what]["jobs"].get(rule, 0) for rule in cell}
        lines.append(_line(f"one changed {what}: jobs of shards", got, cell))
        lines.append(_line(f"one changed {what}: shards", len(changes[what]["cells"]), 1))
    computed = {name: rows["computed"] for name, rows in changes["video"]["rows"].items()}
    lines.append(_line("videos computed anew", computed, dict.fromkeys(big.EXTRACTORS, 1)))
    count = changes["expected_method_cells"]
    got = {rule: changes["method"]["jobs"].get(rule, 0) for rule in cell}
    lines.append(_line("one more method: jobs", got, {k: v * count for k, v in cell.items()}))
    of = sorted({method for method, _ in changes["method"]["cells"]})
    lines.append(_line("one more method: methods with a job", len(of), 1))
    return lines


def _line(what: str, got: Any, target: Any) -> str:
    numbers = isinstance(target, float)
    met = got <= target if numbers else got == target
    said = f"{got:.2f}" if isinstance(got, float) else got
    return f"{what}: {said}; target {'at most ' if numbers else ''}{target}: {_word(met)}"


def _word(met: bool) -> str:
    return "met" if met else "MISSED"


def plot(figures: dict[str, Any], path: Path) -> None:
    """Draw jobs, seconds and memory of a dry run against the number of videos."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "scale"
    from matplotlib import pyplot as plt
    from matplotlib import ticker

    panels = (
        ("jobs", "Jobs", None),
        ("cpu_sec", "Dry run (s of processor)", TARGETS["dry run, s"]),
        ("mb", "Peak memory of a dry run (MB)", TARGETS["dry run, MB"]),
    )
    drawing, axes = plt.subplots(1, 3, figsize=(11, 3.8), layout="constrained")
    for axis, (key, label, target) in zip(axes, panels, strict=True):
        for name, rows, mark, colour in (
            ("one job per video", figures["rival"], "s", "#d55e00"),
            ("shards", figures["ours"], "o", "#0072b2"),
        ):
            axis.plot(
                [r["videos"] for r in rows], [r[key] for r in rows], color=colour, marker=mark,
                markersize=5, linewidth=1.6, label=name,
            )  # fmt: skip
        if target:
            axis.plot(
                ISSUE, target, marker="v", color="black", markersize=7, linestyle="none",
                label=f"at most {target:g} at {ISSUE:,} videos",
            )  # fmt: skip
            mark = axis.get_legend_handles_labels()[0][-1:]
            axis.legend(handles=mark, frameon=False, loc="upper left")
        axis.set(xscale="log", yscale="log", xlabel="Videos", ylabel=label)
        for side in (axis.xaxis, axis.yaxis):
            side.set_major_formatter(lambda x, _: f"{x:,.0f}" if x >= 1 else f"{x:g}")
        axis.yaxis.set_minor_formatter(ticker.NullFormatter())
        low, high = axis.get_ylim()
        axis.set_ylim(10 ** math.floor(math.log10(low)), 10 ** math.ceil(math.log10(high)))
        axis.grid(color="0.9", linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False, loc="upper left")
    path.parent.mkdir(parents=True, exist_ok=True)
    same = {"metadata": {"Date": None}} if path.suffix == ".svg" else {"dpi": 150}
    drawing.savefig(path, **same)
    plt.close(drawing)


if __name__ == "__main__":
    main(sys.argv[1:])
