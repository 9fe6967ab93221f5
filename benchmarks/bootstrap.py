"""1,000 bootstrap samples of 14 metrics: ranks from running sums, against a loop over scipy.

    python benchmarks/bootstrap.py [--small]

SRCC and PLCC of 14 metrics on 5,184 videos (the paper's size) in 1,000 samples drawn with
replacement. The rival draws the rows and calls scipy.stats.spearmanr and pearsonr for each metric,
as most scripts of the field do; it does ``--loops`` of the samples, and its time is scaled up to
all. Both draw the same rows; the differences of their numbers are printed. KRCC is timed too, with
scipy.stats.kendalltau on a tenth of the loops, and the bootstrap of groups (432 pairs).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any

# One thread on both sides: the rival's calls have no more.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import _common as common
import numpy as np
from _common import SEED, Spent, finish, machine, race, show, timed, verdict

METRICS, VIDEOS, SAMPLES, TARGET = 14, 5184, 1000, 50.0
METHODS = 12

Array = np.ndarray[Any, Any]


def main(words: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the races, print and return the figures."""
    made = common.parser(__doc__ or "", 3)
    made.formatter_class = argparse.RawTextHelpFormatter
    made.add_argument(
        "--loops", type=int, default=50, metavar="N", help="samples of the rival (50)"
    )
    args = made.parse_args(words)
    rows, samples = (144, 40) if args.small else (VIDEOS, SAMPLES)
    loops = min(args.loops, samples)
    x, y = drawn(rows)
    print(f"bootstrap: {samples} samples of {METRICS} metrics x {rows} videos\n  {machine(args)}")
    figures: dict[str, Any] = {"rows": rows, "samples": samples, "loops": loops}
    figures["differences"], figures["ratios"] = against_scipy(x, y, samples, loops, args.repeats)
    for difference, most in figures["differences"].items():
        print(f"  largest difference of {difference}: {most:.2g}")
    return finish(args, figures)


def drawn(rows: int) -> tuple[Array, Array]:
    """Return scores of all metrics, two of them with ties, and MOS."""
    numbers = np.random.default_rng(SEED)
    y = numbers.normal(50, 15, rows)
    noise = np.linspace(5, 60, METRICS)
    x = y[:, None] + noise * numbers.normal(size=(rows, METRICS))
    x[:, -2:] = np.round(x[:, -2:] / 10)
    return x, y


def against_scipy(
    x: Array, y: Array, samples: int, loops: int, repeats: int
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Return the largest differences, and the ratios."""
    import pandas as pd
    from scipy import stats

    from sfqa.correlation import bootstrap

    rows = len(y)
    table = pd.DataFrame({"sample_id": [f"{k:05d}" for k in range(rows)]})
    paired = table.assign(image_id=[f"p{k // METHODS}" for k in range(rows)])
    whole = bootstrap.draw_resampling(table, None, samples, SEED, grouped=False)
    groups = bootstrap.draw_resampling(paired, ["image"], samples, SEED)
    picks = [np.repeat(np.arange(rows), whole.counts[:, k].astype(int)) for k in range(loops)]
    few = max(1, loops // 10)
    found: dict[str, Array] = {}

    def loop(name: str, call: Any, count: int) -> Spent:
        made = np.empty((x.shape[1], count))

        def run() -> None:
            numbers = np.random.default_rng(SEED)
            for k in range(count):
                numbers.integers(0, rows, rows)  # the draw itself; picks are the same for both
                for m in range(x.shape[1]):
                    made[m, k] = call(x[picks[k], m], y[picks[k]]).statistic

        spent = timed(run)
        found[f"scipy {name}"] = made
        return Spent(spent.wall * samples / count, spent.cpu * samples / count)

    def scipy_two() -> Spent:
        a, b = loop("SRCC", stats.spearmanr, loops), loop("PLCC", stats.pearsonr, loops)
        return Spent(a.wall + b.wall, a.cpu + b.cpu)

    def ours_two() -> None:
        made = bootstrap.draw_resampling(table, None, samples, SEED, grouped=False)
        cells = made.get_cells(table["sample_id"].tolist())
        got = bootstrap.compute_replicates(x, x, y, cells, made.weights, ("srcc", "plcc"))
        found.update({"SRCC": got["srcc"], "PLCC": got["plcc"]})

    def ours_kendall(drawing: Any) -> None:
        cells = drawing.get_cells(table["sample_id"].tolist())
        got = bootstrap.compute_replicates(x, x, y, cells, drawing.weights, ("krcc",))
        if drawing is whole:
            found["KRCC"] = got["krcc"]

    two = {"loop over scipy (SRCC, PLCC)": scipy_two, "ours (SRCC, PLCC)": ours_two}
    tau = {
        "loop over scipy (KRCC)": lambda: loop("KRCC", stats.kendalltau, few),
        "ours (KRCC), samples": lambda: ours_kendall(whole),
        "ours (KRCC), groups": lambda: ours_kendall(groups),
    }
    times = {**race(two, repeats), **race(tau, 1)}
    show(times)
    rival, ours = two
    ratios = [verdict("bootstrap, SRCC and PLCC", times, rival, ours, TARGET)]
    rival, *both = tau
    ratios += [verdict(f"bootstrap, {name[5:]}", times, rival, name) for name in both]
    apart = {}
    for name in ("SRCC", "PLCC", "KRCC"):
        theirs = found[f"scipy {name}"]
        apart[name] = float(np.abs(theirs - found[name][:, : theirs.shape[1]]).max())
    return apart, ratios


if __name__ == "__main__":
    main()
