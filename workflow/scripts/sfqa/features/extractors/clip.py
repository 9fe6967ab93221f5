"""Image and text embeddings by CLIP, and how well they agree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from sfqa import media
from sfqa.arrays import Floats32
from sfqa.errors import UserError
from sfqa.features import base, batches
from sfqa.features.base import Feature, UnusableError, Video
from sfqa.features.batches import Batching
from sfqa.features.clip_keys import recognise_layout
from sfqa.features.frame_reader import KeyFrameReader, KeyFrames, Square
from sfqa.features.half_precision import round_to_float16
from sfqa.features.weights import Weights
from sfqa.options import Choice, Option, Options, Text

if TYPE_CHECKING:
    import torch

VERSION = 1
WEIGHTS = True
OPTIONS: Options = {
    "model": Text("ViT-B-32", "name of the architecture in open_clip"),
    "frames": Option(8, 1, None, "key frames per video, evenly spaced", whole=True),
    "precision": Choice(
        "fp32", ("fp32", "tf32", "bf16"),
        "number format of the network; tf32: float32 with TensorFloat-32 on a GPU, on a CPU as "
        "fp32",
    ),
    "batch": Option(
        None, 1, None,
        "frames, of one video or of several, that go through the network at once; null: half of a "
        "video's frames on a CPU, 64 on a GPU",
        whole=True,
    ),
}  # fmt: skip

# Frames per pass by default on a GPU.
_GPU_SIZE = 64
# Preprocessing of open_clip before the conversion to numbers, for every supported model.
_RESIZING = {"mode": "RGB", "interpolation": "bicubic", "resize_mode": "shortest"}


class Extractor:
    """Key frames and prompt -> CLIP embeddings (Radford et al., ICML 2021) by open_clip.

    The embeddings are stored as ``encode_image`` and ``encode_text`` give them, not normalised,
    since the norm cannot be had back; the cosine is of the normalised ones. Preprocessing is
    open_clip's own for the model.

    Weights: an open_clip checkpoint or state dict of ``model``. OpenAI's original weights were
    trained with another activation: with them the model is ``ViT-B-32-quickgelu``, since under
    ``ViT-B-32`` they load without complaint and give wrong numbers.
    """

    FEATURES: ClassVar[tuple[Feature, ...]] = (
        Feature(
            "image", "CLIP image embedding of key frames, not normalised", ("frame", "channel")
        ),
        Feature("text", "CLIP text embedding of the prompt, not normalised", ("one", "channel")),
        Feature(
            "cosine",
            "mean over key frames of the cosine between image and text embedding; higher is closer",
            dtype="float64",
        ),
    )
    INPUTS: ClassVar[tuple[str, ...]] = ("video", "prompt")

    def __init__(self, options: Mapping[str, Any], weights: Weights, device: str) -> None:
        """Build the model on the device; raises :class:`UserError` for an impossible option."""
        import open_clip
        import torch

        from sfqa.features.image_text_net import build_towers

        name, count = options["model"], options["frames"]
        _check_offline(name)
        # Half of a video's frames on a CPU, so that two threads have work (4 % slower).
        self.batching = Batching.choose(options["batch"], device, -(-count // 2), _GPU_SIZE)
        # Prompts of about as many videos per pass as frames.
        self.text_batching = replace(self.batching, size=max(1, self.batching.size // count))
        self.precision: str = options["precision"]
        # TensorFloat-32 is a way to compute, not a type of the weights.
        precision = "fp32" if self.precision == "tf32" else self.precision
        self.device = torch.device(device)
        self.dtype = open_clip.get_input_dtype(precision) or torch.float32

        model: Any = weights.load(
            lambda: build_towers(name, precision), convert=recognise_layout
        ).to(self.device)
        self.model = model
        self.tokenizer: Any = open_clip.get_tokenizer(name)
        preprocessing: dict[str, Any] = model.visual.preprocess_cfg
        sides = set(np.ravel(preprocessing["size"]).tolist())
        is_supported = {key: preprocessing[key] for key in _RESIZING} == _RESIZING and len(
            sides
        ) == 1
        _check_model(is_supported, name, "one that sees a square from the middle of the picture")
        self.reader = KeyFrameReader(count, Square(sides.pop()))
        self.mean, self.std = (
            torch.tensor(preprocessing[key], device=self.device).view(3, 1, 1)
            for key in ("mean", "std")
        )

    def extract(self, video: Video) -> dict[str, Any]:
        """Return ``image`` (frames, channels), ``text`` (1, channels) or None, ``cosine`` or None.

        Raises :class:`UnusableError` for a video that has no frame or does not decode.
        """
        return base.extract_one(self, video)

    def score(self, prepared: Iterable[KeyFrames]) -> Iterator[dict[str, Any] | UnusableError]:
        """Yield the row of each video's key frames and prompt."""
        for image, text, prompt in self.compute_embeddings(prepared):
            try:
                yield self._build_row(image, text, prompt)
            except UnusableError as error:
                yield error

    def compute_embeddings(
        self, prepared: Iterable[KeyFrames]
    ) -> Iterator[tuple[Floats32, Floats32 | None, str | None]]:
        """Yield image (frames, channels) and text (channels,) embeddings, and the prompt."""

        def list_prompts(item: tuple[Floats32, str | None]) -> list[str]:
            return [item[1]] if item[1] is not None and item[1].strip() else []

        images = (
            (np.stack(rows), key_frames.prompt)
            for key_frames, rows in batches.run_batched(
                prepared, KeyFrames.list_pictures, self._embed_images, self.batching
            )
        )
        for (image, prompt), rows in batches.run_batched(
            images, list_prompts, self._embed_texts, self.text_batching
        ):
            yield image, rows[0] if rows else None, prompt

    def _build_row(
        self, image: Floats32, text: Floats32 | None, prompt: str | None
    ) -> dict[str, Any]:
        row: dict[str, Any] = {
            "image": round_to_float16(image, "CLIP"),
            "text": None,
            "cosine": None,
        }
        if text is not None:
            row["text"] = round_to_float16(text[None], "CLIP")
            row["cosine"] = float(compute_cosines(image, text).mean())
            tokens, context_length = (
                len(self.tokenizer.encode(prompt)) + 2,
                self.tokenizer.context_length,
            )
            if tokens > context_length:
                row["detail"] = (
                    f"prompt_cut: the prompt has {tokens} tokens, CLIP reads {context_length}"
                )
        return row

    def _embed_images(self, pictures: list[media.Pixels]) -> torch.Tensor:
        """Return the embeddings of pictures (size, size, 3), which are transferred as bytes."""
        import torch

        with torch.inference_mode(), batches.set_precision(self.precision):
            x = batches.to_device(pictures, self.device).permute(0, 3, 1, 2).contiguous()
            x = x.float().div_(255).sub_(self.mean).div_(self.std).to(self.dtype)
            return self.model.encode_image(x)

    def _embed_texts(self, prompts: list[str]) -> torch.Tensor:
        import torch

        with torch.inference_mode(), batches.set_precision(self.precision):
            tokens = batches.to_device(list(self.tokenizer(prompts).numpy()), self.device)
            return self.model.encode_text(tokens)


