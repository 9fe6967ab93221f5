"""The base of extractors whose rows are the results of somebody's repository.

A file of :mod:`sfqa.features.extractors` with ``COMMAND = True`` and ``WEIGHTS = True`` has a class
``Extractor`` that is a subclass of :class:`CommandExtractor`. The subclass only describes the
program (:class:`sfqa.features.command_calls.CommandAdapter`). What all programs share is in
:mod:`sfqa.features.command_runner`: a private folder for each process, links to the videos, the
time limit, the checks, the reasons of failed rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sfqa.errors import UnusableError, UserError
from sfqa.features.base import Video
from sfqa.features.command_calls import CommandAdapter
from sfqa.features.command_runner import CommandRunner
from sfqa.features.weights import Weights
from sfqa.repositories import process


class CommandExtractor(CommandAdapter):
    """An extractor whose rows are the results of a program; subclasses describe the program.

    It has the two parts of :class:`sfqa.features.base.PipelinedExtractor`.
    """

    def __init__(self, options: Mapping[str, Any], weights: Weights, device: str) -> None:
        super().__init__(options, device)
        self.weights = weights
        self.check_options()

    def check_options(self) -> None:
        """Raise :class:`UserError` for options that do not go together."""

    @staticmethod
    def check_video(video: Video) -> None:
        """Raise :class:`UnusableError` for a video that the program must not see."""

    @property
    def reader(self) -> CommandReader:
        """The reader that is sent to the worker processes."""
        return CommandReader(type(self))

    def extract(self, video: Video) -> dict[str, Any]:
        """Return the row of one video, in a process of its own."""
        (row,) = self.score([self.reader.prepare(video)])
        if isinstance(row, UnusableError):
            raise row
        return row

    def score(self, prepared: Iterable[Any]) -> Iterator[dict[str, Any] | UnusableError]:
        """Yield the row of each video, in order, as soon as the program has it."""
        program = self.weights.program
        if program is None:
            raise UserError(
                "config, features: an extractor that calls a repository needs its installation; "
                "say weights: official"
            )
        runner = CommandRunner(self, program)
        with process.end_on_sigterm():
            videos: list[Video] = []
            for video in prepared:
                videos.append(video)
                if len(videos) == self.batch:
                    yield from runner.score(videos)
                    videos = []
            yield from runner.score(videos)


@dataclass(frozen=True)
class CommandReader:
    """Checks a video before the program sees it; it decodes nothing."""

    extractor_class: type[CommandExtractor]

    def prepare(self, video: Video) -> Video:
        """Return the video; raises :class:`UnusableError` if the program must not see it."""
        self.extractor_class.check_video(video)
        return video
