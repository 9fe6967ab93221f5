"""What a generator of the literature is to the workflow: its command, and where its result lies.

A module of :mod:`sfqa.generation.adapters` for methods of kind ``command`` has ``VERSION``,
``OPTIONS`` and ``GENERATOR``, an instance of a subclass of :class:`Generator`. It describes; the
engine (:mod:`sfqa.generation.command`) stages, runs, waits, checks and moves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

OptionValue = float | str


@dataclass(frozen=True)
class Item:
    """One pair inside a run: inputs staged for this run alone, and facts of them.

    ``image`` and ``audio`` lie in a private folder; no part of their paths holds a dot (but the
    suffix), a space or a character beyond ASCII. ``seconds`` is the length of the driving clip,
    before any padding. ``output`` is for generators that can be told where to write; its folder
    exists, the file does not.
    """

    sample_id: str
    image: Path
    audio: Path
    seconds: float
    prompt: str
    output: Path


@dataclass(frozen=True)
class Run:
    """One process of a generator: one item, or several where it takes a list of them.

    ``cwd`` is a private folder that shows the repository's content (links) and can be written to.
    ``checkpoints`` is the weights folder at its official place inside the repository. ``work`` is
    private and holds nothing but the staged inputs; config files and results go there.
    """

    items: tuple[Item, ...]
    cwd: Path
    checkpoints: Path
    work: Path
    python: Path
    seed: int
    options: Mapping[str, OptionValue]

    def text(self, option: str) -> str:
        """A text option."""
        return str(self.options[option])

    def number(self, option: str) -> float:
        """A numeric option."""
        return float(self.options[option])


class Generator:
    """One generator; subclasses override what differs from the defaults."""

    #: Format of the staged image, by suffix (lower case).
    image_suffix = ".png"
    #: Pairs that one process takes at most; above 1 the model is loaded once for all of them.
    batch = 1
    #: Top-level names of the repository that the generator writes to, kept private to a run.
    private: tuple[str, ...] = ()

    def staged_sec(self, seconds: float) -> float:
        """Length to which the staged sound is padded with silence; never below ``seconds``."""
        return seconds

    def expected_sec(self, seconds: float, options: Mapping[str, OptionValue]) -> float:
        """Length of the video that the method makes of a clip of ``seconds``."""
        return seconds

    def prepare(self, run: Run) -> None:
        """Write the config files of a run below ``run.work``."""

    def command(self, run: Run) -> list[str]:
        """The exact arguments, the interpreter first; run in ``run.cwd``, without a shell."""
        raise NotImplementedError

    def environment(self, run: Run) -> dict[str, str]:
        """Environment variables beyond those that the engine sets for every generator."""
        return {}

    def candidates(self, run: Run, item: Item) -> Sequence[Path]:
        """Files that may be the item's result; the engine takes the newest."""
        raise NotImplementedError

    def finish(self, run: Run, item: Item, raw: Path) -> tuple[Path, str]:
        """Post-process a result that exists: its final file, and a flaw ('word: sentence') or ''.

        The file must lie below ``run.work``. Raises ``media.MediaError`` for a broken result.
        """
        return raw, ""


def formatted(seconds: float) -> str:
    """Seconds for a command line: no exponent, no trailing zeros.

    >>> formatted(5.0), formatted(6.25)
    ('5', '6.25')
    """
    return f"{seconds:.6f}".rstrip("0").rstrip(".")
