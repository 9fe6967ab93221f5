"""What single frames look like: ResNet-50 at three scales (SimpleVQA), or a ViT's class token."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from PIL import Image

from sfqa import media
from sfqa.arrays import Floats32
from sfqa.features import base, batches, keyframes, resizing, view_columns
from sfqa.features.base import Feature, UnusableError, Video
from sfqa.features.batches import Batching
from sfqa.features.broken_videos import check_frames, describe_undecoded
from sfqa.features.half_precision import round_to_float16
from sfqa.features.weights import Weights
from sfqa.options import Choice, Option, Options

if TYPE_CHECKING:
    import torch

VERSION = 1
WEIGHTS = True
OPTIONS: Options = {
    "model": Choice(
        "resnet50", ("resnet50", "simplevqa", "vit_b_16"),
        "resnet50: three scales, as SimpleVQA's spatial half; simplevqa: the same of the network "
        "that SimpleVQA's authors tuned on LSVQ; vit_b_16: the class token",
    ),
    "resize": Choice(
        "pillow", ("pillow", "cv2"),
        "how frames are scaled to the short side. pillow: bilinear with antialias, as SimpleVQA's "
        "demo; cv2: OpenCV's bilinear without it, as its scripts store the frames that published "
        "numbers rest on. Frames of 512 pixels differ by one level, larger ones by more",
    ),
    "views": Option(
        0, 0, 1,
        "1: keep the key frames in the column frames, 0.6 MB each at 448 pixels, for networks that "
        "are trained from them; 0: the table has no such column",
        whole=True,
    ),
    "view_side": Choice(
        "crop", ("crop", "short_side"),
        "how much of a key frame is kept. crop: the centre that the network sees; short_side: the "
        "square of the whole short side, 0.8 MB at 520 pixels, of which a training crops random "
        "parts",
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

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# Pictures per pass by default.
_CPU_SIZE, _GPU_SIZE = 4, 32


@dataclass(frozen=True)
class KeyFrames:
    """What the network sees of a video: key frames (n, crop, crop, 3), uint8 RGB, their seconds."""

    frames: media.Pixels
    seconds: Floats32


@dataclass(frozen=True)
class KeyFrameReader:
    """Reads one frame per second, scaled to ``short_side``, the centre ``crop`` pixels of it.

    ``resize`` is the option of that name.
    """

    short_side: int
    crop: int
    resize: str = "pillow"

    def prepare(self, video: Video) -> KeyFrames:
        """Return the key frames; raises :class:`UnusableError` where not all of them decode."""
        check_frames(video)
        frame_indices = keyframes.second_starts(video.frames, video.fps)
        scale = RESIZERS[self.resize]
        resize = partial(scale, short_side=self.short_side, crop=self.crop)
        try:
            frames = media.read_frames(video.path, frame_indices.tolist(), resize)
            seconds = frame_indices / video.fps
            if video.variable_rate:
                seconds = media.read_frame_times(video.path)[frame_indices]
        except media.MediaError as error:
            raise describe_undecoded(video.frames) from error
        return KeyFrames(frames, seconds.astype(np.float32))


class Extractor:
    """One key frame per second -> 7168 numbers each (``model: resnet50``) or 768 (``vit_b_16``).

    resnet50 is the spatial half of SimpleVQA (ACM MM 2022): every round(fps)-th frame, short side
    520, centre 448x448, ImageNet's mean and deviation, then of layer2, layer3 and layer4 the global
    average and the unbiased standard deviation: avg2 std2 avg3 std3 avg4 std4 = 2 * (512 + 1024 +
    2048). vit_b_16 sees short side 256, centre 224x224, as its weights were made. A video has as
    many rows of numbers as it has key frames. SimpleVQA repeats the last one until there are eight;
    that is padding, and belongs to the reader of the table.

    Weights: torchvision's ``resnet50-0676ba61.pth`` (IMAGENET1K_V1, the field's) or
    ``vit_b_16-c867db91.pth``.
    """

    FEATURES: ClassVar[tuple[Feature, ...]] = (
        Feature(
            "spatial",
            "key frames: ResNet-50 mean and unbiased std of layer2 (512 + 512), layer3 (1024 + "
            "1024), layer4 (2048 + 2048); or the class token of the ViT",
            ("frame", "channel"),
        ),
        Feature("time_sec", "time of the key frames", ("frame",), "float32", "s"),
        Feature(
            "frames",
            "key frames, RGB, resized; only with the option views",
            ("frame", "colour", "row", "column"),
            "uint8",
        ),
    )
    INPUTS: ClassVar[tuple[str, ...]] = ("video",)

    def __init__(self, options: Mapping[str, Any], weights: Weights, device: str) -> None:
        """Build the network on the device."""
        import torch

        from sfqa.features.spatial_net import MODELS

        self.model = MODELS[options["model"]]
        self.views: int = options["views"]
        keeps_margin = self.views and options["view_side"] == "short_side"
        side = self.model.short_side if keeps_margin else self.model.crop
        self.reader: base.VideoReader = KeyFrameReader(
            self.model.short_side, side, options["resize"]
        )
        self.batching = Batching.choose(options["batch"], device, _CPU_SIZE, _GPU_SIZE)
        self.precision: str = options["precision"]
        self.half = self.precision == "bf16"
        self.device = torch.device(device)
        net = weights.load(self.model.build).to(self.device)
        self.net = net.to(memory_format=torch.channels_last)
        self.mean, self.std = (
            torch.tensor(values, device=self.device).view(3, 1, 1) for values in (MEAN, STD)
        )

    def extract(self, video: Video) -> dict[str, Any]:
        """Return ``spatial`` (frames, channels), float16, and ``time_sec`` (frames,).

        With views also ``frames``. Raises :class:`UnusableError` for a video that has no frame or
        does not decode.
        """
        return base.extract_one(self, video)

    def score(self, prepared: Iterable[KeyFrames]) -> Iterator[dict[str, Any] | UnusableError]:
        """Yield the row of each video's key frames."""
        for key_frames, (features, seconds) in batches.pair_with_items(
            prepared, self.compute_features
        ):
            try:
                rounded = round_to_float16(features, "the network")
            except UnusableError as error:
                yield error
                continue
            row = {"spatial": rounded, "time_sec": seconds}
            if self.views:
                row["frames"] = view_columns.arrange_frames(key_frames.frames)
            yield row

    def compute_features(
        self, prepared: Iterable[KeyFrames]
    ) -> Iterator[tuple[Floats32, Floats32]]:
        """Yield the features (frames, channels) of each video, float32, and the seconds."""

        def list_pictures(key_frames: KeyFrames) -> list[media.Pixels]:
            return list(view_columns.cut_centre(key_frames.frames, self.model.crop))

        for key_frames, rows in batches.run_batched(
            prepared, list_pictures, self._forward, self.batching
        ):
            yield np.stack(rows), key_frames.seconds

    def _forward(self, pictures: list[media.Pixels]) -> torch.Tensor:
        """Return features (n, channels) of pictures (crop, crop, 3)."""
        import torch

        mixed = torch.autocast(self.device.type, torch.bfloat16, enabled=self.half)
        with torch.inference_mode(), batches.set_precision(self.precision), mixed:
            return self.model.read(self.net, self._make_input(pictures))

    def _make_input(self, pictures: list[media.Pixels]) -> torch.Tensor:
        """Return the network's input; pictures are transferred to the device as bytes."""
        # The permuted bytes are already channels last, which is the faster layout here.
        x = batches.to_device(pictures, self.device).permute(0, 3, 1, 2)
        return x.float().div_(255).sub_(self.mean).div_(self.std)


def resize_frames(frames: media.Pixels, short_side: int, crop: int) -> media.Pixels:
    """Resize frames to (n, crop, crop, 3): short side, then the central crop.

    Bilinear with antialiasing on bytes by Pillow, exactly as torchvision's ``Resize`` and
    ``CenterCrop`` of a PIL image on any machine.

    >>> resize_frames(np.zeros((2, 90, 160, 3), np.uint8), 520, 448).shape
    (2, 448, 448, 3)
    """
    return resizing.crop_centre(frames, short_side, crop, Image.Resampling.BILINEAR)


#: What scales and crops frames, by the option ``resize``.
RESIZERS: Mapping[str, Callable[..., media.Pixels]] = {
    "pillow": resize_frames,
    "cv2": resizing.crop_centre_by_opencv,
}
