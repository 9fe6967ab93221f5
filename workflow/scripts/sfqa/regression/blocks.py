"""Blocks of numbers, one per input, for heads that read sequences (``DESIGN = "blocks"``).

A tensor keeps its first axis (frames, clips, segments), whose steps are brought to the number that
the head asks for; its other axes are flattened. Scalars and vectors have no steps. Tables are
streamed. A block that exceeds the limit is written to the work folder and mapped into memory.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sfqa import store, tables
from sfqa.errors import UserError, hint
from sfqa.regression.design import Files, join_reasons, select_columns
from sfqa.regression.problems import Matrix

#: Version of how features become blocks.
VERSION = 1
#: Bytes of one block that are kept in memory; a larger one is mapped from a file.
LIMIT = 1 << 30
RULES = ("uniform", "first", "cyclic", "mean")

_BATCH_ROWS = 64


@dataclass(frozen=True)
class Steps:
    """How many steps a head reads of an input, and how a sample with another number gets them.

    ``count`` None keeps the steps, of which all samples must have as many; 0 reads their mean,
    which is no sequence. ``rule`` says how T steps are made of n: ``uniform`` takes floor(i n / T),
    i = 0 .. T - 1, as UGVQ does (arXiv 2407.21408, 5.2), and repeats steps in order if n < T;
    ``first`` takes the first T and repeats the last one (SimpleVQA); ``cyclic`` takes the first T
    and goes back to the first one if n < T (NTIRE 2025, QA Team); ``mean`` takes the mean, whatever
    T is.
    """

    count: int | None = None
    rule: str = "uniform"


@dataclass(frozen=True)
class HeadInput:
    """How a head reads one of its inputs: its role in the network, its steps, whether it is used.

    An input that is not used (ablated) is read from the tables and left out of the network.
    """

    role: str
    steps: Steps = field(default_factory=Steps)
    used: bool = True


@dataclass(frozen=True)
class BlockDesign:
    """One block per input, the samples that can be used, and why the others cannot.

    ``X`` maps an input, in the order of the configuration, to float32 (samples, steps, width) or
    (samples, width), rows in the order of ``sample_ids`` (sorted). ``dropped`` and ``flawed`` give
    'word: sentence' by sample, as a :class:`~sfqa.regression.design.Design` does; flawed rows are
    used.
    """

    sample_ids: list[str]
    X: dict[str, Matrix]
    dropped: dict[str, str]
    flawed: dict[str, str] = field(default_factory=dict)
    mapped: tuple[Path, ...] = ()

    @property
    def names(self) -> list[str]:
        """Every block with the shape of a row: 'slowfast (8, 2304)'."""
        return [f"{name} {x.shape[1:]}" for name, x in self.X.items()]

    def discard(self) -> None:
        """Forget the blocks and delete the files that they are mapped from."""
        self.X.clear()
        for path in self.mapped:
            path.unlink(missing_ok=True)


def choose_steps(available: int, steps: Steps) -> npt.NDArray[np.int64]:
    """Return the indices of the available steps that a head reads, (T,).

    >>> choose_steps(20, Steps(8)).tolist(), choose_steps(3, Steps(8)).tolist()
    ([0, 2, 5, 7, 10, 12, 15, 17], [0, 0, 0, 1, 1, 1, 2, 2])
    >>> choose_steps(3, Steps(5, "first")).tolist(), choose_steps(3, Steps(5, "cyclic")).tolist()
    ([0, 1, 2, 2, 2], [0, 1, 2, 0, 1])
    """
    numbers = np.arange(available if steps.count is None else steps.count, dtype=np.int64)
    if steps.rule == "first":
        return np.minimum(numbers, available - 1)
    if steps.rule == "cyclic":
        return numbers % available
    return numbers * available // max(len(numbers), 1)


def load_blocks(
    files: Files,
    inputs: Sequence[str],
    steps: Sequence[Steps],
    work: Path,
    limit: int = LIMIT,
) -> BlockDesign:
    """Return a block for every input, over all samples of the extractors' files.

    ``files`` maps an extractor to its feature tables (shards, in any order). An input is one
    tensor column ('clip.image') or an extractor: its only numeric column, or all of them if they
    are scalars. ``steps`` has one entry per input. Blocks of more than ``limit`` bytes are
    written below ``work`` and mapped. Raises :class:`UserError` for inputs that are missing or
    are several tensors, shards that disagree, a sample in two rows, and numbers of steps that
    differ if the head asks for no number.
    """
    if not inputs or len(inputs) != len(steps):
        raise UserError(f"inputs {', '.join(inputs) or 'none'}: the head reads {len(steps)} blocks")
    if len(set(inputs)) != len(inputs):
        raise UserError(f"inputs {', '.join(inputs)}: one is named twice; name each once")
    for one_input in steps:
        if one_input.rule not in RULES:
            raise ValueError(f"no rule {one_input.rule!r}; there are {', '.join(RULES)}")
    readers = {}
    for text, input_steps in zip(inputs, steps, strict=True):
        extractor, _, column = text.partition(".")
        if not files.get(extractor):
            raise UserError(
                f"input {text!r}: no features are called {extractor!r}; {hint(extractor, files)}"
            )
        paths = sorted(map(Path, files[extractor]))
        reader = _InputReader(text, paths, column or None, input_steps)
        reader.survey()
        readers[text] = reader
    samples = sorted(set().union(*(reader.samples for reader in readers.values())))
    dropped, flawed = {}, {}
    for sample in samples:
        reasons = [r for reader in readers.values() if (r := reader.find_reason(sample))]
        notes = [r.flawed[sample] for r in readers.values() if sample in r.flawed]
        if reasons:
            dropped[sample] = "; ".join(dict.fromkeys(reasons))
        elif notes:
            flawed[sample] = "; ".join(dict.fromkeys(notes))
    sample_ids = [sample for sample in samples if sample not in dropped]
    row_of = {sample: row for row, sample in enumerate(sample_ids)}
    blocks, mapped = {}, []
    for text, reader in readers.items():
        shape = (len(sample_ids), *reader.row_shape())
        if int(np.prod(shape, dtype=np.int64)) * 4 > limit:
            mapped.append(_block_path(Path(work), text))
            blocks[text] = _write_and_map(mapped[-1], shape, reader, row_of)
        else:
            blocks[text] = np.empty(shape, np.float32)
            reader.read_into(blocks[text], row_of)
    return BlockDesign(sample_ids, blocks, dropped, flawed, tuple(mapped))


def _block_path(work: Path, text: str) -> Path:
    return work / "blocks" / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.npy"


def _write_and_map(
    path: Path, shape: tuple[int, ...], reader: _InputReader, row_of: Mapping[str, int]
) -> Matrix:
    """Write a block to a file, by rename, and map it, so that memory holds only what is read.

    Mapped copy-on-write, since torch warns of arrays that it may not write to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        block = np.lib.format.open_memmap(temporary, "w+", np.float32, shape)
        reader.read_into(block, row_of)
        block.flush()
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    mapped_block: Matrix = np.load(path, mmap_mode="c")
    return mapped_block


