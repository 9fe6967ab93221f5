"""Blocks of numbers, one per input, for heads that read sequences (``DESIGN = "blocks"``).

A tensor keeps its first axis (frames, clips, segments), whose steps are brought to the number that
the head asks for; its other axes are flattened, unless the head reads maps. Scalars and vectors
have no steps. Tables are streamed. A block that exceeds the limit is written to the work folder and
mapped into memory. Memory holds :data:`NUMBERS_AT_ONCE` numbers of a table at a time, and of the
blocks what is not mapped.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sfqa import store, tables
from sfqa.errors import UserError, hint
from sfqa.regression.cells import Cells
from sfqa.regression.design import Files, join_reasons, select_columns
from sfqa.regression.problems import Matrix
from sfqa.regression.steps import PADDED, RULES
from sfqa.regression.steps import Steps as Steps  # heads find it here

#: Version of how features become blocks.
VERSION = 1
#: Bytes of one block that are kept in memory; a larger one is mapped from a file.
LIMIT = 1 << 30

#: Folder of mapped blocks in a work folder.
_FOLDER = "blocks"
#: Rows of a table that are read at once: at most so many, with at most so many numbers.
_BATCH_ROWS, NUMBERS_AT_ONCE = 64, 1 << 24


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
    (samples, width), or to whole maps or views (:class:`Steps`), rows in the order of
    ``sample_ids`` (sorted). ``dropped`` and ``flawed`` give 'word: sentence' by sample, as a
    :class:`~sfqa.regression.design.Design` does; flawed rows are used.
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
        shape, dtype = (len(sample_ids), *reader.row_shape()), reader.block_dtype()
        if int(np.prod(shape, dtype=np.int64)) * dtype.itemsize > limit:
            mapped.append(_block_path(Path(work), text))
            blocks[text] = _write_and_map(mapped[-1], shape, dtype, reader, row_of)
        else:
            is_padded = reader.steps.rule == PADDED
            blocks[text] = (np.zeros if is_padded else np.empty)(shape, dtype)
            reader.read_into(blocks[text], row_of)
    return BlockDesign(sample_ids, blocks, dropped, flawed, tuple(mapped))


def delete_blocks(work: Path) -> None:
    """Delete the files of the blocks in a work folder, which the next job writes again."""
    shutil.rmtree(work / _FOLDER, ignore_errors=True)


def _block_path(work: Path, text: str) -> Path:
    return work / _FOLDER / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.npy"


def _write_and_map(
    path: Path,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    reader: _InputReader,
    row_of: Mapping[str, int],
) -> Matrix:
    """Write a block to a file, by rename, and map it, so that memory holds only what is read.

    Mapped copy-on-write, since torch warns of arrays that it may not write to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        block = np.lib.format.open_memmap(temporary, "w+", dtype, shape)
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
        self.step_shape: tuple[int, ...] = ()
        self.dtypes: set[np.dtype[Any]] = set()

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
            rows = count_rows_at_once(file, columns)
            for batch in store.read_batches(file, path, rows, first_columns + columns):
                self._survey_batch(path, batch)

    def _survey_batch(self, path: Path, batch: pa.RecordBatch) -> None:
        ids, status, detail = (
            batch.column(n).to_pylist() for n in ("sample_id", "status", "detail")
        )
        cells = Cells.read(batch, self.columns)
        self.dtypes.add(cells.flat.dtype)
        self.step_shape = cells.step_shape
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
            elif self.steps.rule == PADDED and cells.steps[row] > (self.steps.count or 0):
                self.reasons[sample] = join_reasons(
                    detail[row],
                    f"too_long: {self.text} has {cells.steps[row]} {cells.first_axis}s, and the "
                    f"head reads at most {self.steps.count} (its options)",
                )
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
        """Return the shape of one sample: (steps, width), (width,) or (steps, axes of a step)."""
        first_axis, width = self.axis_and_width or ("", 0)
        if self.steps.keep_axes and len(self.step_shape) < 2 and self.step_counts:
            raise UserError(
                f"input {self.text!r}: a step has the shape {self.step_shape}, and the head reads "
                "maps, such as (channel, time, row, column); name a column of maps"
            )
        if first_axis in ("", "one"):
            return (width,)
        if self.steps.count is None and self.steps.rule != "mean" and len(self.step_counts) > 1:
            counts = sorted(self.step_counts.items())[:5]
            described = ", ".join(f"{steps} (in {samples} samples)" for steps, samples in counts)
            raise UserError(
                f"input {self.text!r}: samples have different numbers of steps: {described}; give "
                "the head a number of steps (its options)"
            )
        if self.steps.count == 0 or self.steps.rule in ("mean", "mean_first"):
            return (width,)
        count = self.steps.count or next(iter(self.step_counts), 0)
        return (count, *self.step_shape) if self.steps.keep_axes else (count, width)

    def block_dtype(self) -> np.dtype[Any]:
        """Return the type of the block: that of the tables for whole maps in float16 and views."""
        if self.steps.keep_axes and self.dtypes in ({np.dtype(np.float16)}, {np.dtype(np.uint8)}):
            return next(iter(self.dtypes))
        return np.dtype(np.float32)

    def read_into(self, block: npt.NDArray[Any], row_of: Mapping[str, int]) -> None:
        """Read every usable row again and write its numbers to its row of the block."""
        for path in self.paths:
            columns, file = ["sample_id", *self.columns], store.open_parquet(path)
            at_once = count_rows_at_once(file, self.columns)
            for batch in store.read_batches(file, path, at_once, columns):
                ids = batch.column("sample_id").to_pylist()
                rows = [row for row, sample in enumerate(ids) if sample in row_of]
                cells = Cells.read(batch, self.columns)
                if self.steps.rule == PADDED:
                    for row in rows:  # what is not written takes no space in a mapped file
                        values = cells.get_steps(row)
                        target = block[row_of[ids[row]], : len(values)]
                        target[...] = values.reshape(target.shape)
                elif rows:
                    numbers = cells.select(rows, self.steps, block.ndim > 2, block.dtype)
                    shape = (len(rows), *block.shape[1:])
                    block[[row_of[ids[row]] for row in rows]] = numbers.reshape(shape)


def count_rows_at_once(file: pq.ParquetFile, columns: Sequence[str]) -> int:
    """Return how many rows of a table are read at once, so that their numbers stay few."""
    metadata, numbers = file.metadata, 0
    for group_number in range(metadata.num_row_groups):
        group = metadata.row_group(group_number)
        chunks = (group.column(number) for number in range(group.num_columns))
        numbers += sum(c.num_values for c in chunks if c.path_in_schema.split(".")[0] in columns)
    per_row = max(1, numbers // max(1, metadata.num_rows))
    return max(1, min(_BATCH_ROWS, NUMBERS_AT_ONCE // per_row))
