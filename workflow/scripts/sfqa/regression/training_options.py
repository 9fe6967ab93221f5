"""Options of training that every network head has: declared once, defaults set by the head.

Imports no torch: heads declare their options with it, and these are read while planning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sfqa.options import Choice, Flag, Option, Options, Text

#: All options of training, with the defaults of a head that sets none.
TRAINING: Options = {
    "loss": Text(
        "mse",
        "what is minimised: mae, mse, plcc, rank_simplevqa, rank_aigcvqa, fidelity, or a weighted "
        "sum such as 'mae + 0.5 plcc'; on MOS standardised on the train rows",
        one_line=False,
    ),
    "learning_rate": Option(1e-3, 0, None, "learning rate of Adam"),
    "weight_decay": Option(0.0, 0, None, "weight decay of Adam"),
    "decoupled": Flag(False, "whether the weight decay is that of AdamW"),
    "clip": Option(0.0, 0, None, "bound of the gradient's norm, 0: none"),
    "decay": Option(1.0, 0, None, "factor of the learning rate after every decay_every epochs"),
    "decay_every": Option(1, 1, None, "epochs between two decays of the rate", whole=True),
    "epochs": Option(50, 1, None, "largest number of epochs", whole=True),
    "patience": Option(50, 0, None, "training ends after N epochs without a new best", whole=True),
    "batch_rows": Option(32, 0, None, "rows of a batch, 0: all rows", whole=True),
    "select": Choice(
        "srcc", ("srcc", "loss", "none"),
        "which epoch is kept: that of the best SRCC or of the least loss on the validation rows, "
        "or the last one (none), which needs no validation rows",
    ),
    "precision": Choice(
        "float32", ("float64", "float32", "bf16"),
        "number format; bf16: parameters in float32, forward pass in bfloat16",
    ),
    "batching": Choice(
        "vmap", ("vmap", "loop"), "how networks are batched; loop for layers that vmap cannot batch"
    ),
    "memory_gb": Option(
        0.0, 0, None, "memory for what trains together, 0: by the device; changes no result"
    ),
}  # fmt: skip
#: What a head has only if it names it.
_OPTIONAL = ("decoupled", "clip", "decay", "decay_every", "batching")


def training_options(without: Sequence[str] = (), **defaults: Any) -> Options:
    """Return the options of training with a head's own defaults.

    ``decoupled``, ``clip``, ``decay``, ``decay_every`` and ``batching`` are left out unless a
    default is given, those of ``without`` always. Raises ``TypeError`` for an unknown option.

    >>> options = training_options(loss="plcc", decay=0.9)
    >>> options["loss"].default, "decay" in options, "clip" in options
    ('plcc', True, False)
    """
    unknown = sorted(defaults.keys() - TRAINING.keys())
    if unknown:
        raise TypeError(f"no options of training: {', '.join(unknown)}")
    return {
        name: replace(option, default=defaults.get(name, option.default))  # type: ignore[type-var]
        for name, option in TRAINING.items()
        if name not in without and (name in defaults or name not in _OPTIONAL)
    }
