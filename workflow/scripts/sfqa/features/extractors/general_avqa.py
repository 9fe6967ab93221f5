"""Whole frames at their own size through a ResNet-50, as GeneralAVQA sees a video."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sfqa import media
from sfqa.arrays import Floats32, Ints
from sfqa.features import base, batches
from sfqa.features.base import Feature, UnusableError, Video
from sfqa.features.batches import Batching
from sfqa.features.broken_videos import describe_undecoded
from sfqa.features.half_precision import round_to_float16
from sfqa.features.weights import Weights
from sfqa.options import Choice, Option, Options

if TYPE_CHECKING:
    import torch

VERSION = 1
WEIGHTS = True
OPTIONS: Options = {
    "network": Choice(
        "tuned", ("tuned", "imagenet"),
        "the ResNet-50. tuned: that of Li et al., TCSVT 2022, tuned on the quality of pictures, as "
        "published; imagenet: torchvision's, the other choice of the official script",
    ),
    "colours": Choice(
        "bgr", ("bgr", "rgb"),
        "order of the colours. bgr: that of OpenCV, which the official script normalises with the "
        "statistics of red, green and blue; rgb: the order that these statistics belong to",
    ),
    "precision": Choice(
        "fp32", ("fp32", "tf32", "bf16"),
        "number format of the network; tf32: float32 with TensorFloat-32 on a GPU, on a CPU as "
        "fp32",
    ),
    "batch": Option(
        None, 1, None,
        "frames of a video that go through the network at once; null: 1 on a CPU, 10 on a GPU",
        whole=True,
    ),
}  # fmt: skip

#: Frames that the head reads.
FRAMES = 30
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# Frames per pass by default.
_CPU_SIZE, _GPU_SIZE = 1, 10


@dataclass(frozen=True)
class WholeFrameReader:
    """Reads every n-th frame as it is, n so that there are 30."""

    def prepare(self, video: Video) -> media.Pixels:
        """Return the frames (30, height, width, 3); raises :class:`UnusableError`."""
        if video.frames < 1:
            raise UnusableError("broken: the video has no frames")
        try:
            return media.read_frames(video.path, select_frames(video.frames).tolist())
        except media.MediaError as error:
            raise describe_undecoded(video.frames) from error


class Extractor:
    """30 frames -> the mean of layer4 over the frame, 2048 numbers each (Cao et al., TIP 2023).

    Frames 0, n, 2 n, .. with n = floor(frames / 30) at their own size, the first 30 of them, as the
    official script reads them: colours in the order blue, green, red, normalised with ImageNet's
    statistics of red, green and blue. The script divides by zero for a video of fewer than 30
    frames; here such a video gives each of its frames, and the head repeats them in order.

    Weights: ``DataParallel-00008.pt`` of TCSVT-2022-BVQA, or torchvision's
    ``resnet50-0676ba61.pth`` (``network: imagenet``).
    """

    FEATURES: ClassVar[tuple[Feature, ...]] = (
        Feature("video", "frames: mean of layer4 of a ResNet-50", ("frame", "channel")),
    )
    INPUTS: ClassVar[tuple[str, ...]] = ("video",)

    def __init__(self, options: Mapping[str, Any], weights: Weights, device: str) -> None:
        """Build the network on the device."""
        import torch
        from torchvision.models import resnet50

        from sfqa.features.spatial_net import average_last_stage

        self.reader: base.VideoReader = WholeFrameReader()
        chosen = Batching.choose(options["batch"], device, _CPU_SIZE, _GPU_SIZE)
        # Frames of several videos differ in size, so a batch holds those of one.
        self.batching = Batching(chosen.size, mixed=False, parallel=chosen.parallel)
        self.is_bgr = options["colours"] == "bgr"
        self.precision: str = options["precision"]
        self.half = self.precision == "bf16"
        self.device = torch.device(device)
        net = weights.load(resnet50).to(self.device)
        self.net = net.to(memory_format=torch.channels_last)
        self.average = average_last_stage
        self.mean, self.std = (
            torch.tensor(values, device=self.device).view(3, 1, 1) for values in (MEAN, STD)
        )

    def extract(self, video: Video) -> dict[str, Any]:
        """Return ``video`` (frames, 2048), float16.

        Raises :class:`UnusableError` for a video that has no frame or does not decode.
        """
        return base.extract_one(self, video)

    def score(self, prepared: Iterable[media.Pixels]) -> Iterator[dict[str, Any] | UnusableError]:
        """Yield the row of each video's frames."""
        for features in self.compute_features(prepared):
            try:
                yield {"video": round_to_float16(features, "ResNet-50")}
            except UnusableError as error:
                yield error

    def compute_features(self, prepared: Iterable[media.Pixels]) -> Iterator[Floats32]:
        """Yield the features (frames, 2048) of each video, float32."""
        for frames in prepared:
            for _, rows in batches.run_batched([frames], list, self._forward, self.batching):
                yield np.stack(rows)

    def _forward(self, frames: list[media.Pixels]) -> torch.Tensor:
        """Return features (n, 2048) of frames (height, width, 3)."""
        import torch

        mixed = torch.autocast(self.device.type, torch.bfloat16, enabled=self.half)
        with torch.inference_mode(), batches.set_precision(self.precision), mixed:
            return self.average(self.net, self._make_input(frames))

    def _make_input(self, frames: list[media.Pixels]) -> torch.Tensor:
        """Return the network's input; frames are transferred to the device as bytes."""
        x = batches.to_device(frames, self.device).permute(0, 3, 1, 2)
        x = x.flip(1) if self.is_bgr else x
        return x.float().div_(255).sub_(self.mean).div_(self.std)


def select_frames(frames: int) -> Ints:
    """Return the indices of the frames that are read, at most 30.

    >>> select_frames(144)[[1, 2, -1]].tolist(), select_frames(150)[-1], len(select_frames(7))
    ([4, 8, 116], np.int64(145), 7)
    """
    return np.arange(0, frames, max(1, frames // FRAMES))[:FRAMES]
