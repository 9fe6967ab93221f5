"""How a network is trained: the numbers that :func:`sfqa.regression.engine.train` follows."""

from __future__ import annotations

from dataclasses import dataclass

import torch

#: The type of the parameters, by the word of ``precision``.
DTYPES = {"float32": torch.float32, "bf16": torch.float32, "float64": torch.float64}


@dataclass(frozen=True)
class Schedule:
    """How a network is trained.

    ``batch_rows`` 0 is the full batch. ``select`` is what keeps an epoch: the mean ``srcc`` over
    dimensions or the ``loss`` on validation rows, or ``none`` for the last epoch; ``patience`` ends
    a problem after so many epochs without a new best. The rate is multiplied by ``decay`` every
    ``decay_every`` epochs. Weight decay is Adam's, or AdamW's where ``decoupled``. ``clip`` bounds
    the norm of a problem's gradient (0: no bound). ``precision`` is float32, bf16 (mixed: forward
    in bfloat16) or float64. ``batching`` is vmap, or loop for layers that torch cannot batch.
    ``memory_gb`` bounds what trains together (0: by the device); it changes no result.
    """

    epochs: int = 500
    patience: int = 50
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    decoupled: bool = False
    clip: float = 0.0
    batch_rows: int = 0
    select: str = "srcc"
    decay: float = 1.0
    decay_every: int = 1
    precision: str = "float32"
    batching: str = "vmap"
    scale_features: bool = True
    scale_mos: bool = True
    memory_gb: float = 0.0

    def __post_init__(self) -> None:
        for key, words in (
            ("select", ("srcc", "loss", "none")),
            ("precision", tuple(DTYPES)),
            ("batching", ("vmap", "loop")),
        ):
            if getattr(self, key) not in words:
                raise ValueError(f"{key} {getattr(self, key)!r}; write {' or '.join(words)}")
