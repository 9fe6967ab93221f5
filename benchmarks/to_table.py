"""From ready features to the table: the workflow against a plain script, and what a change costs.

    python benchmarks/to_table.py [--features FILE] [--tree FOLDER] [--small]

1. All jobs of an imported dataset of THQA's size (800 rows, 24 features, 33 metrics) against
   ``_plain_table.py``, which makes the same predictions, tables and figures in one process. The
   features are drawn (seeded); ``--features FILE`` takes a table as THQA publishes it.
2. One added metric and one changed score in the finished run: seconds, and how many jobs.

The predictions of both sides are compared. ``--tree FOLDER`` runs another checkout's workflow, for
a comparison with an earlier state; ``--skip-plain`` leaves out the rival.
"""

from __future__ import annotations

import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import _common as common
import numpy as np
import pandas as pd
import yaml

ROOT = Path(__file__).resolve().parents[1]
PORTRAITS, CLIPS, METHODS, FEATURES = 20, 5, 8, 24
TARGET = 0.5
ADDED = "added"


def main(words: Sequence[str] | None = None) -> dict[str, Any]:
    made = common.parser(__doc__ or "", 1)
    made.add_argument("--features", type=Path, metavar="FILE", help="a table as THQA's")
    made.add_argument("--tree", type=Path, default=ROOT, metavar="FOLDER", help="the checkout")
    made.add_argument("--skip-plain", action="store_true", help="run the workflow alone")
    args = made.parse_args(words)
    with common.folder(args) as work:
        return compare(args, work)


def compare(args: Any, work: Path) -> dict[str, Any]:
    """Run both sides, print the lines, and return the figures."""
    table = work / "features_and_mos.csv"
    if args.features is None:
        draw_table(args.small).to_csv(table, index=False)
    else:
        shutil.copy(args.features, table)
    config = make_config(args, table)
    folds = work / "folds.pickle"
    prepare_folds(config, table, folds)
    rows = len(pd.read_csv(table))
    print(f"to_table: {rows} rows, {common.machine(args)}")
    runs: list[Path] = []

    def run_workflow() -> None:
        runs.append(work / f"workflow{len(runs)}")
        run(args, runs[-1], config)

    def run_plain() -> None:
        script = Path(__file__).with_name("_plain_table.py")
        command = [sys.executable, str(script), str(table), str(folds), str(work / "plain")]
        subprocess.run(command, check=True)

    ways = {"workflow": run_workflow}
    if not args.skip_plain:
        ways["plain script"] = run_plain
    times = common.race(ways, args.repeats)
    common.show(times)
    figures: dict[str, Any] = {"rows": rows, "ratios": [], "differences": {}}
    if not args.skip_plain:
        note = f"; target: at most {1 / TARGET:g} times the script's time"
        figures["ratios"] = [
            common.verdict("to_table", times, "plain script", "workflow", TARGET, note)
        ]
        figures["differences"] = compare_predictions(runs[-1], work / "plain")
    figures["jobs"] = read_jobs(runs[-1])
    figures["changes"] = measure_changes(args, runs[-1], config, table)
    print(f"  jobs: {sum(figures['jobs'].values())} ({figures['jobs']})")
    for name, cost in {**figures["changes"], "largest differences": figures["differences"]}.items():
        print(f"  {name}: {cost}")
    return common.finish(args, figures)


def draw_table(is_small: bool) -> pd.DataFrame:
    """Return drawn features and MOS with the names and the size of THQA's table."""
    portraits, clips, methods, features = (
        (6, 2, 4, 5) if is_small else (PORTRAITS, CLIPS, METHODS, FEATURES)
    )
    draw = np.random.default_rng(common.SEED)
    names = [
        f"{p}_voice_en_{10 * p + c}_method{m}"
        for p in range(portraits)
        for c in range(clips)
        for m in range(methods)
    ]
    effects = draw.normal(size=methods)[np.arange(len(names)) % methods]
    quality = effects + draw.normal(size=len(names))
    table = pd.DataFrame({"Image": names})
    for number in range(features):
        share = draw.uniform(-0.5, 0.8)
        table[f"feature{number}"] = (share * quality + draw.normal(size=len(names))).round(6)
    table["Score"] = (3 + 0.7 * quality + draw.normal(0, 0.3, len(names))).round(3)
    return table


def make_config(args: Any, table: Path) -> dict[str, Any]:
    """Return THQA's configuration for the table."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "config" / "thqa.yaml").read_text())
    config["import"]["table"] = str(table)
    if args.features is None:
        config["regression"]["metrics"]["single-features"] = {
            "each": "imported", "group": "Single features", "directions": {"feature0": -1},
        }  # fmt: skip
    if args.small:
        config["correlation"] = {"bootstrap": 60}
        for protocol in config["regression"]["protocols"]:
            protocol.update({"k": 3} if "k" in protocol else {})
    return config


def run(args: Any, folder: Path, config: dict[str, Any]) -> str:
    """Run the workflow to its end in a folder; return what Snakemake printed."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    command = [
        sys.executable, "-m", "snakemake", "--snakefile", str(args.tree.resolve() / "Snakefile"),
        "--workflow-profile", str(args.tree.resolve() / "profiles" / "default"),
        "--cores", str(args.threads), "--configfile", "config.yaml",
    ]  # fmt: skip
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    output = ended.stdout + ended.stderr
    if ended.returncode:
        raise SystemExit(f"the workflow failed:\n{output[-4000:]}")
    (folder / "output.txt").write_text(output)
    return output


