"""The backbones that can be trained, by name; reading this file imports no torch.

A new backbone is an entry here and a file of this package with two functions:

``build(options)``
    returns a :class:`~sfqa.regression.fine_tuning.network.FineTunedNetwork` with drawn weights,
    from the functions that build the network of the extractor; ``options`` are those of the head
    ``fine_tuned``, and under :data:`JOINED_WIDTH` how many numbers of joined features follow;
``load_published(weights, options)``
    returns the state of that network with the weights of the extractors, by name
    (:class:`~sfqa.features.weights.Weights`); what the files do not hold may be missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from sfqa.errors import UserError
from sfqa.regression.stage_options import LORA
from sfqa.regression.training_options import LANGUAGE_BACKBONE

#: How the roles of joined features begin, and the key of their width in the options of ``build``.
JOINED, JOINED_WIDTH = "joined", "joined_width"
#: Host memory of a job that trains a network of usual size, in MB.
TRAINING_MB = 3000


@dataclass(frozen=True)
class Backbone:
    """What a head has to know of a backbone before its network is built.

    ``views`` maps a role to the column that holds its view, in the order of the inputs. The weights
    of their extractors are the published ones. ``branches`` names the parts that are scored, each a
    tower and its head. ``vectors`` are further inputs: features with a row for each step. ``clips``
    are the roles of which an epoch draws some steps, ``encoded`` those that hold bytes of numbers
    in place of pixels, with the axes of a row. ``fixed`` roles have all of their steps, whatever
    the option ``steps`` says. With ``joins`` any number of frozen features may follow, each read as
    its mean over steps. With ``fixed_side`` no smaller square can be cut out of its pictures.
    ``memory_mb`` is the host memory of a job in MB: of a large network counted
    as :data:`TRAINING_MB` and four times its parameters in float32 (network, first weights, the
    file that they are read from, a checkpoint). ``padded`` roles have as many steps as the video
    is long. Of a backbone with ``lora`` only adapters are trained and stored; the others have no
    such part.
    """

    views: Mapping[str, str]
    branches: tuple[str, ...]
    vectors: Mapping[str, str] = field(default_factory=dict)
    clips: tuple[str, ...] = ()
    encoded: Mapping[str, int] = field(default_factory=dict)
    fixed: tuple[str, ...] = ()
    joins: bool = False
    fixed_side: bool = False
    memory_mb: int = TRAINING_MB
    padded: tuple[str, ...] = ()
    lora: bool = False

    @property
    def extractors(self) -> list[str]:
        """The extractors of the views, each once."""
        return list(dict.fromkeys(text.partition(".")[0] for text in self.views.values()))

    def count_axes(self, role: str) -> int:
        """Return how many axes a row of an input has: steps first, then those of a step.

        >>> [BACKBONES["aigc_vqa"].count_axes(role) for role in ("technical", "frames", "tokens")]
        [5, 4, 3]
        """
        if role in self.clips:
            return 5
        if role.startswith(JOINED):
            return 1
        if role in self.encoded:
            return self.encoded[role]
        return 4 if role in self.views else 2

    def list_roles(self, count: int) -> list[str]:
        """Return the roles of so many inputs, in order.

        >>> BACKBONES["image"].list_roles(3)
        ['frames', 'joined0', 'joined1']
        """
        joined = count - len(self.inputs) if self.joins else 0
        return [*self.inputs, *(f"{JOINED}{number}" for number in range(joined))]

    @property
    def inputs(self) -> dict[str, str]:
        """The column of every role, views first."""
        return {**self.views, **self.vectors}


BACKBONES: Mapping[str, Backbone] = {
    "fast_vqa": Backbone({"view": "fast_vqa.view"}, ("technical",), clips=("view",)),
    "dover": Backbone(
        {"technical": "dover.technical_view", "aesthetic": "dover.aesthetic_view"},
        ("technical", "aesthetic"),
        clips=("technical", "aesthetic"),
    ),
    "simplevqa": Backbone(
        {"frames": "simplevqa.frames"}, ("spatial",), {"motion": "slowfast.slowfast"}
    ),
    "focusq": Backbone(
        {"frames": "spatial.frames"},
        ("spatial",),
        {"motion": "slowfast.slowfast", "face": "iqa.token"},
    ),
    "image": Backbone({"frames": "image.frames"}, ("pictures",), joins=True),
    "imagebind": Backbone(
        {"clips": "imagebind.clips", "spectra": "imagebind.spectra"},
        ("joint",),
        clips=("clips",),
        encoded={"spectra": 4},
        fixed_side=True,
        memory_mb=14500,
    ),
    "valor": Backbone(
        {"frames": "valor.frames", "spectra": "valor.spectra"},
        ("joint",),
        encoded={"spectra": 4},
        fixed=("frames",),
        memory_mb=6000,
    ),
    "aigc_vqa": Backbone(
        {
            "technical": "dover.technical_view",
            "aesthetic": "dover.aesthetic_view",
            "frames": "blip.frames",
            "tokens": "blip.tokens",
        },
        ("technical", "aesthetic", "alignment"),
        clips=("technical", "aesthetic"),
        encoded={"tokens": 3},
        fixed_side=True,
        memory_mb=11000,
    ),
    LANGUAGE_BACKBONE: Backbone(
        {
            "embeddings": "qwen_omni.embeddings",
            "places": "qwen_omni.places",
            "questions": "qwen_omni.questions",
        },
        ("language",),
        encoded={"embeddings": 3, "places": 3, "questions": 3},
        memory_mb=14000,
        padded=("embeddings", "places"),
        lora=True,
    ),
}


def check_branches(backbone: str, parts: Sequence[Any], where: str) -> None:
    """Raise :class:`UserError` if a part is none of a backbone, or names a branch that it lacks.

    ``parts`` are those of the options ``train`` and ``stages``.

    >>> check_branches("dover", ["all", {"share": 0.3}, {"technical": "head"}], "metric m")
    """
    branches, has_lora = BACKBONES[backbone].branches, BACKBONES[backbone].lora
    for part in parts:
        if has_lora and part != LORA:
            raise UserError(f"{where}: of the backbone {backbone} only adapters learn; write lora")
        if not has_lora and LORA in (part, *(part.values() if isinstance(part, Mapping) else ())):
            raise UserError(
                f"{where}: lora is for language models, and the backbone {backbone} is none; "
                "write head, last_stage, all or a share such as {share: 0.3}"
            )
        for name in part if isinstance(part, Mapping) and "share" not in part else ():
            if name not in branches:
                raise UserError(
                    f"{where}: the backbone {backbone} has no branch {name!r}; there are "
                    f"{', '.join(branches)}"
                )


def check_view_options(options: Mapping[str, Any], where: str) -> None:
    """Raise :class:`UserError` for an option of a head that changes nothing, or does not fit.

    >>> check_view_options({"backbone": "dover", "flip": True, "crop": 0, "scored_clips": 3}, "m")
    """
    backbone = BACKBONES[options["backbone"]]
    has_pictures = backbone.views.keys() != backbone.encoded.keys()
    allowed = {
        "flip": has_pictures,
        "crop": has_pictures and not backbone.fixed_side,
        "scored_clips": bool(backbone.clips),
    }
    reasons = {
        "flip": "reads no pictures",
        "crop": "reads pictures of one size only" if has_pictures else "reads no pictures",
        "scored_clips": "reads no clips",
    }
    for name, is_allowed in allowed.items():
        if options[name] and not is_allowed:
            raise UserError(
                f"{where}.options.{name}: {options[name]}; the backbone {options['backbone']} "
                f"{reasons[name]}; leave {name} out"
            )


def check_inputs(backbone: str, inputs: list[str] | tuple[str, ...], where: str) -> None:
    """Raise :class:`UserError` unless the inputs are the columns that a backbone reads, in order.

    An extractor may have a label, the same for all of its views. Columns to join may follow, if the
    backbone joins any.

    >>> check_inputs("simplevqa", ["simplevqa.frames", "slowfast-b.slowfast"], "metric m")
    """
    columns = list(BACKBONES[backbone].inputs.values())
    read = inputs[: len(columns)] if BACKBONES[backbone].joins else inputs
    if [_drop_label(text) for text in read] != columns:
        more = ", and frozen features after them" if BACKBONES[backbone].joins else ""
        raise UserError(
            f"{where}, inputs: the backbone {backbone} reads {', '.join(columns)}{more}, and the "
            f"inputs are {', '.join(inputs) or 'none'}; write inputs: [{', '.join(columns)}]"
        )
    extractors = list_view_extractors(backbone, inputs)
    if len(extractors) > len(BACKBONES[backbone].extractors):
        raise UserError(
            f"{where}, inputs: the views are those of {', '.join(extractors)}, and a network reads "
            "all its views of an extractor under one label; give them the same"
        )


def list_view_extractors(backbone: str, inputs: list[str] | tuple[str, ...]) -> list[str]:
    """Return the extractors whose views a network reads, as the inputs name them.

    >>> list_view_extractors("dover", ["dover-b.technical_view", "dover-b.aesthetic_view"])
    ['dover-b']
    """
    views = inputs[: len(BACKBONES[backbone].views)]
    return sorted({text.partition(".")[0] for text in views})


def load_backbone(name: str) -> Any:
    """Import the file of a backbone and return its module."""
    return import_module(f"sfqa.regression.fine_tuning.{name}")


def _drop_label(text: str) -> str:
    extractor, _, column = text.partition(".")
    return f"{extractor.partition('-')[0]}.{column}"
