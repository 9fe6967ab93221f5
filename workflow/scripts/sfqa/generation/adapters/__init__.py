"""Adapters: each module here runs one family of methods.

A module has ``VERSION`` (raised whenever the same job gives other pictures), ``OPTIONS`` (what
``options:`` in methods.yaml may hold) and ``generate(job)``, which writes ``job.output``, an mp4
file with picture and sound, and raises where it cannot. It may use ``job.work``, an empty folder of
its own, and nothing else. Random numbers come from ``identity.generator(job.seed, job.sample_id)``.
Heavy imports stand inside ``generate``, so that reading methods.yaml stays fast.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from sfqa.generation.options import Option

if TYPE_CHECKING:
    from sfqa.generation.registry import Method


@dataclass(frozen=True)
class Job:
    """One video to make: inputs, output (mp4), private folder, seed, side in pixels, frame rate."""

    sample_id: str
    method: Method
    image: Path
    clip: Path
    output: Path
    work: Path
    seed: int
    size: int
    fps: float


class Adapter(Protocol):
    """What an adapter module offers."""

    VERSION: int
    OPTIONS: Mapping[str, Option]

    def generate(self, job: Job) -> None:
        """Write ``job.output``; raise any exception where that fails."""


def names() -> list[str]:
    """Return the names of the adapter modules.

    >>> "procedural" in names()
    True
    """
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load(name: str) -> Adapter:
    """Return the adapter module of that name; raise ``ModuleNotFoundError`` where there is none.

    >>> load("procedural").VERSION >= 1
    True
    """
    return cast(Adapter, importlib.import_module(f"{__name__}.{name}"))
