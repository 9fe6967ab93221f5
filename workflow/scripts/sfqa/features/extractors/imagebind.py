"""Pictures and sound in the common space of ImageBind, and their cosine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sfqa.arrays import Floats32
from sfqa.features import base, batches, view_columns
from sfqa.features.alignment_rows import make_alignment_row
from sfqa.features.base import Feature, UnusableError, Video
from sfqa.features.batches import Batching
from sfqa.features.imagebind_inputs import InputReader, PreparedInputs
from sfqa.features.weights import Weights
from sfqa.options import Choice, Option, Options

if TYPE_CHECKING:
    import torch

VERSION = 2
WEIGHTS = True
# Measured: 6.5 GB while a weights file is read, whose 2.9 GB are mapped beside the network, and
# 3.6 GB with random weights.
MEMORY_MB = 7500
OPTIONS: Options = {
    "blocks": Choice(
        "official", ("official", "reduced"),
        "blocks of the towers; reduced: two of each, for trials with random weights, no published "
        "model",
    ),
    "views": Option(
        0, 0, 1,
        "1: keep the 15 views and the spectra in the columns clips and spectra, 4.8 MB a video, "
        "for networks that are trained from them; 0: the table has no such columns",
        whole=True,
    ),
    "precision": Choice(
        "fp32", ("fp32", "tf32", "bf16"),
        "number format of the towers; tf32: float32 with TensorFloat-32 on a GPU, on a CPU as fp32",
    ),
    "batch": Option(
        None, 1, None,
        "views or clips, of one video or of several, that go through a tower at once; null: 1 on a "
        "CPU, 15 on a GPU",
        whole=True,
    ),
}  # fmt: skip

# CLIP's mean and deviation.
_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
# Views or clips per pass by default.
_CPU_SIZE, _GPU_SIZE = 1, 15


class Extractor:
    """Five clips of two frames in three crops, and three clips of sound -> ImageBind (CVPR 2023).

    As ``load_and_transform_video_data`` and ``load_and_transform_audio_data`` of the official code.
    Pictures: five clips of two seconds, evenly from start to end, of each the first and the last
    frame; short side 224 pixels, bilinear without antialiasing; left, centre and right crop. The 15
    views are ordered clip by clip. Equal ones, such as the crops of a square, are computed once.
    Sound: the video's own track, its first channel at 16 kHz; three clips of two seconds, evenly
    from start to end, as 128 mel bands every 10 ms. A shorter video has all clips from its start.

    Embeddings of views have length 1, those of sound length 20; means over them are not normalised
    again, as in the official code.

    Weights: ``imagebind_huge.pth``, of which the towers for text, depth, heat and motion are left
    out. Non-commercial (CC-BY-NC-SA 4.0).
    """

    FEATURES: ClassVar[tuple[Feature, ...]] = (
        Feature("video", "class token of each view before the projection", ("view", "channel")),
        Feature("audio", "class token of each clip of sound before it", ("clip", "channel")),
        Feature("video_embedding", "each view in the common space", ("view", "channel")),
        Feature("audio_embedding", "each clip of sound in it", ("clip", "channel")),
        Feature(
            "cosine",
            "cosine of the mean embeddings of pictures and sound; higher is closer",
            dtype="float64",
            unit="-1..1",
        ),
        Feature(
            "clips",
            "the 15 views, RGB, rounded to whole pixels; only with the option views",
            ("view", "colour", "frame", "row", "column"),
            "uint8",
        ),
        Feature(
            "spectra",
            "normalised mel spectra of the clips of sound, four bytes of a float32 each; only with "
            "the option views",
            ("clip", "band", "window", "byte"),
            "uint8",
        ),
    )
    INPUTS: ClassVar[tuple[str, ...]] = ("video", "audio")

    def __init__(self, options: Mapping[str, Any], weights: Weights, device: str) -> None:
        """Build both towers on the device."""
        import torch

        from sfqa.features import imagebind_net

        self.views: int = options["views"]
        self.reader: base.VideoReader = InputReader()
        self.batching = Batching.choose(options["batch"], device, _CPU_SIZE, _GPU_SIZE)
        self.precision: str = options["precision"]
        self.half = self.precision == "bf16"
        self.device = torch.device(device)
        reduced = options["blocks"] == "reduced"
        depths = imagebind_net.REDUCED_DEPTHS if reduced else imagebind_net.DEPTHS
        self.net: Any = weights.load(
            lambda: imagebind_net.ImageBind(depths), imagebind_net.OTHER_MODALITIES
        ).to(self.device)
        self.widths = (imagebind_net.VISION_WIDTH, imagebind_net.AUDIO_WIDTH)
        self.mean, self.std = (
            torch.tensor(values, device=self.device).view(3, 1, 1, 1) for values in (_MEAN, _STD)
        )

    def extract(self, video: Video) -> dict[str, Any]:
        """Return the columns; see :class:`Extractor`.

        Raises :class:`UnusableError` for a video that does not decode, has no sound, or is too
        short for a row.
        """
        return base.extract_one(self, video)

    def score(self, prepared: Iterable[PreparedInputs]) -> Iterator[dict[str, Any] | UnusableError]:
        """Yield the row of each video: the sound's tower runs first, then that of the pictures."""

        def list_spectra(inputs: PreparedInputs) -> list[Floats32]:
            return list(inputs.spectra)

        def list_views(item: tuple[PreparedInputs, Any]) -> list[Floats32]:
            return item[0].list_views()[0]

        with_sound = batches.run_batched(prepared, list_spectra, self._hear, self.batching)
        for (inputs, heard), seen_views in batches.run_batched(
            with_sound, list_views, self._see, self.batching
        ):
            views, sounds = np.stack(seen_views)[inputs.list_views()[1]], np.stack(heard)
            video, video_embedding = np.split(views, [self.widths[0]], axis=1)
            audio, audio_embedding = np.split(sounds, [self.widths[1]], axis=1)
            try:
                row = make_alignment_row(
                    "ImageBind", video, audio, video_embedding, audio_embedding
                )
            except UnusableError as error:
                yield error
                continue
            if self.views:
                row |= {
                    "clips": inputs.round_views().transpose(0, 4, 1, 2, 3),
                    "spectra": view_columns.encode_bytes(inputs.spectra[:, 0]),
                }
            yield row

    def _see(self, views: list[Floats32]) -> torch.Tensor:
        """Return class token and embedding in one row (n, 1280 + 1024) for each view."""
        x = batches.to_device(views, self.device).permute(0, 4, 1, 2, 3).contiguous()
        return self._embed(self.net.embed_views, x.sub_(self.mean).div_(self.std))

    def _hear(self, spectra: list[Floats32]) -> torch.Tensor:
        """Return class token and embedding in one row (n, 768 + 1024) for each clip."""
        return self._embed(self.net.embed_sound, batches.to_device(spectra, self.device))

    def _embed(self, tower: Callable[..., Any], x: torch.Tensor) -> torch.Tensor:
        import torch

        mixed = torch.autocast(self.device.type, torch.bfloat16, enabled=self.half)
        with torch.inference_mode(), batches.set_precision(self.precision), mixed:
            tokens, embeddings = tower(x)
            return torch.cat([tokens.float(), embeddings.float()], 1)
