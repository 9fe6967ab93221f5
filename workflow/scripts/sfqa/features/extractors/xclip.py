"""What a video shows as a whole, by X-CLIP, and how similar it is to the prompt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from PIL import Image

from sfqa import media
from sfqa.arrays import Floats32
from sfqa.features import base, batches
from sfqa.features.base import Feature, UnusableError, Video
from sfqa.features.batches import Batching
from sfqa.features.frame_reader import CENTRES, KeyFrameReader, KeyFrames, Square
from sfqa.features.half_precision import round_to_float16
from sfqa.features.weights import Weights
from sfqa.options import Choice, Option, Options

if TYPE_CHECKING:
    import torch

VERSION = 1
WEIGHTS = True
# Measured: 3.9 GB with large-patch14-16-frames and random weights.
MEMORY_MB = 5000
OPTIONS: Options = {
    "model": Choice(
        "base-patch32",
        (
            "base-patch32", "base-patch32-16-frames", "base-patch16", "large-patch14",
            "large-patch14-16-frames",
        ),
        "the published model, which fixes the number of frames (8, or 16) and their size (224 "
        "pixels; large-patch14-16-frames: 336)",
    ),
    "precision": Choice(
        "fp32", ("fp32", "tf32", "bf16"),
        "number format of the network; tf32: float32 with TensorFloat-32 on a GPU, on a CPU as "
        "fp32",
    ),
    "batch": Option(
        None, 1, None,
        "videos that go through the network at once; null: 1 on a CPU, 8 on a GPU",
        whole=True,
    ),
}  # fmt: skip

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Videos per pass by default.
_CPU_SIZE, _GPU_SIZE = 1, 8

#: The key frames of a video and the token ids of its prompt.
_Part = tuple[media.Pixels, np.ndarray]


class Extractor:
    """Key frames of a video together -> X-CLIP (Ni et al., ECCV 2022) by transformers.

    The frames are those in the centres of equal parts of the video, as the official evaluation
    chooses them. Preprocessing is that of the published processor: short side 224 pixels,
    bilinear with antialiasing, centre crop, ImageNet's mean and deviation; the official code
    resizes to 256 by OpenCV and crops 224. The score depends on both: X-CLIP adds to the prompt's
    embedding what the video shows.

    Weights: the ``pytorch_model.bin`` of ``microsoft/xclip-...``.
    """

    FEATURES: ClassVar[tuple[Feature, ...]] = (
        Feature("video", "X-CLIP video embedding, not normalised", ("one", "channel")),
        Feature(
            "score",
            "X-CLIP's logit of video and prompt, a cosine times the model's scale; higher is "
            "closer",
            dtype="float64",
        ),
    )
    INPUTS: ClassVar[tuple[str, ...]] = ("video", "prompt")

    def __init__(self, options: Mapping[str, Any], weights: Weights, device: str) -> None:
        """Build the network on the device."""
        import open_clip
        import torch

        from sfqa.features import xclip_net

        size = xclip_net.MODELS[options["model"]]
        square = Square(size.pixels, resampling=Image.Resampling.BILINEAR)
        self.reader: base.VideoReader = KeyFrameReader(size.frames, square, CENTRES)
        self.batching = Batching.choose(options["batch"], device, _CPU_SIZE, _GPU_SIZE)
        self.precision: str = options["precision"]
        self.half = self.precision == "bf16"
        self.device = torch.device(device)
        self.tokenizer: Any = open_clip.SimpleTokenizer()
        self.embed_videos = xclip_net.embed_videos
        self.net: Any = weights.load(
            lambda: xclip_net.build_model(size), xclip_net.INTEGER_BUFFERS
        ).to(self.device)
        self.mean, self.std = (
            torch.tensor(values, device=self.device).view(3, 1, 1) for values in (_MEAN, _STD)
        )

    def extract(self, video: Video) -> dict[str, Any]:
        """Return ``video`` (1, channels), float16, and ``score``, None without a prompt.

        Raises :class:`UnusableError` for a video that has no frame or does not decode.
        """
        return base.extract_one(self, video)

    def score(self, prepared: Iterable[KeyFrames]) -> Iterator[dict[str, Any] | UnusableError]:
        """Yield the row of each video's key frames and prompt."""
        for key_frames, embedding, similarity in self.compute_features(prepared):
            try:
                rounded = round_to_float16(embedding[None], "X-CLIP", similarity)
            except UnusableError as error:
                yield error
                continue
            row: dict[str, Any] = {"video": rounded, "score": None}
            prompt = (key_frames.prompt or "").strip()
            if prompt:
                row["score"] = similarity
                tokens = len(self.tokenizer.encode(prompt)) + 2
                if tokens > self.tokenizer.context_length:
                    row["detail"] = (
                        f"prompt_cut: the prompt has {tokens} tokens, X-CLIP reads "
                        f"{self.tokenizer.context_length}"
                    )
            yield row

    def compute_features(
        self, prepared: Iterable[KeyFrames]
    ) -> Iterator[tuple[KeyFrames, Floats32, float]]:
        """Yield the key frames with the video's embedding (channels,) and its similarity.

        The similarity of a video without a prompt is that with an empty one.
        """

        def list_parts(key_frames: KeyFrames) -> list[_Part]:
            tokens = self.tokenizer([key_frames.prompt or ""])[0].numpy()
            return [(np.stack(key_frames.list_pictures()), tokens)]

        for key_frames, (numbers,) in batches.run_batched(
            prepared, list_parts, self._forward, self.batching
        ):
            yield key_frames, numbers[:-1], float(numbers[-1])

    def _forward(self, parts: list[_Part]) -> torch.Tensor:
        """Return embedding and similarity in one row (n, channels + 1) for each video."""
        import torch

        mixed = torch.autocast(self.device.type, torch.bfloat16, enabled=self.half)
        with torch.inference_mode(), batches.set_precision(self.precision), mixed:
            x = batches.to_device([frames for frames, _ in parts], self.device)
            x = x.permute(0, 1, 4, 2, 3).contiguous()
            x = x.float().div_(255).sub_(self.mean).div_(self.std)
            tokens = batches.to_device([tokens for _, tokens in parts], self.device)
            video, similarity = self.embed_videos(self.net, x, tokens)
            return torch.cat([video.float(), similarity.float()[:, None]], 1)
