"""Where a training gets the inputs of its rows from: tensors in memory, or a torch data set."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sfqa.identity import seed_of
from sfqa.training.augmentation import ViewReading

#: Numbers of features that are held at once for prediction, and kept from epoch to epoch (128 MiB).
NUMBERS_AT_ONCE = 2**25

#: What a network is called with: a tensor, or tensors by role.
Inputs = Tensor | dict[str, Tensor]


class RowSource(Protocol):
    """Inputs by row number."""

    @property
    def rows_at_once(self) -> int:
        """The number of rows that are predicted at a time."""

    def iterate(self, pieces: Sequence[Tensor], epoch: int) -> Iterator[Inputs]:
        """Yield the inputs of each piece, a tensor of row numbers, on the device and in order.

        ``epoch`` counts the passes over the rows from 1; it is 0 for validation and prediction,
        which change nothing at random.
        """


class TensorRows:
    """Inputs from tensors in memory, standardised by a mean and a factor for each column.

    ``blocks`` maps a role to (rows, ..., width), on the CPU or the device; with ``is_mapping``
    false the network is called with the one tensor. A role without a mean is not standardised. The
    inputs have the type ``dtype``, and the blocks may have another one: a batch is converted at a
    time, so that mapped float16 maps are never in memory as a whole. A block of uint8 without a
    mean is a view, whose bytes the network gets as they are. ``repeated`` are tensors of
    row numbers that are asked for in every epoch: their inputs are kept. ``draws`` maps a role to
    how many steps (second axis) of a row are drawn, without repetition, in an epoch of the
    training; the draw depends on ``seed``, epoch and row alone. ``readings`` says by role how views
    are changed in the training, which depends on the same, and what prediction reads of them.
    ``segments`` is into how many runs of equal length the steps are cut for the training, whose
    passes read one run after another. Rows are indexed, since with a torch loader an epoch of a
    small network takes a third longer (docs/regression.md).
    """

    def __init__(
        self,
        blocks: Mapping[str, Tensor],
        mean: Mapping[str, Tensor],
        factor: Mapping[str, Tensor],
        device: str,
        is_mapping: bool,
        repeated: Sequence[Tensor] = (),
        dtype: torch.dtype | None = None,
        draws: Mapping[str, int] | None = None,
        seed: int = 0,
        segments: int = 1,
        readings: Mapping[str, ViewReading] | None = None,
    ) -> None:
        self.readings = dict(readings or {})
        self.blocks, self.device, self.is_mapping = blocks, device, is_mapping
        self.dtype, self.seed, self.segments = dtype, seed, segments
        self.draws = {
            role: count
            for role, count in (draws or {}).items()
            if 0 < count < blocks[role].shape[1]
        }
        self.mean = {name: values.to(device) for name, values in mean.items()}
        self.factor = {name: values.to(device) for name, values in factor.items()}
        row_numbers = sum(math.prod(values.shape[1:]) for values in blocks.values())
        self.rows_at_once = max(1, NUMBERS_AT_ONCE // max(1, row_numbers))
        self._repeated = [rows for rows in repeated if len(rows) <= self.rows_at_once]
        self._kept: dict[int, Inputs] = {}

    def iterate(self, pieces: Sequence[Tensor], epoch: int) -> Iterator[Inputs]:
        """Yield the standardised inputs of each piece."""
        for rows in pieces:
            if epoch and (self.draws or self.readings or self.segments > 1):
                yield self.select(rows, epoch)
                continue
            number = next((n for n, piece in enumerate(self._repeated) if piece is rows), None)
            if number is None:
                yield self.select(rows)
            else:
                if number not in self._kept:
                    self._kept[number] = self.select(rows)
                yield self._kept[number]

    def select(self, rows: Tensor, epoch: int = 0) -> Inputs:
        """Return the standardised inputs of some rows on the device."""
        inputs = {}
        for name in self.blocks:
            selected = self._select_steps(name, rows, epoch)
            if name in self.readings:
                selected = self._change_views(name, selected, rows, epoch)
            if name in self.mean:
                mean = self.mean[name]
                selected = (selected.to(self.device, mean.dtype) - mean) * self.factor[name]
            is_view = selected.dtype == torch.uint8
            inputs[name] = selected.to(self.device, None if is_view else self.dtype)
        return inputs if self.is_mapping else inputs["x"]

    def _select_steps(self, name: str, rows: Tensor, epoch: int) -> Tensor:
        """Return some rows of a block, in a training epoch with the steps that it reads."""
        values = self.blocks[name]
        if epoch and self.segments > 1:
            length = values.shape[1] // self.segments
            start = (epoch - 1) % self.segments * length
            values = values[:, start : start + length]
        if not epoch and name in self.readings:
            values = values[:, : self.readings[name].scored_steps or None]
        row_index = rows.to(values.device)
        if not epoch or name not in self.draws:
            return values[row_index]
        drawn_steps = []
        for row in rows.tolist():
            generator = torch.Generator().manual_seed(seed_of(self.seed, name, epoch, row))
            order = torch.randperm(values.shape[1], generator=generator)
            drawn_steps.append(order[: self.draws[name]])
        return values[row_index[:, None], torch.stack(drawn_steps).to(values.device)]

    def _change_views(self, name: str, selected: Tensor, rows: Tensor, epoch: int) -> Tensor:
        """Return the views of some rows changed at random, or as prediction reads them."""
        reading = self.readings[name]
        if not epoch:
            return reading.cut_centre(selected)
        changed = []
        for row, steps in zip(rows.tolist(), selected, strict=True):
            # A generator for each row, so that pieces, processes and resumes change nothing.
            seed = seed_of(self.seed, "view", name, epoch, row)
            changed.append(reading.change(steps, torch.Generator().manual_seed(seed)))
        return torch.stack(changed)


class DatasetRows:
    """Inputs from a ``torch.utils.data.Dataset``, read by worker processes.

    The data set is indexed with ``(row, seed)``. ``seed`` is None for validation; else it depends
    on the seed of the training, the epoch and the row, and random changes (crops, flips) are drawn
    from it. Then they depend neither on the number of workers nor on where a run was killed.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        device: str,
        seed: int,
        workers: int = 0,
        rows_at_once: int = 16,
    ) -> None:
        self.dataset, self.device, self.seed, self.workers = dataset, device, seed, workers
        self.rows_at_once = rows_at_once

    def iterate(self, pieces: Sequence[Tensor], epoch: int) -> Iterator[Inputs]:
        """Yield the inputs of each piece; items are collated as torch's loader does."""
        keys = [
            [(row, seed_of(self.seed, epoch, row) if epoch else None) for row in piece.tolist()]
            for piece in pieces
        ]
        loader = DataLoader(
            self.dataset,
            batch_sampler=keys,
            num_workers=self.workers,
            pin_memory=self.device.startswith("cuda"),
            generator=torch.Generator(),  # the loader's own draw leaves torch's generator alone
        )
        for inputs in loader:
            if isinstance(inputs, Tensor):
                yield inputs.to(self.device, non_blocking=True)
            else:
                yield {k: v.to(self.device, non_blocking=True) for k, v in inputs.items()}


def split_rows(rows: Tensor, size: int) -> list[Tensor]:
    """Return the rows in order, in parts of at most ``size``; 0: in one part.

    >>> [part.tolist() for part in split_rows(torch.arange(5), 2)]
    [[0, 1], [2, 3], [4]]
    """
    return list(rows.split(size)) if size and len(rows) else [rows]


def shuffle_rows(rows: Tensor, seed: int, epoch: int) -> Tensor:
    """Return the rows in an order that depends on the seed, the epoch and their number alone."""
    generator = torch.Generator().manual_seed(seed_of(seed, "order", epoch))
    return rows[torch.randperm(len(rows), generator=generator)]
