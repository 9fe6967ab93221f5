"""Choose the device of a job, and lease a GPU so that no two jobs share it."""

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

# Waiting threads sleep. By default they spin and take processor time (a fifth of a job's) from the
# processes that read ahead. PyTorch reads this variable when it is imported, so it is set here.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_NAME = re.compile(r"\d+|GPU-[0-9A-Za-z-]+|MIG-[0-9A-Za-z/-]+")
_QUERY_SEC = 30.0


def visible_devices() -> list[str]:
    """Return the GPUs that a job may use, in the notation of CUDA_VISIBLE_DEVICES.

    If that variable is set it decides, read as CUDA does: everything from the first invalid name on
    (empty, -1) is ignored. Otherwise every device that ``nvidia-smi -L`` lists; none if there is no
    such program.
    """
    variable = os.environ.get("CUDA_VISIBLE_DEVICES")
    if variable is None:
        return parse_nvidia_smi(_run_nvidia_smi())
    names: list[str] = []
    for name in (part.strip() for part in variable.split(",")):
        if not _NAME.fullmatch(name):
            break
        if name not in names:
            names.append(name)
    return names


def parse_nvidia_smi(text: str) -> list[str]:
    """Return the devices in the output of ``nvidia-smi -L``: indices, or MIG devices of a GPU.

    >>> text = "GPU 0: A100 (UUID: GPU-1)\\n  MIG 1g.5gb Device 0: (UUID: MIG-2)\\nGPU 1: T4 ()"
    >>> parse_nvidia_smi(text)
    ['MIG-2', '1']
    """
    devices: dict[str, list[str]] = {}
    index = ""
    for line in text.splitlines():
        if match := re.match(r"GPU (\d+):", line):
            index = match[1]
            devices[index] = []
        elif index and (match := re.match(r"\s+MIG .*\(UUID: (MIG-[^)]+)\)", line)):
            devices[index].append(match[1])
    return [name for index, mig_devices in devices.items() for name in (mig_devices or [index])]


def device_order() -> dict[str, str]:
    """Return the variable that makes CUDA number devices as :func:`visible_devices` does.

    Empty if the user's own variables name or order the devices.
    """
    if "CUDA_VISIBLE_DEVICES" in os.environ or "CUDA_DEVICE_ORDER" in os.environ:
        return {}
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}  # CUDA's default order is by speed


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
def lease_device(names: Sequence[str], poll_sec: float = 0.5) -> Iterator[str]:
    """Lease one of the named devices until the block ends; wait until one is free.

    Leases are file locks in the system's temporary folder; the operating system releases them when
    a job dies. Raises ``ValueError`` for no names.

    >>> with lease_device(["doctest"]) as name: name
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
def lease_torch_device(threads: int, poll_sec: float = 0.5) -> Iterator[str]:
    """Lease 'cuda:N' until the block ends, or give 'cpu' with the given number of threads.

    Only devices visible through CUDA_VISIBLE_DEVICES are used (:func:`lease_device`).

    >>> with lease_torch_device(1) as device: device.split(":")[0] in ("cpu", "cuda")
    True
    """
    os.environ.update(device_order())  # CUDA reads its order once, when it starts
    import torch

    torch.set_num_threads(threads)
    if not torch.cuda.is_available():
        yield "cpu"
        return
    count = torch.cuda.device_count()
    names = visible_devices()[:count] or [str(number) for number in range(count)]
    with lease_device(names, poll_sec) as name:
        yield f"cuda:{names.index(name)}"


def _run_nvidia_smi() -> str:
    try:
        completed = subprocess.run(
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
    return completed.stdout if completed.returncode == 0 else ""
