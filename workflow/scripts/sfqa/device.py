"""Which device a job computes on, and the lease that keeps two jobs off one GPU."""

from __future__ import annotations

import fcntl
import os
import platform
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

# Threads that wait do so asleep: by default they spin, and take the core from the processes that
# read ahead (a fifth of a job's processor time). Read when PyTorch is imported, so set here.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_NAME = re.compile(r"\d+|GPU-[0-9A-Za-z-]+|MIG-[0-9A-Za-z/-]+")
_QUERY_SEC = 30.0


def visible_devices() -> list[str]:
    """Return the GPUs that a job may use, as CUDA_VISIBLE_DEVICES names them.

    Where that variable is set it is the answer, read as CUDA does: nothing from the first name on
    that is none (empty, -1). Else every device that ``nvidia-smi -L`` lists, none without it.
    """
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        return listed(_nvidia_smi())
    names: list[str] = []
    for name in (part.strip() for part in given.split(",")):
        if not _NAME.fullmatch(name):
            break
        if name not in names:
            names.append(name)
    return names


def listed(text: str) -> list[str]:
    """Return the devices that ``nvidia-smi -L`` printed: indices, or the parts of a divided GPU.

    >>> listed("GPU 0: A100 (UUID: GPU-1)\\n  MIG 1g.5gb Device 0: (UUID: MIG-2)\\nGPU 1: T4 ()")
    ['MIG-2', '1']
    """
    parts: dict[str, list[str]] = {}
    index = ""
    for line in text.splitlines():
        if match := re.match(r"GPU (\d+):", line):
            index = match[1]
            parts[index] = []
        elif index and (match := re.match(r"\s+MIG .*\(UUID: (MIG-[^)]+)\)", line)):
            parts[index].append(match[1])
    return [name for index, inside in parts.items() for name in (inside or [index])]


def device_order() -> dict[str, str]:
    """Return the environment in which CUDA counts devices as :func:`visible_devices` does.

    Empty where the user's own variables name or order the devices.
    """
    if "CUDA_VISIBLE_DEVICES" in os.environ or "CUDA_DEVICE_ORDER" in os.environ:
        return {}
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}  # CUDA's own order is by speed


def get_processor_name() -> str:
    """Return the model of this machine's processor.

    >>> get_processor_name() != ""
    True
    """
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


@contextmanager
def lease(names: Sequence[str], poll_sec: float = 0.5) -> Iterator[str]:
    """Give one of the named devices, held alone until the block ends; wait until one is free.

    Leases are file locks in the system's temporary folder: the operating system frees them when a
    job dies. Raises ``ValueError`` for no names.

    >>> with lease(["doctest"]) as name: name
    'doctest'
    """
    if not names:
        raise ValueError("no devices to choose from")
    folder = Path(tempfile.gettempdir()) / f"sfqa-gpu-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    while True:
        for name in names:
            with open(folder / f"{name.replace('/', '_')}.lock", "w") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                yield name
                return
        time.sleep(poll_sec)


@contextmanager
def leased_device(threads: int, poll_sec: float = 0.5) -> Iterator[str]:
    """Give 'cuda:N' held alone until the block ends, or 'cpu' with the given number of threads.

    Only devices that CUDA_VISIBLE_DEVICES leaves visible are used (:func:`lease`).

    >>> with leased_device(1) as device: device.split(":")[0] in ("cpu", "cuda")
    True
    """
    os.environ.update(device_order())  # before CUDA starts: it reads its order once
    import torch

    torch.set_num_threads(threads)
    if not torch.cuda.is_available():
        yield "cpu"
        return
    count = torch.cuda.device_count()
    names = visible_devices()[:count] or [str(number) for number in range(count)]
    with lease(names, poll_sec) as name:
        yield f"cuda:{names.index(name)}"


def _nvidia_smi() -> str:
    try:
        done = subprocess.run(
            ["nvidia-smi", "-L"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_QUERY_SEC,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
