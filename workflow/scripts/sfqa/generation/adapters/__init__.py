"""Adapters: each module here runs one method, or one family of them.

A module has ``VERSION`` (increased whenever the same job gives other pictures) and ``OPTIONS`` (the
``options:`` of methods.yaml, declared as in :mod:`sfqa.options`). Heavy imports are inside
functions, so that reading methods.yaml stays fast.

For methods of kind ``procedural`` it has ``generate(job)``, which writes ``job.output``, an mp4
file with picture and sound, or raises an exception. It may write only there and to ``job.work``, an
empty folder of its own. Random numbers come from
``identity.random_generator(job.seed, job.sample_id)``.

For methods of kind ``command`` it has ``GENERATOR``, a :class:`sfqa.generation.generator.Generator`
that describes the program; :mod:`sfqa.generation.command_engine` runs it.
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
    """What every adapter module has."""

    VERSION: int

    @property
    def OPTIONS(self) -> Options:  # noqa: N802
        """The declared options of the method."""


class ProceduralAdapter(Adapter, Protocol):
    """The module of a procedural method."""

    def generate(self, job: RenderJob) -> None:
        """Write ``job.output``; raises an exception if that fails."""


class CommandAdapter(Adapter, Protocol):
    """The module of a method of kind ``command``."""

    GENERATOR: Generator


def list_adapters() -> list[str]:
    """Return the names of the adapter modules.

    >>> "procedural" in list_adapters()
    True
    """
    return ADAPTERS.names()


def load(name: str) -> Adapter:
    """Return the adapter module with a name; raises :class:`UserError` if there is none.

    >>> load("procedural").VERSION >= 1
    True
    """
    return cast(Adapter, ADAPTERS.load(name))
