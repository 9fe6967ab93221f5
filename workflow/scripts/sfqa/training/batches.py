"""Which rows are in which batch: their order depends on the seed and the epoch alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from sfqa.training.process_group import count_processes, select_part
from sfqa.training.rows import Inputs, RowSource, shuffle_rows, split_rows


@dataclass(frozen=True)
class BatchOrder:
    """The batches of a training in order.

    ``rows`` are the row numbers, ``size`` the rows of a batch (0: all rows). An epoch passes over
    all rows ``passes`` times, in another order each time.
    """

    rows: Tensor
    size: int
    seed: int
    passes: int = 1

    @property
    def largest(self) -> int:
        """The number of rows of a batch; a last batch may have one row more, or fewer."""
        return min(self.size or len(self.rows), max(1, len(self.rows)))

    def list_passes(self, epoch: int) -> range:
        """Return the numbers of the passes over all rows in an epoch, counted from 1."""
        return range((epoch - 1) * self.passes + 1, epoch * self.passes + 1)

    def list_batches(self, epoch: int) -> list[Tensor]:
        """Return the row numbers of the batches of an epoch, pass by pass."""
        return [batch for number in self.list_passes(epoch) for batch in self._list_pass(number)]

    def iterate_inputs(
        self,
        source: RowSource,
        epoch: int,
        first_step: int,
        split: Callable[[Tensor], list[Tensor]],
    ) -> Iterator[Inputs]:
        """Yield the inputs of an epoch from a step on, in the pieces of ``split``."""
        batches = self.list_batches(epoch)
        size = len(batches) // self.passes
        for start, pass_number in zip(
            range(0, len(batches), size), self.list_passes(epoch), strict=True
        ):
            steps = batches[max(start, first_step) : start + size]
            yield from source.iterate(
                [piece for batch in steps for piece in split(batch)], pass_number
            )

    def _list_pass(self, pass_number: int) -> list[Tensor]:
        if self.largest >= len(self.rows):
            return [self.rows]
        batches = split_rows(shuffle_rows(self.rows, self.seed, pass_number), self.largest)
        if len(batches[-1]) == 1 and len(batches) > 1:
            # One row has no PLCC, no pair and no variance for a batch norm.
            batches[-2:] = [torch.cat(batches[-2:])]
        return batches


def split_batch(batch: Tensor, piece_rows: int) -> list[Tensor]:
    """Return the pieces of a batch that this process computes, at most ``piece_rows`` rows each.

    0: its part of the batch in one piece. A process without rows has no piece.
    """
    if count_processes() > 1:
        batch = select_part(batch)
        if not len(batch):
            return []
    return split_rows(batch, piece_rows)
