"""Random numbers of a training: its own, so that it disturbs no caller and can be resumed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def _is_cuda(device: str) -> bool:
    return device.startswith("cuda")


@contextmanager
def use_own_random_numbers(seed: int, device: str) -> Iterator[None]:
    """Seed torch's generators for the block, and restore the caller's state after it."""
    devices = [torch.device(device)] if _is_cuda(device) else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed % 2**63)
        yield


def get_random_state(device: str) -> list[Tensor]:
    """Return the state of the CPU's generator, and of the device's if it is a GPU."""
    states = [torch.get_rng_state()]
    if _is_cuda(device):
        states.append(torch.cuda.get_rng_state(device))
    return states


def set_random_state(states: list[Tensor], device: str) -> None:
    """Set what :func:`get_random_state` returned."""
    torch.set_rng_state(states[0].cpu())
    if _is_cuda(device):
        torch.cuda.set_rng_state(states[1].cpu(), device)
