"""Whether the installed PyTorch can use the GPU that is visible, and a sentence if it cannot."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

_REMEDY = "docs/gpus.md says which build of PyTorch fits"


def explain_unusable_gpu() -> str:
    """Return why torch cannot use the first visible GPU, '' if it can.

    Call it after a GPU was leased: it starts CUDA in this process.
    """
    import torch

    if torch.version.cuda is None and torch.version.hip is None:
        return f"PyTorch {torch.__version__} is built for the CPU only; {_REMEDY}"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        is_available = torch.cuda.is_available()
    if not is_available:
        return _explain_missing_cuda([str(warning.message) for warning in caught])
    if torch.version.cuda is None:
        return ""  # ROCm: its names of architectures are not compared
    return explain_capability(
        torch.cuda.get_device_name(0),
        torch.cuda.get_device_capability(0),
        torch.cuda.get_arch_list(),
    )


def explain_capability(name: str, capability: tuple[int, int], architectures: Iterable[str]) -> str:
    """Return why a build for these architectures has no code for a GPU, '' if it has.

    Code for ``sm_80`` runs on all GPUs 8.x; code for ``compute_120`` is compiled for newer GPUs
    when it is loaded.

    >>> explain_capability("A10", (8, 6), ["sm_80", "sm_90"])
    ''
    >>> explain_capability("Tesla V100", (7, 0), ["sm_75", "sm_80"]).partition(";")[0]
    'Tesla V100 has the compute capability 7.0, for which this PyTorch (sm_75, sm_80) has no code'
    """
    architectures = list(architectures)
    if not architectures or any(_runs_on(built, capability) for built in architectures):
        return ""
    return (
        f"{name} has the compute capability {capability[0]}.{capability[1]}, for which this "
        f"PyTorch ({', '.join(architectures)}) has no code; {_REMEDY}"
    )


def ask_unusable_gpu(variables: Mapping[str, str]) -> str:
    """Return the answer of :func:`explain_unusable_gpu` in a process of its own.

    ``variables`` are those that show it the GPU. This process stays free of PyTorch and of CUDA.
    """
    completed = subprocess.run(
        [sys.executable, "-m", "sfqa.gpu_support"],
        env={**os.environ, **variables, "PYTHONPATH": str(Path(__file__).parents[1])},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if completed.returncode:
        lines = completed.stderr.strip().splitlines() or ["no message"]
        return f"PyTorch cannot be loaded ({lines[-1][:200]})"
    return completed.stdout.strip()


def _runs_on(architecture: str, capability: tuple[int, int]) -> bool:
    match = re.fullmatch(r"(sm|compute)_(\d+)(\d)([a-z]?)", architecture)
    if match is None:
        return False
    built = (int(match[2]), int(match[3]))
    if match[4] == "a":  # uses instructions of one architecture only
        return built == capability
    if match[1] == "compute":
        return built <= capability
    return built[0] == capability[0] and built <= capability


def _explain_missing_cuda(messages: list[str]) -> str:
    """Return why CUDA does not start, from torch's warnings and from the error of starting it."""
    import torch

    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        messages = [*messages, str(error)]
    text = " ".join(" ".join(messages).split())
    build = f"PyTorch {torch.__version__} with CUDA {torch.version.cuda}"
    if "driver" in text and ("too old" in text or "insufficient" in text):
        version = re.search(r"found version (\d+)", text)
        reads = f", it supports CUDA up to {_read_version(version[1])}" if version else ""
        return f"the NVIDIA driver is too old for {build}{reads}; update the driver, or {_REMEDY}"
    return f"{build} cannot start CUDA ({text[:200] or 'without a message'}); {_REMEDY}"


def _read_version(number: str) -> str:
    """Return a version of CUDA as the driver counts: 12020 is 12.2."""
    return f"{int(number) // 1000}.{int(number) % 1000 // 10}"


if __name__ == "__main__":
    print(explain_unusable_gpu())
