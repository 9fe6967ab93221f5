"""What the benchmarks share: videos to work on, a race of two ways, and the lines that say it."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))

if TYPE_CHECKING:
    import pandas as pd

DEMO = Path(__file__).resolve().parents[1] / "resources" / "demo"
FPS = 25.0
SEED = 4
PROMPT = "a young woman sings a pop song into the camera"
#: A small run's CLIP model, and that of the configuration's default.
MODELS = {True: "ViT-S-32-alt", False: "ViT-B-32"}


def parser(about: str, repeats: int) -> argparse.ArgumentParser:
    """Return a parser with the arguments that all benchmarks have."""
    made = argparse.ArgumentParser(description=about)
    add = made.add_argument
    add("--videos", type=Path, metavar="FOLDER", help="videos to use (drawn ones by default)")
    add("--count", type=int, metavar="N", help="how many videos (6; with --videos all)")
    add("--repeats", type=int, default=repeats, metavar="N", help=f"runs of each way ({repeats})")
    add("--threads", type=int, default=cores(), metavar="N", help="CPU threads (all cores)")
    add("--work", type=Path, metavar="FOLDER", help="keep drawn and conformed videos there")
    add("--out", type=Path, metavar="FILE", help="write the figures there as JSON")
    add("--small", action="store_true", help="a few seconds' run, to see that it runs at all")
    return made


def cores() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def folder(args: argparse.Namespace) -> Iterator[Path]:
    """Give a temporary folder for what a run writes."""
    with tempfile.TemporaryDirectory(prefix="sfqa-benchmark-") as name:
        yield Path(name)


def conformed(args: argparse.Namespace, work: Path, seconds: float = 6.0) -> pd.DataFrame:
    """Return the conformed table of the videos given, or of drawn ones of that length.

    Videos that do not conform are left out, and said.
    """
    from sfqa.cli import _extract, _video_files

    kept = (args.work or work).resolve()
    if args.videos is not None:
        files = _video_files.find_videos([str(args.videos)])[: args.count]
    else:
        files = drawn(args, kept, seconds)
    size = 160 if args.small else 512
    rows = _extract.conform_files(
        files,
        _video_files.name_files(files),
        PROMPT,
        kept / f"conformed-{size}",
        _extract.make_form(size, FPS),
    )
    for row in rows[rows["status"] == "failed"].itertuples():
        print(f"left out: {row.sample_id}: {row.detail}")
    rows = rows[rows["status"] != "failed"].reset_index(drop=True)
    if rows.empty:
        raise SystemExit("no video is left; give a folder of videos that decode")
    return rows


def drawn(args: argparse.Namespace, kept: Path, seconds: float) -> list[Path]:
    """Return videos of the procedural generator: a portrait of the demo sings its clips, 25 fps."""
    import numpy as np
    from PIL import Image

    from sfqa import media
    from sfqa.generation.adapters import RenderJob, procedural

    size, count = (160, args.count or 2) if args.small else (512, args.count or 6)
    seconds = min(seconds, 2.0) if args.small else seconds
    place = kept / f"drawn-{size}-{seconds:g}s"
    place.mkdir(parents=True, exist_ok=True)
    songs = sorted(DEMO.glob("*.flac"))
    found = [place / f"drawn{seconds:g}s_{n}.mp4" for n in range(count)]
    for number, path in enumerate(found):
        if path.exists():
            continue
        face = place / "portrait01.png"
        if not face.exists():
            with Image.open(DEMO / "portrait01.webp") as picture:
                picture.convert("RGB").resize((size, size)).save(face)
        # Clips used again start a second later, so that no two videos are alike.
        song = media.read_audio(songs[number % len(songs)], 16000)
        song = np.roll(song, -16000 * (number // len(songs)))
        clip = path.with_suffix(".wav")
        media.write_wave(clip, np.resize(song, round(seconds * 16000)), 16000)
        job = RenderJob(path.stem, {}, face, clip, path, place, SEED + number, size, FPS)
        procedural.generate(job)
    return found


def videos(rows: pd.DataFrame) -> list[Any]:
    """Return the rows of a conformed table as extractors see them."""
    from sfqa import store
    from sfqa.features import run

    return [run.make_video(record) for record in store.to_records(rows)]


@dataclass(frozen=True)
class Spent:
    """Seconds on the clock, and of processors: of this process and of those that it started."""

    wall: float
    cpu: float


def timed(call: Callable[[], object]) -> Spent:
    """Return what a call takes; processes that it starts must have ended when it returns."""
    wall, before = time.perf_counter(), os.times()
    call()
    wall, after = time.perf_counter() - wall, os.times()
    return Spent(wall, sum(after[:4]) - sum(before[:4]))


Times = Mapping[str, Sequence[Spent]]


def race(ways: Mapping[str, Callable[[], Spent | object]], repeats: int) -> Times:
    """Return the times of every way, run in turns (A B A B), so that slow spells hit all.

    A way may return its own :class:`Spent`, where not all of it counts.
    """
    times: dict[str, list[Spent]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            said: list[object] = []
            spent = timed(lambda way=way, said=said: said.append(way()))  # type: ignore[misc]
            times[name].append(said[0] if isinstance(said[0], Spent) else spent)
    return times


def ratios(times: Times, rival: str, ours: str, what: str = "wall") -> list[float]:
    """Return how many times longer the rival took, round by round."""
    pairs = zip(times[rival], times[ours], strict=True)
    return [getattr(a, what) / max(getattr(b, what), 1e-9) for a, b in pairs]


def show(times: Times) -> None:
    """Print the median time of every way."""
    for name, spent in times.items():
        wall, cpu = (statistics.median(getattr(s, k) for s in spent) for k in ("wall", "cpu"))
        print(f"  {name:<58} {wall:8.2f} s wall {cpu:8.2f} s CPU")


def verdict(
    name: str,
    times: Times,
    rival: str,
    ours: str,
    target: float | None = None,
    note: str = "",
    what: str = "wall",
) -> dict[str, Any]:
    """Print the ratio line of rival to ours, and return its figures: medians of the rounds.

    The target is for the ratio of ``what``: wall or cpu time.
    """
    wall, cpu = ratios(times, rival, ours), ratios(times, rival, ours, "cpu")
    made: dict[str, Any] = {
        "name": name,
        "rival": rival,
        "ours": ours,
        "ratio_wall": statistics.median(wall),
        "ratio_cpu": statistics.median(cpu),
        "rounds": len(wall),
        "target": target,
        "reached": None,
    }
    for side, way in (("rival", rival), ("ours", ours)):
        for kind in ("wall", "cpu"):
            seconds = [getattr(spent, kind) for spent in times[way]]
            made[f"{side}_{kind}_sec"] = statistics.median(seconds)
    reached = ""
    if target is not None:
        made["reached"] = made[f"ratio_{what}"] >= target
        reached = f"; target {target:.3g} ({what}): {word(made['reached'])}"
    print(
        f"RATIO {name}: {made['ratio_wall']:.3g} wall ({min(wall):.3g} to {max(wall):.3g} in "
        f"{len(wall)} rounds), {made['ratio_cpu']:.3g} CPU{reached}{note}"
    )
    return made


def finish(args: argparse.Namespace, figures: dict[str, Any]) -> dict[str, Any]:
    """Write the figures as JSON where the user wants them; return them with the machine's."""
    figures = {"machine": machine(args), "small": bool(args.small), **figures}
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n")
    return figures


