"""Heads on cached features: many problems at once against one at a time, and against SVR's search.

    python benchmarks/heads.py [--features FILE.mat --mos FILE.csv] [--small]

1. Kernel ridge with exact leave-one-out on 100 random 80:20 splits (all at once) against
   scikit-learn's randomised SVR search as the BVQA benchmark does it, on the first 25 of them.
2. Ten trials of the MLP in one call, side by side on --threads processes, against one by one:
   seconds, and how far apart the SRCC of their predictions are.

Without files the features are drawn: 1,200 rows of 60, as KoNViD-1k's VIDEVAL has.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _common import SEED, Spent, Times, cores, machine, race, ratios, show, verdict, word


def main() -> None:
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = made.add_argument
    add(
        "--features",
        type=Path,
        metavar="FILE",
        help="features, .mat with feats_mat (rows, columns)",
    )
    add("--mos", type=Path, metavar="FILE", help="their MOS, .csv with a column mos")
    add("--splits", type=int, default=100, metavar="N", help="splits for the kernel (100)")
    add("--svr-splits", type=int, default=25, metavar="N", help="splits for the SVR (25)")
    add("--repeats", type=int, default=1, metavar="N", help="runs of each way (1)")
    add("--threads", type=int, default=cores(), metavar="N", help="CPU threads (all cores)")
    add("--device", default="", metavar="NAME", help="cpu or cuda (cuda where there is one)")
    add("--part", choices=("kernel", "mlp", "both"), default="both", help="what to run (both)")
    add("--small", action="store_true", help="a few seconds' run, to see that it runs at all")
    args = made.parse_args()
    import torch

    torch.set_num_threads(args.threads)
    device = args.device or ("cuda:0" if torch.cuda.is_available() else "cpu")
    if args.small:
        args.splits, args.svr_splits = 8, 2
    x, y = read(args)
    print(f"heads: {len(x)} rows of {x.shape[1]} features, on {device}\n  {machine(args)}")
    if args.part != "mlp":
        kernel_and_svr(x, y, args, device)
    if args.part != "kernel":
        batch_and_single(x, y, args, device)


def read(args: argparse.Namespace) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return features and MOS from the files, or drawn ones."""
    if args.features is not None:
        return filled(mat(args.features)), pd.read_csv(args.mos)["mos"].to_numpy(float)
    numbers = np.random.default_rng(SEED)
    hidden = numbers.normal(size=(240 if args.small else 1200, 8))
    x = np.tanh(hidden @ numbers.normal(size=(8, 60)) / 2) + 0.3 * numbers.normal(
        size=(len(hidden), 60)
    )
    y = hidden[:, 0] + np.tanh(hidden[:, 1] * hidden[:, 2]) + 0.5 * numbers.normal(size=len(hidden))
    return x.astype(np.float32), 3 + 0.6 * y


def mat(path: Path) -> np.ndarray[Any, Any]:
    """Return the features of a MATLAB file (feats_mat), NaN where one is no finite number."""
    from scipy.io import loadmat

    x = np.asarray(loadmat(path)["feats_mat"], np.float64)
    return np.where(np.isfinite(x), x, np.nan)


