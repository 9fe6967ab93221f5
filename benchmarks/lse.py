"""LSE-C and LSE-D: a shard by ours against the published way, video by video.

The rival, written from the description of joonson/syncnet_python and Wav2Lip's scores_LSE: for
every video one process follows the face (ffmpeg re-encodes the video at 25 fps, dumps its frames as
JPEG and its sound as a wave; faces are found in the JPEG files, the crops are encoded as a second
video), and another loads SyncNet, has ffmpeg dump the crops as JPEG again, and runs the network
window by window, 20 at a time. Network, weights, detector, tracking, crop and MFCC are ours on both
sides, so that only the way differs. Left out in the rival's favour: its scene detection, its
further ffmpeg calls for sound and muxing, and the load of its detector's network. It is timed with
the imports of its first process, as published (PyTorch for the detector, two parts of SciPy), and
spared those as well. Both start from the conformed file. Ours is timed as a job: a new process,
imports, weights, table written.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import wave
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import _common as common
import numpy as np

FACES, SCORES, JOB = "published-faces", "published-scores", "job"
BATCH = 20
RATE, SAMPLES_PER_FRAME = 16000, 640


def faces(video: Path, work: Path, ffmpeg: str, min_track: int, imports: bool) -> None:
    """Be the rival's first process: leave ``crop.avi`` and ``crop.wav`` of the longest track."""
    import cv2

    if imports:
        import scipy.interpolate
        import scipy.signal  # noqa: F401
        import torch  # noqa: F401

    from sfqa.faces import detect_faces
    from sfqa.features import face_track

    def run(*words: str) -> None:
        subprocess.run([ffmpeg, "-y", "-v", "error", *words], check=True, stdin=subprocess.DEVNULL)

    frames = work / "frames"
    frames.mkdir(parents=True)
    whole, sound = str(work / "video.avi"), str(work / "audio.wav")
    run("-i", str(video), "-qscale:v", "2", "-async", "1", "-r", "25", whole)
    run("-i", whole, "-qscale:v", "2", "-threads", "1", "-f", "image2", f"{frames}/%06d.jpg")
    run("-i", whole, "-ac", "1", "-vn", "-acodec", "pcm_s16le", "-ar", str(RATE), sound)
    files = sorted(frames.iterdir())
    found = []
    for number, file in enumerate(files):
        image = cv2.cvtColor(_image(file), cv2.COLOR_BGR2RGB)
        found.append((number, detect_faces(np.asarray(image, np.uint8))))
    least = face_track.count_needed_detections(min_track, len(files), len(files))
    track = face_track.link_tracks(found, least)[0]
    places = face_track.smooth_track(track)
    out = cv2.VideoWriter(
        str(work / "crop.avi"), cv2.VideoWriter.fourcc(*"XVID"), 25, (face_track.SIDE,) * 2
    )
    for file, (half, x, y) in zip(files[track.first : track.last + 1], places, strict=True):
        out.write(face_track.crop_face(_image(file), half, x, y))
    out.release()
    with wave.open(sound) as source, wave.open(str(work / "crop.wav"), "wb") as cut:
        cut.setparams(source.getparams())
        source.setpos(min(source.getnframes(), track.first * SAMPLES_PER_FRAME))
        cut.writeframes(source.readframes(len(track.boxes) * SAMPLES_PER_FRAME))


def _image(path: Path) -> Any:
    import cv2

    return cv2.imread(str(path))


