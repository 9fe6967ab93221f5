"""Maps and scores of DOVER: fragments through a Swin3D-T, whole frames through a ConvNeXt-3D."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sfqa import media
from sfqa.features import base, batches, frame_sampling, quality_maps, view_columns, views
from sfqa.features.aesthetic_view import AestheticView
from sfqa.features.base import Feature, UnusableError, Video
from sfqa.features.batches import Batching
from sfqa.features.random_draws import seed_draws
from sfqa.features.weights import Weights
from sfqa.options import Choice, Flag, Option, Options

if TYPE_CHECKING:
    import torch

VERSION = 1
WEIGHTS = True
#: Columns that are empty unless an option has one of these values.
COLUMN_NEEDS: Mapping[str, Mapping[str, Any]] = {
    "technical": {"maps": (True,)},
    "aesthetic": {"maps": (True,)},
}
OPTIONS: Options = {
    "clips": Option(
        3, 1, None,
        "clips of 32 frames for the technical branch; 3 in the evaluation, 1 in the training",
        whole=True,
    ),
    "draws": Option(
        1, 1, None,
        "how often clips, fragments and frames are drawn, all of which are kept and scored; more "
        "than one lets a head see several draws of a video in training",
        whole=True,
    ),
    "views": Option(
        0, 0, 32,
        "how many draws of the pixels of both branches are kept in the columns technical_view and "
        "aesthetic_view, 4.8 MB a clip, for networks that are trained from them; 0: the table has "
        "no such columns",
        whole=True,
    ),
    "seed": Option(
        None, 0, None,
        "seed of the draws, the same for every video; null: from the content of each, so that "
        "neither its name nor the order of the videos changes a score",
        whole=True,
    ),
    "small": Choice(
        "official", ("official", "whole"),
        "for the technical branch, videos of less than 224 pixels are enlarged. official, the "
        "default, since published figures rest on it: the grid keeps the old size, so that only "
        "the top left part is seen, a mistake of the official code. whole: the grid covers the "
        "enlarged picture",
    ),
    "antialias": Flag(
        False,
        "whether the whole frames of the aesthetic branch are smoothed before they become "
        "smaller; false, the default, as in torchvision 0.14, which the official requirements name",
    ),
    "maps": Flag(True, "keep the maps, 1.2 MB a clip; false: only their means and the scores"),
    "blocks": Choice(
        "official", ("official", "reduced"),
        "blocks of the networks; reduced: a few of them, for trials with random weights, no "
        "published model",
    ),
    "precision": Choice(
        "fp32", ("fp32", "tf32"),
        "number format of the networks; tf32: float32 with TensorFloat-32 on a GPU, on a CPU as "
        "fp32",
    ),
    "batch": Option(
        None, 1, None,
        "clips, of one video or of several, that go through a network at once; null: 1 on a CPU, "
        "where more needs memory and is no faster, 8 on a GPU",
        whole=True,
    ),
}  # fmt: skip

# Clips per pass by default.
_CPU_SIZE, _GPU_SIZE = 1, 8
#: Frames of the aesthetic view, one of each segment, and the interval of the official sampler.
_AESTHETIC_FRAMES, _INTERVAL = 32, 2


@dataclass(frozen=True)
class PreparedViews:
    """What both networks see: ``technical`` (clip, 32, 224, 224, 3) of each draw, ``aesthetic``."""

    technical: list[media.Pixels]
    aesthetic: list[media.Pixels]


@dataclass(frozen=True)
class ViewReader:
    """Reads both views of a video; see :class:`Extractor`."""

    clips: int = 3
    draws: int = 1
    seed: int | None = None
    small: str = "official"
    antialias: bool = False

    def prepare(self, video: Video) -> PreparedViews:
        """Return the views of each draw.

        Raises :class:`UnusableError` for a video that has no frame or does not decode.
        """
        views.check_frames(video)
        plans = [self._plan_views(video, draw) for draw in range(self.draws)]
        pictures = views.read_views(video, [view for pair in plans for view in pair])
        return PreparedViews(pictures[::2], pictures[1::2])

    def _plan_views(self, video: Video, draw: int) -> tuple[views.View, views.View]:
        """Draw the frames of both views, first the technical one's, as the official options do."""
        random_draws = seed_draws(video.sha256, draw, self.seed)
        technical = frame_sampling.draw_clips(video.frames, random_draws.time, self.clips)
        aesthetic = frame_sampling.draw_clips(
            video.frames, random_draws.time, _AESTHETIC_FRAMES, length=1, interval=_INTERVAL
        )
        return (
            views.FragmentView(technical, random_draws, self.small),
            AestheticView(aesthetic.reshape(1, -1), self.antialias),
        )


