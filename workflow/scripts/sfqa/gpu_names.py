"""The GPUs that a job may use, each with a name for CUDA and an identity that all jobs agree on.

A GPU has several names: its number, which depends on the job that asks, its UUID, a shortened UUID.
A part of a divided GPU (MIG) has a UUID of its own. ``nvidia-smi -L`` lists numbers and UUIDs, so
that every name leads to the same identity.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass, field

from sfqa.errors import UserError

#: The variable that selects the GPUs of a process.
VISIBLE_VARIABLE = "CUDA_VISIBLE_DEVICES"

_NAME = re.compile(r"\d+|GPU-[0-9A-Za-z-]+|MIG-[0-9A-Za-z/-]+")
_QUERY_SEC = 30.0


@dataclass(frozen=True)
class Gpu:
    """A GPU or a MIG device: its name in CUDA_VISIBLE_DEVICES, and its identity.

    Both are the UUID, unless nvidia-smi does not list the GPU: then both are the name that the
    variable gives.
    """

    name: str
    identity: str

    @property
    def has_uuid(self) -> bool:
        """Whether the identity is a UUID, which is the same in every job and on no other GPU."""
        return not self.identity.isdigit()


@dataclass
class ListedGpu:
    """A GPU as ``nvidia-smi -L`` lists it: its number, its UUID and those of its MIG devices."""

    number: str
    uuid: str
    mig_uuids: list[str] = field(default_factory=list)

    def list_usable(self) -> list[Gpu]:
        """Return the MIG devices of the GPU if it is divided, else the GPU itself."""
        names = self.mig_uuids or [self.uuid or self.number]
        return [Gpu(name, name) for name in names]


def list_visible_gpus() -> list[Gpu]:
    """Return the GPUs that a job may use, in the order in which it should try them.

    If CUDA_VISIBLE_DEVICES is set it decides, read as CUDA does: everything from the first name on
    that is no GPU (empty, -1, a number that does not exist) is ignored. Otherwise every device that
    ``nvidia-smi -L`` lists; none if there is no such program. Numbers are those of nvidia-smi.
    Raises :class:`UserError` for a MIG device under its old name, which nvidia-smi does not list.
    """
    listed_gpus = parse_nvidia_smi(run_nvidia_smi())
    variable = os.environ.get(VISIBLE_VARIABLE)
    if variable is None:
        return [gpu for listed in listed_gpus for gpu in listed.list_usable()]
    gpus: dict[str, Gpu] = {}
    for name in (part.strip() for part in variable.split(",")):
        gpu = Gpu(name, name) if _NAME.fullmatch(name) else None
        if gpu and listed_gpus:
            gpu = _find_gpu(name, listed_gpus)
        if gpu is None:
            break
        gpus.setdefault(gpu.identity, gpu)
    return list(gpus.values())


def parse_nvidia_smi(text: str) -> list[ListedGpu]:
    """Return the GPUs in the output of ``nvidia-smi -L``.

    >>> text = "GPU 0: A100 (UUID: GPU-1)\\n  MIG 1g.5gb Device 0: (UUID: MIG-2)\\nGPU 1: T4 ()"
    >>> [gpu.name for listed in parse_nvidia_smi(text) for gpu in listed.list_usable()]
    ['MIG-2', '1']
    """
    listed_gpus: list[ListedGpu] = []
    for line in text.splitlines():
        if match := re.match(r"GPU (\d+):", line):
            uuid = re.search(r"\(UUID: (GPU-[^)]+)\)", line)
            listed_gpus.append(ListedGpu(match[1], uuid[1] if uuid else ""))
        elif listed_gpus and (match := re.match(r"\s+MIG .*\(UUID: (MIG-[^)]+)\)", line)):
            listed_gpus[-1].mig_uuids.append(match[1])
    return listed_gpus


def run_nvidia_smi() -> str:
    """Return the output of ``nvidia-smi -L``, '' if it cannot be run or fails."""
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


def make_device_variables(*gpus: Gpu) -> dict[str, str]:
    """Return the environment variables that show a process these GPUs and no others.

    A number that nvidia-smi listed means the same GPU to CUDA only if CUDA orders GPUs by their
    bus; its default order is by speed. A number of the user keeps the order it was written for.

    >>> make_device_variables(Gpu("GPU-1", "GPU-1"), Gpu("GPU-2", "GPU-2"))
    {'CUDA_VISIBLE_DEVICES': 'GPU-1,GPU-2'}
    """
    variables = {VISIBLE_VARIABLE: ",".join(gpu.name for gpu in gpus)}
    is_users = VISIBLE_VARIABLE in os.environ or "CUDA_DEVICE_ORDER" in os.environ
    if is_users or all(gpu.has_uuid for gpu in gpus):
        return variables
    return {**variables, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def _find_gpu(name: str, listed_gpus: list[ListedGpu]) -> Gpu | None:
    """Return the GPU of a name, None if there is none.

    A UUID may be shortened, as CUDA allows. The name of a divided GPU means its first MIG device.
    """
    for listed in listed_gpus:
        if name.startswith("MIG-"):
            uuids = [uuid for uuid in listed.mig_uuids if uuid.startswith(name)]
            if uuids:
                return Gpu(uuids[0], uuids[0])
        elif listed.number == name or (listed.uuid and listed.uuid.startswith(name)):
            return listed.list_usable()[0]
    if name.startswith("MIG-GPU-"):
        raise UserError(
            f"CUDA_VISIBLE_DEVICES: {name!r} is the old name of a MIG device, so it is not known "
            "which jobs use the same one; write the UUID that nvidia-smi -L lists (MIG-...)"
        )
    return None
