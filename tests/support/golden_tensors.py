"""Compare tensors with the summaries in support/official: shape, mean, deviation and some values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch


def check_tensor(
    tensor: npt.ArrayLike, summary: dict[str, Any], tolerance: float, part: bool = False
) -> None:
    """Compare a tensor with its summary, or only the first part of it along the first axis."""
    numbers = np.asarray(tensor)
    expected_shape = summary["shape"][1:] if part else summary["shape"]
    assert list(numbers.shape[1:] if part else numbers.shape) == expected_shape
    flat = numbers.ravel()
    points = [(at, v) for at, v in zip(summary["at"], summary["values"], strict=True)]
    points = [(at, value) for at, value in points if at < flat.size]
    assert points
    chosen = flat[[at for at, _ in points]]
    np.testing.assert_allclose(chosen, [value for _, value in points], rtol=0, atol=tolerance)
    if not part:
        assert abs(flat.mean(dtype=np.float64) - summary["mean"]) <= max(tolerance, 1e-5)
        assert abs(flat.std(dtype=np.float64) - summary["std"]) <= max(tolerance, 1e-5)


@contextmanager
def record_outputs(
    modules: dict[str, torch.nn.Module], arrange: Callable[[str, torch.Tensor], torch.Tensor]
) -> Iterator[dict[str, torch.Tensor]]:
    """Keep what each module returns, by name."""
    outputs: dict[str, torch.Tensor] = {}

    def keep(name: str) -> Any:
        return lambda module, inputs, output: outputs.update({name: arrange(name, output.clone())})

    hooks = [module.register_forward_hook(keep(name)) for name, module in modules.items()]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


def list_swin_modules(backbone: Any) -> dict[str, torch.nn.Module]:
    """The modules of a Swin by the names of the official stages."""
    modules: dict[str, torch.nn.Module] = {"patch_embed": backbone.patch_embed}
    for number, stage in enumerate(backbone.features):
        if number % 2 == 0:
            modules |= {f"layers.{number // 2}.blocks.{n}": block for n, block in enumerate(stage)}
        else:
            modules[f"layers.{number // 2}"] = stage
    modules["layers.3"] = backbone.features[6]
    return modules


def arrange_as_official(name: str, output: torch.Tensor) -> torch.Tensor:
    """Channels second, as the official stages return them; its blocks have them last."""
    return output if "blocks" in name else output.movedim(-1, 1)
