"""Decode and load what SlowFast and CLIP see: ours against SimpleVQA's way.

The rival, written from its description (SimpleVQA, ACM MM 2022; the scripts that the field copies):
OpenCV reads every frame of the file to keep the key frames, then reads every frame again for the
motion clips; each picture goes from OpenCV to PIL and is resized there. Same sizes and
interpolations as ours: bilinear to 224x224 for the clips, bicubic and a centre crop for the key
frames. It stops at bytes, as ours does; turning them into float tensors, which SimpleVQA does here
too, is not counted against it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import _common as common
import cv2
import numpy as np
from PIL import Image

from sfqa.features import keyframes
from sfqa.features.extractors.slowfast import ClipReader
from sfqa.features.frame_reader import KeyFrameReader, Square
from sfqa.workers import WorkerPool

SIDE, KEY_FRAMES = 224, 8


def simplevqa(path: str, frames: int) -> tuple[Any, Any]:
    """Return key frames (8, 224, 224, 3) and all frames (n, 224, 224, 3), uint8 RGB."""
    wanted = {frames * k // KEY_FRAMES for k in range(KEY_FRAMES)}
    keys = [_cropped(image) for number, image in _read(path) if number in wanted]
    clips = []
    for _, image in _read(path):
        clips.append(np.asarray(_picture(image).resize((SIDE, SIDE), Image.Resampling.BILINEAR)))
    return np.stack(keys), np.stack(clips)


def _read(path: str) -> Iterator[tuple[int, Any]]:
    capture = cv2.VideoCapture(path)
    number = 0
    while True:
        there, image = capture.read()
        if not there:
            break
        yield number, image
        number += 1
    capture.release()


def _picture(image: Any) -> Any:
    return Image.fromarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))


def _cropped(image: Any) -> Any:
    height, width = image.shape[:2]
    short = min(height, width)
    to = (SIDE * width // short, SIDE * height // short)
    left, top = round((to[0] - SIDE) / 2), round((to[1] - SIDE) / 2)
    scaled = _picture(image).resize(to, Image.Resampling.BICUBIC)
    return np.asarray(scaled.crop((left, top, left + SIDE, top + SIDE)))


def theirs(paths: Sequence[tuple[str, int]]) -> None:
    """Load every video in this process."""
    for path, frames in paths:
        simplevqa(path, frames)


def _theirs_one(one: tuple[str, int]) -> float:
    started = time.process_time()
    simplevqa(*one)
    return time.process_time() - started


def theirs_in(pool: Any, paths: Sequence[tuple[str, int]]) -> common.Spent:
    """Load every video in the processes of a pool, pictures not even sent back."""
    started = time.perf_counter()
    cpu = sum(pool.imap_unordered(_theirs_one, paths))
    return common.Spent(time.perf_counter() - started, cpu)


def ours(reader: Any, videos: Sequence[Any]) -> None:
    """Load every video in this process."""
    for video in videos:
        reader.prepare(video)


def ours_in(reader: common.Together, videos: Sequence[Any], workers: int) -> common.Spent:
    """Load every video by the pipeline's worker processes, handed over to this one.

    Starting the processes is of a shard, not of a video: each is first given one frame, and the
    clock starts when the first of them has answered.
    """
    warm = [replace(videos[0], sample_id=f"warm{n}", frames=1) for n in range(workers)]
    with (
        tempfile.TemporaryDirectory() as folder,
        WorkerPool(workers, "sfqa.features.extractors.slowfast", 600.0) as pool,
    ):
        here = common.Together(reader.readers, Path(folder), workers)
        read = pool.run(here.prepare, [*warm, *videos], workers)
        next(read)
        wall, cpu = time.perf_counter(), time.process_time()
        for one in read:
            if isinstance(one.value, Exception):
                raise one.value
            cpu -= 0.0 if one.task.sample_id.startswith("warm") else one.value[-1]
        return common.Spent(time.perf_counter() - wall, time.process_time() - cpu)


def apart(reader: Any, video: Any) -> dict[str, float]:
    """Return how far both ways' pictures of a video are apart, in levels of 255."""
    clips, seen, _ = reader.prepare(video)
    keys, frames = simplevqa(str(video.path), video.frames)
    # Key frames of a short video repeat; clips repeat the last frame: compare each frame once.
    used = np.unique(np.minimum(_numbers(video), video.frames - 1))
    pairs = {"clips": (clips.frames, frames[used]), "key_frames": (seen.frames, keys)}
    return {
        f"{name}_{kind}_difference": float(measure(np.abs(mine.astype(int) - others)))
        for name, (mine, others) in pairs.items()
        for kind, measure in (("mean", np.mean), ("most", np.max))
    }


def _numbers(video: Any) -> Any:
    return keyframes.second_clips(video.frames, video.fps)


def main(words: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark; return its figures."""
    args = common.parser("decode and clip loading against SimpleVQA's way", 5).parse_args(words)
    if args.small:
        args.repeats = min(args.repeats, 1)
    with common.folder(args) as work:
        rows = common.conformed(args, work)
        videos = common.videos(rows)
        paths = [(str(v.path), v.frames) for v in videos]
        reader = common.Together(
            [ClipReader("simplevqa", SIDE), KeyFrameReader(KEY_FRAMES, Square(SIDE))]
        )
        common.head("decode: clips of SlowFast and key frames of CLIP, as bytes", rows, args)
        differences = apart(reader, videos[0])
        print(f"  differences of 255 levels: {differences}")
        many = args.threads
        alone, rival = "ours, one process", "SimpleVQA's way, one process"
        both, rivals = f"ours, {many} processes", f"SimpleVQA's way, {many} processes"
        with get_context("spawn").Pool(many) as pool:
            pool.map(_theirs_one, paths[:1] * many, chunksize=1)  # imports
            times = common.race(
                {
                    both: partial(ours_in, reader, videos, many),
                    rival: partial(theirs, paths),
                    alone: partial(ours, reader, videos),
                    rivals: partial(theirs_in, pool, paths),
                },
                args.repeats,
            )
        common.show(times)
        note = f" (ours in {many} processes, the rival's loop as published)"
        made = [
            common.verdict("decode", times, rival, both, 2.8, note),
            common.verdict("decode, one process each", times, rival, alone),
            common.verdict(f"decode, {many} processes each", times, rivals, both),
        ]
    return common.finish(args, {"differences": differences, "ratios": made})


if __name__ == "__main__":
    main()