class Extractor:
    """Two maps of 768 channels: three clips of fragments, and 32 whole frames; and three scores.

    Weights: the official ``DOVER.pth``. Its heads give the scores of the branches.
    """

    FEATURES: ClassVar[tuple[Feature, ...]] = (
        Feature(
            "technical",
            "technical branch before its head, the clips of each draw; empty with maps: false",
            ("clip", "channel", "time", "row", "column"),
        ),
        Feature(
            "aesthetic",
            "aesthetic branch before its head, one view of each draw; empty with maps: false",
            ("view", "channel", "time", "row", "column"),
        ),
        Feature("technical_pooled", "mean of technical over its positions", ("clip", "channel")),
        Feature("aesthetic_pooled", "mean of aesthetic over its positions", ("view", "channel")),
        Feature(
            "technical_score",
            "score of the technical head, mean over clips; higher is better",
            dtype="float64",
        ),
        Feature(
            "aesthetic_score",
            "score of the aesthetic head; higher is better",
            dtype="float64",
        ),
        Feature("score", "both scores by the official fusion", dtype="float64", unit="0..1"),
        Feature(
            "technical_view",
            "fragments of RGB, the clips of each draw in order; only with the option views",
            ("clip", "colour", "frame", "row", "column"),
            "uint8",
        ),
        Feature(
            "aesthetic_view",
            "whole frames of RGB, one view of each draw; only with the option views",
            ("view", "colour", "frame", "row", "column"),
            "uint8",
        ),
    )
    INPUTS: ClassVar[tuple[str, ...]] = ("video",)

    def __init__(self, options: Mapping[str, Any], weights: Weights, device: str) -> None:
        """Build the networks on the device; their heads stay on the CPU."""
        import torch

        from sfqa.features.map_networks import INTEGER_TABLES, Dover

        self.draws: int = options["draws"]
        self.views: int = options["views"]
        self.reader = ViewReader(
            options["clips"], max(self.draws, self.views), options["seed"], options["small"],
            options["antialias"],
        )  # fmt: skip
        self.keep_maps: bool = options["maps"]
        self.batching = Batching.choose(options["batch"], device, _CPU_SIZE, _GPU_SIZE)
        self.device = torch.device(device)
        self.precision: str = options["precision"]
        net = weights.load(partial(Dover, options["blocks"] == "reduced"), INTEGER_TABLES)
        assert isinstance(net, Dover)
        self.heads = (net.technical_head, net.aesthetic_head)
        self.technical_backbone = net.technical_backbone.to(self.device)
        self.aesthetic_backbone = net.aesthetic_backbone.to(self.device)

    def extract(self, video: Video) -> dict[str, Any]:
        """Return the columns; see :class:`Extractor`.

        Raises :class:`UnusableError` for a video that has no frame or does not decode.
        """
        return base.extract_one(self, video)

    def score(self, prepared: Iterable[PreparedViews]) -> Iterator[dict[str, Any] | UnusableError]:
        """Yield the row of each video: the aesthetic network runs first, then the technical one."""

        def list_technical(item: tuple[PreparedViews, Any]) -> list[media.Pixels]:
            return quality_maps.list_clips(item[0].technical[: self.draws])

        def list_aesthetic(item: PreparedViews) -> list[media.Pixels]:
            return quality_maps.list_clips(item.aesthetic[: self.draws])

        with_aesthetic = batches.run_batched(
            prepared, list_aesthetic, partial(self._forward, self.aesthetic_backbone), self.batching
        )
        for (views_read, aesthetic), technical in batches.run_batched(
            with_aesthetic, list_technical, partial(self._forward, self.technical_backbone),
            self.batching,
        ):  # fmt: skip
            try:
                row = self._make_row(np.stack(technical), np.stack(aesthetic))
            except UnusableError as error:
                yield error
                continue
            for name in ("technical", "aesthetic"):
                draws = getattr(views_read, name)[: self.views]
                row[f"{name}_view"] = view_columns.arrange_clips(draws)
            yield row

    def _make_row(self, technical: Any, aesthetic: Any) -> dict[str, Any]:
        row: dict[str, Any] = {}
        scores = []
        for name, maps, head in zip(
            ("technical", "aesthetic"), (technical, aesthetic), self.heads, strict=True
        ):
            row[name], row[f"{name}_pooled"] = quality_maps.round_maps(
                maps, "DOVER", self.keep_maps
            )
            scores.append(quality_maps.score_maps(head, maps))
            row[f"{name}_score"] = scores[-1]
        return row | {"score": fuse_scores(*scores)}

    def _forward(self, network: torch.nn.Module, clips: list[media.Pixels]) -> torch.Tensor:
        return quality_maps.compute_maps(network, clips, self.device, self.precision)


def fuse_scores(technical: float, aesthetic: float) -> float:
    """Return the official fusion of the branch scores, from 0 to 1.

    >>> round(fuse_scores(0.2, -0.05), 6), fuse_scores(0.1107, -0.08285)
    (0.746538, 0.5)
    """
    exponent = (technical - 0.1107) / 0.07355 * 0.6104 + (aesthetic + 0.08285) / 0.03774 * 0.3896
    return 0.5 * (1 + math.tanh(exponent / 2))
