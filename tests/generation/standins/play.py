"""What every stand-in generator does in place of a network: one act, named by the environment.

A stand-in puts the folder named by SFQA_STANDIN_HOME on its path, imports this module inside its
``main`` (pytest imports stand-ins to find_faces for doctests) and calls :func:`play` once per result.

SFQA_STANDIN_ACT     ok, no_output, late, later_name, truncated, silent, exit1, hang, disk_full
SFQA_STANDIN_ONLY    the act is for results whose image or audio stem holds this; others are ok
SFQA_STANDIN_VIDEO   a ready video with sound; SFQA_STANDIN_SILENT the same without
SFQA_STANDIN_STRIP   a ready three-panel video (AniPortrait); SFQA_STANDIN_STRIP_SILENT without sound
SFQA_STANDIN_LOG     a file that gets one line per call: process id, image stem, audio stem
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import time
import wave
from datetime import datetime, timedelta
from pathlib import Path

ACTS = (
    "ok", "no_output", "late", "later_name", "truncated", "silent", "exit1", "hang", "disk_full",
)  # fmt: skip
#: A video written this many seconds after its generator has ended.
LATE_SEC = 1.0
#: What is left of a truncated video.
SHARE = 0.6

_LATER = """
import os, shutil, sys, time
time.sleep(float(sys.argv[3]))
shutil.copyfile(sys.argv[1], sys.argv[2] + ".part")
os.replace(sys.argv[2] + ".part", sys.argv[2])
"""


def _sign(result: Path, *stems: str) -> None:
    """Name the inputs in a box that players skip, so that a mix-up of pairs can be seen."""
    name = " ".join(stems).encode()
    with open(result, "ab") as handle:
        handle.write(struct.pack(">I4s", 8 + len(name), b"free") + name)


def now(unit: str = "seconds") -> datetime:
    """The time that goes into a result's name; for ``later_name`` one ``unit`` later.

    ``unit`` is what the name resolves: ``seconds`` or ``minutes``.
    """
    later = 1 if _act() == "later_name" else 0
    return datetime.now() + timedelta(**{unit: later})


def play(
    result: Path,
    *,
    image: Path,
    audio: Path,
    silent_first: Path | None = None,
    kind: str = "VIDEO",
) -> None:
    """Do the act for one result; ``kind`` VIDEO or STRIP says which ready video it copies.

    ``silent_first`` is where the original leaves a silent video before it adds the sound.
    """
    act = _act(image.stem, audio.stem)
    log = os.environ.get("SFQA_STANDIN_LOG")
    if log:
        with open(log, "a", encoding="utf-8") as handle:
            handle.write(f"{os.getpid()} {image.stem} {audio.stem}\n")
    print(f"stand-in: {act} for {result}", flush=True)
    if act == "hang":
        time.sleep(600)
    if act == "exit1":
        raise RuntimeError("CUDA error: device-side assert triggered")
    if act == "no_output":
        return
    if silent_first is not None:
        shutil.copyfile(_ready("SILENT"), silent_first)
    ready = _ready(kind)
    if act == "late":
        # Same process group, but nothing of the parent's is kept open: it ends before the child.
        subprocess.Popen(
            [sys.executable, "-c", _LATER, str(ready), str(result), str(LATE_SEC)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    elif act == "truncated":
        whole = ready.read_bytes()
        result.write_bytes(whole[: int(SHARE * len(whole))])
    elif act == "silent":
        shutil.copyfile(_ready("SILENT" if kind == "VIDEO" else f"{kind}_SILENT"), result)
    elif act == "disk_full":
        whole = ready.read_bytes()
        result.write_bytes(whole[: len(whole) // 2])
        with open("/dev/full", "wb") as full:  # every write there is a genuine ENOSPC
            full.write(whole)
    else:
        shutil.copyfile(ready, result)
        _sign(result, image.stem, audio.stem)


def seconds(audio: Path | str) -> float:
    """Length of a wave file; raises for anything else, as the originals' readers do."""
    with wave.open(str(audio), "rb") as sound:
        return sound.getnframes() / sound.getframerate()


def needed(*paths: Path | str) -> None:
    """Raise ``FileNotFoundError`` for the first path that is not there."""
    for path in paths:
        if not Path(path).exists():
            raise FileNotFoundError(f"[Errno 2] No such file or directory: '{path}'")


def _act(*stems: str) -> str:
    act = os.environ.get("SFQA_STANDIN_ACT", "ok")
    if act not in ACTS:
        raise SystemExit(f"stand-in: unknown act {act!r}")
    only = os.environ.get("SFQA_STANDIN_ONLY", "")
    return act if not stems or not only or any(only in stem for stem in stems) else "ok"


def _ready(kind: str) -> Path:
    name = f"SFQA_STANDIN_{kind}"
    if not os.environ.get(name):
        raise SystemExit(f"stand-in: {name} is not set")
    return Path(os.environ[name])
