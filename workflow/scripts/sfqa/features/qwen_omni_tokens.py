"""Token ids of Qwen2.5-Omni: the published tokenizer, or a stand-in where weights are random."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sfqa.errors import UserError
from sfqa.features.weights import Weights

#: Special tokens with their ids.
SPECIAL_TOKENS = {
    name: 151_643 + number
    for number, name in enumerate(
        (
            "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|AUDIO|>", "<|audio_bos|>",
            "<|audio_eos|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_bos|>",
            "<|vision_eos|>", "<|vision_pad|>", "<|IMAGE|>", "<|VIDEO|>",
        )
    )
}  # fmt: skip
#: The level words in the published vocabulary, each with the space before it.
LEVEL_IDS = {" excellent": 9073, " good": 1661, " fair": 6624, " poor": 7852, " bad": 3873}
_NAMED_TOKENS = {
    "image_token": "<|IMAGE|>", "audio_token": "<|AUDIO|>", "video_token": "<|VIDEO|>",
    "vision_bos_token": "<|vision_bos|>", "vision_eos_token": "<|vision_eos|>",
    "audio_bos_token": "<|audio_bos|>", "audio_eos_token": "<|audio_eos|>",
}  # fmt: skip


def load_tokenizer(weights: Weights) -> Any:
    """Return the tokenizer of a file, ``tokenizer.json``; a stand-in if the weights are random.

    Raises :class:`UserError` for a file that is not the tokenizer of Qwen2.5-Omni.
    """
    from tokenizers import Tokenizer

    if weights.path is None:
        return make_stand_in_tokenizer(LEVEL_IDS)
    path: Path = weights.path
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare exceptions
        raise UserError(
            f"{path}: cannot be read as a tokenizer ({str(error)[:150]}); give the tokenizer.json "
            "of Qwen/Qwen2.5-Omni-3B"
        ) from error
    for name, expected_id in SPECIAL_TOKENS.items():
        if tokenizer.token_to_id(name) != expected_id:
            raise UserError(
                f"{path}: the id of {name} is {tokenizer.token_to_id(name)}, not {expected_id}; "
                "give the tokenizer.json of Qwen/Qwen2.5-Omni-3B"
            )
    return _wrap(tokenizer)


def make_stand_in_tokenizer(words: Mapping[str, int]) -> Any:
    """Return a tokenizer of single bytes and of some words with their ids in the vocabulary.

    A network with random weights gives ids no meaning, so that the published vocabulary is not
    needed. Bytes and special tokens have the ids of the published one, and every other id of it is
    written as a number in angle brackets.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    letters = _list_byte_letters()
    vocabulary = {letter: number for number, letter in enumerate(letters.values())}
    for word, word_id in words.items():
        vocabulary["".join(letters[byte] for byte in word.encode())] = word_id
    used_ids = set(vocabulary.values())
    first_special = min(SPECIAL_TOKENS.values())
    vocabulary |= {f"<{n}>": n for n in range(first_special) if n not in used_ids}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in SPECIAL_TOKENS])
    return _wrap(tokenizer)


def _list_byte_letters() -> dict[int, str]:
    """Return the letter of each byte in a byte-level vocabulary, in the order of their ids.

    Printable bytes stand for themselves; the others are letters above them.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {byte: chr(byte) for byte in printable}
    others = [byte for byte in range(256) if byte not in letters]
    return letters | {byte: chr(256 + number) for number, byte in enumerate(others)}


def _wrap(tokenizer: Any) -> Any:
    """Return a tokenizer as the processor needs it, with names for the tokens of pictures."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<|endoftext|>", eos_token="<|im_end|>",
        extra_special_tokens=_NAMED_TOKENS,
    )  # fmt: skip
