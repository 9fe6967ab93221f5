"""UGVQ: ten trials side by side, one process for each core, against the same ten in turn.

Both ways are the head's own code with the same seeds, features, rows and options: only whether
``fit`` gets ten problems at once or one at a time differs. On a GPU both run in turn.
Features are random numbers of the published shapes (8 frames and 8 clips a video); the MOS depends
on all three. On a GPU the paper's sizes by default, on a CPU smaller ones, since one full trial
there takes hours. Predictions of both ways are compared: SRCC on the test rows must agree to 1e-4.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import _common as common
import numpy as np

TOGETHER, ALONE = "ten trials, one call", "ten trials, one by one"
#: Rows, widths of features and of the model. The paper: LGVQ's 2808 videos.
SHAPES = {
    "paper": (2808, (1024, 2304, 1024), {}),
    "middle": (600, (128, 256, 128), {
        "width": 64, "layers": 2, "feedforward": 128, "fusion_feedforward": 96, "hidden": 576}),
    "small": (120, (12, 16, 12), {
        "width": 16, "layers": 1, "feedforward": 32, "fusion_feedforward": 24, "hidden": 48}),
}  # fmt: skip


def main(words: Sequence[str] | None = None) -> None:
    args = arguments(words)
    import torch

    torch.set_num_threads(args.threads)
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    size = args.size or ("small" if args.small else "paper" if device == "cuda" else "middle")
    x, problems, tests, y = trials(size, args.trials)
    options = settings(size, args)
    rows, _, _ = SHAPES[size]
    print(f"UGVQ, {args.trials} trials of {rows} videos, 7:1:2, {options['epochs']} epochs, {size}")
    print(f"  {common.machine(args)}, {parameters(x, options):,} parameters a model, on {device}")
    found: dict[str, Any] = {}

    def run(name: str, groups: list[list[Any]]) -> None:
        from sfqa.regression.heads import load_head

        ugvq: Any = load_head("ugvq")
        parts = []
        for group in groups:
            with tempfile.TemporaryDirectory(prefix="sfqa-benchmark-") as work:
                parts.append(ugvq.fit(x, group, options, Path(work), device).predict(x))
        found[name] = np.concatenate(parts)

    if device == "cuda":  # The first call loads kernels.
        run(ALONE, [problems[:1]])
    times = common.race(
        {ALONE: lambda: run(ALONE, [[p] for p in problems]),
         TOGETHER: lambda: run(TOGETHER, [problems])},
        args.repeats,
    )  # fmt: skip
    common.show(times)
    target = 1.0 if args.threads > 1 and device == "cpu" else None
    common.verdict("one by one / one call", times, ALONE, TOGETHER, target)
    gap, best = compared(found, tests, y)
    print(
        f"SRCC on test rows: {best:.3f} (mean of the trials), the ways differ by at most "
        f"{gap:.1e}; target 1e-4: {common.word(gap < 1e-4)}"
    )


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments: those of all benchmarks that matter here, and its own."""
    about = (__doc__ or "").splitlines()[0]
    made = argparse.ArgumentParser(description=about)
    add = made.add_argument
    add("--trials", type=int, default=10, metavar="N", help="problems (10)")
    add("--repeats", type=int, default=3, metavar="N", help="runs of each way (3)")
    add("--epochs", type=int, default=None, metavar="N", help="epochs (2; small: 2)")
    add("--threads", type=int, default=common.cores(), metavar="N", help="CPU threads (all cores)")
    add("--device", choices=("cpu", "cuda"), help="where (a GPU where there is one)")
    add("--size", choices=sorted(SHAPES), help="sizes of features and model (by the device)")
    add("--precision", choices=("float32", "bf16"), default="float32")
    add("--small", action="store_true", help="a few seconds' run, to see that it runs at all")
    return made.parse_args(words)


def settings(size: str, args: argparse.Namespace) -> dict[str, Any]:
    """Return the head's options: the paper's, with this size and number of epochs."""
    from sfqa.regression import heads

    changed = {**SHAPES[size][2], "epochs": args.epochs or 2, "precision": args.precision}
    if size != "paper":
        changed["learning_rate"] = 1e-3
    return heads.merge_options("ugvq", changed)


def trials(
    size: str, count: int
) -> tuple[dict[str, np.ndarray], list[Any], list[np.ndarray], np.ndarray]:
    """Return features by input, problems (7:1:2, by row), their test rows and the MOS."""
    from sfqa import identity
    from sfqa.regression.problems import make_problem

    rows, widths, _ = SHAPES[size]
    numbers = identity.random_generator(common.SEED, "ugvq", size)
    spatial, temporal, text = (
        numbers.normal(size=shape).astype(np.float32)
        for shape in ((rows, 8, widths[0]), (rows, 8, widths[1]), (rows, widths[2]))
    )
    parts = [spatial.mean(axis=1)[:, :4].sum(axis=1), temporal.mean(axis=1)[:, :4].sum(axis=1)]
    y = sum(p / p.std() for p in parts) + text[:, 0]
    dims = np.column_stack([y, parts[1] / parts[1].std() + y / 4, text[:, 0] + y / 4])
    mos = 50 + 10 * dims.astype(np.float64)
    made, tests = [], []
    for seed in range(count):
        order = identity.random_generator(common.SEED, "split", seed).permutation(rows)
        train, validation = round(rows * 0.7), round(rows * 0.1)
        made.append(make_problem(order[:train], order[train : train + validation], mos, seed))
        tests.append(order[train + validation :])
    return {"spatial": spatial, "temporal": temporal, "text": text}, made, tests, mos


def parameters(x: dict[str, np.ndarray], options: dict[str, Any]) -> int:
    """Return the number of parameters of one model."""
    import torch

    from sfqa.regression.heads import load_head

    ugvq: Any = load_head("ugvq")
    with torch.device("meta"):
        net = ugvq.build({k: v.shape[1:] for k, v in x.items()}, 3, options)
    return sum(parameter.numel() for parameter in net.parameters())


def compared(
    found: dict[str, np.ndarray], tests: list[np.ndarray], y: np.ndarray
) -> tuple[float, float]:
    """Return the largest difference of the ways in SRCC, and the mean SRCC of one call."""
    from scipy.stats import spearmanr

    scores = {
        name: np.array([
            [spearmanr(p[t, d], y[t, d])[0] for d in range(y.shape[1])]
            for p, t in zip(values, tests, strict=True)
        ])
        for name, values in found.items()
    }  # fmt: skip
    gap = float(np.abs(scores[ALONE] - scores[TOGETHER]).max())
    return gap, statistics.fmean(scores[TOGETHER].ravel().tolist())


if __name__ == "__main__":
    main()