def word(reached: bool) -> str:
    """Return how a target is said to be met."""
    return "reached" if reached else "missed"


def machine(args: argparse.Namespace) -> str:
    """Return what a figure depends on: processor, cores, threads, load, GPU."""
    from sfqa.device import get_processor_name

    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    threads = f"{cores()} cores, {args.threads} threads"
    return f"{get_processor_name()}, {threads}, load {load}, {gpu() or 'no GPU here'}"


def call_part(file: str, part: str, threads: int, /, **options: Any) -> dict[str, Any]:
    """Run a part of a benchmark's file in a process of its own, for :func:`answer_part`."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, file, "--part", part, json.dumps(options)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def answer_part(run_part: Callable[[str, Mapping[str, Any]], dict[str, Any]]) -> bool:
    """Print what a part returns, and return whether :func:`call_part` asked for one."""
    if sys.argv[1:2] != ["--part"]:
        return False
    print(json.dumps(run_part(sys.argv[2], json.loads(sys.argv[3]))))
    return True


def gpu() -> str:
    """Return the name of the GPU, '' without one."""
    import torch

    return str(torch.cuda.get_device_name(0)) if torch.cuda.is_available() else ""


def head(title: str, rows: pd.DataFrame, args: argparse.Namespace) -> None:
    """Print what is measured, on what, and where."""
    sizes = sorted({f"{r.width:.0f}x{r.height:.0f}" for r in rows.itertuples()})
    shown = ", ".join(sizes[:3]) + (" and others" if len(sizes) > 3 else "")
    seconds = rows["duration_sec"].sum()
    print(f"{title}\n  {len(rows)} videos, {seconds:.1f} s together, {shown}\n  {machine(args)}")


class Together:
    """Reads a video by several readers, in a worker process or here.

    Where ``meeting`` is a folder, a video called warm... is answered only when as many of them
    are being read as there are ``workers``: then all processes have started.
    """

    def __init__(
        self, readers: Sequence[Any], meeting: Path | None = None, workers: int = 0
    ) -> None:
        self.readers, self.meeting, self.workers = readers, meeting, workers

    def prepare(self, video: Any) -> list[Any]:
        """Return what each reader returns, and the seconds of processor that it took."""
        started = time.process_time()
        made = [reader.prepare(video) for reader in self.readers]
        if self.meeting is not None and video.sample_id.startswith("warm"):
            (self.meeting / video.sample_id).touch()
            while len(list(self.meeting.iterdir())) < self.workers:
                time.sleep(0.01)
        return [*made, time.process_time() - started]
