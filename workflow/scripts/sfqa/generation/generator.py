"""The interface of a generator of the literature: its command, and where its result is.

A module of :mod:`sfqa.generation.adapters` for methods of kind ``command`` has ``VERSION``,
``OPTIONS`` and ``GENERATOR``, an instance of a subclass of :class:`Generator`. The subclass only
describes the generator. The engine (:mod:`sfqa.generation.command_engine`) stages the inputs, runs
the command, waits for its result, checks it and moves it into place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

OptionValue = float | str


@dataclass(frozen=True)
class Item:
    """One pair of a run, with inputs that are staged for this run only.

    ``image`` and ``audio`` are in a private folder; their paths hold no dot (except that of the
    suffix), no space and only ASCII characters. ``seconds`` is the length of the driving clip
    before padding. ``output`` is for generators with an option for their output file: its folder
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
    """One process of a generator, for one item or for a batch of them.

    ``cwd`` is a private folder with links to the content of the repository; it can be written to.
    ``checkpoints`` is the weights folder at its official place in the repository. ``work`` is a
    private folder for config files and results, and holds only the staged inputs at the start.
    """

    items: tuple[Item, ...]
    cwd: Path
    checkpoints: Path
    work: Path
    python: Path
    seed: int
    options: Mapping[str, OptionValue]

    def text_option(self, name: str) -> str:
        """Return the value of a text option."""
        return str(self.options[name])

    def number_option(self, name: str) -> float:
        """Return the value of a numeric option."""
        return float(self.options[name])


class Generator:
    """A generator; subclasses override what differs from the defaults."""

    #: Format of the staged image, by suffix (lower case).
    image_suffix = ".png"
    #: Maximum number of pairs of one process; above 1 the model is loaded once for all of them.
    batch = 1
    #: Top-level names of the repository that the generator writes to; each run has its own.
    private: tuple[str, ...] = ()

    def pad_sec(self, seconds: float) -> float:
        """Return the length to which the sound is padded with silence, at least ``seconds``."""
        return seconds

    def predict_sec(self, seconds: float, options: Mapping[str, OptionValue]) -> float:
        """Return the length of the video that the method makes of a clip of ``seconds``."""
        return seconds

    def prepare(self, run: Run) -> None:
        """Write the config files of a run into ``run.work``."""

    def build_command(self, run: Run) -> list[str]:
        """Return the exact arguments, the interpreter first; run in ``run.cwd`` without a shell."""
        raise NotImplementedError

    def build_environment(self, run: Run) -> dict[str, str]:
        """Return environment variables beside those that the engine sets for every generator."""
        return {}

    def list_candidates(self, run: Run, item: Item) -> Sequence[Path]:
        """Return files that can be the item's result; the engine takes the newest."""
        raise NotImplementedError

    def finish_video(self, run: Run, item: Item, raw: Path) -> tuple[Path, str]:
        """Post-process a result; return the final file and a flaw ('word: sentence') or ''.

        The file must be inside ``run.work``. Raises ``media.MediaError`` for a broken result.
        """
        return raw, ""


def format_number(number: float) -> str:
    """Return a number for a command line: no exponent, no trailing zeros.

    >>> format_number(5.0), format_number(6.25)
    ('5', '6.25')
    """
    return f"{number:.6f}".rstrip("0").rstrip(".")
