"""What Qwen2.5-Omni, a language model that sees and hears, says about a singing or talking face."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from sfqa.features import base, batches, lmm_answers
from sfqa.features.base import Feature, UnusableError, Video
from sfqa.features.lmm_options import declare_answer_options
from sfqa.features.qwen_omni_input import Reader, VideoWithSound
from sfqa.features.qwen_omni_views import VIEWS
from sfqa.features.weights import Weights
from sfqa.options import Choice, Option, Options

VERSION = 2
WEIGHTS = True
# An estimate: 9 GB of weights in bf16, and what one video adds.
MEMORY_MB = 14000
WEIGHTS_PARTS: Mapping[str, Mapping[str, Any]] = {
    "second_shard": {}, "third_shard": {}, "settings": {}, "tokenizer": {},
}  # fmt: skip
COLUMN_NEEDS: Mapping[str, Mapping[str, Any]] = {
    "visual_quality": {"scoring": ("answer", "both")},
    "audio_visual_consistency": {"scoring": ("answer", "both")},
    "answer": {"scoring": ("answer", "both")},
    "visual_quality_expected": {"scoring": ("levels", "both")},
    "audio_visual_consistency_expected": {"scoring": ("levels", "both")},
    "levels": {"scoring": ("levels", "both")},
}
OPTION_NEEDS: Mapping[str, Mapping[str, Any]] = {
    "views=1": {"scoring": ("levels", "both"), "precision": ("bf16", "fp32")},
}  # fmt: skip
OPTION_PACKAGES: Mapping[str, tuple[str, ...]] = {
    "precision=int8": ("bitsandbytes", "accelerate"),
}  # fmt: skip
OPTIONS: Options = {
    "size": Choice(
        "3b", ("3b", "tiny"),
        "tiny: a network of a few numbers, with random weights only, to try a configuration",
    ),
    **declare_answer_options(),
    "fps": Option(2.0, 0.1, 30.0, "frames that the model sees of each second; 4 to 768 in all"),
    "max_pixels": Option(
        602112, 100352, 12845056, "largest number of pixels of a frame after resizing", whole=True
    ),
    "precision": Choice(
        "bf16", ("bf16", "fp32", "int8"),
        "number format of the network; int8: weights as whole numbers, by bitsandbytes, on a GPU",
    ),
    "views": Option(
        0, 0, 1,
        "1: keep what the language model reads of a video and of the questions for a level, in the "
        "columns embeddings, places and questions, 9 MB a video of 6 s at 512x512, for trainings "
        "of the language model; 0: the table has no such columns",
        whole=True,
    ),
}  # fmt: skip


class Extractor:
    """Frames and sound -> an answer with two numbers, and the logits of five level words.

    The thinker of Qwen2.5-Omni (Xu et al., arXiv 2503.20215), which writes text, as transformers
    has it. It sees ``fps`` frames of each second, in pairs, each resized to sides that are
    multiples of 28, and hears all channels mixed, at 16 kHz; 25 tokens of sound follow each 2 s of
    pictures. For a video without sound it gets the picture alone, and the row is flawed.

    Time between frames is taken as 1 / ``fps`` also where a short video has more frames per second
    than that, as transformers does.
    """

    FEATURES: ClassVar[tuple[Feature, ...]] = (*lmm_answers.FEATURES, *VIEWS)
    INPUTS: ClassVar[tuple[str, ...]] = ("video", "audio")

    def __init__(self, options: Mapping[str, Any], weights: Weights, device: str) -> None:
        """Build the network on the device; raises :class:`UserError` for files that do not fit."""
        from sfqa.features import qwen_omni_net, qwen_omni_tokens

        self.questions = lmm_answers.Questions(options)
        self.fps, self.max_pixels = float(options["fps"]), int(options["max_pixels"])
        self.max_new_tokens: int = options["max_new_tokens"]
        self.views: int = options["views"]
        self.reader: base.VideoReader = Reader(self.fps)
        tokenizer = qwen_omni_tokens.load_tokenizer(weights.get_part("tokenizer"))
        self.thinker = qwen_omni_net.Thinker(
            qwen_omni_net.load_thinker(weights, options["size"], options["precision"], device),
            qwen_omni_net.build_processor(tokenizer),
        )

    def extract(self, video: Video) -> dict[str, Any]:
        """Return the columns of :data:`sfqa.features.lmm_answers.FEATURES`, and views on demand.

        Raises :class:`UnusableError` for a video that does not decode and for an answer that does
        not follow the template.
        """
        return base.extract_one(self, video)

    def score(self, prepared: Iterable[VideoWithSound]) -> Iterator[dict[str, Any] | UnusableError]:
        """Yield the row of each video."""
        import torch

        for video in prepared:
            try:
                with torch.inference_mode(), batches.set_precision():
                    row = self._ask(video)
            except UnusableError as error:
                yield error
                continue
            yield {**row, "detail": "; ".join(video.notes)}

    def _ask(self, video: VideoWithSound) -> dict[str, Any]:
        from sfqa.features.qwen_omni_net import format_chat, prepare_inputs, replace_chat
        from sfqa.features.qwen_omni_views import make_views

        processor = self.thinker.processor
        inputs = prepare_inputs(
            processor, format_chat(self.questions.prompt), video.frames, video.sound, self.fps,
            self.max_pixels,
        )  # fmt: skip
        answer, levels, views = None, None, {}
        if self.questions.asks_answer:
            answer, is_cut = self.thinker.write_answer(inputs, self.max_new_tokens)
            self.questions.read_answer(answer)  # a wrong one fails before more is computed
            self.questions.check_end(answer, is_cut)
        if self.questions.asks_levels:
            chats = map(format_chat, self.questions.level_prompts, self.questions.level_prefixes)
            asked = [replace_chat(processor, inputs, chat) for chat in chats]
            with self.thinker.record_language_input() as recorded:
                levels = np.stack([self.thinker.compute_levels(chat) for chat in asked])
            if self.views:
                embeddings, positions = recorded
                views = make_views(embeddings, positions, [chat["input_ids"][0] for chat in asked])
        return {**self.questions.make_row(answer, levels), **views}
