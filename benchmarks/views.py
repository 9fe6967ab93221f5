"""An epoch of training input: views from the cache against decoding and sampling the videos again.

The rival is what official training scripts do: every epoch decodes the frames that it needs and
cuts or resizes them, in as many processes as there are threads. Ours stores the views once, as a
job does, and maps them: an epoch is an index into a file, in one process. Both give the same
batches, byte for byte, which is checked. No network runs in either. The memory holds the mapped
file, as in all epochs but the first if it is large enough.

Also printed: bytes a video in the row cache, in the Parquet table and in the mapped file, and, for
a file of 300 videos, how much memory an epoch takes beside the pages of the file.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _common as common

if TYPE_CHECKING:
    import numpy as np
    import torch

    from sfqa.features.base import Video
    from sfqa.training.rows import TensorRows

#: Columns of each extractor, and whether an epoch draws one of the clips.
COLUMNS: Mapping[str, Mapping[str, bool]] = {
    "fast_vqa": {"view": True},
    "dover": {"technical_view": True, "aesthetic_view": False},
    "spatial": {"frames": False},
    "image": {"frames": False},
}
#: Videos of a batch, epochs of a round, seconds of a video from which key frames are read, and
#: videos of the file whose memory is measured.
BATCH, EPOCHS, SECONDS, MEMORY_ROWS = 4, 1, 6, 300
#: An epoch from the cache takes at most a fifth of the time.
TARGET = 5.0


def choose_options(extractor: str, small: bool) -> dict[str, Any]:
    """Return the options of an extractor, whose network is built and does not run."""
    options: dict[str, dict[str, Any]] = {
        "fast_vqa": {"blocks": "reduced", "maps": False},
        "dover": {"blocks": "reduced", "maps": False},
        "spatial": {"model": "simplevqa", "resize": "cv2"},
        "image": {"model": "test_vit" if small else "convnext_tiny.fb_in1k"},
    }
    if small and extractor in ("fast_vqa", "dover"):
        options[extractor]["clips"] = 1
    return options[extractor] | {"views": 1}


def cut_clip(video: Video, view: Any, clip: int) -> np.ndarray:
    """Decode the frames of one clip of a view and return it, (1, 3, frame, row, column)."""
    import numpy as np

    from sfqa import media

    indices, places = np.unique(view.frames[clip], return_inverse=True)
    frames = media.iterate_frames(video.path, indices.tolist())
    pictures = np.stack([view.cut(frame, clip) for frame in frames])[places]
    return np.ascontiguousarray(pictures.transpose(3, 0, 1, 2))[None]


def read_again(
    extractor: str, reader: Any, video: Video, clips: Mapping[str, int]
) -> dict[str, np.ndarray]:
    """Decode a video and return what an epoch reads of it; ``clips`` says which clip is drawn."""
    import numpy as np

    if extractor == "fast_vqa":
        return {"view": cut_clip(video, reader._plan_view(video, 0), clips["view"])}
    if extractor == "dover":
        technical, aesthetic = reader._plan_views(video, 0)
        return {
            "technical_view": cut_clip(video, technical, clips["technical_view"]),
            "aesthetic_view": cut_clip(video, aesthetic, 0),
        }
    frames = arrange_views(extractor, reader.prepare(video))["frames"]
    return {"frames": frames[np.minimum(np.arange(SECONDS), len(frames) - 1)]}


def arrange_views(extractor: str, prepared: Any) -> dict[str, np.ndarray]:
    """Return the views of a video that was read, as a row has them."""
    from sfqa.features import view_columns

    if extractor == "fast_vqa":
        return {"view": view_columns.arrange_clips(prepared)}
    if extractor == "dover":
        return {
            "technical_view": view_columns.arrange_clips(prepared.technical),
            "aesthetic_view": view_columns.arrange_clips(prepared.aesthetic),
        }
    places = getattr(prepared, "places", slice(None))
    return {"frames": view_columns.arrange_frames(prepared.frames[places])}


def store_views(
    extractor: str, reader: Any, videos: Sequence[Video], work: Path
) -> tuple[dict[str, Any], dict[str, int]]:
    """Store the views of all videos as a job does, through the cache, the table and the blocks.

    Returns the blocks and the bytes of all files by kind; nothing else is in them.
    """
    from sfqa.cache import RowCache
    from sfqa.features import base, rows
    from sfqa.features.shard_rows import ShardRow, ShardRows
    from sfqa.identity import digest
    from sfqa.regression.blocks import Steps, load_blocks

    columns = COLUMNS[extractor]
    features = [f for f in base.load_extractor(extractor).FEATURES if f.name in columns]
    cache = RowCache(work / "cache", "0", rows.get_row_schema(features))
    entries, shapes = [], []
    for video in videos:
        key, sample = digest(video.sha256), {"sample_id": video.sample_id, "method": "m"}
        cells = {**sample, "key": key, "status": "ok", "detail": ""}
        cells |= arrange_views(extractor, reader.prepare(video))
        row = rows.make_row(features, cells, {})
        cache.put(key, row)
        entries.append(ShardRow(sample, key))
        shapes.append(rows.summarise_row(row).shapes)
    table = work / "features.parquet"
    ShardRows(features, cache, entries, rows.build_schema(features, shapes)).write(table, {})
    names = [f"{extractor}.{column}" for column in columns]
    count = None if extractor in ("fast_vqa", "dover") else SECONDS
    steps = [Steps(count, "first", keep_axes=True) for _ in names]
    design = load_blocks({extractor: [table]}, names, steps, work, limit=1)
    blocks = dict(zip(columns, design.X.values(), strict=True))
    sizes = {
        "cache": cache.path.stat().st_size,
        "parquet": table.stat().st_size,
        "mapped": sum(path.stat().st_size for path in design.mapped),
    }
    return blocks, {name: size // len(videos) for name, size in sizes.items()}


def make_source(blocks: Mapping[str, Any], draws: Mapping[str, bool]) -> TensorRows:
    """Return the rows of a training that draws one clip of some of the blocks."""
    import torch

    from sfqa.training.rows import TensorRows

    tensors = {name: torch.from_numpy(block) for name, block in blocks.items()}
    drawn = {name: int(is_drawn) for name, is_drawn in draws.items()}
    return TensorRows(
        tensors, {}, {}, "cpu", True, dtype=torch.float32, draws=drawn, seed=common.SEED
    )


def list_batches(count: int, epoch: int) -> list[torch.Tensor]:
    """Return the rows of the batches of an epoch."""
    import torch

    from sfqa.training.rows import shuffle_rows, split_rows

    return split_rows(shuffle_rows(torch.arange(count), common.SEED, epoch), BATCH)


def draw_clips(blocks: Mapping[str, Any], draws: Mapping[str, bool], epoch: int, row: int) -> Any:
    """Return which clip of each drawn block an epoch reads, as the training draws it."""
    import torch

    from sfqa.identity import seed_of

    clips = {}
    for name in (name for name, is_drawn in draws.items() if is_drawn):
        generator = torch.Generator().manual_seed(seed_of(common.SEED, name, epoch, row))
        clips[name] = int(torch.randperm(blocks[name].shape[1], generator=generator)[0])
    return clips


def iterate_cached(source: TensorRows, count: int) -> Iterator[dict[str, Any]]:
    """Yield the batches of all epochs from the mapped file."""
    for epoch in range(1, EPOCHS + 1):
        for inputs in source.iterate(list_batches(count, epoch), epoch):
            yield dict(inputs)  # type: ignore[arg-type]


def iterate_decoded(
    extractor: str, reader: Any, videos: Sequence[Video], blocks: Mapping[str, Any], pool: Any
) -> Iterator[dict[str, Any]]:
    """Yield the same batches from the videos, which the processes of the pool decode."""
    import numpy as np

    draws = COLUMNS[extractor]
    for epoch in range(1, EPOCHS + 1):
        for batch in list_batches(len(videos), epoch):
            rows = batch.tolist()
            clips = [draw_clips(blocks, draws, epoch, row) for row in rows]
            size = len(rows)
            inputs = list(
                pool.map(
                    read_again, [extractor] * size, [reader] * size,
                    [videos[row] for row in rows], clips,
                )
            )  # fmt: skip
            yield {name: np.stack([row_inputs[name] for row_inputs in inputs]) for name in draws}


def race_extractor(
    extractor: str, rows: Any, args: argparse.Namespace, work: Path
) -> dict[str, Any]:
    """Measure one extractor; returns its figures."""
    import numpy as np

    from sfqa.features import base
    from sfqa.features.weights import Weights

    options = choose_options(extractor, args.small)
    weights = Weights("random", "random:0")
    reader: Any = base.build_extractor(extractor, options, weights, "cpu").reader  # type: ignore[attr-defined]
    # Rows of the blocks are in the order of the sample ids.
    videos = sorted(common.videos(rows), key=lambda video: str(video.sample_id))
    started = time.perf_counter()
    blocks, sizes = store_views(extractor, reader, videos, work)
    storing_sec = time.perf_counter() - started
    draws, count = COLUMNS[extractor], len(videos)
    source = make_source(blocks, draws)
    # Imports what decoding needs, so that the processes of the pools, which are forked, have it.
    read_again(extractor, reader, videos[0], draw_clips(blocks, draws, 1, 0))
    with ProcessPoolExecutor(args.threads) as pool:
        decoded = list(iterate_decoded(extractor, reader, videos, blocks, pool))
        cached = list(iterate_cached(source, count))
        equal = all(
            np.array_equal(mine[name].numpy(), theirs[name])
            for mine, theirs in zip(cached, decoded, strict=True)
            for name in draws
        )
    numbers = sum(inputs[name].size for inputs in decoded for name in draws)
    del decoded, cached

    def decode() -> None:
        # A new pool: the processor time of its processes counts when they have ended.
        with ProcessPoolExecutor(args.threads) as pool:
            consume(iterate_decoded(extractor, reader, videos, blocks, pool))

    rival, ours = f"{extractor}: decoded again", f"{extractor}: from the cache"
    times = common.race(
        {rival: decode, ours: lambda: consume(iterate_cached(source, count))}, args.repeats
    )
    common.show(times)
    print(f"  same batches: {equal}; {numbers / count / EPOCHS / 1e6:.2f} MB a video and epoch")
    described = ", ".join(f"{name} {size / 1e6:.2f}" for name, size in sizes.items())
    print(f"  MB a video: {described}; stored once in {storing_sec:.1f} s")
    return {
        "ratios": [common.verdict(extractor, times, rival, ours, TARGET)],
        "equal": equal,
        "bytes_a_video": sizes,
        "bytes_of_an_epoch_a_video": numbers / count / EPOCHS,
        "videos": count,
        "epochs": EPOCHS,
        "storing_sec": storing_sec,
    }


def consume(batches: Iterator[Any]) -> None:
    """Read all batches and keep none."""
    for _ in batches:
        pass


def read_anonymous_mb() -> float:
    """Return the memory of this process that is not a page of a file, in MB (Linux)."""
    status = Path("/proc/self/status").read_text()
    lines = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return int(lines["RssAnon"].split()[0]) / 1024


def measure_memory(count: int, work: str) -> dict[str, float]:
    """Read an epoch of a file of ``count`` FAST-VQA views; returns MB of file, batch and memory."""
    import numpy as np

    path = Path(work) / "many.npy"
    shape = (count, 4, 3, 32, 224, 224)
    written = np.lib.format.open_memmap(path, "w+", np.uint8, shape)  # a file of holes
    del written
    source = make_source({"view": np.load(path, mmap_mode="c")}, {"view": True})
    before = most = read_anonymous_mb()
    largest = 0.0
    for batch in source.iterate(list_batches(count, 1), 1):
        views = batch["view"]  # type: ignore[call-overload]
        largest = max(largest, views.numel() / 2**20)
        most = max(most, read_anonymous_mb())
    size = path.stat().st_size / 2**20
    path.unlink()
    return {"file_mb": size, "batch_mb": largest, "added_mb": most - before}


def run_part(part: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Run a part of this file in this process, for :func:`common.call_part`."""
    return {"memory": measure_memory}[part](**options)


def main(words: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark; return its figures."""
    parser = common.parser("views from the cache against decoding again", 3)
    parser.add_argument("--extractors", nargs="+", choices=COLUMNS, default=list(COLUMNS))
    args = parser.parse_args(words)
    with common.folder(args) as work:
        rows = common.conformed(args, work)
        common.head("training input of an epoch", rows, args)
        figures = {}
        for extractor in args.extractors:
            (work / extractor).mkdir()
            figures[extractor] = race_extractor(extractor, rows, args, work / extractor)
        memory = common.call_part(
            __file__, "memory", 1, count=8 if args.small else MEMORY_ROWS, work=str(work)
        )
    print(
        f"  an epoch over a mapped file of {memory['file_mb']:.0f} MiB in batches of "
        f"{memory['batch_mb']:.0f} MiB adds {memory['added_mb']:.0f} MiB of memory"
    )
    return common.finish(
        args,
        {
            "extractors": figures,
            "memory": memory,
            "ratios": [ratio for figure in figures.values() for ratio in figure.pop("ratios")],
        },
    )


if __name__ == "__main__":
    if not common.answer_part(run_part):
        main()
