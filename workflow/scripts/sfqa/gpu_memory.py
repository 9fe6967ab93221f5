"""How much memory of its GPU a job may plan with, and how it is described in messages."""

from __future__ import annotations

from sfqa.gpu_leases import read_jobs_per_gpu

_GIB = 2**30
#: Part of the memory that the CUDA context and the libraries need, whatever the job does.
_OVERHEAD_BYTES = _GIB
#: If other processes hold more than this share of a GPU, a later attempt may find it free.
_SHARED = 0.05


def compute_memory_budget(share: float) -> float:
    """Return the bytes of the leased GPU that a job may plan with: a share of its part.

    The part is the total memory, less the context of CUDA, divided by the number of jobs that may
    use the GPU (SFQA_JOBS_PER_GPU). What is free at the moment is not considered, so that a job
    that resumes plans as it did at first.
    """
    import torch

    total = float(torch.cuda.get_device_properties(0).total_memory)
    return share * max(total / read_jobs_per_gpu() - _OVERHEAD_BYTES, total / 10)


def read_memory_of_others() -> float:
    """Return the bytes of the leased GPU that other processes hold at the moment."""
    import torch

    free, total = torch.cuda.mem_get_info(0)
    return float(max(total - free - torch.cuda.memory_reserved(0) - _OVERHEAD_BYTES, 0))


def has_gpu_to_itself() -> bool:
    """Return whether hardly any memory of the leased GPU is held by other processes."""
    import torch

    total = torch.cuda.get_device_properties(0).total_memory
    return read_memory_of_others() <= _SHARED * total


def name_gpu() -> str:
    """Return name and memory of the leased GPU, as 'Tesla T4, 15.0 GiB'."""
    import torch

    properties = torch.cuda.get_device_properties(0)
    return f"{properties.name}, {properties.total_memory / _GIB:.1f} GiB"


def describe_gpu() -> str:
    """Return :func:`name_gpu` and what others hold, as '..., 3.2 GiB held by others'."""
    others = read_memory_of_others()
    return name_gpu() + (f", {others / _GIB:.1f} GiB held by others" if others else "")
