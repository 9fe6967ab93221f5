"""Bytes per video of the feature tables of SlowFast, CLIP and LSE together.

The rival is what the field's scripts leave per video (SimpleVQA and what copies it): NumPy files of
float32, one for each pathway of each clip, one for the key frames, one for the prompt, one with
LSE-C, LSE-D and offset. Counted are the bytes of files, not the blocks that they take on a disk,
which is in the rival's favour. The target, 64 KiB a video, is ours alone; it is for videos of 6 s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _common as common
import numpy as np

if TYPE_CHECKING:
    import argparse

    import pandas as pd

TARGET_BYTES = 64 << 10
SLOW = 2048


def tables(rows: pd.DataFrame, args: argparse.Namespace, work: Path) -> dict[str, Path]:
    """Extract by the three and return where their tables lie."""
    from sfqa import store
    from sfqa.device import lease_torch_device
    from sfqa.features.run import extract_shard

    options: dict[str, dict[str, Any]] = {
        "slowfast": {}, "clip": {"model": common.MODELS[args.small]}, "lse": {"detect_every": 5},
    }  # fmt: skip
    made = {}
    for name, given in options.items():
        spec = {"weights": "random", "options": given}
        table, metadata, _ = extract_shard(
            rows, name, spec, work / name / "cache", "drawn/0",
            lambda: lease_torch_device(args.threads), workers=max(1, args.threads - 1),
        )  # fmt: skip
        made[name] = work / name / "0.parquet"
        store.write_arrow(table, made[name], metadata)
    return made


def published(found: Mapping[str, Path], work: Path) -> None:
    """Write the same numbers as the field's scripts keep them."""
    import pyarrow.parquet as pq

    from sfqa.features.base import read_tensor

    def keep(name: str, sample: str, values: Any) -> None:
        path = work / name / f"{sample}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.asarray(values, np.float32))

    read = {name: pq.read_table(path) for name, path in found.items()}
    for number, sample in enumerate(read["slowfast"]["sample_id"].to_pylist()):
        cells = {}
        for name, column in (("slowfast", "slowfast"), ("clip", "image"), ("clip", "text")):
            table = read[name]
            cells[column] = read_tensor(table[column], table.schema.field(column), number)
        for clip, row in enumerate(() if cells["slowfast"] is None else cells["slowfast"]):
            keep(f"slowfast/{sample}", f"feature_{clip}_slow_feature", row[:SLOW])
            keep(f"slowfast/{sample}", f"feature_{clip}_fast_feature", row[SLOW:])
        for column in ("image", "text"):
            if cells[column] is not None:
                keep(f"clip_{column}", sample, cells[column])
        scores = [read["lse"][name][number].as_py() for name in ("lse_c", "lse_d", "offset")]
        if None not in scores:
            keep("lse", sample, scores)


def main(words: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark; return its figures."""
    args = common.parser("bytes of features per video", 1).parse_args(words)
    with common.folder(args) as work:
        rows = common.conformed(args, work)
        common.head("feature bytes: SlowFast, CLIP and LSE", rows, args)
        found = tables(rows, args, work)
        sizes = {name: path.stat().st_size / len(rows) for name, path in found.items()}
        files = work / "published"
        published(found, files)
        rival = sum(p.stat().st_size for p in files.rglob("*.npy")) / len(rows)
        ours = sum(sizes.values())
        for name, size in sizes.items():
            print(f"  {name:<10} {size / 1024:8.1f} KiB a video")
        reached = ours <= TARGET_BYTES
        print(f"  rival: NumPy files of float32 {rival / 1024:.1f} KiB a video")
        print(f"  ours: Parquet {ours / 1024:.1f} KiB a video")
        print(
            f"RATIO feature bytes: {rival / ours:.2f}; target: ours at most "
            f"{TARGET_BYTES >> 10} KiB: {common.word(reached)}"
        )
        ratio = {
            "name": "feature bytes", "rival": "NumPy files of float32", "ours": "Parquet",
            "rival_bytes": rival, "ours_bytes": ours, "ratio": rival / ours,
            "target": TARGET_BYTES, "reached": reached,
        }  # fmt: skip
        return common.finish(args, {"bytes": sizes, "videos": len(rows), "ratios": [ratio]})


if __name__ == "__main__":
    main()
