"""Wall time and peak memory of the jobs that read whole tables, at 34,029 and 5,184 samples.

    python benchmarks/big_tables.py                        # both sizes: half an hour on 2 cores
    python benchmarks/big_tables.py --rows 34029 --stages correlate,build_site

Ready feature tables of the true shapes are drawn (SlowFast 6 x 2304, CLIP 8 x 512, LSE, float16 and
shards as in a run), with samples, MOS, ratings and the predictions of eight metrics under the
protocols of config/sfqa.yaml. Then each job's own script runs in a process of its own, as Snakemake
runs it. Nothing is scored for its numbers here; regressors get few trials and epochs, which changes
their time, not their memory: problems are fitted in batches that memory bounds.
"""

from __future__ import annotations

import argparse
import json
import os
import runpy
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _big_tables import DIMENSIONS, DRAWN, PROTOCOLS, draw
from _common import machine, word

from sfqa import tables

SIZES = (34_029, 5_184)
TARGET_GB = 4.0
SCRIPTS = Path(__file__).resolve().parents[1] / "workflow" / "scripts"
#: The few trials that regressors are fitted in.
FEW = [PROTOCOLS[0], {"name": "random", "kind": "random_trials", "trials": 1}]
ONE = [PROTOCOLS[0]]
#: Metrics: kind, head, inputs, options, protocols, and the most samples that the head is run on.
METRICS: dict[str, dict[str, Any]] = {
    "oracle": {"kind": "control", "head": "oracle", "on": PROTOCOLS},
    "random": {"kind": "control", "head": "random", "on": PROTOCOLS},
    "LSE-D": {"kind": "zero_shot", "inputs": ["lse.lse_d"], "direction": -1, "on": PROTOCOLS},
    "SlowFast-ridge": {"head": "ridge", "inputs": ["slowfast"], "on": FEW},
    "CLIP-ridge": {"head": "ridge", "inputs": ["clip.image"], "on": FEW},
    "SlowFast-CLIP-MLP": {
        "head": "mlp", "inputs": ["slowfast", "clip.image"], "options": {"epochs": 3}, "on": FEW,
    },
    "LSE-forest": {"head": "random_forest", "inputs": ["lse.lse_c", "lse.lse_d"], "on": ONE},
    # Their kernels hold the square of the train rows: that many samples are not for them.
    "LSE-SVR": {
        "head": "svr", "inputs": ["lse.lse_c", "lse.lse_d"], "options": {"tries": 2}, "on": ONE,
        "most": 6_000,
    },
    "CLIP-kernel": {"head": "kernel", "inputs": ["clip.image"], "on": ONE, "most": 6_000},
}  # fmt: skip
STAGES = (
    "merge", *(f"predict:{name}" for name in METRICS), "correlate", "make_tables", "plot_scatter",
    "plot_metrics", "collect_rejects", "build_catalog", "build_site", "write_manifest",
)  # fmt: skip


