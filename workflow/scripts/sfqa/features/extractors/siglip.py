"""How good key frames look, by SigLIP: embeddings, and how well each fits five quality levels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from sfqa import media
from sfqa.arrays import Floats32
from sfqa.errors import UserError
from sfqa.features import base, batches
from sfqa.features.base import Feature, UnusableError, Video
from sfqa.features.batches import Batching
from sfqa.features.frame_reader import KeyFrameReader, KeyFrames
from sfqa.features.half_precision import round_to_float16
from sfqa.features.weights import Weights
from sfqa.options import Choice, ModelName, Option, Options

if TYPE_CHECKING:
    import torch

VERSION = 1
WEIGHTS = True
# Measured: 1.9 GB with the default model and random weights; SO400M has four times its weights.
MEMORY_MB = 6000
WEIGHTS_PARTS: Mapping[str, Mapping[str, Any]] = {"tokenizer": {"tokenizer": "file"}}
OPTIONS: Options = {
    "model": ModelName("ViT-B-16-SigLIP-512", "open_clip", "name of the architecture in open_clip"),
    "tokenizer": Choice(
        "file", ("file", "open_clip"),
        "file: the model's tokenizer.json, for SigLIP and SigLIP2; open_clip: open_clip's own, for "
        "CLIP models",
    ),
    "best": Choice(
        "perfect", ("perfect", "excellent"),
        "word of the best level; perfect: as SJTU-MOE-AI; excellent: as Q-Align",
    ),
    "frames": Option(8, 1, None, "key frames per video, evenly spaced", whole=True),
    "precision": Choice(
        "fp32", ("fp32", "tf32", "bf16"),
        "number format of the network; tf32: float32 with TensorFloat-32 on a GPU, on a CPU as "
        "fp32",
    ),
    "batch": Option(
        None, 1, None,
        "frames, of one video or of several, that go through the network at once; null: half of a "
        "video's frames on a CPU, 32 on a GPU",
        whole=True,
    ),
}  # fmt: skip

#: The levels from 1 to 5, and the text of each.
LEVELS = ("bad", "poor", "fair", "good")
TEMPLATE = "a photo with {} quality."
# Frames per pass by default on a GPU.
_GPU_SIZE = 32


class Extractor:
    """Key frames -> image embeddings and five-level scores, as SJTU-MOE-AI of NTIRE 2025.

    The levels' probabilities are the softmax of the scaled cosines between a frame and the texts 'a
    photo with bad (poor, fair, good, perfect) quality.'; the score is the expected level, from 1
    to 5, averaged over frames. SigLIP's bias is the same for all levels and cancels. The team tunes
    the towers on its training set; published weights give the zero-shot score.

    Any image-text model of open_clip works. Preprocessing is the one that open_clip states for the
    model's published weights. The embeddings are stored as ``encode_image`` gives them, not
    normalised.

    Weights: an open_clip checkpoint of ``model`` and, for SigLIP, its ``tokenizer.json``. Random
    weights need none: a hash of each word stands in for its tokens.
    """

    FEATURES: ClassVar[tuple[Feature, ...]] = (
        Feature("image", "image embedding of key frames, not normalised", ("frame", "channel")),
        Feature(
            "levels", "probabilities of the levels 1 to 5 of key frames", ("frame", "level"),
            "float32",
        ),
        Feature(
            "score", "mean over key frames of the expected level; higher is better",
            dtype="float64", unit="1..5",
        ),
    )  # fmt: skip
    INPUTS: ClassVar[tuple[str, ...]] = ("video",)

    def __init__(self, options: Mapping[str, Any], weights: Weights, device: str) -> None:
        """Build the model on the device; raises :class:`UserError` for an impossible option."""
        import open_clip
        import torch

        from sfqa.features import image_text_net

        name, count = options["model"], options["frames"]
        is_own = image_text_net.has_own_tokenizer(name)
        if is_own != (options["tokenizer"] == "open_clip"):
            raise UserError(
                f"config, features.siglip.options.tokenizer: {name!r} needs "
                f"{'open_clip' if is_own else 'file'!r}, since open_clip "
                f"{'carries' if is_own else 'would download'} its tokenizer"
            )
        # Half of a video's frames on a CPU, so that two threads have work.
        self.batching = Batching.choose(options["batch"], device, -(-count // 2), _GPU_SIZE)
        self.precision: str = options["precision"]
        self.half = self.precision == "bf16"
        self.device = torch.device(device)
        model: Any = weights.load(lambda: image_text_net.build_towers(name))
        self.model = model.to(self.device)
        side = int(np.ravel(model.visual.image_size)[0])
        preprocessing = image_text_net.read_preprocessing(name, side)
        self.reader: base.VideoReader = KeyFrameReader(count, preprocessing.square)
        self.mean, self.std = (
            torch.tensor(values, device=self.device).view(3, 1, 1)
            for values in (preprocessing.mean, preprocessing.std)
        )
        self.texts = [TEMPLATE.format(word) for word in (*LEVELS, options["best"])]
        if options["tokenizer"] == "file":
            tokenizer_file = weights.get_part("tokenizer").path
            tokens = image_text_net.tokenize(name, self.texts, tokenizer_file)
        else:
            tokens = open_clip.get_tokenizer(name)(self.texts)
        with torch.inference_mode(), batches.set_precision(self.precision):
            text = self.model.encode_text(tokens.to(self.device)).double().cpu().numpy()
        self.text: npt.NDArray[np.float64] = text
        self.scale = float(model.logit_scale.exp())

    def extract(self, video: Video) -> dict[str, Any]:
        """Return ``image`` (frames, channels), float16, ``levels`` (frames, 5) and ``score``.

        Raises :class:`UnusableError` for a video that has no frame or does not decode.
        """
        return base.extract_one(self, video)

    def score(self, prepared: Iterable[KeyFrames]) -> Iterator[dict[str, Any] | UnusableError]:
        """Yield the row of each video's key frames."""
        for image in self.compute_embeddings(prepared):
            try:
                rounded = round_to_float16(image, "the model")
            except UnusableError as error:
                yield error
                continue
            levels = compute_levels(image, self.text, self.scale)
            yield {
                "image": rounded,
                "levels": levels.astype(np.float32),
                "score": float((levels @ np.arange(1, 6)).mean()),
            }

    def compute_embeddings(self, prepared: Iterable[KeyFrames]) -> Iterator[Floats32]:
        """Yield the image embeddings (frames, channels) of each video."""
        for _, rows in batches.run_batched(
            prepared, KeyFrames.list_pictures, self._forward, self.batching
        ):
            yield np.stack(rows)

    def _forward(self, pictures: list[media.Pixels]) -> torch.Tensor:
        """Return the embeddings of pictures (size, size, 3), which are transferred as bytes."""
        import torch

        mixed = torch.autocast(self.device.type, torch.bfloat16, enabled=self.half)
        with torch.inference_mode(), batches.set_precision(self.precision), mixed:
            x = batches.to_device(pictures, self.device).permute(0, 3, 1, 2).contiguous()
            x = x.float().div_(255).sub_(self.mean).div_(self.std)
            embeddings: torch.Tensor = self.model.encode_image(x)
            return embeddings.float()


def compute_levels(
    image: npt.NDArray[Any], text: npt.NDArray[Any], scale: float
) -> npt.NDArray[np.float64]:
    """Return the probabilities (n, levels) of image embeddings (n, channels), by softmax.

    ``text`` (levels, channels) are the embeddings of the levels' texts, ``scale`` the factor of
    their cosines.

    >>> text = np.array([[0.0, 1.0], [3.0, 0.0]])
    >>> compute_levels(np.array([[2.0, 0.0]]), text, np.log(3)).round(2)
    array([[0.25, 0.75]])
    """
    a, b = np.asarray(image, np.float64), np.asarray(text, np.float64)
    a = a / np.linalg.norm(a, axis=1, keepdims=True)
    b = b / np.linalg.norm(b, axis=1, keepdims=True)
    logits = scale * (a @ b.T)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
