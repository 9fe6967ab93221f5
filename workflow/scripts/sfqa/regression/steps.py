"""How many steps (frames, clips, segments) a head reads of an input, and which."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

PADDED = "padded"
RULES = ("uniform", "first", "cyclic", "mean", "mean_first", PADDED)


@dataclass(frozen=True)
class Steps:
    """How many steps a head reads of an input, and how a sample with another number gets them.

    ``count`` None keeps the steps, of which all samples must have as many; 0 reads their mean,
    which is no sequence. ``rule`` says how T steps are made of n: ``uniform`` takes floor(i n / T),
    i = 0 .. T - 1, as UGVQ does (arXiv 2407.21408, 5.2), and repeats steps in order if n < T;
    ``first`` takes the first T and repeats the last one (SimpleVQA); ``cyclic`` takes the first T
    and goes back to the first one if n < T (NTIRE 2025, QA Team); ``mean`` takes the mean, whatever
    T is, and ``mean_first`` the mean of the steps that ``first`` takes; ``padded`` takes all steps,
    and zeros follow until there are ``count`` of them: a sample with more steps cannot be used.

    With ``keep_axes`` a step keeps its axes, as in (channel, time, row, column), and the block has
    the type of the table, float16, float32, or uint8 of a view. The trainer converts float16 batch
    by batch, so that 1000 maps of (4, 768, 16, 7, 7) take 4.8 GB of disk, and leaves uint8 to the
    network.
    """

    count: int | None = None
    rule: str = "uniform"
    keep_axes: bool = False


def choose_steps(available: int, steps: Steps) -> npt.NDArray[np.int64]:
    """Return the indices of the available steps that a head reads, (T,).

    >>> choose_steps(20, Steps(8)).tolist(), choose_steps(3, Steps(8)).tolist()
    ([0, 2, 5, 7, 10, 12, 15, 17], [0, 0, 0, 1, 1, 1, 2, 2])
    >>> choose_steps(3, Steps(5, "first")).tolist(), choose_steps(3, Steps(5, "cyclic")).tolist()
    ([0, 1, 2, 2, 2], [0, 1, 2, 0, 1])
    """
    numbers = np.arange(available if steps.count is None else steps.count, dtype=np.int64)
    if steps.rule in ("first", "mean_first"):
        return np.minimum(numbers, available - 1)
    if steps.rule == "cyclic":
        return numbers % available
    return numbers * available // max(len(numbers), 1)