class _InputReader:
    """Reads one input twice: to survey which rows can be used and their shape, then the numbers."""

    def __init__(self, text: str, paths: list[Path], column: str | None, steps: Steps) -> None:
        self.text, self.paths, self.column, self.steps = text, paths, column, steps
        self.extractor = text.partition(".")[0]
        self.samples: set[str] = set()
        self.reasons: dict[str, str] = {}
        self.flawed: dict[str, str] = {}
        self.step_counts: Counter[int] = Counter()
        self.columns: list[str] = []
        self.axis_and_width: tuple[str, int] | None = None

    def find_reason(self, sample: str) -> str:
        """Return why a sample has no usable row here, '' if it has one."""
        if sample in self.samples:
            return self.reasons.get(sample, "")
        return f"no_features: {self.extractor} has no row of this sample"

    def survey(self) -> None:
        """Read every row once and note its sample, its reason or its shape, not its numbers."""
        for path in self.paths:
            file = store.open_parquet(path)
            columns = select_columns(path, file.schema_arrow, [self.column])
            lists = [n for n in columns if pa.types.is_list(file.schema_arrow.field(n).type)]
            if lists and len(columns) > 1:
                raise UserError(
                    f"input {self.text!r}: {self.extractor} has {len(columns)} columns, "
                    f"{', '.join(columns)}; a block is one tensor, as '{self.extractor}.{lists[0]}'"
                )
            if self.columns and columns != self.columns:
                raise UserError(
                    f"{path}: its columns {', '.join(columns)} are not those of the other tables "
                    f"of {self.extractor} ({', '.join(self.columns)}); delete it, so that it is "
                    "made again"
                )
            self.columns = columns
            first_columns = ["sample_id", "status", "detail"]
            for batch in store.read_batches(file, path, _BATCH_ROWS, first_columns + columns):
                self._survey_batch(path, batch)

    def _survey_batch(self, path: Path, batch: pa.RecordBatch) -> None:
        ids, status, detail = (
            batch.column(n).to_pylist() for n in ("sample_id", "status", "detail")
        )
        cells = _Cells.read(batch, self.columns)
        empty_columns = cells.list_empty_columns()
        for row, sample in enumerate(ids):
            if sample in self.samples:
                raise UserError(
                    f"{path}: the sample {sample!r} is in two rows of {self.extractor}; delete the "
                    "table that is no longer made (an old shard?)"
                )
            self.samples.add(sample)
            if status[row] == tables.FAILED:
                self.reasons[sample] = detail[row]
            elif empty_columns[row]:
                names = ", ".join(f"{self.extractor}.{c}" for c in empty_columns[row])
                self.reasons[sample] = join_reasons(detail[row], f"empty_feature: {names}")
            else:
                self.step_counts[int(cells.steps[row])] += 1
                if status[row] == tables.FLAWED:
                    self.flawed[sample] = detail[row]
                axis_and_width = (cells.first_axis, cells.width)
                if self.axis_and_width not in (None, axis_and_width):
                    raise UserError(
                        f"{path}: {self.text} has the shape {axis_and_width}, in the other tables "
                        f"{self.axis_and_width}; delete the older ones, so that they are made again"
                    )
                self.axis_and_width = axis_and_width

    def row_shape(self) -> tuple[int, ...]:
        """Return the shape of one sample: (steps, width) or (width,)."""
        first_axis, width = self.axis_and_width or ("", 0)
        if first_axis in ("", "one"):
            return (width,)
        if self.steps.count is None and self.steps.rule != "mean" and len(self.step_counts) > 1:
            counts = sorted(self.step_counts.items())[:5]
            described = ", ".join(f"{steps} (in {samples} samples)" for steps, samples in counts)
            raise UserError(
                f"input {self.text!r}: samples have different numbers of steps: {described}; give "
                "the head a number of steps (its options)"
            )
        if self.steps.count == 0 or self.steps.rule == "mean":
            return (width,)
        return (self.steps.count or next(iter(self.step_counts), 0), width)

    def read_into(self, block: npt.NDArray[np.float32], row_of: Mapping[str, int]) -> None:
        """Read every usable row again and write its numbers to its row of the block."""
        for path in self.paths:
            columns = ["sample_id", *self.columns]
            for batch in store.read_batches(store.open_parquet(path), path, _BATCH_ROWS, columns):
                ids = batch.column("sample_id").to_pylist()
                rows = [row for row, sample in enumerate(ids) if sample in row_of]
                if rows:
                    cells = _Cells.read(batch, self.columns)
                    numbers = cells.select(rows, self.steps, as_sequence=block.ndim == 3)
                    block[[row_of[ids[row]] for row in rows]] = numbers