def main(words: Sequence[str] | None = None) -> dict[str, Any]:
    """Draw the tables, run every stage in its own process, print and return the figures."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = made.add_argument
    add("--rows", type=int, nargs="+", default=SIZES, metavar="N", help="numbers of samples")
    add("--stages", default="", metavar="A,B", help=f"of {', '.join(STAGES)} (all)")
    add("--bootstrap", type=int, default=1000, metavar="N", help="resamples (1000)")
    add("--threads", type=int, default=1, metavar="N", help="CPU threads of a job (1)")
    add("--work", type=Path, metavar="FOLDER", help="keep the drawn tables there")
    add("--out", type=Path, metavar="FILE", help="write the figures there as JSON")
    add("--small", action="store_true", help="a few seconds' run, to see that it runs at all")
    add("--child", help=argparse.SUPPRESS)
    args = made.parse_args(words)
    if args.small:
        args.rows, args.bootstrap = [240], 50
    if args.child:
        return child(args)
    stages = [s for s in args.stages.split(",") if s] or list(STAGES)
    figures: dict[str, Any] = {"machine": machine(args), "small": args.small, "stages": []}
    with tempfile.TemporaryDirectory(prefix="sfqa-benchmark-") as name:
        for rows in args.rows:
            folder = (args.work or Path(name)).resolve() / "results" / f"big{rows}"
            print(f"big tables: {rows} samples\n  {figures['machine']}", flush=True)
            start = time.perf_counter()
            if draw(folder, rows):
                size = sum(p.stat().st_size for p in folder.rglob("*.parquet")) / 1e9
                took = time.perf_counter() - start
                print(f"  drawn in {took:.0f} s, {size:.2f} GB of Parquet", flush=True)
            for stage in stages:
                figures["stages"] += run(stage, folder, rows, args)
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n")
    return figures


def run(stage: str, folder: Path, rows: int, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Run one stage in a fresh process; print its line and return its figures."""
    if rows > METRICS.get(stage.partition(":")[2], {}).get("most", rows):
        print(f"  {stage:<28} not run: its memory goes with the square of the samples")
        return []
    made = folder / "made" / f"{stage.replace(':', '-')}.json"
    made.parent.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable, __file__, "--child", stage, "--rows", str(rows), "--work", str(folder),
        "--bootstrap", str(args.bootstrap), "--threads", str(args.threads), "--out", str(made),
    ]  # fmt: skip
    # As Snakemake sets them for a job.
    threads = {f"{k}_NUM_THREADS": str(args.threads) for k in ("OMP", "OPENBLAS", "MKL")}
    start = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder.parents[1], env=os.environ | threads, capture_output=True, text=True
    )
    if done.returncode:
        print(f"  {stage:<28} FAILED ({done.returncode})\n{done.stderr[-3000:]}")
        return [{"rows": rows, "stage": stage, "reached": False, "failed": done.returncode}]
    told: dict[str, Any] = json.loads(made.read_text())
    told["wall_sec"] = time.perf_counter() - start
    told["reached"] = told["peak_gb"] <= TARGET_GB
    print(
        f"  {stage:<28} {told['wall_sec']:8.1f} s wall {told['cpu_sec']:8.1f} s CPU "
        f"{told['peak_gb']:6.2f} GB; target {TARGET_GB:g} GB: {word(told['reached'])}",
        flush=True,
    )
    return [told]


def child(args: argparse.Namespace) -> dict[str, Any]:
    """Do one stage and write what it took."""
    from sfqa.processes import peak_memory_mb

    if args.child == "merge":
        from sfqa.regression.design import load_design

        files = features(args.work, ("slowfast", "clip", "lse"))
        load_design(files, ["slowfast", "clip.image", "lse.lse_c", "lse.lse_d"])
    else:
        script, given = job(args.child, args.work, args)
        sys.path.insert(0, str(SCRIPTS))
        runpy.run_path(str(SCRIPTS / f"{script}.py"), {"snakemake": given})
    figures = {
        "rows": args.rows[0],
        "stage": args.child,
        "cpu_sec": time.process_time(),
        "peak_gb": peak_memory_mb() * 2**20 / 1e9,
    }
    args.out.write_text(json.dumps(figures))
    return figures


class Named(list):  # type: ignore[type-arg]
    """Files or values of a job by place and by name, as Snakemake gives them to a script."""

    def __init__(self, **named: Any) -> None:
        flat = [v if isinstance(v, list) else [v] for v in named.values()]
        super().__init__(one for some in flat for one in some)
        self.__dict__.update(named)

    def items(self) -> Any:
        """Return names and values, as of a dictionary."""
        return self.__dict__.items()

    def __getitem__(self, key: Any) -> Any:
        return self.__dict__[key] if isinstance(key, str) else super().__getitem__(key)


def features(folder: Path, extractors: Sequence[str]) -> dict[str, list[str]]:
    """Return the feature tables of some extractors."""
    return {e: sorted(map(str, folder.glob(tables.FEATURES.glob(extractor=e)))) for e in extractors}


