"""Blocks of numbers, one per input, for heads that read sequences (``DESIGN = "blocks"``).

A tensor keeps its first axis (frames, clips, segments), brought to the head's number of steps by a
stated rule; its other axes are flattened. Scalars and vectors have no steps. Tables are streamed;
a block that exceeds the limit lies in a file of the work folder and is mapped into memory.
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
from sfqa.regression.design import Files, Matrix, columns_of, joined

#: Version of how features become blocks.
VERSION = 1
#: Bytes of one block that are kept in memory; a larger one is mapped from a file.
LIMIT = 1 << 30
RULES = ("uniform", "first", "cyclic", "mean")

_BATCH_ROWS = 64


@dataclass(frozen=True)
class Form:
    """How a head wants an input: how many steps, and what is done where a sample has others.

    ``steps`` None keeps the steps that all samples have; 0 is no sequence. Of n there and T wanted,
    ``uniform`` takes floor(i n / T), i = 0 .. T - 1: UGVQ's cut (arXiv 2407.21408, 5.2), which
    repeats steps in order where n < T; ``first`` the first T, the last one repeated (SimpleVQA);
    ``cyclic`` the first T, from the first one again where n < T (NTIRE 2025, QA Team);
    ``mean`` the mean over steps, whatever T.
    """

    steps: int | None = None
    rule: str = "uniform"


@dataclass(frozen=True)
class Blocks:
    """One block per input and the samples that can be used; why the others cannot.

    ``X`` maps an input, in the order given, to float32 (samples, steps, width) or (samples, width),
    rows in the order of ``sample_ids`` (sorted). ``dropped`` and ``flawed`` give 'word: sentence'
    by sample, as a :class:`~sfqa.regression.design.Design` does; flawed rows are used.
    """

    sample_ids: list[str]
    X: dict[str, Matrix]
    dropped: dict[str, str]
    flawed: dict[str, str] = field(default_factory=dict)
    mapped: tuple[Path, ...] = ()

    @property
    def names(self) -> list[str]:
        """Every block with its shape without samples: 'slowfast (8, 2304)'."""
        return [f"{name} {x.shape[1:]}" for name, x in self.X.items()]

    def discard(self) -> None:
        """Delete the files that blocks are mapped from; the blocks are gone with them."""
        self.X.clear()
        for path in self.mapped:
            path.unlink(missing_ok=True)


def places(there: int, form: Form) -> npt.NDArray[np.int64]:
    """Return which of the steps that are there make the steps wanted, (T,).

    >>> places(20, Form(8)).tolist(), places(3, Form(8)).tolist()
    ([0, 2, 5, 7, 10, 12, 15, 17], [0, 0, 0, 1, 1, 1, 2, 2])
    >>> places(3, Form(5, "first")).tolist(), places(3, Form(5, "cyclic")).tolist()
    ([0, 1, 2, 2, 2], [0, 1, 2, 0, 1])
    """
    wanted = np.arange(there if form.steps is None else form.steps, dtype=np.int64)
    if form.rule == "first":
        return np.minimum(wanted, there - 1)
    if form.rule == "cyclic":
        return wanted % there
    return wanted * there // max(len(wanted), 1)


def load_blocks(
    files: Files,
    inputs: Sequence[str],
    forms: Sequence[Form],
    work: Path,
    limit: int = LIMIT,
) -> Blocks:
    """Return a block for every input, over all samples of the extractors' files.

    ``files`` maps an extractor to its feature tables (shards, in any order). An input is one
    tensor column ('clip.image'), or an extractor: its only numeric column, or all of them where
    they are scalars. ``forms`` gives a form per input. Blocks of more than ``limit`` bytes are
    written below ``work`` and mapped. Raises :class:`UserError` for inputs that are not there or
    are several tensors, shards that disagree, samples that are there twice, and steps that differ
    where the head says no number.
    """
    if not inputs or len(inputs) != len(forms):
        raise UserError(f"inputs {', '.join(inputs) or 'none'}: the head reads {len(forms)} blocks")
    if len(set(inputs)) != len(inputs):
        raise UserError(f"inputs {', '.join(inputs)}: one is named twice; name each once")
    for form in forms:
        if form.rule not in RULES:
            raise ValueError(f"no rule {form.rule!r}; there are {', '.join(RULES)}")
    parts = {}
    for text, form in zip(inputs, forms, strict=True):
        extractor, _, column = text.partition(".")
        if not files.get(extractor):
            raise UserError(
                f"input {text!r}: no features are called {extractor!r}; {hint(extractor, files)}"
            )
        parts[text] = _Part(text, sorted(map(Path, files[extractor])), column or None, form)
        parts[text].survey()
    everyone = sorted(set().union(*(p.seen for p in parts.values())))
    dropped, flawed = {}, {}
    for sample in everyone:
        reasons = [r for p in parts.values() if (r := p.why_not(sample))]
        notes = [p.flawed[sample] for p in parts.values() if sample in p.flawed]
        if reasons:
            dropped[sample] = "; ".join(dict.fromkeys(reasons))
        elif notes:
            flawed[sample] = "; ".join(dict.fromkeys(notes))
    kept = [s for s in everyone if s not in dropped]
    row_of = {s: n for n, s in enumerate(kept)}
    made, mapped = {}, []
    for text, part in parts.items():
        shape = (len(kept), *part.shape())
        large = int(np.prod(shape, dtype=np.int64)) * 4 > limit
        if large:
            mapped.append(_file(Path(work), text))
            made[text] = _mapped(mapped[-1], shape, part, row_of)
        else:
            made[text] = np.empty(shape, np.float32)
            part.fill(made[text], row_of)
    return Blocks(kept, made, dropped, flawed, tuple(mapped))


def _file(work: Path, text: str) -> Path:
    return work / "blocks" / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.npy"


def _mapped(path: Path, shape: tuple[int, ...], part: _Part, row_of: Mapping[str, int]) -> Matrix:
    """Write a block to a file, by rename, and map it: memory holds what is being read only.

    Mapped copy-on-write, since torch warns of arrays that it may not write to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        out = np.lib.format.open_memmap(temporary, "w+", np.float32, shape)
        part.fill(out, row_of)
        out.flush()
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    found: Matrix = np.load(path, mmap_mode="c")
    return found


