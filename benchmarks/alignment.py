"""VALOR and ImageBind over a shard: ours against the published way with the same networks.

The published way is one process for each video, which imports, builds the network, loads its files
and runs both towers. As inference.py of VALOR it builds the whole network with its BERT, loads the
files of the pre-trained towers and of BERT, then the checkpoint over them, and decodes the whole
video; it is spared what inference.py does besides: FFmpeg writes frames as JPEG and sound as a
wave file, which are read back. As the example of ImageBind it decodes all frames of all clips and
runs the 15 views in one batch; it is spared the towers of the other four modalities. Ours is one
job for all videos: a process that reads ahead, rows through the cache into a table; of the 15 views
of a square video five are computed. Both have the same networks, weights, frames, sound and
threads, so both give the same numbers, which is checked.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _common as common

if TYPE_CHECKING:
    from sfqa.features.base import Video

#: The least ratio to the published way.
TARGET = 3.0
#: The files that the published way loads: the towers, BERT, and then all of it again.
FILES = ("video", "audio", "bert", "checkpoint")


MODELS = ("valor", "imagebind")


def build_valor(small: bool) -> Any:
    """Return VALOR-base with its BERT, which attends to video and sound; few blocks if small."""
    from torch import nn
    from transformers import BertConfig, BertModel

    from sfqa.features.valor_net import SIZES, Valor

    layers = 1 if small else 12
    config = BertConfig(num_hidden_layers=layers, is_decoder=True, add_cross_attention=True)
    net = nn.ModuleDict({"towers": Valor(SIZES["base", "reduced" if small else "official"])})
    net["multimodal_encoder"] = BertModel(config)
    return net


def build_imagebind(small: bool) -> Any:
    """Return both towers of ImageBind, with few blocks if small."""
    from sfqa.features import imagebind_net

    return imagebind_net.ImageBind(imagebind_net.REDUCED_DEPTHS if small else imagebind_net.DEPTHS)


def save_files(model: str, small: bool, work: Path) -> dict[str, str]:
    """Write the files that the published way loads; returns their paths by name."""
    import torch

    if model == "imagebind":
        path = work / "imagebind_huge.pth"
        torch.save(build_imagebind(small).state_dict(), path)
        return {"checkpoint": str(path)}
    net = build_valor(small)
    towers = net["towers"]
    states = {
        "video": towers.video_encoder.state_dict(),
        "audio": towers.audio_encoder.state_dict(),
        "bert": net["multimodal_encoder"].state_dict(),
        "checkpoint": {
            key.removeprefix("towers."): value for key, value in net.state_dict().items()
        },
    }
    paths = {name: str(work / f"{name}.pt") for name in FILES}
    for name, path in paths.items():
        torch.save(states[name], path)
    return paths


def score_one(
    model: str, files: Mapping[str, str], small: bool, video: Mapping[str, Any]
) -> dict[str, float]:
    """Score one video the published way, in this process."""
    from sfqa.features.base import Video

    paths = {key: Path(video[key]) for key in ("path", "audio_path")}
    score = {"valor": score_valor, "imagebind": score_imagebind}[model]
    return score(files, small, Video(**{**video, **paths}))


def score_imagebind(files: Mapping[str, str], small: bool, task: Video) -> dict[str, float]:
    """Score one video as the example of ImageBind does: 15 views in one batch."""
    import numpy as np
    import torch

    from sfqa import media
    from sfqa.features import alignment_rows, imagebind_inputs
    from sfqa.features.extractors import imagebind

    net = build_imagebind(small)
    net.load_state_dict(torch.load(files["checkpoint"]))
    net.eval()
    pairs = imagebind_inputs.select_frames(task)
    views = []
    for first, last in pairs.tolist():
        clip = media.read_frames(task.path, list(range(first, last + 1)))
        ends = np.stack([imagebind_inputs.resize_short_side(clip[n]) for n in (0, -1)])
        side = imagebind_inputs.SIDE
        views += [
            ends[:, top : top + side, left : left + side]
            for top, left in imagebind_inputs.list_crop_corners(*ends.shape[1:3])
        ]
    mean, std = (torch.tensor(v).view(3, 1, 1, 1) for v in (imagebind._MEAN, imagebind._STD))
    pixels = torch.from_numpy(np.stack(views)).permute(0, 4, 1, 2, 3)
    spectra = imagebind_inputs.compute_spectra(imagebind_inputs.read_sound(task))
    with torch.inference_mode():
        video, video_embedding = net.embed_views((pixels - mean) / std)
        audio, audio_embedding = net.embed_sound(torch.from_numpy(spectra))
    row = alignment_rows.make_alignment_row(
        "ImageBind", video.numpy(), audio.numpy(), video_embedding.numpy(), audio_embedding.numpy()
    )
    return summarise_row(row)


def summarise_row(row: Mapping[str, Any]) -> dict[str, float]:
    """Return the cosine, and how far the numbers of both embeddings are apart."""
    import numpy as np

    return {
        name: float(row[name] if name == "cosine" else np.std(row[name], dtype=np.float64))
        for name in ("cosine", "video_embedding", "audio_embedding")
    }


def score_valor(files: Mapping[str, str], small: bool, task: Video) -> dict[str, float]:
    """Score one video as inference.py of VALOR does."""
    import numpy as np
    import torch

    from sfqa import media
    from sfqa.features import keyframes, sound_slices
    from sfqa.features.extractors import valor
    from sfqa.features.normalised_frames import IMAGENET_STATISTICS, SquareForm

    net = build_valor(small)
    towers = net["towers"]
    towers.video_encoder.load_state_dict(torch.load(files["video"]))
    towers.audio_encoder.load_state_dict(torch.load(files["audio"]))
    net["multimodal_encoder"].load_state_dict(torch.load(files["bert"]))
    checkpoint = torch.load(files["checkpoint"])
    renamed = {
        key if key.startswith("multimodal_encoder.") else f"towers.{key}": value
        for key, value in checkpoint.items()
    }
    net.load_state_dict(renamed)
    net.eval()

    frames = media.read_frames(task.path)
    form = SquareForm(*IMAGENET_STATISTICS)
    squares = np.stack([form.convert(frames[n]) for n in keyframes.select_middles(len(frames), 8)])
    sound = sound_slices.read_mixed_track(task, valor.RATE)
    with torch.inference_mode():
        video_vectors = towers.encode_frames(torch.from_numpy(squares)[None])[0]
        audio_vectors = towers.encode_slices(torch.from_numpy(valor.compute_slices(sound, 1)))
        columns = towers.embed(video_vectors, audio_vectors)
    # As a table keeps them: tensors as float16.
    embeddings = ("video_embedding", "audio_embedding")
    halves = {name: columns[name].numpy().astype(np.float16) for name in embeddings}
    return summarise_row({"cosine": columns["cosine"], **halves})


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
    columns = shard_rows.read_table().select(["cosine", "video_embedding", "audio_embedding"])
    scores = [summarise_row(row) for row in columns.to_pylist()]
    return {"scores": scores, "seconds": seconds}


PARTS = {"video": score_one, "job": run_job}


def run_part(part: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Run a part of this file in this process; returns its answer with its peak memory."""
    if part == "job":
        from sfqa.features import memory

        memory.keep_freed()
    answer = PARTS[part](**options)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {**(answer if part == "job" else {"scores": answer}), "peak_gb": peak}