@dataclass(frozen=True)
class _Cells:
    """The cells of one input in one batch of a table.

    ``flat`` holds the numbers of all rows (all steps, width); row r has ``steps[r]`` of them from
    ``starts[r]`` on. ``first_axis`` names the first axis, '' if there are no steps.
    """

    names: list[str]
    flat: npt.NDArray[Any]
    starts: npt.NDArray[np.int64]
    steps: npt.NDArray[np.int64]
    width: int
    first_axis: str

    @staticmethod
    def read(batch: pa.RecordBatch, columns: Sequence[str]) -> _Cells:
        array = batch.column(columns[0])
        rows = np.arange(len(array), dtype=np.int64)
        if not pa.types.is_list(array.type):
            cells = [batch.column(n).cast(pa.float64()) for n in columns]
            flat = np.stack([c.to_numpy(zero_copy_only=False) for c in cells], axis=1)
            return _Cells(list(columns), flat, rows, np.ones_like(rows), len(columns), "")
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
        return _Cells(
            list(columns), flat, starts.astype(np.int64), sizes // max(width, 1), width, first_axis
        )

    def list_empty_columns(self) -> list[list[str]]:
        """Return for each row the columns that hold no number, or not only finite ones."""
        finite = np.isfinite(self.flat.astype(np.float32))
        if len(self.names) > 1:
            return [[n for n, ok in zip(self.names, row, strict=True) if not ok] for row in finite]
        bad_before = np.concatenate([[0], np.cumsum(~finite.all(axis=1))])
        has_bad = bad_before[self.starts + self.steps] > bad_before[self.starts]
        return [self.names if empty else [] for empty in (self.steps == 0) | has_bad]

    def select(
        self, rows: Sequence[int], steps: Steps, as_sequence: bool
    ) -> npt.NDArray[np.float32]:
        """Return rows as (rows, steps, width) if they are a sequence, else as (rows, width)."""
        starts, counts = self.starts[list(rows)], self.steps[list(rows)]
        if as_sequence:
            indices = [
                start + choose_steps(int(count), steps)
                for start, count in zip(starts, counts, strict=True)
            ]
            return self.flat[np.stack(indices)].astype(np.float32)
        if (counts == 1).all():
            return self.flat[starts].astype(np.float32)
        means = [
            self.flat[start : start + count].mean(axis=0, dtype=np.float64)
            for start, count in zip(starts, counts, strict=True)
        ]
        return np.stack(means).astype(np.float32)
