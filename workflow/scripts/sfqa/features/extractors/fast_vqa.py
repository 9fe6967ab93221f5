"""Maps and score of FAST-VQA-B: fragments of four clips through a gated Swin3D-T."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sfqa import media
from sfqa.features import base, batches, frame_sampling, quality_maps, view_columns, views
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
COLUMN_NEEDS: Mapping[str, Mapping[str, Any]] = {"map": {"maps": (True,)}}
OPTIONS: Options = {
    "sampler": Choice(
        "evaluation", ("evaluation", "demo"),
        "evaluation, the default, on which the published figures rest: clips of every second "
        "frame at a drawn place of each of the equal parts of the video. demo, as vqa.py: "
        "consecutive frames, centred, nothing drawn",
    ),
    "clips": Option(
        4, 1, None, "clips of 32 frames; 4 in the evaluation, 1 in the training", whole=True
    ),
    "draws": Option(
        1, 1, None,
        "how often clips and fragments are drawn, all of which are kept and scored; more than one "
        "lets a head see several draws of a video in training",
        whole=True,
    ),
    "views": Option(
        0, 0, 32,
        "how many draws of the fragments are kept in the column view, 4.8 MB a clip, for networks "
        "that are trained from them; 0: the table has no such column",
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
        "videos of less than 224 pixels are enlarged. official, the default, since published "
        "figures rest on it: the grid keeps the old size, so that only the top left part is seen, "
        "a mistake of the official code. whole: the grid covers the enlarged picture",
    ),
    "maps": Flag(True, "keep the maps, 1.2 MB a clip; false: only their means and the scores"),
    "blocks": Choice(
        "official", ("official", "reduced"),
        "blocks of the network; reduced: five of the twelve, for trials with random weights, no "
        "published model",
    ),
    "precision": Choice(
        "fp32", ("fp32", "tf32"),
        "number format of the network; tf32: float32 with TensorFloat-32 on a GPU, on a CPU as "
        "fp32",
    ),
    "batch": Option(
        None, 1, None,
        "clips, of one video or of several, that go through the network at once; null: 1 on a CPU, "
        "where more needs memory and is no faster, 8 on a GPU",
        whole=True,
    ),
}  # fmt: skip

# Clips per pass by default.
_CPU_SIZE, _GPU_SIZE = 1, 8
#: Mean and deviation of the published rescaling (vqa.py).
_RAW_MEAN, _RAW_DEVIATION = -0.110198185, 0.04178565


@dataclass(frozen=True)
class FragmentReader:
    """Reads the fragments of a video's clips; see :class:`Extractor`."""

    sampler: str = "evaluation"
    clips: int = 4
    draws: int = 1
    seed: int | None = None
    small: str = "official"

    def prepare(self, video: Video) -> list[media.Pixels]:
        """Return the clips of each draw, uint8 (clips, 32, 224, 224, 3).

        Raises :class:`UnusableError` for a video that has no frame or does not decode.
        """
        views.check_frames(video)
        return views.read_views(video, [self._plan_view(video, k) for k in range(self.draws)])

    def _plan_view(self, video: Video, draw: int) -> views.FragmentView:
        random_draws = seed_draws(video.sha256, draw, self.seed)
        if self.sampler == "demo":
            frames = frame_sampling.list_centred_clips(video.frames, self.clips)
        else:
            frames = frame_sampling.draw_clips(video.frames, random_draws.time, self.clips)
        return views.FragmentView(frames, random_draws, self.small)


class Extractor:
    """Four clips of 32 frames, 7x7 fragments each -> map (clip, 768, 16, 7, 7), and the score.

    Weights: the official ``FAST_VQA_B_1_4.pth``. Its head gives the score.
    """

    FEATURES: ClassVar[tuple[Feature, ...]] = (
        Feature(
            "map",
            "FAST-VQA-B before its head, the clips of each draw in order; empty with maps: false",
            ("clip", "channel", "time", "row", "column"),
        ),
        Feature("pooled", "mean of the map over its positions", ("clip", "channel")),
        Feature(
            "score",
            "score of the official head, mean over clips; higher is better",
            dtype="float64",
        ),
        Feature(
            "rescaled",
            "the score by the published sigmoid of the demo, which keeps the order",
            dtype="float64",
            unit="0..1",
        ),
        Feature(
            "view",
            "fragments of RGB, the clips of each draw in order; only with the option views",
            ("clip", "colour", "frame", "row", "column"),
            "uint8",
        ),
    )
    INPUTS: ClassVar[tuple[str, ...]] = ("video",)

    def __init__(self, options: Mapping[str, Any], weights: Weights, device: str) -> None:
        """Build the network on the device; its head stays on the CPU."""
        import torch

        from sfqa.features.map_networks import INTEGER_TABLES, FastVqa

        self.draws: int = options["draws"]
        self.views: int = options["views"]
        self.reader = FragmentReader(
            options["sampler"], options["clips"], max(self.draws, self.views), options["seed"],
            options["small"],
        )  # fmt: skip
        self.keep_maps: bool = options["maps"]
        self.batching = Batching.choose(options["batch"], device, _CPU_SIZE, _GPU_SIZE)
        self.device = torch.device(device)
        self.precision: str = options["precision"]
        net = weights.load(partial(FastVqa, options["blocks"] == "reduced"), INTEGER_TABLES)
        assert isinstance(net, FastVqa)
        self.backbone, self.head = net.fragments_backbone.to(self.device), net.vqa_head

    def extract(self, video: Video) -> dict[str, Any]:
        """Return the columns; see :class:`Extractor`.

        Raises :class:`UnusableError` for a video that has no frame or does not decode.
        """
        return base.extract_one(self, video)

    def score(
        self, prepared: Iterable[list[media.Pixels]]
    ) -> Iterator[dict[str, Any] | UnusableError]:
        """Yield the row of each video."""

        def list_scored(draws: list[media.Pixels]) -> list[media.Pixels]:
            return quality_maps.list_clips(draws[: self.draws])

        for draws, clip_maps in batches.run_batched(
            prepared, list_scored, self._forward, self.batching
        ):
            maps = np.stack(clip_maps)
            try:
                rounded, pooled = quality_maps.round_maps(maps, "FAST-VQA", self.keep_maps)
            except UnusableError as error:
                yield error
                continue
            raw = quality_maps.score_maps(self.head, maps)
            view = view_columns.arrange_clips(draws[: self.views])
            yield {
                "map": rounded, "pooled": pooled, "score": raw, "rescaled": rescale(raw),
                "view": view,
            }  # fmt: skip

    def _forward(self, clips: list[media.Pixels]) -> torch.Tensor:
        return quality_maps.compute_maps(self.backbone, clips, self.device, self.precision)


def rescale(raw: float) -> float:
    """Return a raw score between 0 and 1, as the official demo prints it.

    >>> round(rescale(-0.15), 4), rescale(-1e6)
    (0.2784, 0.0)
    """
    standardised = (raw - _RAW_MEAN) / _RAW_DEVIATION
    return 0.5 * (1 + math.tanh(standardised / 2))
