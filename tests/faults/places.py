"""A small dataset that is finished once, its copies to be spoilt, and disks that refuse."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from flow import Flow
from videos import make_video

VIDEOS = 6
#: Six videos of two methods, conformed, and scored by a network whose weights are a file.
CONFIG: dict[str, Any] = {
    "dataset": "tiny",
    "mode": "import_videos",
    "shards": 1,
    "import": {"sheet": "videos.csv"},
    "conform": {"short_side": 96},
    "features": {"spatial": {"weights": "resnet50.pth"}},
    "ratings": {"source": "none"},
    "disk_margin": 0,  # a small disk is to fill up here, not to be refused before
}
#: The table that rests on all others.
LAST = "results/tiny/rejects.parquet"


def make_sheet(folder: Path, count: int) -> list[Path]:
    """Videos of the methods one and two by turns, and their sheet; returns the videos."""
    names = [f"videos/v{n}.mp4" for n in range(count)]
    for number, name in enumerate(names):
        make_video(folder / name, number)
    rows = [f"{name},{('one', 'two')[n % 2]}" for n, name in enumerate(names)]
    (folder / "videos.csv").write_text("\n".join(["video,method", *rows]) + "\n")
    return [folder / name for name in names]


def finished(factory: pytest.TempPathFactory) -> Flow:
    """The undisturbed run: made once for all files of tests, by whichever process needs it first."""
    root = factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    folder, whole = root / "undisturbed", root / "undisturbed.whole"
    with open(root / "undisturbed.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not whole.exists():
            shutil.rmtree(folder, ignore_errors=True)
            make_sheet(folder, VIDEOS)
            _make_weights(root / "resnet50.pth")
            (folder / "resnet50.pth").symlink_to(root / "resnet50.pth")
            Flow(folder, _with_sha256(root / "resnet50.pth")).run()
            whole.touch()
    return Flow(folder, yaml.safe_load((folder / "test.yaml").read_text()))


def _make_weights(path: Path) -> None:
    import torch
    import torchvision

    torch.manual_seed(0)
    torch.save(torchvision.models.resnet50().state_dict(), path)


def _with_sha256(weights: Path) -> dict[str, Any]:
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    return {**CONFIG, "features": {"spatial": {**CONFIG["features"]["spatial"], "sha256": digest}}}


def copy(run: Flow, folder: Path) -> Flow:
    """A copy of a run that a test may spoil: links stay links."""
    shutil.copytree(run.folder, folder, symlinks=True)
    return Flow(folder, run.config)


def fresh(run: Flow, folder: Path) -> Flow:
    """The same dataset before its first run."""
    flow = copy(run, folder)
    shutil.rmtree(flow.folder / "results")
    shutil.rmtree(flow.folder / ".snakemake")
    return flow


def unmake(flow: Flow, *names: str) -> None:
    """Take tables or folders away from a finished run, and what rests on them."""
    for path in (*(flow.results / name for name in names), flow.folder / LAST):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def differing(run: Flow, other: Flow) -> list[str]:
    """Names of the tables that are not the same bytes in both, or are not there."""
    ours, theirs = run.tables(), other.tables()
    assert ours
    return sorted(n for n in {*ours, *theirs} if ours.get(n) != theirs.get(n))


def sentences(said: str) -> list[str]:
    """What was said for people: the lines of jobs that begin with "Error:"."""
    return [line for line in said.splitlines() if line.startswith("Error: ")]


@contextmanager
def small_disk(folder: Path, size_kb: int) -> Iterator[Callable[[int], None]]:
    """Let a folder lie on a disk of its own of that size; yields what makes it larger.

    Skips where this is not allowed: only root mounts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={size_kb}k", "tmpfs", str(folder))
    try:
        yield lambda kb: _mount("-o", f"remount,size={kb}k", str(folder))
    finally:
        _unmount(folder)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let nothing be written in a folder, by root neither; skips where this is not allowed."""
    _mount("--bind", str(folder), str(folder))
    try:
        _mount("-o", "remount,ro,bind", str(folder))
        yield
    finally:
        _unmount(folder)


def _mount(*options: str) -> None:
    if not shutil.which("mount"):
        pytest.skip("no program mount here")
    done = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no disk can be mounted here (root is needed): {done.stderr.strip()[:200]}")


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", str(folder)], capture_output=True, check=False)


def started(flow: Flow, *options: str) -> subprocess.Popen[bytes]:
    """Start a run and do not wait: its own session, its words in ``started.log``."""
    with open(flow.folder / "started.log", "w") as out:
        return subprocess.Popen(
            flow.command(*options), cwd=flow.folder, stdout=out, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip


def kill(process: subprocess.Popen[bytes]) -> None:
    """kill -9 a run and all its jobs."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def jobs_of(process: subprocess.Popen[bytes], script: str) -> list[int]:
    """The processes of a run that run one script of the workflow."""
    found = []
    for member in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError):  # it has just ended
            names = [w for w in member.cmdline()[1:2] if w.endswith(f".{script}")]
            if names and os.getsid(member.pid) == process.pid:
                found.append(member.pid)
    return found
