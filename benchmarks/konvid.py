"""KoNViD-1k as the BVQA benchmark reports it: medians over 100 random 80:20 splits.

    python benchmarks/konvid.py --data FOLDER [--small]
    python benchmarks/konvid.py --data FOLDER --table resources/konvid/videval.csv

Kernel ridge (exact leave-one-out, all splits at once) against scikit-learn's randomised SVR search
on the first 25 of the same splits, on the features of BRISQUE and VIDEVAL. FOLDER holds the
benchmark's files (github.com/vztu/BVQA_Benchmark, vztu/VIDEVAL): KONVID_1K_BRISQUE_feats.mat,
KONVID_1K_VIDEVAL_feats.mat, KONVID_1K_metadata.csv.
The splits have the published code's seeds, and missing features its means; train rows come in the
order of names, as in the workflow. PLCC stands after the 4-parameter logistic, fitted split by
split.

``--table`` writes the table that config/konvid.yaml imports, of VIDEVAL's features, and no more.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _common import cores, machine, word
from heads import filled, kernel_against_svr, mat, say_times

#: Medians of the published table (Tu et al., IEEE TIP 2021), SRCC and PLCC, and what is allowed
#: below them: another draw of the search.
PUBLISHED, ALLOWED = {"BRISQUE": (0.6567, 0.6576), "VIDEVAL": (0.7832, 0.7803)}, 0.005
FIGURES = ("srcc", "plcc", "krcc")


def main() -> None:
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = made.add_argument
    add("--data", type=Path, metavar="FOLDER", required=True, help="the benchmark's files")
    add("--table", type=Path, metavar="FILE", help="write features and MOS there (.csv)")
    add("--splits", type=int, default=100, metavar="N", help="splits for the kernel (100)")
    add("--svr-splits", type=int, default=25, metavar="N", help="splits for the SVR (25)")
    add("--repeats", type=int, default=1, metavar="N", help="runs of each way (1)")
    add("--threads", type=int, default=cores(), metavar="N", help="CPU threads (all cores)")
    add("--device", default="", metavar="NAME", help="cpu or cuda (cuda where there is one)")
    add("--small", action="store_true", help="4 splits against 2, to see that it runs at all")
    args = made.parse_args()
    if args.small:
        args.splits, args.svr_splits = 4, 2
    mos = pd.read_csv(args.data / "KONVID_1K_metadata.csv")
    if args.table is not None:
        write_table(args.data, mos, args.table)
        return
    import torch

    torch.set_num_threads(args.threads)
    device = args.device or ("cuda:0" if torch.cuda.is_available() else "cpu")
    print(f"KoNViD-1k: {len(mos)} videos, on {device}\n  {machine(args)}")
    y = mos["mos"].to_numpy(float)
    for name in PUBLISHED:
        x = mat(args.data / f"KONVID_1K_{name}_feats.mat")
        lost = int(np.isnan(x).any(axis=1).sum())
        print(f"{name}: {x.shape[1]} features, missing in {lost} videos")
        names = mos["flickr_id"].astype(str).tolist()
        predicted, tests, times = kernel_against_svr(filled(x), y, args, device, names)
        show_figures(name, predicted, tests, y)
        say_times(times, args, device)


def show_figures(
    name: str,
    predicted: dict[str, list[np.ndarray[Any, Any]]],
    tests: list[np.ndarray[Any, Any]],
    y: np.ndarray[Any, Any],
) -> None:
    """Print medians over the splits as a table, and whether the bar is reached."""
    from sfqa.correlation.fits import correlate

    found = {}
    for head, parts in predicted.items():
        each = [correlate(p, y[t]) for p, t in zip(parts, tests, strict=False)]
        found[head] = np.array([[one[f] for f in FIGURES] for one in each], float)
    count = len(found["svr"])
    rows = {
        f"kernel, {len(found['kernel'])} splits": found["kernel"],
        f"kernel, the SVR's {count}": found["kernel"][:count],
        f"SVR search, {count} splits": found["svr"],
    }
    print(f"  {'medians':<26}" + "".join(f"{f.upper():>9}" for f in FIGURES))
    for title, values in rows.items():
        print(f"  {title:<26}" + "".join(f"{v:9.4f}" for v in np.median(values, axis=0)))
    print(f"  {'published (SVR, 100)':<26}" + "".join(f"{v:9.4f}" for v in PUBLISHED[name]))
    ahead = np.mean(found["kernel"][:count, 0] > found["svr"][:, 0])
    median, bar = float(np.median(found["kernel"][:, 0])), PUBLISHED[name][0] - ALLOWED
    print(
        f"  kernel ahead of the SVR on {ahead:.0%} of its splits; "
        f"SRCC {median:.4f}, bar {bar:.4f}: {word(median >= bar)}"
    )


def write_table(data: Path, mos: pd.DataFrame, path: Path) -> None:
    """Write one row per video: flickr_id, mos and VIDEVAL's features, empty where missing."""
    x = mat(data / "KONVID_1K_VIDEVAL_feats.mat")
    names = [f"f{n + 1}" for n in range(x.shape[1])]
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pd.concat([mos[["flickr_id", "mos"]], pd.DataFrame(x, columns=names)], axis=1)
    table.to_csv(path, index=False)
    print(f"{path}: {len(table)} videos, {len(names)} features")


if __name__ == "__main__":
    main()
