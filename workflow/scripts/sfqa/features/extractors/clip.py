"""Image and text embeddings by CLIP, and how well they agree."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from sfqa import media
from sfqa.errors import UserError
from sfqa.features import keyframes
from sfqa.features.base import Feature, UnusableError, Video
from sfqa.features.weights import Weights

VERSION = 1

PRECISIONS = ("fp32", "bf16")


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
    OPTIONS: ClassVar[dict[str, Any]] = {"model": "ViT-B-32", "frames": 8, "precision": "fp32"}
    INPUTS: ClassVar[tuple[str, ...]] = ("video", "prompt")

    def __init__(self, options: Mapping[str, Any], weights: Weights, device: str) -> None:
        """Build the model on the device; raises :class:`UserError` for an impossible option."""
        import open_clip
        import torch

        given = {**self.OPTIONS, **options}
        _check(given["precision"] in PRECISIONS, "precision", given["precision"], "fp32 or bf16")
        _check(int(given["frames"]) >= 1, "frames", given["frames"], "1 or more")
        name = str(given["model"])
        _check_offline(name)
        self.frames = int(given["frames"])
        precision = str(given["precision"])
        self.device = torch.device(device)
        self.dtype = open_clip.get_input_dtype(precision) or torch.float32
        transform: list[Callable[..., torch.Tensor]] = []

        def build() -> torch.nn.Module:
            with _without_warnings():
                model, _, preprocess = open_clip.create_model_and_transforms(
                    name, pretrained=None, precision=precision
                )
            transform.append(preprocess)
            return model

        self.model: Any = weights.load(build).to(self.device)
        self.preprocess = transform[0]
        self.tokenizer: Any = open_clip.get_tokenizer(name)

    def extract(self, video: Video) -> dict[str, Any]:
        """Return ``image`` (frames, channels), ``text`` (1, channels) or None, ``cosine`` or None.

        Raises :class:`UnusableError` for a video that has no frame or does not decode.
        """
        if video.frames < 1:
            raise UnusableError("broken: the video has no frames")
        wanted, places = np.unique(keyframes.evenly(video.frames, self.frames), return_inverse=True)
        try:
            frames = media.read_frames(video.path, wanted.tolist())
        except media.MediaError as error:
            raise UnusableError(f"broken: not all {video.frames} frames decode") from error
        return self.embed(frames[places], video.prompt)

    def embed(self, frames: media.Pixels, prompt: str | None) -> dict[str, Any]:
        """Return the features of frames (n, height, width, 3), uint8 RGB, and of a prompt."""
        image = self._encode_frames(frames)
        made: dict[str, Any] = {"image": _half(image), "text": None, "cosine": None}
        if prompt is not None and prompt.strip():
            text = self._encode_text(prompt)
            made["text"] = _half(text)
            made["cosine"] = float(cosines(image, text[0]).mean())
            tokens, room = len(self.tokenizer.encode(prompt)) + 2, self.tokenizer.context_length
            if tokens > room:
                made["detail"] = f"prompt_cut: the prompt has {tokens} tokens, CLIP reads {room}"
        return made

    def _encode_frames(self, frames: media.Pixels) -> npt.NDArray[np.float32]:
        import torch
        from PIL import Image

        batch = torch.stack([self.preprocess(Image.fromarray(frame)) for frame in frames])
        return self._run(self.model.encode_image, batch.to(self.dtype))

    def _encode_text(self, prompt: str) -> npt.NDArray[np.float32]:
        return self._run(self.model.encode_text, self.tokenizer([prompt]))

    def _run(self, encode: Callable[..., Any], batch: Any) -> npt.NDArray[np.float32]:
        import torch

        # TensorFloat-32, the default of a GPU's convolutions, keeps 10 bits: not what fp32 says.
        exact = torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        )
        with torch.inference_mode(), exact:
            return np.asarray(encode(batch.to(self.device)).float().cpu().numpy())


def cosines(image: npt.NDArray[Any], text: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the cosine between every row of ``image`` (n, channels) and ``text`` (channels,).

    >>> cosines(np.array([[3.0, 4.0], [0.0, 2.0]]), np.array([0.0, 5.0])).tolist()
    [0.8, 1.0]
    """
    a, b = np.asarray(image, np.float64), np.asarray(text, np.float64)
    return np.asarray(a @ b / (np.linalg.norm(a, axis=1) * np.linalg.norm(b)))


def _half(embedding: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    with np.errstate(over="ignore"):
        made = embedding.astype(np.float16)
    if not np.isfinite(made).all():
        raise UnusableError("not_finite: CLIP gave numbers that float16 cannot hold")
    return made


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Keep open_clip from saying that the model is random: the weights are loaded after it."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)


def _check_offline(name: str) -> None:
    """Raise :class:`UserError` for a model that open_clip lacks or would fetch parts of."""
    from difflib import get_close_matches

    import open_clip

    known = open_clip.list_models()
    near = get_close_matches(name, known, 3) or ["ViT-B-32", "ViT-L-14"]
    _check(name in known, "model", name, f"a name that open_clip has, such as {', '.join(near)}")
    text = (open_clip.get_model_config(name) or {}).get("text_cfg", {})
    fetched = [key for key in ("hf_model_name", "hf_tokenizer_name") if text.get(key)]
    _check(
        not fetched, "model", name, "one whose tokenizer open_clip carries; this one downloads it"
    )


def _check(fine: bool, option: str, given: object, wanted: str) -> None:
    if not fine:
        raise UserError(
            f"config, features.clip.options.{option}: {given!r} is not possible; give {wanted}"
        )