class _Part:
    """One input: surveyed first (which rows can be used, of what shape), then read into place."""

    def __init__(self, text: str, paths: list[Path], column: str | None, form: Form) -> None:
        self.text, self.paths, self.column, self.form = text, paths, column, form
        self.extractor = text.partition(".")[0]
        self.seen: dict[str, Path] = {}
        self.reasons: dict[str, str] = {}
        self.flawed: dict[str, str] = {}
        self.steps: Counter[int] = Counter()
        self.columns: list[str] = []
        self.kind: tuple[str, int] | None = None

    def why_not(self, sample: str) -> str:
        """Why a sample has no row here, '' where it has one."""
        if sample in self.seen:
            return self.reasons.get(sample, "")
        return f"no_features: {self.extractor} has no row of this sample"

    def survey(self) -> None:
        """Read every row once: names, reasons, steps; nothing is kept of the numbers."""
        for path in self.paths:
            file = store.open_parquet(path)
            here = columns_of(path, file.schema_arrow, [self.column])
            lists = [n for n in here if pa.types.is_list(file.schema_arrow.field(n).type)]
            if lists and len(here) > 1:
                raise UserError(
                    f"input {self.text!r}: {self.extractor} has {len(here)} columns, "
                    f"{', '.join(here)}; a block is one tensor, as '{self.extractor}.{lists[0]}'"
                )
            if self.columns and here != self.columns:
                raise UserError(
                    f"{path}: its columns {', '.join(here)} are not those of the other tables of "
                    f"{self.extractor} ({', '.join(self.columns)}); delete it, so that it is made "
                    "again"
                )
            self.columns = here
            head = ["sample_id", "status", "detail"]
            for batch in store.read_batches(file, path, _BATCH_ROWS, head + here):
                self._survey(path, batch)

    def _survey(self, path: Path, batch: pa.RecordBatch) -> None:
        ids, status, detail = (
            batch.column(n).to_pylist() for n in ("sample_id", "status", "detail")
        )
        cells = _Cells.of(batch, self.columns)
        empty = cells.empty()
        for row, sample in enumerate(ids):
            if sample in self.seen:
                raise UserError(
                    f"{path}: the sample {sample!r} is in two rows of {self.extractor}; delete the "
                    "table that is no longer made (an old shard?)"
                )
            self.seen[sample] = path
            if status[row] == tables.FAILED:
                self.reasons[sample] = detail[row]
            elif empty[row]:
                names = ", ".join(f"{self.extractor}.{c}" for c in empty[row])
                self.reasons[sample] = joined(detail[row], f"empty_feature: {names}")
            else:
                self.steps[int(cells.steps[row])] += 1
                if status[row] == tables.FLAWED:
                    self.flawed[sample] = detail[row]
                kind = (cells.first, cells.width)
                if self.kind not in (None, kind):
                    raise UserError(
                        f"{path}: {self.text} has the shape {kind}, in the other tables "
                        f"{self.kind}; delete the older ones, so that they are made again"
                    )
                self.kind = kind

    def shape(self) -> tuple[int, ...]:
        """The shape of one sample: (steps, width) or (width,)."""
        first, width = self.kind or ("", 0)
        if first in ("", "one"):
            return (width,)
        if self.form.steps is None and self.form.rule != "mean" and len(self.steps) > 1:
            said = ", ".join(f"{n} (in {k} samples)" for n, k in sorted(self.steps.items())[:5])
            raise UserError(
                f"input {self.text!r}: samples have different numbers of steps: {said}; give the "
                "head a number of steps (its options)"
            )
        if self.form.steps == 0 or self.form.rule == "mean":
            return (width,)
        return (self.form.steps or next(iter(self.steps), 0), width)

    def fill(self, out: npt.NDArray[np.float32], row_of: Mapping[str, int]) -> None:
        """Read every usable row again and write it to its place."""
        for path in self.paths:
            columns = ["sample_id", *self.columns]
            for batch in store.read_batches(store.open_parquet(path), path, _BATCH_ROWS, columns):
                ids = batch.column("sample_id").to_pylist()
                rows = [n for n, s in enumerate(ids) if s in row_of]
                if rows:
                    wanted = _Cells.of(batch, self.columns).read(rows, self.form, out.ndim == 3)
                    out[[row_of[ids[n]] for n in rows]] = wanted


