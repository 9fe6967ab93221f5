"""Whole extraction of a shard by SlowFast and CLIP against the bare forward passes.

Whole is what a job does from the conformed table on: worker processes start, decode and resize,
bytes move to the device and are normalised there, rows go through the cache into a Parquet file.
Bare is the same passes of the same networks again, on the very tensors that the networks were given
then, already on the device. Models are built before the clock starts on both sides. The ratio is
bare to whole: 1 is no overhead, the target 1/1.1 is 10 %.

Printed too: videos per second; the share of the decode bound, which is the time that reading alone
takes by the same worker processes to the time of the whole; and how far bf16 is from fp32 (where
there is a GPU, or with ``--bf16``).
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import _common as common
import numpy as np

if TYPE_CHECKING:
    import argparse

    import pandas as pd

TARGET = 1 / 1.1
#: Where each extractor calls its network, and the column that the call's rows go to.
CALLS = {
    "slowfast": {"slowfast": "net.compute_features"},
    "clip": {"image": "model.encode_image", "text": "model.encode_text"},
}


@dataclass
class Built:
    """An extractor with its model, and the passes that the network made since it was watched."""

    name: str
    spec: dict[str, Any]
    model: Any
    passes: list[tuple[str, Callable[[Any], Any], Any]] = field(default_factory=list)

    @contextmanager
    def instead(self) -> Iterator[None]:
        """Let new extractors of this kind be this one."""

        def adopt(new: Any, *_: object) -> None:
            new.__dict__.update(self.model.__dict__)

        with patch.object(type(self.model), "__init__", adopt):
            yield

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Keep what the network is given."""
        with ExitStack() as stack:
            for column, place in CALLS[self.name].items():
                holder, call = place.split(".")
                owner = getattr(self.model, holder)
                plain = getattr(owner, call)

                def keeping(
                    x: Any, plain: Callable[[Any], Any] = plain, column: str = column
                ) -> Any:
                    self.passes.append((column, plain, x.clone()))
                    return plain(x)

                stack.enter_context(patch.object(owner, call, keeping))
            yield


def build(name: str, device: str, precision: str, small: bool) -> Built:
    """Return an extractor of random weights."""
    from sfqa.features import base, weights

    options: dict[str, Any] = {"precision": precision}
    if name == "clip":
        options["model"] = common.MODELS[small]
    spec = {"weights": "random", "options": options}
    resolved = weights.resolve_weights(spec, name)
    return Built(name, spec, base.build_extractor(name, options, resolved, device))


@contextmanager
def one_by_one(built: Sequence[Built]) -> Iterator[None]:
    """One thread and one pass at a time: the order in which a network is watched is the table's."""
    import torch

    threads, usual = torch.get_num_threads(), [dict(one.model.__dict__) for one in built]
    torch.set_num_threads(1)
    for one in built:
        for name in ("batching", "text_batching"):
            if name in one.model.__dict__:
                setattr(one.model, name, replace(getattr(one.model, name), parallel=1))
    try:
        yield
    finally:
        for one, attributes in zip(built, usual, strict=True):
            one.model.__dict__.update(attributes)
        torch.set_num_threads(threads)


def bare(built: Sequence[Built]) -> dict[str, list[Any]]:
    """Run every pass again; return the rows that go to each column."""
    import torch

    from sfqa.features import batches

    made: dict[str, list[Any]] = {}
    with torch.inference_mode(), batches.set_precision():
        for one in built:
            for column, forward, x in one.passes:
                made.setdefault(column, []).append(forward(x))
        if torch.cuda.is_available():
            torch.cuda.synchronize()
    return made


class Shard:
    """The rows to extract, and where to; every run starts with an empty cache."""

    def __init__(self, rows: pd.DataFrame, work: Path, device: str, workers: int) -> None:
        self.rows, self.work, self.device, self.workers = rows, work, device, workers
        self.runs = 0

    def extract(self, built: Sequence[Built], workers: int | None = None) -> dict[str, Any]:
        """Extract by every extractor and write the tables; return them."""
        from contextlib import nullcontext

        from sfqa import store
        from sfqa.features.run import extract_shard

        self.runs += 1
        tables: dict[str, Any] = {}
        for one in built:
            folder = self.work / f"run{self.runs}" / one.name
            with one.instead():
                table, metadata, _ = extract_shard(
                    self.rows, one.name, one.spec, folder / "cache", "drawn/0",
                    lambda: nullcontext(self.device),
                    workers=self.workers if workers is None else workers,
                )  # fmt: skip
            store.write_arrow(table, folder / "0.parquet", metadata)
            tables[one.name] = table
        return tables

    def read(self, built: Sequence[Built]) -> None:
        """Read every video as the extractors' workers do, and score nothing."""
        from sfqa.workers import WorkerPool

        videos = common.videos(self.rows)
        for one in built:
            module, ahead = type(one.model).__module__, 2 * self.workers + 1
            with WorkerPool(min(self.workers, len(videos)), module, 600.0) as pool:
                for read in pool.run(one.model.reader.prepare, videos, ahead):
                    if isinstance(read.value, Exception):
                        raise read.value