def compute_cosines(image: npt.NDArray[Any], text: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the cosine between every row of ``image`` (n, channels) and ``text`` (channels,).

    >>> compute_cosines(np.array([[3.0, 4.0], [0.0, 2.0]]), np.array([0.0, 5.0])).tolist()
    [0.8, 1.0]
    """
    a, b = np.asarray(image, np.float64), np.asarray(text, np.float64)
    return np.asarray(a @ b / (np.linalg.norm(a, axis=1) * np.linalg.norm(b)))


def _check_offline(name: str) -> None:
    """Raise :class:`UserError` if open_clip lacks the model or would download parts of it."""
    from difflib import get_close_matches

    import open_clip

    model_names = open_clip.list_models()
    suggestions = get_close_matches(name, model_names, 3) or ["ViT-B-32", "ViT-L-14"]
    _check_model(
        name in model_names, name, f"a name that open_clip has, such as {', '.join(suggestions)}"
    )
    text = (open_clip.get_model_config(name) or {}).get("text_cfg", {})
    downloads = [key for key in ("hf_model_name", "hf_tokenizer_name") if text.get(key)]
    _check_model(
        not downloads, name, "one whose tokenizer open_clip carries; this one downloads it"
    )


def _check_model(usable: bool, name: str, expected: str) -> None:
    if not usable:
        raise UserError(
            f"config, features.clip.options.model: {name!r} is not possible; give {expected}"
        )