def main(words: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark; return its figures."""
    parser = common.parser("VALOR and ImageBind against one process per video", 1)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    args = parser.parse_args(words)
    with common.folder(args) as work:
        rows = common.conformed(args, work)
        common.head("embeddings of VALOR-base and ImageBind", rows, args)
        figures = {model: race(model, rows, args, work) for model in args.models}
    ratios = [figure.pop("ratio") for figure in figures.values()]
    return common.finish(args, {"models": figures, "ratios": ratios})


def race(model: str, rows: Any, args: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Run both ways alternately; returns the figures."""
    import torch

    from sfqa.identity import sha256_file

    torch.manual_seed(common.SEED)
    files = save_files(model, args.small, work)
    options = {"blocks": "reduced" if args.small else "official"}
    if model == "valor":
        options["model"] = "base"
    checkpoint = files["checkpoint"]
    spec = {"weights": checkpoint, "sha256": sha256_file(checkpoint), "options": options}
    table = work / "rows.pickle"
    rows.to_pickle(table)
    records = [
        {**vars(video), "path": str(video.path), "audio_path": str(video.audio_path)}
        for video in common.videos(rows)
    ]
    answers: dict[str, Any] = {}

    def run_published() -> None:
        answers["published"] = [
            common.call_part(
                __file__, "video", args.threads, model=model, files=files, small=args.small,
                video=record,
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
    times = common.race({rival: run_published, ours: run_ours}, args.repeats)
    common.show(times)
    difference = max(
        abs(row[name] - answer["scores"][name])
        for row, answer in zip(answers["ours"]["scores"], answers["published"], strict=True)
        for name in row
    )
    peaks = {
        "ours": answers["ours"]["peak_gb"],
        "published": max(answer["peak_gb"] for answer in answers["published"]),
    }
    print(f"  numbers differ by at most {difference:.2g}; peak GB {peaks}")
    ratio = common.verdict(model, times, rival, ours, TARGET)
    return {"ratio": ratio, "difference": difference, "peak_gb": peaks}


if __name__ == "__main__":
    if not common.answer_part(run_part):
        main()
