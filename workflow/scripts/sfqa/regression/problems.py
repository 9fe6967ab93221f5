"""What a head is asked to fit: many problems at once over one shared set of feature rows.

A problem is one fit: the train and validation rows of one trial of one protocol, in one dimension
or in all dimensions together. All problems of a metric share ``x``, so that a head can hold the
features once (on the device) and train all problems as one batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from sfqa.errors import UserError
from sfqa.tables import flaw

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Matrix: TypeAlias = npt.NDArray[np.float32]
#: One block of numbers per input, each (rows, width) or (rows, steps, width), float32.
Blocks: TypeAlias = Mapping[str, Matrix]
#: What problems share: a matrix (rows, columns), or blocks for a head of DESIGN "blocks".
Features: TypeAlias = Matrix | Blocks

#: Fewer train rows, or validation rows to select on, teach nothing.
MIN_TRAIN, MIN_VALIDATION = 4, 2


@dataclass(frozen=True)
class Problem:
    """One fit: rows of the shared ``x`` to learn from and to select on.

    ``train`` and ``validation`` are places in ``x`` (int64, no row twice or on both sides).
    ``y`` is float64 (rows of x, dims), in MOS units, NaN where a MOS is not known; it is NaN in all
    rows that are neither train nor validation, so that no head can see a test MOS. ``seed`` is
    below 2**63. ``label`` names the problem in logs: 'by_portrait, trial 3, quality'.
    """

    train: Ints
    validation: Ints
    y: Floats
    seed: int
    label: str = ""
    #: A code per row of x: rows of one code are of one image (clip, method), as the protocol
    #: splits them; selection without validation rows leaves a group out as a whole.
    groups: Ints | None = None

    @property
    def dims(self) -> int:
        """The number of dimensions that are learnt together."""
        return int(self.y.shape[1])

    @property
    def rows(self) -> Ints:
        """Train rows, then validation rows."""
        return np.concatenate([self.train, self.validation])


class Models(Protocol):
    """Fitted problems, in the order in which they were given."""

    #: '' or 'word: sentence' for each problem; a problem with a reason predicts NaN.
    reasons: list[str]

    def predict(self, x: Features) -> Floats:
        """Return predictions in MOS units, float64 (problems, rows of x, dims).

        ``x`` has the columns (blocks) of the fit; its rows may be any, as those of new videos.
        """

    def state(self, problem: int) -> dict[str, npt.NDArray[Any]]:
        """Return all that a model file needs to predict as problem ``problem`` does."""


def problem(
    train: Sequence[int] | Ints,
    validation: Sequence[int] | Ints,
    y: Floats,
    seed: int = 0,
    label: str = "",
    groups: Ints | None = None,
) -> Problem:
    """Return a problem of MOS (rows of x, dims) or (rows,), others than its own rows hidden.

    >>> one = problem([0, 1], [3], np.array([1.0, 2.0, 3.0, 4.0]))
    >>> one.y[:, 0].tolist(), one.dims
    ([1.0, 2.0, nan, 4.0], 1)
    """
    parts = [np.asarray(p, np.int64).reshape(-1) for p in (train, validation)]
    values = np.asarray(y, np.float64)
    values = values.reshape(len(values), -1)
    own = np.concatenate(parts)
    hidden = np.full_like(values, np.nan)
    hidden[own] = values[own]
    return Problem(parts[0], parts[1], hidden, seed, label, groups)


def blocks(x: Features) -> dict[str, Matrix]:
    """Return the features by block; a matrix is the one block 'x'.

    >>> list(blocks(np.zeros((2, 3), np.float32)))
    ['x']
    """
    return dict(x) if isinstance(x, Mapping) else {"x": x}


def count(x: Features) -> int:
    """Return the number of rows that all blocks have; raises ``ValueError`` where they differ."""
    counts = {name: len(values) for name, values in blocks(x).items()}
    if len(set(counts.values())) != 1:
        raise ValueError(f"blocks of different lengths: {counts}")
    return next(iter(counts.values()))


def taken(x: Features, rows: Ints) -> Features:
    """Return some rows of the features, of the same kind."""
    return {k: v[rows] for k, v in x.items()} if isinstance(x, Mapping) else x[rows]


def row_hashes(x: Features) -> list[str]:
    """Return the sha256 of every row's numbers, names of blocks included; its identity."""
    parts = {name: np.ascontiguousarray(v) for name, v in sorted(blocks(x).items())}
    found = []
    for row in range(count(x)):
        digest = hashlib.sha256()
        for name, values in parts.items():
            if isinstance(x, Mapping):
                digest.update(f"{name} {values.shape[1:]}".encode())
            digest.update(values[row].tobytes())
        found.append(digest.hexdigest())
    return found


def checked(x: Features, problems: Sequence[Problem]) -> None:
    """Check features and problems against each other.

    Raises :class:`UserError` for a feature that is not a finite number, naming row and column, and
    ``ValueError`` for a call that no workflow makes: wrong shapes, rows twice or on both sides.
    """
    rows = count(x)
    for name, values in blocks(x).items():
        # A sum is finite where all are, and needs no mask as large as the block.
        if not np.isfinite(values.sum(dtype=np.float64)):
            places = np.argwhere(~np.isfinite(values))
            if len(places):
                place = places[0]
                raise UserError(
                    f"features {name!r}, row {place[0]}, column {place[1:].tolist()}: "
                    f"{values[tuple(place)]}; leave this row out, with the reason, or compute it "
                    "again"
                )
    if not problems:
        raise ValueError("no problem to fit")
    for one in problems:
        if one.y.shape != (rows, problems[0].dims) or one.y.dtype != np.float64:
            raise ValueError(f"{one.label}: y is {one.y.dtype} {one.y.shape}, {rows} rows of x")
        own = one.rows
        if len(np.unique(own)) != len(own) or (len(own) and not 0 <= own.min() <= own.max() < rows):
            raise ValueError(f"{one.label}: a row is named twice, or is none of x")


def why_not(one: Problem, selects: bool = False) -> str:
    """Return why a problem teaches nothing, as 'word: sentence'; '' where it can be fitted.

    A row counts where a MOS is known in every dimension's own count: the dimension with the fewest
    rows decides. ``selects``: validation rows are needed too.

    >>> why_not(problem([0, 1], [2], np.arange(4.0)))
    'too_few_rows: 2 train rows have features and MOS'
    >>> why_not(problem([0, 1, 2, 3], [], np.arange(4.0)))
    ''
    """
    known = np.isfinite(one.y)
    train, validation = (int(known[part].sum(axis=0).min()) for part in (one.train, one.validation))
    if train < MIN_TRAIN:
        return flaw("too_few_rows", f"{train} train rows have features and MOS")
    if selects and validation < MIN_VALIDATION:
        return flaw("too_few_rows", f"{validation} validation rows have features and MOS")
    return ""


def joined(problems: Sequence[Problem]) -> list[Problem]:
    """Return the problems with their validation rows among the train rows, none left to select on.

    For heads that select nothing (option ``fit_on_validation``).
    """
    none = np.zeros(0, np.int64)
    return [replace(p, train=np.sort(p.rows), validation=none) for p in problems]
