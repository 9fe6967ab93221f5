"""FAST-VQA and DOVER over a shard: ours against the published way with the same networks.

The published way, as the demo scripts of both repositories: one process for each video, which
imports, builds the network, loads the weights, decodes the whole video and runs all clips in one
batch. Ours is one job for all videos: a process that reads ahead, clips one by one, rows through
the cache into a table. Both have the same networks, weights, draws and threads, so both
give the same scores, which is checked. Bare are the passes of ours again, on clips in memory.
With ``--official`` the unmodified script of a fetched repository is the third rival, with the same
weights and its own random draws.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _common as common
import _official_maps as official

if TYPE_CHECKING:
    from sfqa.features.base import Video

MODELS = ("fast_vqa", "dover")
#: The least ratio to the published way and to the official repository, the largest share of a job
#: beside the passes, and the most memory of a process in GB.
TARGET, OFFICIAL_TARGET, BARE_TARGET, MEMORY_TARGET = 2.0, 3.0, 1 / 1.1, 3.0


def build_network(model: str, small: bool) -> Any:
    """Return the network of a model, of few blocks in a small run."""
    from sfqa.features import map_networks

    return {"fast_vqa": map_networks.FastVqa, "dover": map_networks.Dover}[model](small)


def make_reader(model: str) -> Any:
    """Return the reader that draws and cuts what a model sees."""
    from sfqa.features.extractors import dover, fast_vqa

    return fast_vqa.FragmentReader() if model == "fast_vqa" else dover.ViewReader()


def plan_views(model: str, video: Video) -> dict[str, Any]:
    """Return the views of a video by the name of the network's branch."""
    reader = make_reader(model)
    if model == "fast_vqa":
        return {"fragments": reader._plan_view(video, 0)}
    return dict(zip(("technical", "aesthetic"), reader._plan_views(video, 0), strict=True))


def score_one(model: str, weights: str, small: bool, video: Mapping[str, Any]) -> dict[str, float]:
    """Score one video the published way, in this process; returns the score of every branch."""
    import numpy as np
    import torch

    from sfqa import media
    from sfqa.features import quality_maps
    from sfqa.features.base import Video

    task = Video(**{**video, "path": Path(video["path"])})
    net = build_network(model, small)
    net.load_state_dict(torch.load(weights))
    net.eval()
    frames = media.read_frames(task.path)
    scores = {}
    for branch, view in plan_views(model, task).items():
        clips = [[view.cut(frames[f], n) for f in row] for n, row in enumerate(view.frames)]
        maps = quality_maps.compute_maps(
            getattr(net, f"{branch}_backbone"), list(np.array(clips)), torch.device("cpu"), "fp32"
        )
        head = net.vqa_head if model == "fast_vqa" else getattr(net, f"{branch}_head")
        scores["score" if model == "fast_vqa" else f"{branch}_score"] = quality_maps.score_maps(
            head, maps.numpy()
        )
    return scores


def run_job(
    model: str, spec: Mapping[str, Any], table: str, work: str, threads: int
) -> dict[str, Any]:
    """Extract all videos as a job does; returns the scores and what it took."""
    import pandas as pd

    from sfqa.device import lease_torch_device
    from sfqa.features import run

    rows = pd.read_pickle(table)
    started = time.perf_counter()
    shard_rows, metadata, _ = run.extract_rows(
        rows, model, spec, Path(work) / "cache", "x/0", lambda: lease_torch_device(threads),
        workers=max(1, threads - 1),
    )  # fmt: skip
    shard_rows.write(Path(work) / "features.parquet", metadata)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    numbers = shard_rows.read_table().drop_columns(["key"])
    columns = [n for n in numbers.schema.names if n.endswith("score")]
    scores = numbers.select(["sample_id", *columns]).to_pylist()
    return {"scores": scores, "seconds": seconds, "peak_gb": peak}


def run_bare(model: str, spec: Mapping[str, Any], table: str, threads: int) -> dict[str, Any]:
    """Run the passes of a job on clips in memory; returns their seconds."""
    import pandas as pd
    import torch

    from sfqa.features import base, batches, quality_maps
    from sfqa.features.weights import resolve_weights

    rows = pd.read_pickle(table)
    extractor: Any = base.build_extractor(
        model, spec["options"], resolve_weights(spec, model), "cpu"
    )
    prepared = [extractor.reader.prepare(video) for video in common.videos(rows)]
    torch.set_num_threads(threads)
    started = time.perf_counter()
    if model == "fast_vqa":
        passes = [([clips for item in prepared for clips in item], extractor.backbone)]
    else:
        passes = [
            ([c for item in prepared for c in item.technical], extractor.technical_backbone),
            ([c for item in prepared for c in item.aesthetic], extractor.aesthetic_backbone),
        ]
    for clips, network in passes:
        for _ in batches.run_batched(
            clips, list,
            lambda part, network=network: quality_maps.compute_maps(  # type: ignore[misc]
                network, part, extractor.device, "fp32"
            ),
            extractor.batching,
        ):  # fmt: skip
            pass
    return {"seconds": time.perf_counter() - started}


