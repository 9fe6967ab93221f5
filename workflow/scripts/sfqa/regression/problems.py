"""The fits that a head is asked for: many problems over one shared set of feature rows.

A problem is one fit: the train and validation rows of one trial of one protocol, in one dimension
or in all dimensions together. All problems of a metric share ``x``, so that a head can hold the
features once (on the device) and train all problems as one batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

import numpy as np

from sfqa.arrays import AnyArray, Floats, Floats32, Ints
from sfqa.errors import UserError
from sfqa.tables import flaw

#: Features as one row of numbers per sample, (rows, columns).
Matrix: TypeAlias = Floats32
#: One block of numbers per input, each (rows, width) or (rows, steps, width), float32; whole maps
#: and views keep their axes and their type, float16 and uint8.
Blocks: TypeAlias = Mapping[str, Matrix]
#: What problems share: a matrix (rows, columns), or blocks for a head of DESIGN "blocks".
Features: TypeAlias = Matrix | Blocks

#: With fewer train rows, or validation rows to select on, a problem is not fitted.
MIN_TRAIN, MIN_VALIDATION = 4, 2


@dataclass(frozen=True)
class Problem:
    """One fit: rows of the shared ``x`` to learn from and to select on.

    ``train`` and ``validation`` are row numbers of ``x`` (int64, none twice or in both).
    ``y`` is float64 (rows of x, dims) in MOS units, NaN if a MOS is missing and in all rows that
    are neither train nor validation, so that no head can see a test MOS. ``seed`` is below 2**63.
    ``label`` names the problem in logs: 'by_portrait, trial 3, quality'. ``first_weights`` are
    parameters from which a network starts, by name; None: it draws its own.
    """

    train: Ints
    validation: Ints
    y: Floats
    seed: int
    label: str = ""
    #: A code per row of x: rows of equal codes are of one image (clip, method), as the protocol
    #: splits them. Selection without validation rows leaves out whole groups.
    groups: Ints | None = None
    first_weights: Mapping[str, AnyArray] | None = None

    @property
    def dims(self) -> int:
        """The number of dimensions that one model predicts."""
        return int(self.y.shape[1])

    @property
    def rows(self) -> Ints:
        """Train rows, then validation rows."""
        return np.concatenate([self.train, self.validation])


class Models(Protocol):
    """Fitted models, one per problem, in the order of the problems."""

    @property
    def reasons(self) -> list[str]:
        """'' or 'word: sentence' for each problem; a problem with a reason predicts NaN."""

    def predict(self, x: Features) -> Floats:
        """Return predictions in MOS units, float64 (problems, rows of x, dims).

        ``x`` has the columns (blocks) of the fit; its rows may be any, such as new videos.
        """

    def state(self, problem: int) -> dict[str, AnyArray]:
        """Return the arrays from which a model file restores the model of one problem."""


def name_arrays_by_dimension(models: Sequence[Mapping[str, AnyArray]]) -> dict[str, AnyArray]:
    """Return the arrays of one model per dimension in one dictionary, under 'name.dimension'.

    >>> sorted(name_arrays_by_dimension([{"a": np.zeros(2)}, {"a": np.ones(2)}]))
    ['a.0', 'a.1']
    """
    return {
        f"{name}.{dimension}": array
        for dimension, arrays in enumerate(models)
        for name, array in arrays.items()
    }


def make_problem(
    train: Sequence[int] | Ints,
    validation: Sequence[int] | Ints,
    y: Floats,
    seed: int = 0,
    label: str = "",
    groups: Ints | None = None,
) -> Problem:
    """Return a problem of MOS (rows of x, dims) or (rows,), with the MOS of all other rows hidden.

    >>> problem = make_problem([0, 1], [3], np.array([1.0, 2.0, 3.0, 4.0]))
    >>> problem.y[:, 0].tolist(), problem.dims
    ([1.0, 2.0, nan, 4.0], 1)
    """
    parts = [np.asarray(rows, np.int64).reshape(-1) for rows in (train, validation)]
    mos = np.asarray(y, np.float64)
    mos = mos.reshape(len(mos), -1)
    rows = np.concatenate(parts)
    visible = np.full_like(mos, np.nan)
    visible[rows] = mos[rows]
    return Problem(parts[0], parts[1], visible, seed, label, groups)


def get_blocks(x: Features) -> dict[str, Matrix]:
    """Return the features by block; a matrix is the one block 'x'.

    >>> list(get_blocks(np.zeros((2, 3), np.float32)))
    ['x']
    """
    return dict(x) if isinstance(x, Mapping) else {"x": x}


def count_rows(x: Features) -> int:
    """Return the number of rows of all blocks; raises ``ValueError`` if they differ."""
    counts = {name: len(values) for name, values in get_blocks(x).items()}
    if len(set(counts.values())) != 1:
        raise ValueError(f"blocks of different lengths: {counts}")
    return next(iter(counts.values()))


def select_rows(x: Features, rows: Ints) -> Features:
    """Return some rows of the features, as a matrix or as blocks."""
    return {k: v[rows] for k, v in x.items()} if isinstance(x, Mapping) else x[rows]


def hash_weights(weights: Mapping[str, AnyArray]) -> str:
    """Return a digest of parameters: names, types, shapes and numbers."""
    digest = hashlib.sha256()
    for name, values in sorted(weights.items()):
        digest.update(f"{name} {values.dtype} {values.shape}".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def hash_rows(x: Features) -> list[str]:
    """Return the identity of every row: the sha256 of its numbers and the names of its blocks."""
    parts = {name: np.ascontiguousarray(v) for name, v in sorted(get_blocks(x).items())}
    hashes = []
    for row in range(count_rows(x)):
        digest = hashlib.sha256()
        for name, values in parts.items():
            if isinstance(x, Mapping):
                digest.update(f"{name} {values.shape[1:]}".encode())
            digest.update(values[row].tobytes())
        hashes.append(digest.hexdigest())
    return hashes


def check_problems(x: Features, problems: Sequence[Problem]) -> None:
    """Check features and problems against each other.

    Raises :class:`UserError` for a feature that is not a finite number, naming row and column, and
    ``ValueError`` for a mistake of the caller: wrong shapes, rows twice or in both parts.
    """
    rows = count_rows(x)
    for name, values in get_blocks(x).items():
        if values.dtype.kind == "u":  # the bytes of a view
            continue
        # A sum is finite where all are, and needs no mask as large as the block.
        if not np.isfinite(values.sum(dtype=np.float64)):
            bad_cells = np.argwhere(~np.isfinite(values))
            if len(bad_cells):
                row, *column = bad_cells[0].tolist()
                raise UserError(
                    f"features {name!r}, row {row}, column {column}: "
                    f"{values[tuple(bad_cells[0])]}; leave this row out, with the reason, or "
                    "compute it again"
                )
    if not problems:
        raise ValueError("no problem to fit")
    for problem in problems:
        y, label = problem.y, problem.label
        if y.shape != (rows, problems[0].dims) or y.dtype != np.float64:
            raise ValueError(f"{label}: y is {y.dtype} {y.shape}, {rows} rows of x")
        own_rows = problem.rows
        outside = len(own_rows) and not 0 <= own_rows.min() <= own_rows.max() < rows
        if len(np.unique(own_rows)) != len(own_rows) or outside:
            raise ValueError(f"{label}: a row is named twice, or is none of x")


def find_reason(problem: Problem, selects: bool = False) -> str:
    """Return why a problem cannot be fitted, as 'word: sentence'; '' if it can be.

    The dimension with the fewest known MOS decides. With ``selects`` validation rows are needed
    too.

    >>> find_reason(make_problem([0, 1], [2], np.arange(4.0)))
    'too_few_rows: 2 train rows have features and MOS'
    >>> find_reason(make_problem([0, 1, 2, 3], [], np.arange(4.0)))
    ''
    """
    rated = np.isfinite(problem.y)
    train, validation = (
        int(rated[part].sum(axis=0).min()) for part in (problem.train, problem.validation)
    )
    if train < MIN_TRAIN:
        return flaw("too_few_rows", f"{train} train rows have features and MOS")
    if selects and validation < MIN_VALIDATION:
        return flaw("too_few_rows", f"{validation} validation rows have features and MOS")
    return ""


def train_on_validation(problems: Sequence[Problem]) -> list[Problem]:
    """Return the problems with their validation rows among the train rows.

    For heads that select nothing (option ``fit_on_validation``).
    """
    no_rows = np.zeros(0, np.int64)
    return [replace(p, train=np.sort(p.rows), validation=no_rows) for p in problems]