def cells(table: Any, name: str) -> Any:
    """Return all numbers of a tensor column, in order, as float32."""
    parts = [np.asarray(cell.values, np.float32) for cell in table[name] if cell.is_valid]
    return np.concatenate(parts)


def columns(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tensor columns of the extractors' tables, flat."""
    return {column: cells(tables[name], column) for name in CALLS for column in CALLS[name]}


def exactness(tables: Mapping[str, Any], rows: Mapping[str, Sequence[Any]]) -> float:
    """Return the largest difference of the tables from the bare passes' rows as float16."""
    most = 0.0
    for column, mine in columns(tables).items():
        found = np.concatenate([np.ravel(r.float().cpu().numpy()) for r in rows[column]])
        found = found[: len(mine)].astype(np.float16)  # the last pass is filled up on a GPU
        most = max(most, float(np.abs(mine - found).max()))
    return most


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return how far two runs' features are apart, by the standard deviation of the first's."""
    made, others = {}, columns(other)
    for column, values in columns(one).items():
        gap = np.abs(values - others[column]) / max(float(values.std()), 1e-12)
        made[column] = {"mean": float(gap.mean()), "most": float(gap.max())}
    return made


def main(words: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark; return its figures."""
    from sfqa.features import memory

    memory.keep_freed()  # for both sides, as early as a job does it
    parser = common.parser("whole extraction by SlowFast and CLIP against bare forward passes", 3)
    parser.add_argument("--bf16", action="store_true", help="bf16 too, where there is no GPU")
    args = parser.parse_args(words)
    if args.small:
        args.count, args.repeats = args.count or 1, min(args.repeats, 1)
    with common.folder(args) as work:
        return run(args, work)


def run(args: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Time both sides in turns, print the lines, return the figures."""
    import torch

    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(args.threads)
    rows = common.conformed(args, work, 1.0 if args.small else 6.0)
    shard = Shard(rows, work, device, max(1, args.threads - 1))
    common.head("extraction: SlowFast R50 8x8 and CLIP of random weights, fp32", rows, args)
    built = [build(name, device, "fp32", args.small) for name in CALLS]
    with one_by_one(built):
        with ExitStack() as stack:
            for one in built:
                stack.enter_context(one.watched())
            tables = shard.extract(built, workers=0)
        gap = exactness(tables, bare(built))
    print(f"  largest difference of the table from the bare passes as float16: {gap:g}")
    forward, whole, read = "bare forward passes", "whole extraction", "reading alone"
    ways: dict[str, Callable[[], object]] = {
        forward: partial(bare, built),
        whole: partial(shard.extract, built),
        read: partial(shard.read, built),
    }
    times = common.race(ways, args.repeats)
    common.show(times)
    made = [common.verdict("extraction, bare to whole", times, forward, whole, TARGET)]
    figures: dict[str, Any] = {"exactness": gap}
    figures |= pace(times, whole, read, len(rows), "fp32")
    if args.bf16 or args.small or torch.cuda.is_available():
        halves = [build(name, device, "bf16", args.small) for name in CALLS]
        half = shard.extract(halves, workers=0)
        figures["bf16_difference"] = differences(tables, half)
        print(f"  bf16 from fp32, by the features' spread: {figures['bf16_difference']}")
        if not args.small:
            again = common.race({whole: partial(shard.extract, halves)}, args.repeats)
            figures |= pace({**times, **again}, whole, read, len(rows), "bf16")
    return common.finish(args, {**figures, "ratios": made})


def pace(
    times: common.Times, whole: str, read: str, videos: int, precision: str
) -> dict[str, float]:
    """Print and return videos per second and the share of the decode bound."""
    spent = {name: statistics.median(s.wall for s in times[name]) for name in (whole, read)}
    rate, share = videos / spent[whole], spent[read] / spent[whole]
    print(f"  {precision}: {rate:.3g} videos/s, {100 * share:.3g} % of the decode bound")
    return {f"videos_per_sec_{precision}": rate, f"decode_bound_share_{precision}": share}


if __name__ == "__main__":
    main()
