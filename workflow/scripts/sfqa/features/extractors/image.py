"""What frames look like to an image backbone: pooled features of any timm model by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sfqa import media
from sfqa.arrays import Floats32
from sfqa.features import base, batches, view_columns
from sfqa.features.base import Feature, UnusableError, Video
from sfqa.features.batches import Batching
from sfqa.features.frame_reader import EVENLY, SECONDS, KeyFrameReader, KeyFrames
from sfqa.features.half_precision import round_to_float16
from sfqa.features.weights import Weights
from sfqa.options import Choice, ModelName, Option, Options

if TYPE_CHECKING:
    import torch

VERSION = 1
WEIGHTS = True
# Measured: 2.5 GB with EVA-02-L at 448 pixels and random weights.
MEMORY_MB = 3600
OPTIONS: Options = {
    "model": ModelName(
        "convnext_tiny.fb_in1k", "timm",
        "the backbone; the part after the dot names the weights and their preprocessing",
    ),
    "frames": Option(
        None, 1, None, "key frames per video, evenly spaced; null: one per second", whole=True
    ),
    "views": Option(
        0, 0, 1,
        "1: keep the key frames as the network sees them in the column frames, 0.2 MB each at 224 "
        "pixels, for networks that are trained from them; 0: the table has no such column",
        whole=True,
    ),
    "precision": Choice(
        "fp32", ("fp32", "tf32", "bf16"),
        "number format of the network; tf32: float32 with TensorFloat-32 on a GPU, on a CPU as "
        "fp32",
    ),
    "batch": Option(
        None, 1, None,
        "pictures, of one video or of several, that go through the network at once; null: 4 of one "
        "video on a CPU, 32 on a GPU",
        whole=True,
    ),
}  # fmt: skip

# Pictures per pass by default.
_CPU_SIZE, _GPU_SIZE = 4, 32


class Extractor:
    """Key frames -> the features of an image backbone before its classifier, by timm.

    The preprocessing is timm's for the weights that the name's tag stands for: size, share of the
    picture, interpolation, mean and deviation. Pooling is the model's own, such as the mean over
    positions of a ConvNeXt or Swin. Attention over channels after the last map, as in ECA, only
    needs the pooled features, since it weighs each channel of the map by one number.

    Weights: a state dict of the model with its classifier, as timm publishes them; nothing is
    downloaded.
    """

    FEATURES: ClassVar[tuple[Feature, ...]] = (
        Feature("pooled", "pooled features of key frames", ("frame", "channel")),
        Feature(
            "frames",
            "key frames, RGB, of the size that the network sees; only with the option views",
            ("frame", "colour", "row", "column"),
            "uint8",
        ),
    )
    INPUTS: ClassVar[tuple[str, ...]] = ("video",)

    def __init__(self, options: Mapping[str, Any], weights: Weights, device: str) -> None:
        """Build the network on the device; raises :class:`UserError` for a model of other input."""
        import torch

        from sfqa.features.image_net import build_backbone, convert_state, read_preprocessing

        name, count = options["model"], options["frames"]
        self.views: int = options["views"]
        self.batching = Batching.choose(options["batch"], device, _CPU_SIZE, _GPU_SIZE)
        self.precision: str = options["precision"]
        self.half = self.precision == "bf16"
        self.device = torch.device(device)
        net = weights.load(lambda: build_backbone(name), convert=convert_state)
        self.net: Any = net.to(self.device)
        preprocessing = read_preprocessing(self.net, name)
        self.reader: base.VideoReader = KeyFrameReader(
            count or 1, preprocessing.square, EVENLY if count else SECONDS
        )
        self.mean, self.std = (
            torch.tensor(values, device=self.device).view(3, 1, 1)
            for values in (preprocessing.mean, preprocessing.std)
        )

    def extract(self, video: Video) -> dict[str, Any]:
        """Return ``pooled`` (frames, channels), float16, and with views ``frames``.

        Raises :class:`UnusableError` for a video that has no frame or does not decode.
        """
        return base.extract_one(self, video)

    def score(self, prepared: Iterable[KeyFrames]) -> Iterator[dict[str, Any] | UnusableError]:
        """Yield the row of each video's key frames."""
        for key_frames, features in batches.pair_with_items(prepared, self.compute_features):
            try:
                rounded = round_to_float16(features, "the network")
            except UnusableError as error:
                yield error
                continue
            row: dict[str, Any] = {"pooled": rounded}
            if self.views:
                pictures = key_frames.frames[key_frames.places]
                row["frames"] = view_columns.arrange_frames(pictures)
            yield row

    def compute_features(self, prepared: Iterable[KeyFrames]) -> Iterator[Floats32]:
        """Yield the features (frames, channels) of each video, float32."""
        for _, rows in batches.run_batched(
            prepared, KeyFrames.list_pictures, self._forward, self.batching
        ):
            yield np.stack(rows)

    def _forward(self, pictures: list[media.Pixels]) -> torch.Tensor:
        """Return features (n, channels) of pictures (size, size, 3)."""
        import torch

        mixed = torch.autocast(self.device.type, torch.bfloat16, enabled=self.half)
        with torch.inference_mode(), batches.set_precision(self.precision), mixed:
            x = batches.to_device(pictures, self.device).permute(0, 3, 1, 2).contiguous()
            x = x.float().div_(255).sub_(self.mean).div_(self.std)
            pooled: torch.Tensor = self.net.forward_head(
                self.net.forward_features(x), pre_logits=True
            )
            return pooled.float()
