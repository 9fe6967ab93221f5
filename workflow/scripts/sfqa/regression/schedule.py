"""Training settings of a network, read by :func:`sfqa.regression.engine.train`."""

from __future__ import annotations

from dataclasses import dataclass

import torch

#: Type of the parameters by ``precision``.
DTYPES = {"float32": torch.float32, "bf16": torch.float32, "float64": torch.float64}


@dataclass(frozen=True)
class Schedule:
    """Training settings of a network.

    ``batch_rows``: rows per batch, 0 for the full batch. ``select``: how the best epoch is chosen,
    by the ``srcc`` (mean over dimensions) or the ``loss`` on validation rows, or ``none`` for the
    last epoch. ``patience``: training of a problem stops after this many epochs without a new best.
    The learning rate is multiplied by ``decay`` every ``decay_every`` epochs. Weight decay is that
    of Adam, or with ``decoupled`` that of AdamW. ``clip``: upper bound of the norm of a problem's
    gradient (0: none). ``precision``: float32, bf16 (mixed: forward pass in bfloat16) or float64.
    ``batching``: vmap, or loop for layers that torch cannot batch. ``memory_gb``: upper bound of
    the memory for problems trained at the same time (0: chosen by device); it changes no result.
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
        for key, choices in (
            ("select", ("srcc", "loss", "none")),
            ("precision", tuple(DTYPES)),
            ("batching", ("vmap", "loop")),
        ):
            if getattr(self, key) not in choices:
                raise ValueError(f"{key} {getattr(self, key)!r}; write {' or '.join(choices)}")