def job(stage: str, folder: Path, args: argparse.Namespace) -> tuple[str, Any]:
    """Return the script of a stage and what Snakemake would hand to it."""
    name, _, which = stage.partition(":")
    base, out = folder.relative_to(folder.parents[1]), Path("made") / folder.name
    predictions = [str(base / tables.PREDICTIONS.fill_path(metric=m)) for m in DRAWN]
    every = features(base, ("slowfast", "clip", "lse"))
    whole = [path for paths in every.values() for path in paths]
    samples, mos = str(base / tables.SAMPLES.path), str(base / tables.MOS.path)
    table = {
        "correlation": str(base / tables.CORRELATION.path),
        "by_method": str(base / tables.CORRELATION_BY_METHOD.path),
        "significance": str(base / tables.SIGNIFICANCE.path),
    }
    rejects, conformed = str(base / tables.REJECTS.path), str(base / tables.CONFORMED.merged_path)
    given, made, params = Named(mos=mos, samples=samples), Named(), Named()
    if name == "predict":
        metric = metric_of(which)
        paths = [p for e in metric["extractors"] for p in every[e]]
        given = Named(features=paths, mos=mos, samples=samples, models=[])
        made = Named(predictions=str(out / which / "predictions.parquet"))
        params = Named(metric=metric, protocols=METRICS[which]["on"], seed=1, cross={})
    elif name == "correlate":
        given = Named(predictions=predictions, mos=mos, samples=samples)
        made = Named(**table)
        settings = {"bootstrap": args.bootstrap, "seed": 1}
        params = Named(metrics=listed(), protocols=PROTOCOLS, settings=settings)
    elif name == "make_tables":
        given = Named(correlation=table["correlation"])
        kinds = ("metrics", "metrics_pooled", "metrics_model_level", "leakage")
        made = Named(all=[str(base / f"correlation/{k}.{end}")
                          for k in kinds for end in ("csv", "md", "tex", "html")])  # fmt: skip
        params = Named(dataset=folder.name, protocol="random", order=list(DRAWN),
                       dimensions=list(DIMENSIONS))  # fmt: skip
    elif name == "plot_scatter":
        given = Named(predictions=predictions[-1], mos=mos, samples=samples)
        made = Named(svg=str(out / "scatter.svg"), png=str(out / "scatter.png"))
        params = Named(metric=listed()[-1], dimensions=DIMENSIONS, protocol="random")
    elif name == "plot_metrics":
        given = Named(**table, conformed=conformed, predictions=predictions, mos=mos,
                      samples=samples)  # fmt: skip
        kinds = ("bars", "ranks", "matrix", "failures")
        made = Named(**{f"{k}{e}": str(out / f"{k}.{e[1:] or 'svg'}")
                        for k in kinds for e in ("", "_png")})  # fmt: skip
        params = Named(protocol="random", dimensions=DIMENSIONS, metrics=listed())
    elif name == "collect_rejects":
        given = Named(conformed=conformed, mos=mos, predictions=predictions, features=whole)
        made = Named(rejects=rejects, page=str(base / "report/rejects.html"))
    elif name == "build_catalog":
        made = Named(catalog=str(base / "catalog.duckdb"))
    elif name == "build_site":
        ratings = [str(base / t.path) for t in (tables.SCORES, tables.RATERS)]
        given = Named(conformed=conformed, mos=mos, predictions=predictions, features=whole,
                      samples=samples, rejects=rejects, ratings=ratings,
                      tables=list(table.values()))  # fmt: skip
        made = Named(site=str(base / "report/site"), crate=str(base / "ro-crate-metadata.json"))
        params = Named(protocol="random", dimensions=DIMENSIONS, metrics=list(DRAWN))
    elif name == "write_manifest":
        given = Named(files=[samples, mos, conformed, *table.values(), *predictions, *whole])
        made = Named(manifest=str(base / "report/manifest.json"))
        params = Named(config={"dataset": folder.name, "seed": 1}, methods=[], generators=[])
    else:
        raise SystemExit(f"--stages {stage!r}: write some of {', '.join(STAGES)}")
    log = Named(log=str(out / f"{stage.replace(':', '-')}.log"))
    parts = {"input": given, "output": made, "params": params, "log": log, "threads": args.threads}
    return name, argparse.Namespace(**parts)


def metric_of(name: str) -> dict[str, Any]:
    """Return a metric as the plan gives it to a job."""
    from sfqa.regression.metrics import read_versions

    given = METRICS[name]
    inputs = list(given.get("inputs", ()))
    made = {"name": name, "kind": given.get("kind", "regressor"), "group": "Drawn",
            "head": given.get("head"), "inputs": inputs, "options": given.get("options", {}),
            "direction": given.get("direction", 1),
            "extractors": sorted({i.partition(".")[0] for i in inputs})}  # fmt: skip
    return {**made, "versions": read_versions(made)}


def listed() -> list[dict[str, Any]]:
    """Return the metrics of the correlation tables, as the plan labels them."""
    controls = ("random", "constant", "oracle")
    return [{"name": n, "group": "Drawn", "kind": "control" if n in controls else "zero_shot",
             "direction": -1 if n == "LSE-D" else 1, "weights": "none"} for n in DRAWN]  # fmt: skip


if __name__ == "__main__":
    main()
