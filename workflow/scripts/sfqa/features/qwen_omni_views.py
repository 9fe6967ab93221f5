"""What Qwen2.5-Omni's language model reads of a video, as bytes: its views.

The towers of pictures and sound are not trained, so that their embeddings are what a training of
the language model reads: pixels would cost it a pass of the towers in every step. Numbers are kept
in the format of the extractor's own pass (two bytes in bf16, four in fp32), so nothing is rounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sfqa.features.base import Feature
from sfqa.features.qwen_omni_tokens import SPECIAL_TOKENS
from sfqa.features.view_columns import decode_bytes, encode_bytes
from sfqa.media import Pixels

if TYPE_CHECKING:
    from torch import Tensor

VIEWS: tuple[Feature, ...] = (
    Feature(
        "embeddings",
        "what the language model reads of the video, up to the end of it, as the bytes of its "
        "numbers; only with the option views",
        ("token", "number", "byte"),
        "uint8",
    ),
    Feature(
        "places",
        "of each of these tokens 1 and its position in time, row and column, as bytes of whole "
        "numbers; only with views",
        ("token", "number", "byte"),
        "uint8",
    ),
    Feature(
        "questions",
        "ids of the tokens that ask for a level, for each dimension, as bytes of whole numbers, -1 "
        "after the end; only with views",
        ("dimension", "token", "byte"),
        "uint8",
    ),
)


def make_views(embeddings: Tensor, positions: Tensor, chats: Sequence[Tensor]) -> dict[str, Pixels]:
    """Return the columns of :data:`VIEWS` for one video.

    ``embeddings`` (1, tokens, numbers) and ``positions`` (3, 1, tokens) are those of the first
    chat; ``chats`` are the token ids of each dimension's, which begin with the same video.
    """
    import torch

    end = SPECIAL_TOKENS["<|vision_eos|>"]
    stop = int((chats[0] == end).nonzero()[0]) + 1
    places = torch.cat([torch.ones_like(positions[:1, 0, :stop]), positions[:, 0, :stop]]).T
    questions = torch.nn.utils.rnn.pad_sequence(
        [chat[stop:] for chat in chats], batch_first=True, padding_value=-1
    )
    columns = {
        "embeddings": embeddings[0, :stop], "places": places.int(), "questions": questions.int()
    }  # fmt: skip
    return {name: encode_bytes(values) for name, values in columns.items()}


def decode_embeddings(values: Tensor) -> Tensor:
    """Return the numbers of bytes (..., 2) in bf16 or (..., 4) in float32.

    >>> import torch
    >>> encoded = encode_bytes(torch.tensor([[0.5, -3.0]]).bfloat16())
    >>> decode_embeddings(torch.from_numpy(encoded))
    tensor([[ 0.5000, -3.0000]], dtype=torch.bfloat16)
    """
    import torch

    return decode_bytes(values, {2: torch.bfloat16, 4: torch.float32}[values.shape[-1]])
