"""Motion features of clips by SlowFast R50 8x8, in the field's convention or the network's own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sfqa import media, timing
from sfqa.arrays import Floats32
from sfqa.errors import format_count
from sfqa.features import base, batches, keyframes, resizing
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
    "convention": Choice(
        "simplevqa", ("simplevqa", "kinetics"),
        "what a clip is. simplevqa, the convention of the VQA field (SimpleVQA, ACM MM 2022): 32 "
        "consecutive frames from the start of each second, squashed to 224x224. kinetics, what the "
        "network was trained on (SlowFast, ICCV 2019): 64/30 s, short side 256, centre 256x256",
    ),
    "every_sec": Option(
        1, 1, None,
        "with simplevqa, clips of every n-th second only; 2 takes half the time, but is our short "
        "cut and not the convention",
        whole=True,
    ),
    "size": Option(
        None, 224, None,
        "side of a clip in pixels; null: that of the convention; 224 is the least, since the last "
        "pool is 7x7",
        whole=True,
    ),
    "precision": Choice(
        "fp32", ("fp32", "tf32", "bf16"),
        "number format of the network; tf32: float32 with TensorFloat-32 on a GPU, on a CPU as "
        "fp32",
    ),
    "batch": Option(
        None, 1, None,
        "clips, of one video or of several, that go through the network at once; null: 1 on a CPU, "
        "where more is no faster, 16 on a GPU",
        whole=True,
    ),
}  # fmt: skip

SIZES = {"simplevqa": 224, "kinetics": 256}
MEAN, STD = 0.45, 0.225

# Clips per pass by default.
_CPU_SIZE, _GPU_SIZE = 1, 16


@dataclass(frozen=True)
class Clips:
    """The input of the network: frames (n, size, size, 3), uint8 RGB, each once.

    ``places`` of shape (clips, 32) holds the frame indices of each clip.
    """

    frames: media.Pixels
    places: keyframes.Indices


@dataclass(frozen=True)
class ClipReader:
    """Reads a video's clips by a convention; see :class:`Extractor`."""

    convention: str
    size: int
    every: int = 1

    def prepare(self, video: Video) -> Clips:
        """Return the clips; raises :class:`UnusableError` if not all frames decode."""
        clips = self.list_clips(video.frames, video.fps)
        if video.variable_rate and self.convention == "kinetics":
            visible = _list_shown_frames(video)
            clips = visible[self.list_clips(len(visible), video.fps)]
        frame_indices, places = np.unique(clips, return_inverse=True)
        resize = partial(resize_frames, convention=self.convention, size=self.size)
        try:
            frames = media.read_frames(video.path, frame_indices.tolist(), resize)
        except media.MediaError as error:
            raise describe_undecoded(video.frames) from error
        return Clips(frames, places.reshape(clips.shape))

    def list_clips(self, frames: int, fps: float) -> keyframes.Indices:
        """Return the frames of every clip, shape (clips, 32), by the convention."""
        if frames < 1 or not fps > 0:
            count = format_count(frames, "frame")
            raise UnusableError(f"broken: the video has {count} at {fps:g} per second")
        if self.convention == "kinetics":
            return keyframes.timed_clips(frames, fps)
        return keyframes.second_clips(frames, fps)[:: self.every]


def _list_shown_frames(video: Video) -> keyframes.Indices:
    try:
        return timing.list_shown_frames(video.path, video.fps)
    except media.MediaError as error:
        raise UnusableError(f"broken: {error}") from error


class Extractor:
    """Clips of 32 frames -> 2304 numbers each: 2048 of the slow pathway, then 256 of the fast one.

    A video has as many rows of numbers as clips. SimpleVQA repeats the last clip up to eight; that
    padding is left to the head that reads the table.

    Weights: the official ``SLOWFAST_8x8_R50.pyth`` of pytorchvideo.
    """

    FEATURES: ClassVar[tuple[Feature, ...]] = (
        Feature(
            "slowfast",
            "motion: SlowFast R50 8x8 before its classifier, slow pathway 2048 then fast 256",
            ("clip", "channel"),
        ),
    )
    INPUTS: ClassVar[tuple[str, ...]] = ("video",)

    def __init__(self, options: Mapping[str, Any], weights: Weights, device: str) -> None:
        """Build the network on the device."""
        import torch

        from sfqa.features.slowfast_net import SlowFast

        convention = options["convention"]
        size = options["size"] or SIZES[convention]
        self.reader = ClipReader(convention, size, options["every_sec"])
        self.batching = Batching.choose(options["batch"], device, _CPU_SIZE, _GPU_SIZE)
        self.device = torch.device(device)
        net = weights.load(SlowFast)
        assert isinstance(net, SlowFast)
        self.precision: str = options["precision"]
        half = self.precision == "bf16"
        self.dtype = torch.bfloat16 if half else torch.float32
        # Measured on a CPU: channels last is 10 % faster in bfloat16, no faster in float32.
        self.layout = torch.channels_last_3d if half else torch.contiguous_format
        self.net = net.bfloat16_convolutions() if half else net
        self.net.to(self.device).to(memory_format=self.layout)

    def extract(self, video: Video) -> dict[str, Any]:
        """Return ``slowfast`` of shape (clips, 2304), float16.

        Raises :class:`UnusableError` for a video that has no frame or does not decode.
        """
        return base.extract_one(self, video)

    def score(self, prepared: Iterable[Clips]) -> Iterator[dict[str, Any] | UnusableError]:
        """Yield the row of each video's clips."""
        for features in self.compute_features(prepared):
            try:
                rounded = round_to_float16(features, "SlowFast")
            except UnusableError as error:
                yield error
                continue
            yield {"slowfast": rounded}

    def compute_features(self, prepared: Iterable[Clips]) -> Iterator[Floats32]:
        """Yield the features (clips, 2304) of each video, float32."""

        def list_parts(clips: Clips) -> list[tuple[media.Pixels, keyframes.Indices]]:
            return [(clips.frames, indices) for indices in clips.places]

        for _, rows in batches.run_batched(prepared, list_parts, self._forward, self.batching):
            yield np.stack(rows)

    def _forward(self, clips: list[tuple[media.Pixels, keyframes.Indices]]) -> torch.Tensor:
        """Return features (clips, 2304); clips are transferred to the device as bytes."""
        import torch

        with torch.inference_mode(), batches.set_precision(self.precision):
            x = batches.to_device([frames[indices] for frames, indices in clips], self.device)
            x = x.permute(0, 4, 1, 2, 3).float().div_(255).sub_(MEAN).div_(STD)
            return self.net.compute_features(x.to(self.dtype).contiguous(memory_format=self.layout))


def resize_frames(frames: media.Pixels, convention: str, size: int) -> media.Pixels:
    """Resize frames to (n, size, size, 3): squashed, or short side and central crop.

    Bilinear with antialiasing on bytes like Pillow, exactly as SimpleVQA's transform of a PIL image
    on any machine. Also used for kinetics: its training videos were stored small, so training saw
    little aliasing.

    >>> resize_frames(np.zeros((2, 90, 160, 3), np.uint8), "kinetics", 256).shape
    (2, 256, 256, 3)
    """
    height, width = frames.shape[1:3]
    to, top, left = (size, size), 0, 0
    if convention == "kinetics":
        short = min(height, width)
        to = (size * width // short, size * height // short)
        top, left = round((to[1] - size) / 2), round((to[0] - size) / 2)
    return resizing.resize_bilinear(frames, *to)[:, top : top + size, left : left + size]
