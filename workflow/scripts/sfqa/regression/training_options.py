"""Options of training that every network head has: declared once, defaults set by the head.

Imports no torch: heads declare their options with it, and these are read while planning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sfqa.options import Choice, Flag, Option, Options, Text
from sfqa.regression.stage_options import LANGUAGE_OPTIONS

#: All options of training, with the defaults of a head that sets none.
TRAINING: Options = {
    "loss": Text(
        "mse",
        "what is minimised: mae, mse, plcc, plcc_fastvqa, rank_simplevqa, rank_aigcvqa, "
        "rank_fastvqa, fidelity, or a weighted sum such as 'mae + 0.5 plcc'; on MOS standardised "
        "on the train rows",
        one_line=False,
    ),
    "optimizer": Choice(
        "adam", ("adam", "adamw", "sgd"),
        "optimizer; adamw: decoupled weight decay; sgd: with momentum 0.9",
    ),
    "learning_rate": Option(1e-3, 0, None, "learning rate"),
    "weight_decay": Option(0.0, 0, None, "weight decay"),
    "clip": Option(0.0, 0, None, "bound of the gradient's norm, 0: none"),
    "warmup_epochs": Option(0.0, 0, None, "epochs in which the rate rises from 0"),
    "cosine": Flag(False, "whether the rate falls as half a cosine over all epochs"),
    "decay": Option(1.0, 0, None, "factor of the learning rate after every decay_every epochs"),
    "decay_every": Option(1, 1, None, "epochs between two decays of the rate", whole=True),
    "ema": Option(
        0.0, 0, 1, "decay per step of a moving average of the parameters, which is kept; 0: none"
    ),
    "epochs": Option(50, 1, None, "largest number of epochs", whole=True),
    "patience": Option(50, 0, None, "training ends after N epochs without a new best", whole=True),
    "batch_rows": Option(32, 0, None, "rows of a batch, 0: all rows", whole=True),
    "piece_rows": Option(
        0, 0, None,
        "rows that pass the network at once, for batches that exceed the memory; 0: the batch",
        whole=True,
    ),
    "select": Choice(
        "srcc", ("srcc", "loss", "none"),
        "which epoch is kept: that of the best SRCC or of the least loss on the validation rows, "
        "or the last one (none), which needs no validation rows",
    ),
    "precision": Choice(
        "float32", ("float64", "float32", "tf32", "bf16", "fp16"),
        "number format; tf32: float32 with faster, coarser products on a GPU; bf16 and fp16: "
        "parameters in float32, forward pass in the other format",
    ),
    "tensorboard": Flag(
        False,
        "whether the curves are also written as event files of TensorBoard; changes no number",
    ),
    "processes": Option(
        1, 1, None,
        "processes that train a network together, each on a GPU of its own, or on a CPU on a "
        "thread; a job with fewer uses those that it has, and a change re-runs nothing",
        whole=True,
    ),
}  # fmt: skip


#: Options that change no number. They are no part of a fit's digest, and re-run nothing.
DISPLAY_OPTIONS = frozenset({"tensorboard", "processes"})
#: Key among the options of a fit: where the network is that a language model's training starts from
#: (:mod:`sfqa.regression.fine_tuning.language_base`). Its identity is part of the first weights.
BASE = "base"
#: The backbone that is a language model.
LANGUAGE_BACKBONE = "qwen_omni"


def drop_display_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a head without those that change no number.

    >>> drop_display_options({"epochs": 9, "tensorboard": True})
    {'epochs': 9}
    >>> drop_display_options({"backbone": "dover", "lora_rank": 16})
    {'backbone': 'dover'}
    >>> drop_display_options({"tokens": 4})  # of another head
    {'tokens': 4}
    """
    unused = DISPLAY_OPTIONS | {BASE}
    if options.get("backbone", LANGUAGE_BACKBONE) != LANGUAGE_BACKBONE:
        unused |= LANGUAGE_OPTIONS
    return {name: value for name, value in options.items() if name not in unused}


def set_display_options(metric: Mapping[str, Any], resources: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metric of a job with the options that change no number.

    A Snakemake job gets these as resources, because a change of its parameters would re-run it.
    Defaults are left out: a head that trains no network does not have these options.

    >>> resources = {"gpu": 2, "tensorboard": 1, "processes": 2}
    >>> set_display_options({"options": {"epochs": 9}}, resources)
    {'options': {'epochs': 9, 'processes': 2, 'tensorboard': True}}
    >>> set_display_options({"options": {"lambdas": [1]}}, {"tensorboard": 0, "processes": 1})
    {'options': {'lambdas': [1]}}
    """
    options = {
        name: type(TRAINING[name].default)(resources[name])
        for name in sorted(DISPLAY_OPTIONS)
        if resources.get(name, TRAINING[name].default) != TRAINING[name].default
    }
    return {**metric, "options": {**metric["options"], **options}}


def training_options(**defaults: Any) -> Options:
    """Return the options of training with a head's own defaults.

    Raises ``TypeError`` for an unknown option.

    >>> training_options(loss="plcc", decay=0.9)["loss"].default
    'plcc'
    """
    unknown = sorted(defaults.keys() - TRAINING.keys())
    if unknown:
        raise TypeError(f"no options of training: {', '.join(unknown)}")
    return {
        name: replace(option, default=defaults.get(name, option.default))  # type: ignore[type-var]
        for name, option in TRAINING.items()
    }


def fastvqa_training_options(epochs: int) -> Options:
    """Return the options of training with FAST-VQA's published ones as defaults.

    Two more options belong to it: the period of the cosine, and which of network and average is
    kept. ``epochs`` is the default for epochs and patience.

    >>> fastvqa_training_options(10)["loss"].default
    'plcc_fastvqa + 0.3 rank_fastvqa'
    """
    return {
        "cosine_epochs": Option(
            0, 0, None, "epochs of the cosine's period, 0: the number of epochs", whole=True
        ),
        "compare_ema": Flag(
            True,
            "whether network and average are both scored after every epoch, and the better one "
            "kept",
        ),
        **training_options(
            loss="plcc_fastvqa + 0.3 rank_fastvqa", optimizer="adamw", learning_rate=1.0e-3,
            weight_decay=0.05, warmup_epochs=2.5, cosine=True, epochs=epochs, patience=epochs,
            batch_rows=16, ema=0.999,
        ),
    }  # fmt: skip
