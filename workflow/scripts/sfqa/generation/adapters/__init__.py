"""Adapters: each module here runs one method, or one family of them.

A module has ``VERSION`` (raised whenever the same job gives other pictures) and ``OPTIONS`` (what
``options:`` in methods.yaml may hold, declared as :mod:`sfqa.options` says). Heavy imports stand
inside functions, so that reading methods.yaml stays fast.

For methods of kind ``procedural`` it has ``generate(job)``, which writes ``job.output``, an mp4
file with picture and sound, and raises where it cannot. It may use ``job.work``, an empty folder of
its own, and nothing else. Random numbers come from ``identity.generator(job.seed, job.sample_id)``.

For methods of kind ``command`` it has ``GENERATOR``, a :class:`sfqa.generation.generator.Generator`
that describes the program; :mod:`sfqa.generation.command` runs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from sfqa.generation.generator import Generator
from sfqa.options import Options
from sfqa.plugins import PluginPackage

#: All adapters, by the names of their files.
ADAPTERS = PluginPackage(__name__, Path(__file__).parent, "adapter")


@dataclass(frozen=True)
class RenderJob:
    """One video that a procedural adapter renders.

    ``options`` are the method's own, without the defaults of ``OPTIONS``. ``output`` is the mp4
    file to write, ``work`` a private folder, ``size`` the side of the video in pixels.
    """

    sample_id: str
    options: Mapping[str, float | str]
    image: Path
    clip: Path
    output: Path
    work: Path
    seed: int
    size: int
    fps: float


class Adapter(Protocol):
    """What every adapter module offers."""

    VERSION: int

    @property
    def OPTIONS(self) -> Options:  # noqa: N802
        """What ``options:`` in methods.yaml may hold."""


class Painter(Adapter, Protocol):
    """What the module of a procedural method offers beside it."""

    def generate(self, job: RenderJob) -> None:
        """Write ``job.output``; raise any exception where that fails."""


class Driver(Adapter, Protocol):
    """What the module of a method of kind ``command`` offers beside it."""

    GENERATOR: Generator


def names() -> list[str]:
    """Return the names of the adapter modules.

    >>> "procedural" in names()
    True
    """
    return ADAPTERS.names()


def load(name: str) -> Adapter:
    """Return the adapter module of that name; raise :class:`UserError` where there is none.

    >>> load("procedural").VERSION >= 1
    True
    """
    return cast(Adapter, ADAPTERS.load(name))
