"""Which device a job computes on, and the lease that keeps two jobs off one GPU."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def leased_device(threads: int, poll_sec: float = 0.5) -> Iterator[str]:
    """Give 'cuda:N' held alone until the block ends, or 'cpu' with the given number of threads.

    Only devices that CUDA_VISIBLE_DEVICES leaves visible are used. Leases are file locks in the
    system's temporary folder: the operating system frees them when a job dies.

    >>> with leased_device(1) as device: device.split(":")[0] in ("cpu", "cuda")
    True
    """
    import torch

    torch.set_num_threads(threads)
    if not torch.cuda.is_available():
        yield "cpu"
        return
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = [n for n in visible.split(",") if n] or [
        str(n) for n in range(torch.cuda.device_count())
    ]
    folder = Path(tempfile.gettempdir()) / f"sfqa-gpu-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    while True:
        for number, name in enumerate(names[: torch.cuda.device_count()]):
            with open(folder / f"{name.replace('/', '_')}.lock", "w") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                yield f"cuda:{number}"
                return
        time.sleep(poll_sec)
