"""Number formats: float32 is float32, and mixed precision is asked for by name; one thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch

#: Format of the forward pass by ``precision``, if it is mixed.
_MIXED = {"bf16": torch.bfloat16, "fp16": torch.float16}


@contextmanager
def use_precision(precision: str) -> Iterator[None]:
    """Allow TensorFloat-32 (10 bits of mantissa) in the block only if ``precision`` is 'tf32'.

    By default cuDNN uses it for convolutions and recurrent layers. Algorithms are not chosen by
    timing, and are deterministic.
    """
    allow = precision == "tf32"
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if allow else "highest")
    try:
        with torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=allow
        ):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def autocast(precision: str, device: str) -> AbstractContextManager[None]:
    """Return the context of a forward pass: mixed for bf16 and fp16, else without effect."""
    return torch.autocast(
        device.split(":")[0], _MIXED.get(precision, torch.bfloat16), enabled=precision in _MIXED
    )


def make_gradient_scaler(precision: str, device: str) -> torch.amp.GradScaler:
    """Return the scaler that keeps small gradients above fp16's least number; else without effect.

    A step whose gradient is not finite is skipped and the scale halved.
    """
    return torch.amp.GradScaler(device.split(":")[0], enabled=precision == "fp16")


@contextmanager
def use_one_thread(device: str) -> Iterator[None]:
    """Compute with one thread in the block on a CPU, so that no sum depends on their number."""
    threads = torch.get_num_threads()
    if device == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
