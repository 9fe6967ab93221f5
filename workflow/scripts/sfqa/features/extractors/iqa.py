"""The quality of single frames by a picture metric of pyiqa (non-commercial licence)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sfqa import media
from sfqa.arrays import Floats32
from sfqa.errors import UserError
from sfqa.features import base, batches, iqa_metrics, keyframes
from sfqa.features.base import Feature, UnusableError, Video
from sfqa.features.batches import Batching
from sfqa.features.broken_videos import check_frames, describe_undecoded
from sfqa.features.extractors.spatial import MEAN, RESIZERS, STD
from sfqa.features.weights import Weights
from sfqa.options import Choice, Options

if TYPE_CHECKING:
    import torch

VERSION = 1
WEIGHTS = True
WEIGHTS_PARTS: Mapping[str, Mapping[str, Any]] = {
    "detector": {"input": "aligned_face"},
    "second_half": {"metric": "qalign"},
    "settings": {"metric": "qalign"},
    "tokenizer": {"metric": "qalign"},
    "tokenizer_settings": {"metric": "qalign"},
    "preprocessing": {"metric": "qalign"},
}
OPTION_NEEDS: Mapping[str, Mapping[str, Any]] = {
    "input=aligned_face": {"metric": ("topiq_nr-face", "topiq_nr-face-v1")},
    "input=focusq": {"metric": ("topiq_nr", "topiq_nr-face", "topiq_nr-face-v1")},
    "input=focusq_cv2": {"metric": ("topiq_nr", "topiq_nr-face", "topiq_nr-face-v1")},
}
#: Not in requirements.txt, because of its licence: PolyForm Noncommercial, parts S-Lab.
PACKAGE = "pyiqa"
ENVIRONMENT = "iqa"
#: Columns that are empty unless an option has one of these values.
COLUMN_NEEDS: Mapping[str, Mapping[str, Any]] = {
    "token": {"metric": ("topiq_nr", "topiq_nr-face", "topiq_nr-face-v1")}
}
OPTIONS: Options = {
    "metric": Choice(
        "musiq",
        (
            "niqe", "brisque", "musiq", "hyperiqa", "tres", "unique", "liqe", "liqe_mix",
            "topiq_nr", "topiq_nr-face", "topiq_nr-face-v1", "qalign",
        ),
        "name of the metric in pyiqa; niqe and brisque: lower is better; topiq_nr-face was trained "
        "on CGFIQA, topiq_nr-face-v1 on GFIQA (the one of FocusQ); qalign needs 20 GB of memory",
    ),
    "input": Choice(
        "frame", ("frame", "aligned_face", "focusq", "focusq_cv2"),
        "what the metric sees. frame: the whole frame, from 0 to 1. aligned_face, for the metrics "
        "topiq_nr-face and topiq_nr-face-v1: the central face, found and aligned to 512x512 by "
        "facexlib, as pyiqa's default; a frame without a face fails the video. focusq, "
        "for TOPIQ only: the centre 448x448 of short side 520, normalised by ImageNet's mean and "
        "deviation, enlarged to 512x512 (bicubic, no antialias), normalised again by the metric. "
        "focusq_cv2: the same, but scaled by OpenCV, as the script that stores FocusQ's frames",
    ),
}  # fmt: skip

_SHORT_SIDE, _CROP, _FACE_SIDE = 520, 448, 512
_FACE_METRICS = ("topiq_nr-face", "topiq_nr-face-v1")
# How frames are scaled, by the option input.
_RESIZING = {"frame": "", "aligned_face": "", "focusq": "pillow", "focusq_cv2": "cv2"}


@dataclass(frozen=True)
class FrameReader:
    """Reads the first frame of every second; ``resize`` scales and crops it as FocusQ does."""

    metric: str
    resize: str = ""

    def prepare(self, video: Video) -> media.Pixels:
        """Return the frames (n, height, width, 3).

        Raises :class:`UnusableError` if not all of them decode or the metric needs larger ones.
        """
        check_frames(video)
        frame_indices = keyframes.second_starts(video.frames, video.fps)
        resize: Callable[[media.Pixels], media.Pixels] = np.asarray
        if self.resize:
            resize = partial(RESIZERS[self.resize], short_side=_SHORT_SIDE, crop=_CROP)
        try:
            frames = media.read_frames(video.path, frame_indices.tolist(), resize)
        except media.MediaError as error:
            raise describe_undecoded(video.frames) from error
        obstacle = iqa_metrics.METRICS[self.metric].find_obstacle(*frames.shape[1:3])
        if obstacle:
            raise UnusableError(f"too_small: {obstacle}; {self.metric} cannot score it")
        return frames


class Extractor:
    """One frame per second -> scores of a metric of pyiqa 0.1.16, and their mean.

    The scores are those of ``pyiqa.create_metric(metric)(frame)``; with the input 'frame' those of
    the TOPIQ face metrics are with ``align_crop_face=False``. For TOPIQ, ``token`` is the pooled
    token before the layers that give the score, 256 numbers.

    Weights: the files of the repository chaofengc/IQA-PyTorch-Weights; nothing is downloaded here.
    """

    FEATURES: ClassVar[tuple[Feature, ...]] = (
        Feature("score", "mean score of the frames", dtype="float64"),
        Feature("scores", "score of the first frame of each second", ("frame",), "float32"),
        Feature(
            "token", "TOPIQ's pooled token of the same frames", ("frame", "channel"), "float32"
        ),
    )
    INPUTS: ClassVar[tuple[str, ...]] = ("video",)

    def __init__(self, options: Mapping[str, Any], weights: Weights, device: str) -> None:
        """Build the metric; raises :class:`UserError` for options that do not go together."""
        import torch

        self.metric: str = options["metric"]
        self.has_token = iqa_metrics.METRICS[self.metric].has_token
        self.is_aligned = options["input"] == "aligned_face"
        self.is_focusq = not self.is_aligned and options["input"] != "frame"
        if (self.is_focusq and not self.has_token) or (
            self.is_aligned and self.metric not in _FACE_METRICS
        ):
            raise UserError(
                f"config, features.iqa.options.input: {options['input']!r} is not possible with "
                f"the metric {self.metric}; give a metric of TOPIQ for faces, or the input 'frame'"
            )
        self.reader = FrameReader(self.metric, _RESIZING[options["input"]])
        # Frames of several videos may differ in size, so each is a batch of its own.
        self.batching = Batching.choose(None, device, 1, 1)
        self.device = torch.device(device)
        net = iqa_metrics.load_metric(self.metric, weights).to(self.device)
        if self.is_aligned:
            iqa_metrics.add_face_alignment(net, weights.get_part("detector"), device)
            self.batching = replace(self.batching, parallel=1)
        self.forward: Any = iqa_metrics.TokenReader(net) if self.has_token else net
        self.mean, self.std = (
            torch.tensor(values, device=self.device).view(3, 1, 1) for values in (MEAN, STD)
        )

    def extract(self, video: Video) -> dict[str, Any]:
        """Return ``score``, ``scores`` (frames,), and ``token`` (frames, 256) or None.

        Raises :class:`UnusableError` for a video that does not decode or is too small.
        """
        return base.extract_one(self, video)

    def score(self, prepared: Iterable[media.Pixels]) -> Iterator[dict[str, Any] | UnusableError]:
        """Yield the row of each video's frames."""
        for _, rows in batches.run_batched(prepared, list, self._forward, self.batching):
            values: Floats32 = np.stack(rows)
            if self.is_aligned and np.isnan(values).any():
                frame = int(np.flatnonzero(np.isnan(values).any(axis=1))[0])
                yield UnusableError(f"no_face: no face was found in the frame at second {frame}")
                continue
            if not np.isfinite(values).all():
                yield UnusableError(f"not_finite: {self.metric} gave a score that is no number")
                continue
            scores, token = values[:, 0], values[:, 1:] if self.has_token else None
            yield {"score": float(scores.mean(dtype=np.float64)), "scores": scores, "token": token}

    def _forward(self, pictures: list[media.Pixels]) -> torch.Tensor:
        """Return the score of each picture (height, width, 3), and its token behind it."""
        import torch
        from torch.nn.functional import interpolate

        with torch.inference_mode(), batches.set_precision():
            x = batches.to_device(pictures, self.device).permute(0, 3, 1, 2).contiguous()
            x = x.float().div_(255)
            if self.is_focusq:
                x = x.sub_(self.mean).div_(self.std)
                x = interpolate(x, (_FACE_SIDE, _FACE_SIDE), mode="bicubic", align_corners=False)
            try:
                return self.forward(x).float().reshape(len(pictures), -1)
            except AssertionError:
                if not self.is_aligned:
                    raise
                return torch.full((1, 1 + iqa_metrics.TOKEN_WIDTH), torch.nan)