def scores(work: Path, ffmpeg: str, weights: Path) -> None:
    """Be the rival's second process: write ``scores.json`` of the first one's crop."""
    import torch

    from sfqa.features import sync_distance, syncnet
    from sfqa.features.mfcc import compute_mfcc

    device = "cuda" if torch.cuda.is_available() else "cpu"
    net = syncnet.SyncNet()
    net.load_state_dict(torch.load(weights, weights_only=True))
    net.eval().to(device)
    crops = work / "crops"
    crops.mkdir()
    command = [ffmpeg, "-y", "-v", "error", "-i", str(work / "crop.avi"), "-qscale:v", "2"]
    command += ["-threads", "1", "-f", "image2", f"{crops}/%06d.jpg"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    images = np.stack([_image(file) for file in sorted(crops.iterdir())]).astype(np.float32)
    film = torch.from_numpy(images).permute(3, 0, 1, 2)
    with wave.open(str(work / "crop.wav")) as source:
        sound = np.frombuffer(source.readframes(source.getnframes()), np.int16)
    cepstra = torch.from_numpy(compute_mfcc(sound).T.astype(np.float32))
    windows = sync_distance.window_count(len(images), len(sound))
    lip, heard = [], []
    with torch.no_grad():
        for start in range(0, windows, BATCH):
            part = range(start, min(windows, start + BATCH))
            seen = torch.stack([film[:, v : v + 5] for v in part]).to(device)
            lip.append(net.encode_lip(seen).cpu())
            spoken = torch.stack([cepstra[None, :, 4 * v : 4 * v + 20] for v in part]).to(device)
            heard.append(net.encode_audio(spoken).cpu())
    # The published loop: every window against 31 shifts, zeros beyond the ends.
    left, right = torch.cat(lip), torch.nn.functional.pad(torch.cat(heard), (0, 0, 15, 15))
    each = [
        torch.nn.functional.pairwise_distance(left[v : v + 1].repeat(31, 1), right[v : v + 31])
        for v in range(windows)
    ]
    mean = torch.stack(each).mean(0)
    best = int(mean.argmin())
    made = {
        "lse_d": float(mean[best]),
        "lse_c": float(mean.median() - mean[best]),
        "offset": 15 - best,
    }
    (work / "scores.json").write_text(json.dumps(made))


def published(
    videos: Sequence[Any],
    work: Path,
    weights: Path,
    made: dict[str, dict[str, float]],
    imports: bool,
) -> None:
    """Score every video the published way, two processes each.

    ``imports``: the first one imports what the published one does and ours do not need.
    """
    import shutil

    from sfqa import media

    options = {"ffmpeg": media.ffmpeg_exe()}
    for video in videos:
        place = work / "published" / video.sample_id
        shutil.rmtree(place, ignore_errors=True)
        given = {"min_track": 50, "imports": imports, **options}
        _process(FACES, video=str(video.path), work=str(place), **given)
        _process(SCORES, work=str(place), weights=str(weights), **options)
        made[video.sample_id] = json.loads((place / "scores.json").read_text())


def ours(table: Path, work: Path, spec: Mapping[str, Any], threads: int) -> None:
    """Score the shard of a conformed table as the workflow's job does, in one process."""
    import shutil

    shutil.rmtree(work / "job", ignore_errors=True)
    _process(JOB, table=str(table), work=str(work / "job"), spec=spec, threads=threads)


def _process(part: str, **given: Any) -> None:
    subprocess.run([sys.executable, __file__, part, json.dumps(given)], check=True)


def job(table: Path, work: Path, spec: Mapping[str, Any], threads: int) -> None:
    """Be our process: the main of the rule ``extract_features``."""
    from sfqa.features import memory

    memory.keep_freed()
    from sfqa import store, tables
    from sfqa.device import lease_torch_device
    from sfqa.features.run import extract_shard

    rows = store.read(tables.CONFORMED, table)
    made, metadata, _ = extract_shard(
        rows, "lse", spec, work / "cache", "drawn/0", lambda: lease_torch_device(threads),
        workers=max(1, threads - 1),
    )  # fmt: skip
    store.write_arrow(made, work / "lse.parquet", metadata)


def save_weights(path: Path) -> dict[str, Any]:
    """Write seeded random weights of SyncNet, return ``features.lse`` of a configuration."""
    import torch

    from sfqa.features import syncnet
    from sfqa.features.weights import Weights
    from sfqa.identity import sha256_file

    net = Weights("random", "random:1", seed=1).load(syncnet.SyncNet)
    torch.save(net.state_dict(), path)
    return {"weights": str(path), "sha256": sha256_file(path)}


def differences(
    mine: Mapping[str, Any], others: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    """Print and return how far the scores of both ways are apart."""
    found: dict[str, Any] = {}
    for name in ("lse_d", "lse_c"):
        apart = [abs(mine[k][name] - other[name]) for k, other in others.items()]
        size = statistics.mean(abs(other[name]) for other in others.values())
        found |= {f"{name}_most": max(apart), f"{name}_mean": statistics.mean(apart)}
        found[f"{name}_size"] = size
        print(
            f"  {name}: mean {size:.4f}, difference mean {statistics.mean(apart):.4f}, "
            f"most {max(apart):.4f} ({100 * max(apart) / size:.2f} %)"
        )
    same = sum(mine[k]["offset"] == other["offset"] for k, other in others.items())
    print(f"  offset: the same in {same} of {len(others)} videos")
    return found | {"offset_same": same, "videos": len(others)}


def main(words: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark; return its figures."""
    args = common.parser("LSE against the published way", 3).parse_args(words)
    if args.small:
        args.count, args.repeats = args.count or 1, min(args.repeats, 1)
    with common.folder(args) as work:
        return race(args, work)


def race(args: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Time both ways, compare their scores, print the lines."""
    import pyarrow.parquet as pq
    import torch

    from sfqa import store, tables

    rows = common.conformed(args, work, 1.6 if args.small else 6.0)
    table = work / "conformed.parquet"
    store.write(tables.CONFORMED, rows, table)
    spec = save_weights(work / "syncnet.pt")
    weights = work / "syncnet.pt"
    common.head("lse: LSE-C and LSE-D by SyncNet of random weights, fp32", rows, args)
    # What cannot be scored (silent, no face) is for neither; this also warms the file cache.
    ours(table, work, spec, args.threads)
    first = pq.read_table(work / "job" / "lse.parquet").to_pylist()
    for row in first:
        if row["status"] == "failed":
            print(f"left out: {row['sample_id']}: {row['detail']}")
    mine = {row["sample_id"]: row for row in first if row["status"] != "failed"}
    rows = rows[rows["sample_id"].isin(list(mine))]
    store.write(tables.CONFORMED, rows, table)
    if not mine:
        raise SystemExit("no video can be scored; give videos with a face and sound")
    videos, others = common.videos(rows), dict[str, dict[str, float]]()
    os.environ.setdefault("OMP_NUM_THREADS", str(args.threads))
    here, rival = "ours, one process for the shard", "published way, two processes a video"
    spared = "the same, spared the imports of its first process"
    fewer = "ours, faces looked for in every 5th frame"
    sparse = {**spec, "options": {"detect_every": 5}}
    times = common.race(
        {
            here: partial(ours, table, work, spec, args.threads),
            fewer: partial(ours, table, work, sparse, args.threads),
            rival: partial(published, videos, work, weights, others, True),
            spared: partial(published, videos, work, weights, others, False),
        },
        args.repeats,
    )
    common.show(times)
    bound = network(videos[0], weights, args.threads, 1 if args.small else 2)
    each = statistics.median(s.wall for s in times[here]) / len(rows)
    print(f"  ours: {each:.2f} s a video; its networks alone: {bound.wall:.2f} s wall")
    told = differences(mine, others)
    seldom = {r["sample_id"]: r for r in pq.read_table(work / "job" / "lse.parquet").to_pylist()}
    told["every_5th"] = differences(seldom, others)
    target = 10.0 if torch.cuda.is_available() else 3.0
    made = [
        common.verdict("lse", times, rival, here, target),
        common.verdict("lse, rival spared imports", times, spared, here),
        common.verdict("lse, faces looked for in every 5th frame", times, rival, fewer),
    ]
    figures = {"network_wall_sec": bound.wall, "network_cpu_sec": bound.cpu}
    return common.finish(args, {**figures, "differences": told, "ratios": made})


def network(video: Any, weights: Path, threads: int, repeats: int) -> common.Spent:
    """Return what the networks alone take for a video: the bound of any way at this precision."""
    import torch

    from sfqa.features.base import build_extractor
    from sfqa.features.weights import Weights

    torch.set_num_threads(threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    official = Weights("official", "benchmark", weights)
    extractor: Any = build_extractor("lse", {}, official, device)
    talk = extractor.reader.prepare(video)
    spent = [common.timed(lambda: list(extractor.score([talk]))) for _ in range(repeats)]
    return min(spent, key=lambda s: s.wall)


if __name__ == "__main__":
    parts = {FACES: faces, SCORES: scores, JOB: job}
    if sys.argv[1:2] and sys.argv[1] in parts:
        told = json.loads(sys.argv[2])
        for name in ("video", "work", "weights", "table"):
            if name in told:
                told[name] = Path(told[name])
        parts[sys.argv[1]](**told)  # type: ignore[operator]
    else:
        main()