@dataclass(frozen=True)
class _Cells:
    """The cells of one input in one batch: flat numbers (all steps, width), and whose they are.

    ``first`` names the first axis, '' where there are no steps.
    """

    names: list[str]
    flat: npt.NDArray[Any]
    starts: npt.NDArray[np.int64]
    steps: npt.NDArray[np.int64]
    width: int
    first: str

    @staticmethod
    def of(batch: pa.RecordBatch, columns: Sequence[str]) -> _Cells:
        array = batch.column(columns[0])
        rows = np.arange(len(array), dtype=np.int64)
        if not pa.types.is_list(array.type):
            cells = [batch.column(n).cast(pa.float64()) for n in columns]
            flat = np.stack([c.to_numpy(zero_copy_only=False) for c in cells], axis=1)
            return _Cells(list(columns), flat, rows, np.ones_like(rows), len(columns), "")
        about = batch.schema.field(columns[0]).metadata or {}
        inner = [int(n) for n in about.get(b"inner_shape", b"").decode().split(",") if n]
        axes = about.get(b"axes", b"").decode().split(",")
        offsets = np.asarray(array.offsets.to_numpy(zero_copy_only=False), np.int64)
        sizes = np.where(array.is_valid().to_numpy(zero_copy_only=False), np.diff(offsets), 0)
        flat = np.asarray(array.flatten().to_numpy(zero_copy_only=False))
        first, width = axes[0], int(np.prod(inner, dtype=np.int64))
        if first == "channel":
            lengths = set(sizes[sizes > 0].tolist())
            if len(lengths) > 1:
                raise UserError("a vector feature has rows of different lengths; make it again")
            first, width = "", lengths.pop() if lengths else width
        starts = (np.cumsum(sizes) - sizes) // max(width, 1)
        flat = flat.reshape(-1, width)
        return _Cells(
            list(columns), flat, starts.astype(np.int64), sizes // max(width, 1), width, first
        )

    def empty(self) -> list[list[str]]:
        """The columns that hold no number, or not only numbers, row by row."""
        good = np.isfinite(self.flat.astype(np.float32))
        if len(self.names) > 1:
            return [[n for n, g in zip(self.names, row, strict=True) if not g] for row in good]
        bad = np.concatenate([[0], np.cumsum(~good.all(axis=1))])
        lacks = (self.steps == 0) | (bad[self.starts + self.steps] > bad[self.starts])
        return [self.names if lack else [] for lack in lacks]

    def read(self, rows: Sequence[int], form: Form, sequence: bool) -> npt.NDArray[np.float32]:
        """The rows as (rows, steps, width), or (rows, width) where they are no sequence."""
        starts, steps = self.starts[list(rows)], self.steps[list(rows)]
        if sequence:
            index = np.stack([s + places(int(n), form) for s, n in zip(starts, steps, strict=True)])
            return self.flat[index].astype(np.float32)
        if (steps == 1).all():
            return self.flat[starts].astype(np.float32)
        sums = [
            self.flat[s : s + n].mean(axis=0, dtype=np.float64)
            for s, n in zip(starts, steps, strict=True)
        ]
        return np.stack(sums).astype(np.float32)
