"""The score of SimpleVQA as published, with the head of its checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sfqa.arrays import Floats32
from sfqa.features import base, view_columns
from sfqa.features.base import Feature, UnusableError, Video
from sfqa.features.extractors import slowfast, spatial
from sfqa.features.weights import Weights
from sfqa.options import Choice, Option, Options

VERSION = 1
WEIGHTS = True
WEIGHTS_PARTS: Mapping[str, Mapping[str, Any]] = {"slowfast": {}}
OPTIONS: Options = {
    "seconds": Option(
        8, 0, None,
        "seconds that count: the first n, and the last one again until there are n, as in the "
        "script of the published numbers; 0: every second once, as the demo of long videos",
        whole=True,
    ),
    "resize": Choice(
        "cv2", ("cv2", "pillow"),
        "how frames are scaled to the short side. cv2: as the scripts of the published numbers; "
        "pillow: as the demo, with antialias",
    ),
    "views": Option(
        0, 0, 1,
        "1: keep the picture of each second that counts in the column frames, 0.6 MB each, for "
        "networks that are trained from them; 0: the table has no such column",
        whole=True,
    ),
    "view_side": Choice(
        "crop", ("crop", "short_side"),
        "how much of a picture is kept. crop: the 448 pixels in the centre that the network sees; "
        "short_side: 520 pixels, 0.8 MB, of which the official training crops random parts",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Seconds:
    """The input of both networks: a picture and a clip of each second."""

    key_frames: spatial.KeyFrames
    clips: slowfast.Clips


@dataclass(frozen=True)
class SecondReader:
    """Reads a picture and a clip of each second that counts; 0: of all."""

    pictures: base.VideoReader
    motion: slowfast.ClipReader
    seconds: int

    def prepare(self, video: Video) -> Seconds:
        """Return them; raises :class:`UnusableError` if not all of their frames decode."""
        key_frames, clips = self.pictures.prepare(video), self.motion.prepare(video)
        count = self.seconds or len(key_frames.frames)
        return Seconds(
            spatial.KeyFrames(key_frames.frames[:count], key_frames.seconds[:count]),
            slowfast.Clips(clips.frames, clips.places[:count]),
        )


class Extractor:
    """Seconds -> SimpleVQA's score (Sun et al., ACM MM 2022), mean over the seconds.

    Spatial and motion features are those of ``spatial`` (``model: simplevqa``) and ``slowfast``;
    the head of the checkpoint reads both of a second. Scores are of LSVQ's scale, 0 to 100.

    Weights: ``UGC_BVQA_model.pth`` of sunwei925/SimpleVQA, and ``SLOWFAST_8x8_R50.pyth``.
    """

    FEATURES: ClassVar[tuple[Feature, ...]] = (
        Feature("score", "SimpleVQA's score, mean over the seconds that count", dtype="float64"),
        Feature("scores", "score of each second that counts", ("second",), "float32"),
        Feature(
            "frames",
            "picture of each second that counts, RGB, resized; only with the option views",
            ("frame", "colour", "row", "column"),
            "uint8",
        ),
    )
    INPUTS: ClassVar[tuple[str, ...]] = ("video",)

    def __init__(self, options: Mapping[str, Any], weights: Weights, device: str) -> None:
        """Build both networks on the device."""
        shared = {name: options[name] for name in ("resize", "views", "view_side")}
        still = base.merge_options("spatial", {"model": "simplevqa", **shared})
        moving = base.merge_options("slowfast", {})
        self.seconds: int = options["seconds"]
        self.spatial = spatial.Extractor(still, weights, device)
        self.slowfast = slowfast.Extractor(moving, weights.get_part("slowfast"), device)
        self.reader = SecondReader(self.spatial.reader, self.slowfast.reader, self.seconds)

    def extract(self, video: Video) -> dict[str, Any]:
        """Return ``score``, ``scores`` (seconds,) and with views ``frames``.

        Raises :class:`UnusableError` for a video that has no frame or does not decode.
        """
        return base.extract_one(self, video)

    def score(self, prepared: Iterable[Seconds]) -> Iterator[dict[str, Any] | UnusableError]:
        """Yield the row of each video's seconds."""
        for seconds in prepared:
            ((still, _),) = self.spatial.compute_features([seconds.key_frames])
            (moving,) = self.slowfast.compute_features([seconds.clips])
            scores = self.compute_scores(np.concatenate([still, moving], 1))
            if not np.isfinite(scores).all():
                yield UnusableError("not_finite: SimpleVQA gave a score that is no number")
                continue
            count = self.seconds or len(scores)
            counted = scores[np.minimum(np.arange(count), len(scores) - 1)]
            row = {"score": float(counted.mean(dtype=np.float64)), "scores": counted}
            if self.spatial.views:
                row["frames"] = view_columns.arrange_frames(seconds.key_frames.frames)
            yield row

    def compute_scores(self, features: Floats32) -> Floats32:
        """Return the head's score of each second from its features (seconds, 9472)."""
        import torch

        head: Any = self.spatial.net.quality
        with torch.inference_mode():
            rows = torch.from_numpy(features).to(self.spatial.device)
            scores: Floats32 = head(rows)[:, 0].float().cpu().numpy()
        return scores
