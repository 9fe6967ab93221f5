"""The numbers of one input in one batch of a feature table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sfqa.errors import UserError
from sfqa.regression.steps import Steps, choose_steps


@dataclass(frozen=True)
class Cells:
    """The cells of one input in one batch of a table.

    ``flat`` holds the numbers of all rows (all steps, width); row r has ``steps[r]`` of them from
    ``starts[r]`` on. ``first_axis`` names the first axis, '' if there are no steps, and
    ``step_shape`` is that of the other axes.
    """

    names: list[str]
    flat: npt.NDArray[Any]
    starts: npt.NDArray[np.int64]
    steps: npt.NDArray[np.int64]
    width: int
    first_axis: str
    step_shape: tuple[int, ...] = ()

    @staticmethod
    def read(batch: pa.RecordBatch, columns: Sequence[str]) -> Cells:
        """Return the cells of one tensor column, or of several scalar columns side by side."""
        array = batch.column(columns[0])
        rows = np.arange(len(array), dtype=np.int64)
        if not pa.types.is_list(array.type):
            cells = [batch.column(n).cast(pa.float64()) for n in columns]
            flat = np.stack([c.to_numpy(zero_copy_only=False) for c in cells], axis=1)
            return Cells(list(columns), flat, rows, np.ones_like(rows), len(columns), "")
        metadata = batch.schema.field(columns[0]).metadata or {}
        inner_shape = [int(n) for n in metadata.get(b"inner_shape", b"").decode().split(",") if n]
        axes = metadata.get(b"axes", b"").decode().split(",")
        offsets = np.asarray(array.offsets.to_numpy(zero_copy_only=False), np.int64)
        sizes = np.where(array.is_valid().to_numpy(zero_copy_only=False), np.diff(offsets), 0)
        flat = np.asarray(array.flatten().to_numpy(zero_copy_only=False))
        first_axis, width = axes[0], int(np.prod(inner_shape, dtype=np.int64))
        if first_axis == "channel":
            lengths = set(sizes[sizes > 0].tolist())
            if len(lengths) > 1:
                raise UserError("a vector feature has rows of different lengths; make it again")
            first_axis, width = "", lengths.pop() if lengths else width
        starts = (np.cumsum(sizes) - sizes) // max(width, 1)
        flat = flat.reshape(-1, width)
        return Cells(
            list(columns), flat, starts.astype(np.int64), sizes // max(width, 1), width, first_axis,
            tuple(inner_shape),
        )  # fmt: skip

    def list_empty_columns(self) -> list[list[str]]:
        """Return for each row the columns that hold no number, or not only finite ones."""
        if self.flat.dtype.kind == "u":  # bytes are finite
            return [self.names if empty else [] for empty in self.steps == 0]
        # A large float64 number is infinite in float32; float16 needs no copy.
        is_half = self.flat.dtype == np.float16
        finite = np.isfinite(self.flat if is_half else self.flat.astype(np.float32))
        if len(self.names) > 1:
            return [[n for n, ok in zip(self.names, row, strict=True) if not ok] for row in finite]
        bad_before = np.concatenate([[0], np.cumsum(~finite.all(axis=1))])
        has_bad = bad_before[self.starts + self.steps] > bad_before[self.starts]
        return [self.names if empty else [] for empty in (self.steps == 0) | has_bad]

    def get_steps(self, row: int) -> npt.NDArray[Any]:
        """Return all steps of a row, (steps, width)."""
        return self.flat[self.starts[row] : self.starts[row] + self.steps[row]]

    def select(
        self, rows: Sequence[int], steps: Steps, as_sequence: bool, dtype: np.dtype[Any]
    ) -> npt.NDArray[Any]:
        """Return rows as (rows, steps, width) if they are a sequence, else as (rows, width)."""
        starts, counts = self.starts[list(rows)], self.steps[list(rows)]
        if as_sequence:
            indices = [
                start + choose_steps(int(count), steps)
                for start, count in zip(starts, counts, strict=True)
            ]
            return self.flat[np.stack(indices)].astype(dtype, copy=False)
        if (counts == 1).all():
            return self.flat[starts].astype(dtype)
        selected = (
            start + choose_steps(int(count), steps)
            if steps.rule == "mean_first"
            else slice(start, start + count)
            for start, count in zip(starts, counts, strict=True)
        )
        means = [self.flat[rows].mean(axis=0, dtype=np.float64) for rows in selected]
        return np.stack(means).astype(dtype)