def read_jobs(folder: Path) -> dict[str, int]:
    """Return the jobs per rule that the last run of a folder started."""
    text = (folder / "output.txt").read_text()
    started = re.findall(r"^(?:local)?(?:rule|checkpoint) (\w+):$", text, flags=re.MULTILINE)
    return {rule: started.count(rule) for rule in dict.fromkeys(started)}


def measure_changes(
    args: Any, folder: Path, config: dict[str, Any], table: Path
) -> dict[str, dict[str, float]]:
    """Return seconds and jobs of a run without a change, a new metric, and a changed score."""
    costs: dict[str, dict[str, float]] = {}

    def measure(name: str) -> None:
        spent = common.timed(lambda: run(args, folder, config))
        jobs = sum(read_jobs(folder).values())
        costs[name] = {"wall_sec": spent.wall, "cpu_sec": spent.cpu, "jobs": jobs}

    measure("no change")
    frame = pd.read_csv(table)
    column = frame.columns[1]
    config["regression"]["metrics"][ADDED] = {
        "kind": "zero_shot", "group": "Single features", "inputs": [f"imported.{column}"],
    }  # fmt: skip
    measure("one added metric")
    frame.loc[7, "Score"] += 0.25
    frame.to_csv(table, index=False)
    measure("one changed score")
    return costs


def prepare_folds(config: dict[str, Any], table: Path, path: Path) -> None:
    """Write the folds and seeds that both sides share."""
    from sfqa import identity
    from sfqa.regression.train import encode_protocol_groups
    from sfqa.splits.protocols import make_splits

    frame = pd.read_csv(table).sort_values("Image", ignore_index=True)
    labels = frame["Image"].str.extract(config["import"]["pattern"])
    samples = pd.DataFrame(
        {"sample_id": frame["Image"], "image_id": labels["image"], "clip_id": labels["clip"],
         "method": labels["method"]}
    )  # fmt: skip
    row_of = {name: row for row, name in enumerate(frame["Image"])}
    folds = []
    for protocol in config["regression"]["protocols"]:
        groups = encode_protocol_groups(samples, protocol, list(frame["Image"]))
        for split in make_splits(samples, protocol, config["seed"]):
            parts = {
                {"val": "validation"}.get(part, part): np.array(
                    [row_of[name] for name in sorted(split.part) if split.part[name] == part]
                )
                for part in sorted(set(split.part.values()))
            }
            folds.append(
                {**parts, "parts": list(parts), "protocol": split.protocol, "trial": split.trial,
                 "groups": groups,
                 "seed": identity.seed_of(config["seed"], split.protocol, split.trial, "quality")}
            )  # fmt: skip
    metrics = config["regression"]["metrics"]["single-features"]
    given = {
        "folds": folds,
        "features": [c for c in frame.columns if c not in ("Image", "Score")],
        "method": labels["method"].to_numpy(str),
        "portrait": labels["image"].to_numpy(str),
        "directions": metrics.get("directions", {}),
        "bootstrap": config.get("correlation", {}).get("bootstrap", 1000),
    }
    path.write_bytes(pickle.dumps(given))


def compare_predictions(folder: Path, plain: Path) -> dict[str, float]:
    """Return the largest difference of the predictions of each metric that both sides compute.

    Not of the control ``random``, whose numbers the script draws itself.
    """
    theirs = pd.read_parquet(plain / "predictions.parquet")
    keys = ["metric", "protocol", "trial", "sample_id"]
    paths = sorted(folder.glob("results/*/regression/*/predictions.parquet"))
    ours = pd.concat([pd.read_parquet(path) for path in paths])
    joined = ours[ours["part"] == "test"].merge(theirs, on=keys, suffixes=("", "_plain"))
    if len(joined) != len(theirs):
        raise SystemExit(f"to_table: {len(joined)} of {len(theirs)} predictions are on both sides")
    joined["gap"] = (joined["prediction"] - joined["prediction_plain"]).abs()
    gaps = joined[joined["metric"] != "random"].groupby("metric")["gap"].max()
    trained = ("random-forest", "ridge", "MLP", "kernel", "line-and-trees", "kernel-and-trees")
    figures = {str(name): float(gaps[name]) for name in trained}
    return {**figures, "not trained": float(gaps.drop(list(trained)).max())}


if __name__ == "__main__":
    os.environ.pop("OMP_NUM_THREADS", None)
    main()
