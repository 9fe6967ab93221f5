"""Turn texts into the token ids that a text encoder reads, without a network.

Vocabularies are files (entries of config/weights.yaml with a ``part``). An encoder with random
weights gives its ids no meaning, so it needs no vocabulary: :class:`HashTokenizer` stands in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from sfqa.errors import UserError
from sfqa.features.weights import Weights

#: Ids of BERT's special tokens; BLIP adds [ENC] after the vocabulary's 30522 words.
PAD, CLS, SEP, ENC = 0, 101, 102, 30523
_BERT_WORDS = {"[PAD]": PAD, "[CLS]": CLS, "[SEP]": SEP}


class Tokenizer(Protocol):
    """Splits a text into token ids, without special tokens."""

    def encode(self, text: str) -> list[int]:
        """Return the ids of the text's tokens."""


@dataclass(frozen=True)
class HashTokenizer:
    """One id per word or punctuation mark, from ``first`` to below ``stop``, by a hash of it.

    >>> HashTokenizer(1000, 2000).encode("A cat, a cat") == HashTokenizer(1000, 2000).encode(
    ...     "a cat , a cat")
    True
    """

    first: int
    stop: int

    def encode(self, text: str) -> list[int]:
        """Return the ids of the text's words and punctuation marks."""
        words = re.findall(r"\w+|[^\w\s]", text.lower())
        digests = (sha256(word.encode()).digest() for word in words)
        span = self.stop - self.first
        return [self.first + int.from_bytes(digest[:8], "big") % span for digest in digests]


class BertTokenizer:
    """BERT's uncased WordPiece with the words of a file, one a line: ``vocab.txt``.

    Raises :class:`UserError` for a file that is not the vocabulary of bert-base-uncased.
    """

    def __init__(self, path: Path, size: int = 30522) -> None:
        from transformers import BertTokenizer as LibraryTokenizer

        try:
            words = path.read_text(encoding="utf-8").split("\n")
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: cannot be read as a vocabulary ({error})") from None
        ids = {word.rstrip("\r"): number for number, word in enumerate(words) if word}
        if len(ids) != size or any(ids.get(word) != number for word, number in _BERT_WORDS.items()):
            raise UserError(
                f"{path}: {len(ids)} words, expected the {size} of bert-base-uncased with [CLS] at "
                f"{CLS}; give its vocab.txt"
            )
        self._tokenizer = LibraryTokenizer(vocab=ids, do_lower_case=True)

    def encode(self, text: str) -> list[int]:
        """Return the ids of the text's word pieces."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids


def load_bert_tokenizer(vocabulary: Weights) -> Tokenizer:
    """Return BERT's tokenizer of a vocabulary file, or a stand-in if the weights are random.

    Raises :class:`UserError` if the file is another vocabulary.
    """
    if vocabulary.path is None:
        return HashTokenizer(1000, 30522)
    return BertTokenizer(vocabulary.path)


def add_special_tokens(
    ids: list[int], first: int, last: int, pad: int, length: int
) -> tuple[list[int], list[int]]:
    """Return ids of a fixed length, and the mask of those that are not padding.

    Too many tokens are cut, so that ``last`` stays the last one.

    >>> add_special_tokens([7, 8, 9], CLS, SEP, PAD, 4)
    ([101, 7, 8, 102], [1, 1, 1, 1])
    >>> add_special_tokens([7], CLS, SEP, PAD, 4)
    ([101, 7, 102, 0], [1, 1, 1, 0])
    """
    tokens = [first, *ids[: length - 2], last]
    padding = length - len(tokens)
    return tokens + [pad] * padding, [1] * len(tokens) + [0] * padding


def add_end_and_padding(ids: list[int], end: int, pad: int, length: int) -> list[int]:
    """Return ids of a fixed length that end with ``end`` and padding, as SigLIP reads them.

    >>> add_end_and_padding([7, 8], 1, 0, 5), add_end_and_padding([7, 8], 1, 0, 2)
    ([7, 8, 1, 0, 0], [7, 1])
    """
    tokens = [*ids[: length - 1], end]
    return tokens + [pad] * (length - len(tokens))
