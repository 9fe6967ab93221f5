"""Choose the device of a job: the CPU, or GPUs that the job leases and that alone it can see."""

from __future__ import annotations

import logging
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from sfqa import gpu_names
from sfqa.errors import UserError
from sfqa.gpu_leases import lease_gpus
from sfqa.gpu_names import Gpu
from sfqa.gpu_support import explain_unusable_gpu

# Waiting threads sleep. By default they spin and take processor time (a fifth of a job's) from the
# processes that read ahead. PyTorch reads this variable when it is imported, so it is set here.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

log = logging.getLogger("sfqa")

#: The leased GPU is the only visible one, so that it is also the current one: streams and events
#: of torch belong to the current device.
GPU, CPU = "cuda:0", "cpu"


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
def lease_torch_device(
    threads: int,
    use_gpu: bool = True,
    required_by: str = "",
    poll_sec: float = 0.5,
    count: int = 1,
) -> Iterator[str]:
    """Lease a GPU and yield 'cuda:0', or yield 'cpu' and let torch use this number of threads.

    The lease comes first; then the GPU is made the only visible one, and only then is torch loaded.
    With a ``count``, so many GPUs are leased and visible, or all if there are fewer: for a group of
    processes (:mod:`sfqa.training.processes`).
    A process keeps its GPU: a second lease waits for the same one. Without ``use_gpu``, and if no
    GPU is visible, the device is the CPU. If torch cannot use the GPU, the reason is logged as a
    warning and the device is the CPU. ``required_by`` is the key of the configuration that requires
    a GPU: with it, :class:`UserError` is raised instead.

    >>> with lease_torch_device(1) as device: device in ("cpu", "cuda:0")
    True
    """
    with ExitStack() as stack:
        gpus = gpu_names.list_visible_gpus() if use_gpu else []
        if gpus:
            show_only(stack.enter_context(lease_gpus(gpus, count, poll_sec)))
        import torch

        torch.set_num_threads(threads)
        disable_tf32()
        reason = ""
        if use_gpu:
            reason = explain_unusable_gpu() if gpus else _explain_no_gpu()
        if reason and required_by:
            raise UserError(f"config, {required_by}: true, but {reason}")
        if reason and (gpus or _expects_gpu()):
            log.warning("No GPU is used: %s", reason)
        if reason or not use_gpu:
            stack.close()  # another job may take the GPU
            yield CPU
        else:
            yield GPU


def lease_job_device(job: Any, stage: str) -> AbstractContextManager[str]:
    """Lease the device of a Snakemake job: a GPU if it requested one, else the CPU.

    ``job`` is the object ``snakemake`` of a script; ``stage`` is the section of the configuration
    whose ``require_gpu`` its resource of that name tells. A job with the resource ``processes``
    leases a GPU for each, at most as many as it requested.
    """
    required = bool(job.resources.get("require_gpu", 0))
    return lease_torch_device(
        job.threads,
        use_gpu=bool(job.resources.get("gpu", 0)),
        required_by=f"{stage}.require_gpu" if required else "",
        count=max(1, min(job.resources.get("gpu", 0), job.resources.get("processes", 1))),
    )


def show_only(gpus: Sequence[Gpu]) -> None:
    """Make GPUs the only visible ones of this process and of those that it starts.

    Raises ``RuntimeError`` if CUDA has already been started with other GPUs in this process.
    """
    variables = gpu_names.make_device_variables(*gpus)
    visible_before = os.environ.get(gpu_names.VISIBLE_VARIABLE)
    os.environ.update(variables)
    if visible_before != variables[gpu_names.VISIBLE_VARIABLE] and _has_cuda_started():
        raise RuntimeError("CUDA was started before a GPU was leased; lease it first")


def disable_tf32() -> None:
    """Let float32 mean float32 in this process: no TensorFloat-32, whose mantissa has 10 bits."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


def _has_cuda_started() -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_initialized())


def _explain_no_gpu() -> str:
    variable = os.environ.get(gpu_names.VISIBLE_VARIABLE)
    if variable is None:
        return (
            "nvidia-smi -L lists no GPU here; if there is one, install nvidia-smi or name the GPU "
            "by CUDA_VISIBLE_DEVICES"
        )
    return (
        f"CUDA_VISIBLE_DEVICES={variable} names no GPU that nvidia-smi -L lists; correct it or "
        "unset it"
    )


def _expects_gpu() -> bool:
    """Whether the user named a GPU, or torch finds one that nvidia-smi does not list."""
    import torch

    variable = os.environ.get(gpu_names.VISIBLE_VARIABLE)
    if variable is None:
        return bool(torch.cuda.is_available())
    return variable.strip().startswith(tuple("0123456789GM"))