def run_part(part: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Run a part of this file in this process, for :func:`common.call_part`."""
    if part != "video":
        from sfqa.features import memory

        memory.keep_freed()
        return {"job": run_job, "bare": run_bare}[part](**options)
    scores = score_one(**options)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"scores": scores, "peak_gb": peak}


def race_model(model: str, rows: Any, args: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Measure one model; returns its figures."""
    import torch

    from sfqa.identity import sha256_file

    weights = work / f"{model}.pth"
    torch.manual_seed(common.SEED)
    torch.save(build_network(model, args.small).state_dict(), weights)
    options = {"blocks": "reduced" if args.small else "official"}
    spec = {"weights": str(weights), "sha256": sha256_file(weights), "options": options}
    table = work / "rows.pickle"
    rows.to_pickle(table)
    records = [{**vars(video), "path": str(video.path)} for video in common.videos(rows)]
    for record in records:
        record["audio_path"] = None
    answers: dict[str, Any] = {}

    def run_published() -> None:
        answers["published"] = [
            common.call_part(
                __file__, "video", args.threads, model=model, weights=str(weights),
                small=args.small, video=record,
            )
            for record in records
        ]  # fmt: skip

    def run_ours() -> None:
        folder = work / f"{model}-{time.monotonic_ns()}"
        answers["ours"] = common.call_part(
            __file__, "job", args.threads, model=model, spec=spec, table=str(table),
            work=str(folder), threads=args.threads,
        )  # fmt: skip

    rival, ours = f"{model}: published way", f"{model}: ours"
    rivals = {rival: run_published, ours: run_ours}
    official_name = f"{model}: official repository"
    if model in args.official:
        network = build_network(model, args.small)
        network.load_state_dict(torch.load(weights))
        repository = official.install_weights(model, args.official[model], network, work)
        videos = [record["path"] for record in records]
        rivals[official_name] = lambda: answers.update(
            official=official.score_videos(model, repository, videos, args.threads)
        )
    times = common.race(rivals, args.repeats)
    common.show(times)
    most = max(
        abs(row[name] - answer["scores"][name])
        for row, answer in zip(answers["ours"]["scores"], answers["published"], strict=True)
        for name in answer["scores"]
    )
    bare = common.call_part(
        __file__, "bare", args.threads, model=model, spec=spec, table=str(table),
        threads=args.threads,
    )  # fmt: skip
    share = bare["seconds"] / answers["ours"]["seconds"]
    peaks = {
        "ours": answers["ours"]["peak_gb"],
        "published": max(answer["peak_gb"] for answer in answers["published"]),
    }
    print(f"  scores differ by at most {most:.2g}; peak GB {peaks}")
    print(
        f"  bare passes / extraction {share:.3f}, target {BARE_TARGET:.3f}: "
        f"{common.word(share >= BARE_TARGET)}"
    )
    print(f"  memory, target {MEMORY_TARGET} GB: {common.word(peaks['ours'] <= MEMORY_TARGET)}")
    ratios = [common.verdict(model, times, rival, ours, TARGET)]
    if model in args.official:
        ratios.append(
            common.verdict(f"{model}, official", times, official_name, ours, OFFICIAL_TARGET)
        )
    return {"ratios": ratios, "difference": most, "bare_share": share, "peak_gb": peaks}


def main(words: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark; return its figures."""
    parser = common.parser("FAST-VQA and DOVER against one process per video", 1)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument(
        "--official", nargs=2, action="append", default=[], metavar=("MODEL", "FOLDER"),
        help="also run the script of the official repository in FOLDER; may be repeated",
    )  # fmt: skip
    args = parser.parse_args(words)
    args.official = {model: Path(folder) for model, folder in args.official}
    if unknown := set(args.official) - set(MODELS):
        parser.error(f"--official {', '.join(sorted(unknown))}: use one of {', '.join(MODELS)}")
    with common.folder(args) as work:
        rows = common.conformed(args, work)
        common.head("maps of FAST-VQA and DOVER", rows, args)
        figures = {model: race_model(model, rows, args, work) for model in args.models}
    return common.finish(
        args,
        {
            "models": figures,
            "ratios": [ratio for figure in figures.values() for ratio in figure.pop("ratios")],
        },
    )


if __name__ == "__main__":
    if not common.answer_part(run_part):
        main()
