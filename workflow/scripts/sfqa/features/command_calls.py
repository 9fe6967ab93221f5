"""A call of a quality model's program: what it gets, what describes it, and its results."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from sfqa.errors import UnusableError
from sfqa.features.base import Feature
from sfqa.repositories import process
from sfqa.tables import flaw
from sfqa.untrusted import limits
from sfqa.untrusted.documents import check_value_count, parse_json, read_limited
from sfqa.workers import LostTaskError

#: What a program says about a video: a value for each column, or why it has none.
Result = Mapping[str, Any] | UnusableError


@dataclass(frozen=True)
class CommandItem:
    """One video of a run.

    ``name`` is the stem of its files in this run, letters and digits only. ``video`` and ``audio``
    (None without sound) are links in a private folder.
    """

    name: str
    video: Path
    audio: Path | None
    prompt: str
    fps: float
    frames: int


@dataclass(frozen=True)
class CommandRun:
    """One process of a program, for all its videos.

    ``cwd`` is a private folder with links to the content of the repository; it can be written to.
    ``checkpoints`` is the weights folder at its official place in the repository. ``work`` is a
    private folder for lists and results; ``inputs`` in it holds the links to the videos.
    ``device`` is 'cpu' or 'cuda:0', which is then the only GPU that the program sees. ``log``
    receives what it prints, from byte ``log_start`` on.
    """

    items: tuple[CommandItem, ...]
    cwd: Path
    checkpoints: Path
    work: Path
    inputs: Path
    python: Path
    options: Mapping[str, Any]
    device: str
    log: Path
    log_start: int

    def read_output(self) -> str:
        """Return what the program has printed, at most its last 64 KiB."""
        return process.read_log_end(self.log, self.log_start)


class CommandAdapter:
    """What :class:`sfqa.features.command_runner.CommandRunner` must know of a program.

    Subclasses override what differs from the defaults.
    """

    FEATURES: ClassVar[tuple[Feature, ...]]
    INPUTS: ClassVar[tuple[str, ...]] = ("video",)
    #: Maximum number of videos of one process; 0: all videos of a job, so that the model is loaded
    #: once.
    batch: ClassVar[int] = 0
    #: Whether results are written one after the other. Each is then kept as soon as that of the
    #: next video is there, and the time limit of a video counts from the result before it.
    streams: ClassVar[bool] = False
    #: Columns that may be empty (None), as those that an option leaves out.
    optional: ClassVar[tuple[str, ...]] = ()
    #: Top-level names of the repository that the program writes to; each run has its own.
    private: ClassVar[tuple[str, ...]] = ()

    def __init__(self, options: Mapping[str, Any], device: str) -> None:
        self.options, self.device = dict(options), device
        self.timeouts = process.Timeouts(late_sec=1.0)

    def prepare(self, run: CommandRun) -> None:
        """Write the lists and config files of a run into ``run.work``."""

    def build_command(self, run: CommandRun) -> list[str]:
        """Return the exact arguments, the interpreter first; run in ``run.cwd`` without a shell."""
        raise NotImplementedError

    def build_environment(self, run: CommandRun) -> dict[str, str]:
        """Return environment variables beside those that every program gets."""
        return {}

    def read_results(self, run: CommandRun) -> Mapping[str, Result]:
        """Return the results so far, by the ``name`` of the item (:func:`index_results`).

        Any error means that the results cannot be read. An :class:`UnusableError` as a result is a
        final row: the program will say the same of this video again.
        """
        raise NotImplementedError


def check_result(
    result: Mapping[str, Any], features: Sequence[Feature], optional: Collection[str] = ()
) -> str:
    """Return what is wrong with a result as 'word: sentence', '' if nothing is.

    Only a column of ``optional`` may be None. Numbers that are texts are wrong, too: one program
    writes 0.5 as "0,5", another as "0.5".

    >>> check_result({"score": float("nan")}, [Feature("score", "quality", dtype="float64")])
    'not_finite: its score is nan'
    """
    if not isinstance(result, Mapping):
        return f"bad_result: {str(result)[:80]!r} is no mapping of columns to values"
    for feature in features:
        if feature.name not in result:
            return f"incomplete: its result has no {feature.name}"
        value = result[feature.name]
        if value is None and feature.name not in optional:
            return f"incomplete: its {feature.name} is empty"
        if value is None or feature.dtype == "string":
            continue
        fault = f"bad_result: its {feature.name} is {value!r:.80} and not a number"
        try:
            # Not dtype=float64 at once, by which texts and truth values become numbers.
            numbers = np.asarray(value)
        except ValueError:  # rows of different lengths
            return fault
        if numbers.dtype.kind not in "iuf":
            return fault
        if numbers.ndim != len(feature.axes):
            return f"bad_result: its {feature.name} has {numbers.ndim} axes"
        if not np.isfinite(numbers).all():
            example = numbers if not feature.axes else numbers[~np.isfinite(numbers)][0]
            return f"not_finite: its {feature.name} is {float(example)}"
    return ""


def index_results(results: Iterable[tuple[str, Result]]) -> dict[str, Result]:
    """Return results by the name of their video; a video that has several gets an error instead.

    >>> index_results([("a", {"score": 1}), ("b", {"score": 2}), ("a", {"score": 3})])["b"]
    {'score': 2}
    >>> print(index_results([("a", {"score": 1}), ("a", {"score": 3})])["a"])
    two_results: there is more than one result of this video, so none of them counts
    """
    indexed: dict[str, Result] = {}
    for name, result in results:
        sentence = "there is more than one result of this video, so none of them counts"
        is_second = name in indexed
        indexed[name] = LostTaskError(flaw("two_results", sentence)) if is_second else result
    return indexed


def read_json_lines(path: Path) -> list[Any]:
    """Return the complete lines of a file with one JSON value a line; [] if there is no file.

    A last line without its end is still being written and left out.
    """
    if not path.is_file():
        return []
    text = read_limited(path, limits.RESULT_BYTES).decode("utf-8")
    check_value_count(text, ",[{\n")
    lines = text.split("\n")[:-1]
    return [parse_json(line, allow_nan=True) for line in lines if line.strip()]


def find_number(text: str, pattern: str) -> float:
    """Return the number that the first group of a pattern matches in a text.

    Raises ``ValueError`` unless the pattern matches once.

    >>> find_number("score: 0.25", r"score: (\\S+)")
    0.25
    """
    matches = re.findall(pattern, text)
    if not matches:
        raise ValueError(f"no line of its output matches {pattern!r}")
    if len(matches) > 1:
        raise ValueError(f"{len(matches)} lines of its output match {pattern!r}, not one")
    return float(matches[0])