def filled(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return float32, the mean of all rows where a feature is missing, as BVQA's code does it."""
    return np.where(np.isnan(x), np.nanmean(x, axis=0), x).astype(np.float32)


def split_of(rows: int, number: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return train and test rows of one of the benchmark's splits (BVQA's seeds)."""
    from sklearn.model_selection import train_test_split

    return tuple(
        train_test_split(np.arange(rows), test_size=0.2, random_state=math.ceil(8.8 * number))
    )  # type: ignore[return-value]


def timer() -> Callable[[], Spent]:
    """Return what gives the time since now: of the clock, and of this process's processors."""
    wall, cpu = time.perf_counter(), time.process_time()
    return lambda: Spent(time.perf_counter() - wall, time.process_time() - cpu)


def srcc(prediction: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(prediction, y).statistic)


def kernel_against_svr(
    x: np.ndarray[Any, Any],
    y: np.ndarray[Any, Any],
    args: argparse.Namespace,
    device: str,
    names: Sequence[str] = (),
) -> tuple[dict[str, list[np.ndarray[Any, Any]]], list[np.ndarray[Any, Any]], Times]:
    """Return the test rows' predictions of 'kernel' and 'svr', split by split, and the times.

    Also the test rows of every split; the SVR has the first ``args.svr_splits`` of them. Heads get
    train rows in the order of ``names``, as in the workflow (default: the order of the rows).
    """
    from sfqa.regression import heads
    from sfqa.regression.problems import make_problem

    place = np.argsort(np.argsort(np.array(names, str), kind="stable")) if len(names) else None
    splits = [
        (np.sort(a) if place is None else a[np.argsort(place[a])], t)
        for a, t in (split_of(len(x), n + 1) for n in range(args.splits))
    ]
    problems = [make_problem(a, [], y, SEED + n) for n, (a, _) in enumerate(splits)]
    options, search = (heads.merge_options(name, {}) for name in ("kernel", "svr"))
    kernel: Any = heads.load_head("kernel")
    svr: Any = heads.load_head("svr")
    found: dict[str, list[np.ndarray[Any, Any]]] = {}

    def ours() -> None:
        predicted = kernel.fit(x, problems, options, Path(), device).predict(x)[:, :, 0]
        found["kernel"] = [p[t] for p, (_, t) in zip(predicted, splits, strict=True)]

    def theirs() -> Spent:
        found["svr"] = []
        if args.threads > 1:  # the search's processes start before the clock does
            from joblib import Parallel, delayed

            Parallel(args.threads)(delayed(abs)(n) for n in range(args.threads))
        started = timer()
        for n, (a, t) in enumerate(splits[: args.svr_splits]):
            got = svr.fit_predict(
                x[a], y[a, None], x[:0], y[:0, None], x[t], search, SEED + n,
                jobs=args.threads,
            )  # fmt: skip
            found["svr"].append(got[:, 0])
        return started()

    names = (f"SVR, randomised search, {args.svr_splits} splits", f"kernel, {args.splits} splits")
    times = race({names[0]: theirs, names[1]: ours}, args.repeats)
    return found, [t for _, t in splits], times


def say_times(times: Times, args: argparse.Namespace, device: str) -> None:
    """Print the times of both ways, their ratio, and the ratio per split."""
    show(times)
    rival, ours = times
    title = f"SVR search to kernel, {args.svr_splits} splits to {args.splits}"
    verdict(title, times, rival, ours, None if args.small else 1.0)
    each = args.splits / args.svr_splits * float(np.median(ratios(times, rival, ours)))
    target = "" if device == "cpu" else f"; target 20: {word(each >= 20)}"
    print(f"RATIO SVR search to kernel, per split: {each:.1f} wall{target}")
    if args.threads > 1:
        print("  (the search's processes are not in its CPU time; --threads 1 counts all)")


def kernel_and_svr(
    x: np.ndarray[Any, Any], y: np.ndarray[Any, Any], args: argparse.Namespace, device: str
) -> None:
    predicted, tests, times = kernel_against_svr(x, y, args, device)
    found = {
        name: np.array([srcc(p, y[t]) for p, t in zip(parts, tests, strict=False)])
        for name, parts in predicted.items()
    }
    first = found["kernel"][: args.svr_splits]
    print(
        f"  median SRCC: kernel {np.median(found['kernel']):.4f} on all {args.splits} splits, "
        f"{np.median(first):.4f} on the SVR's; SVR {np.median(found['svr']):.4f}; kernel ahead on "
        f"{np.mean(first > found['svr']):.0%} of them"
    )
    say_times(times, args, device)


def batch_and_single(
    x: np.ndarray[Any, Any], y: np.ndarray[Any, Any], args: argparse.Namespace, device: str
) -> None:
    from sfqa.regression import heads
    from sfqa.regression.problems import make_problem

    mlp: Any = heads.load_head("mlp")
    options = heads.merge_options("mlp", {"epochs": 20 if args.small else 200})
    problems, tests = [], []
    for n in range(10):
        rows, test = split_of(len(x), n + 1)
        edge = len(rows) // 8
        problems.append(make_problem(rows[edge:], rows[:edge], y, SEED + n))
        tests.append(test)
    found: dict[str, list[float]] = {}

    def fit(some: list[Any]) -> np.ndarray[Any, Any]:
        with tempfile.TemporaryDirectory(prefix="sfqa-benchmark-") as work:
            return mlp.fit(x, some, options, Path(work), device).predict(x)[:, :, 0]

    def together() -> None:
        found["batch"] = [srcc(p[t], y[t]) for p, t in zip(fit(problems), tests, strict=True)]

    def one_by_one() -> None:
        found["single"] = [srcc(fit([p])[0][t], y[t]) for p, t in zip(problems, tests, strict=True)]

    names = ("10 MLP trials one by one", "10 MLP trials in one call")
    times = race({names[0]: one_by_one, names[1]: together}, args.repeats)
    show(times)
    apart = float(np.max(np.abs(np.array(found["batch"]) - np.array(found["single"]))))
    print(
        f"  SRCC {np.median(found['batch']):.4f}; one call and single ones differ by at most "
        f"{apart:.1e}; target 1e-4: {word(apart <= 1e-4)}"
    )
    target = 1.0 if device == "cpu" and args.threads > 1 else None
    verdict("one by one to one call", times, *names, None if args.small else target)


if __name__ == "__main__":
    main()
