"""How well key frames fit the prompt, by ImageReward's BLIP: image-grounded text and reward."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sfqa import media
from sfqa.arrays import Floats32, Ints
from sfqa.features import base, batches, view_columns
from sfqa.features.base import Feature, UnusableError, Video
from sfqa.features.batches import Batching
from sfqa.features.frame_reader import KeyFrameReader, KeyFrames, Square
from sfqa.features.half_precision import round_to_float16
from sfqa.features.weights import Weights
from sfqa.options import Choice, Option, Options

if TYPE_CHECKING:
    import torch

VERSION = 1
WEIGHTS = True
# Measured: 2.7 GB with random weights; the published file is read in addition.
MEMORY_MB = 4000
WEIGHTS_PARTS: Mapping[str, Mapping[str, Any]] = {"vocabulary": {}}
OPTIONS: Options = {
    "frames": Option(8, 1, None, "key frames per video, evenly spaced", whole=True),
    "first_token": Choice(
        "cls", ("cls", "enc"),
        "first token of the prompt; cls: as ImageReward was trained; enc: BLIP's own [ENC], which "
        "another team's AIGC-VQA puts there",
    ),
    "views": Option(
        0, 0, 1,
        "1: keep the key frames and the tokens of the prompt in the columns frames and tokens, "
        "1.2 MB a video with 8 frames, for networks that are trained from them; 0: the table has "
        "no such columns",
        whole=True,
    ),
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

#: Tokens of a prompt that ImageReward reads, with the first and the last one.
PROMPT_TOKENS = 35
# CLIP's statistics, which BLIP's preprocessing uses.
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)
# Frames per pass by default on a GPU.
_GPU_SIZE = 32

#: A key frame and the prompt's token ids and mask.
_Part = tuple[media.Pixels, np.ndarray]


class Extractor:
    """Key frames and prompt -> ImageReward (Xu et al., NeurIPS 2023).

    BLIP's vision transformer (ViT-L/16) reads the short side resized to 224 pixels and cropped, and
    its text encoder reads the prompt with cross-attention to it: ``cls`` is the first token. The
    reward is one affine map of it. ImageReward scores single pictures: the mean over key frames is
    our choice for videos. Prompts are cut at 35 tokens.

    Weights: ``ImageReward.pt`` and the vocabulary of bert-base-uncased. Random weights need no
    vocabulary, since token ids have no meaning then: a hash of each word stands in.
    """

    FEATURES: ClassVar[tuple[Feature, ...]] = (
        Feature("cls", "image-grounded text [CLS] of key frames and prompt", ("frame", "channel")),
        Feature(
            "reward",
            "mean over key frames of ImageReward's score, about N(0, 1); higher is better",
            dtype="float64",
        ),
        Feature(
            "frames",
            "key frames, RGB, as the network sees them; only with the option views",
            ("frame", "colour", "row", "column"),
            "uint8",
        ),
        Feature(
            "tokens",
            "ids of the prompt's tokens, high and low byte, 0 after the end; only with views",
            ("prompt", "token", "byte"),
            "uint8",
        ),
    )
    INPUTS: ClassVar[tuple[str, ...]] = ("video", "prompt")

    def __init__(self, options: Mapping[str, Any], weights: Weights, device: str) -> None:
        """Build the network on the device; raises :class:`UserError` for another vocabulary."""
        import torch

        from sfqa.features import text_tokens
        from sfqa.features.blip_net import INTEGER_BUFFERS, ImageReward

        count: int = options["frames"]
        self.views: int = options["views"]
        self.reader: base.VideoReader = KeyFrameReader(count, Square(224), needs_prompt=True)
        # Half of a video's frames on a CPU, so that two threads have work.
        self.batching = Batching.choose(options["batch"], device, -(-count // 2), _GPU_SIZE)
        self.precision: str = options["precision"]
        self.half = self.precision == "bf16"
        self.device = torch.device(device)
        self.first = {"cls": text_tokens.CLS, "enc": text_tokens.ENC}[options["first_token"]]
        self.tokenizer = text_tokens.load_bert_tokenizer(weights.get_part("vocabulary"))
        self.net: Any = weights.load(ImageReward, INTEGER_BUFFERS).to(self.device)
        self.mean, self.std = (
            torch.tensor(values, device=self.device).view(3, 1, 1) for values in (_MEAN, _STD)
        )

    def extract(self, video: Video) -> dict[str, Any]:
        """Return ``cls`` (frames, channels), float16, and ``reward``.

        Raises :class:`UnusableError` for a video that has no prompt or frame or does not decode.
        """
        return base.extract_one(self, video)

    def score(self, prepared: Iterable[KeyFrames]) -> Iterator[dict[str, Any] | UnusableError]:
        """Yield the row of each video's key frames and prompt."""
        for key_frames, cls, rewards in self.compute_features(prepared):
            try:
                rounded = round_to_float16(cls, "BLIP", rewards)
            except UnusableError as error:
                yield error
                continue
            row = {"cls": rounded, "reward": float(rewards.astype(np.float64).mean())}
            if self.views:
                frames = view_columns.arrange_frames(key_frames.frames[key_frames.places])
                ids, _ = self.encode_prompt(key_frames.prompt or "")
                row |= {"frames": frames, "tokens": split_bytes(ids)[None]}
            tokens = len(self.tokenizer.encode(key_frames.prompt or "")) + 2
            if tokens > PROMPT_TOKENS:
                row["detail"] = (
                    f"prompt_cut: the prompt has {tokens} tokens, ImageReward reads {PROMPT_TOKENS}"
                )
            yield row

    def compute_features(
        self, prepared: Iterable[KeyFrames]
    ) -> Iterator[tuple[KeyFrames, Floats32, Floats32]]:
        """Yield the key frames with their [CLS] (frames, channels) and rewards (frames,)."""

        def list_parts(key_frames: KeyFrames) -> list[_Part]:
            tokens = self.encode_prompt(key_frames.prompt or "")
            return [(picture, tokens) for picture in key_frames.list_pictures()]

        for key_frames, rows in batches.run_batched(
            prepared, list_parts, self._forward, self.batching
        ):
            numbers = np.stack(rows)
            yield key_frames, numbers[:, :-1], numbers[:, -1]

    def encode_prompt(self, prompt: str) -> np.ndarray:
        """Return the token ids and the mask of a prompt, (2, 35), int64."""
        from sfqa.features import text_tokens as tokens

        ids = self.tokenizer.encode(prompt)
        return np.array(
            tokens.add_special_tokens(ids, self.first, tokens.SEP, tokens.PAD, PROMPT_TOKENS),
            dtype=np.int64,
        )

    def _forward(self, parts: list[_Part]) -> torch.Tensor:
        """Return [CLS] and reward in one row (n, channels + 1) for each picture and prompt."""
        import torch

        mixed = torch.autocast(self.device.type, torch.bfloat16, enabled=self.half)
        with torch.inference_mode(), batches.set_precision(self.precision), mixed:
            x = batches.to_device([picture for picture, _ in parts], self.device)
            x = x.permute(0, 3, 1, 2).contiguous()
            x = x.float().div_(255).sub_(self.mean).div_(self.std)
            tokens = batches.to_device([tokens for _, tokens in parts], self.device)
            cls, reward = self.net(x, tokens[:, 0], tokens[:, 1])
            return torch.cat([cls, reward[:, None]], 1).float()


def split_bytes(ids: Ints) -> media.Pixels:
    """Return whole numbers below 65536 as bytes, (n, 2): the high one first.

    >>> split_bytes(np.array([101, 30522])).tolist()
    [[0, 101], [119, 58]]
    """
    return np.stack([ids // 256, ids % 256], axis=-1).astype(np.uint8)
