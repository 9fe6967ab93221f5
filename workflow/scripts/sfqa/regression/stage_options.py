"""Options of heads that train a backbone: which part of it learns, and in which stages.

Imports no torch: heads declare their options with it, and these are read while planning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sfqa.options import DeclaredOption, Option, Options

#: What a language model trains: matrices of low rank beside its own, which stay as they are.
LORA = "lora"
#: Parts of a backbone that can be named; a share of it is written ``{share: 0.3}``.
PARTS = ("head", "last_stage", "all", LORA)
_ALLOWED = (
    "head, last_stage, all, a share of the parameters such as {share: 0.3}, or for a language "
    "model lora"
)
#: Options of backbones that are language models. Other fits do not depend on them.
LANGUAGE_OPTIONS = frozenset({"tokens", "lora_rank", "lora_alpha", "lora_dropout"})
#: Keys of a stage, and which of them may be left out.
_KEYS, _OPTIONAL = ("train", "epochs", "learning_rate", "restart"), ("learning_rate", "restart")


@dataclass(frozen=True)
class TrainedPart(DeclaredOption):
    """Which part of a backbone learns: one for all branches, or one for each branch by its name.

    >>> TrainedPart("all", "what learns").read({"share": 0.3})
    {'share': 0.3}
    """

    default: str
    meaning: str

    @property
    def allowed(self) -> str:
        """The parts in words."""
        return _ALLOWED

    def read(self, value: object) -> Any:
        """Return the part; raises ``ValueError`` for anything else."""
        return _read_trained(value)


@dataclass(frozen=True)
class StageList(DeclaredOption):
    """Stages of a training: a list of ``{train: head, epochs: 10}``.

    ``learning_rate`` and ``restart`` may be added
    (:class:`sfqa.training.stages.TrainingStage`).

    >>> StageList([], "stages").read([{"train": "head", "epochs": 10}])
    [{'train': 'head', 'epochs': 10}]
    """

    default: list[dict[str, Any]]
    meaning: str

    @property
    def allowed(self) -> str:
        """The form of a stage in words."""
        return (
            "a list of stages such as {train: head, epochs: 10}, each with train and epochs, and "
            "optionally learning_rate and restart"
        )

    def read(self, value: object) -> list[dict[str, Any]]:
        """Return the stages; raises ``ValueError`` for anything else."""
        if not isinstance(value, list):
            raise ValueError(value)
        return [_read_stage(stage) for stage in value]


def declare_language_options() -> Options:
    """Return the options of backbones that are language models.

    Rank and alpha are those of SLCV, first in the NTIRE 2025 challenge on user-generated videos
    (InternVL 2.5); the dropout is that of Q-Align's training script.

    >>> declare_language_options().keys() == LANGUAGE_OPTIONS
    True
    """
    return {
        "tokens": Option(
            4096, 1, None,
            "qwen_omni: tokens that a view has room for; a longer video is a failed row",
            whole=True,
        ),
        "lora_rank": Option(16, 1, None, "qwen_omni: rank of the matrices of LoRA", whole=True),
        "lora_alpha": Option(
            64.0, 1, None, "qwen_omni: what LoRA adds is multiplied by lora_alpha / lora_rank"
        ),
        "lora_dropout": Option(
            0.05, 0, 0.99, "qwen_omni: dropout of what the matrices of LoRA read"
        ),
    }  # fmt: skip


def _read_stage(stage: object) -> dict[str, Any]:
    if not isinstance(stage, Mapping) or not set(stage) <= set(_KEYS):
        raise ValueError(stage)
    if not set(_KEYS) - set(_OPTIONAL) <= set(stage):
        raise ValueError(stage)
    epochs, rate, restart = (stage.get(key) for key in ("epochs", "learning_rate", "restart"))
    if not isinstance(epochs, int) or isinstance(epochs, bool) or epochs < 1:
        raise ValueError(stage)
    if rate is not None and not (_is_number(rate) and rate >= 0):
        raise ValueError(stage)
    if restart is not None and not isinstance(restart, bool):
        raise ValueError(stage)
    return {**stage, "train": _read_trained(stage["train"])}


def _read_trained(value: object) -> Any:
    if isinstance(value, Mapping) and value and "share" not in value:
        return {str(branch): _read_part(part) for branch, part in value.items()}
    return _read_part(value)


def _read_part(value: object) -> Any:
    if isinstance(value, Mapping) and set(value) == {"share"}:
        share = value["share"]
        if _is_number(share) and 0 <= share <= 1:
            return {"share": share}
    elif value in PARTS:
        return value
    raise ValueError(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
