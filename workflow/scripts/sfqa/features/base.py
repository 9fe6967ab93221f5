"""What an extractor is, what it is given, and how its rows become a table."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import pyarrow as pa

from sfqa import tables
from sfqa.errors import UnusableError as UnusableError  # extractors find it here
from sfqa.errors import UserError, hint
from sfqa.features.weights import Weights

_TYPES = {
    "float16": pa.float16(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "int64": pa.int64(),
    "string": pa.string(),
}
_FOLDER = Path(__file__).parent / "extractors"


@dataclass(frozen=True)
class Feature:
    """One column of an extractor: a scalar where ``axes`` is empty, else a tensor.

    ``axes`` names the axes of a tensor in order, e.g. ``("clip", "channel")``; the first may vary
    in length from video to video, the others not.
    """

    name: str
    meaning: str
    axes: tuple[str, ...] = ()
    dtype: str = "float16"
    unit: str = ""


@dataclass(frozen=True)
class Video:
    """A conformed video as an extractor sees it; times in seconds, rate in frames per second."""

    sample_id: str
    path: Path
    sha256: str
    fps: float
    frames: int
    audio_path: Path | None = None
    audio_sha256: str | None = None
    sample_rate: int | None = None
    prompt: str | None = None


class Extractor(Protocol):
    """What a file in ``extractors/`` holds as its class ``Extractor``.

    One that decodes much or has a model for a GPU is better a :class:`Pipelined` one. One whose
    configuration says ``weights: none`` needs no device: it runs whole in worker processes.

    The module has ``VERSION``, a literal integer, raised whenever the numbers change.
    ``OPTIONS`` are all options that change the numbers, with their defaults; ``INPUTS`` names what
    of the video the numbers depend on: video, audio, prompt.
    """

    FEATURES: ClassVar[tuple[Feature, ...]]
    OPTIONS: ClassVar[dict[str, Any]]
    INPUTS: ClassVar[tuple[str, ...]]

    def __init__(self, options: Mapping[str, Any], weights: Weights, device: str) -> None:
        """Build the model, load its weights, move it to the device ('cpu', 'cuda')."""

    def extract(self, video: Video) -> dict[str, Any]:
        """Return a value per feature (array, number, text or None).

        A key ``detail`` may say 'word: sentence' of a row that is usable but flawed. Raises
        :class:`UnusableError` where the video cannot be scored.
        """


class Reader(Protocol):
    """The half of a :class:`Pipelined` extractor that needs no model: it reads a video.

    It is sent to worker processes that read ahead of the device: small, picklable, in a module
    that imports no torch when it is imported.
    """

    def prepare(self, video: Video) -> Any:
        """Return all that the numbers rest on: uint8 arrays, small numbers, text; picklable.

        Raises :class:`UnusableError` where the video cannot be scored.
        """


class Pipelined(Extractor, Protocol):
    """An extractor in two halves, so that decoding runs ahead and batches cross videos."""

    @property
    def reader(self) -> Reader:
        """What goes to the worker processes."""

    def score(self, prepared: Iterable[Any]) -> Iterator[dict[str, Any] | UnusableError]:
        """Yield for each, in order, what :meth:`Extractor.extract` would return or raise.

        The input is taken only as it is needed (:func:`sfqa.features.batches.across`). A row
        must not depend on its neighbours.
        """


def alone(extractor: Pipelined, video: Video) -> dict[str, Any]:
    """Return one video's row by both halves: the ``extract`` of a pipelined extractor."""
    (row,) = extractor.score([extractor.reader.prepare(video)])
    if isinstance(row, UnusableError):
        raise row
    return row


def names() -> list[str]:
    """Return the names of all extractors: the files of the folder.

    >>> "slowfast" in names()
    True
    """
    return sorted(p.stem for p in _FOLDER.glob("[a-z]*.py"))


def _known(name: str) -> str:
    if name not in names():
        raise UserError(f"config, features: no extractor is called {name!r}; {hint(name, names())}")
    return name


@cache
def version(name: str) -> int:
    """Return an extractor's VERSION without importing it, so that planning needs no torch.

    Raises :class:`UserError` for a name that is no extractor.

    >>> version("slowfast") >= 1
    True
    """
    return literal_version(_FOLDER / f"{_known(name)}.py")


def literal_version(path: Path) -> int:
    """Return the module-level literal ``VERSION`` of a Python file without importing it."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            target = node.targets[0]
            if isinstance(target, ast.Name) and target.id == "VERSION":
                return int(str(node.value.value))
    raise LookupError(f"{path} has no line 'VERSION = <number>'")


def load(name: str) -> type[Extractor]:
    """Import an extractor and return its class; raises :class:`UserError` for an unknown name."""
    module = import_module(f"sfqa.features.extractors.{_known(name)}")
    kind: type[Extractor] = module.Extractor
    return kind


@cache
def literal_options(name: str) -> dict[str, Any]:
    """Return an extractor's OPTIONS without importing it; raises as :func:`version`.

    >>> literal_options("slowfast")["convention"]
    'simplevqa'
    """
    tree = ast.parse((_FOLDER / f"{_known(name)}.py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "OPTIONS" and node.value:
            return dict(ast.literal_eval(node.value))
    raise LookupError(f"extractor {name} has no 'OPTIONS: ClassVar[dict[str, Any]] = {{...}}'")


def merged_options(
    known: Mapping[str, Any], options: Mapping[str, Any], name: str
) -> dict[str, Any]:
    """Return an extractor's options (``known``, with defaults) overlaid with the config's.

    Raises :class:`UserError` for an option that the extractor does not have.
    """
    for key in options:
        if key not in known:
            raise UserError(
                f"config, features.{name}.options: no option {key!r}; {hint(key, known, 'it has')}"
            )
    return {**known, **options}


def schema(features: Sequence[Feature]) -> pa.Schema:
    """Return the schema of a feature table: sample, key, status, then the extractor's columns."""
    fields = [
        pa.field(c.name, c.type, c.nullable, {"unit": c.unit, "meaning": c.meaning})
        for c in tables.FEATURES.columns
    ]
    for f in features:
        kind = pa.list_(_TYPES[f.dtype]) if f.axes else _TYPES[f.dtype]
        about = {"unit": f.unit, "meaning": f.meaning, "axes": ",".join(f.axes)}
        fields.append(pa.field(f.name, kind, True, about))
    return pa.schema(fields, metadata={"table": "features"})


def to_table(features: Sequence[Feature], rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return rows (arrays flattened) as a feature table; shapes go to the fields' metadata.

    Raises ``ValueError`` where rows disagree on all but the first axis or hold NaN while ok.
    """
    made = schema(features)
    columns: list[pa.Array] = [
        pa.array([r.get(c.name) for r in rows], c.type) for c in tables.FEATURES.columns
    ]
    for f in features:
        place = made.get_field_index(f.name)
        values = [r.get(f.name) for r in rows]
        if f.axes:
            shapes = {np.shape(v)[1:] for v in values if v is not None}
            if len(shapes) > 1:
                raise ValueError(f"feature {f.name}: rows of different shapes {sorted(shapes)}")
            inner = ",".join(str(n) for n in next(iter(shapes), ()))
            about = {**(made.field(place).metadata or {}), b"inner_shape": inner.encode()}
            made = made.set(place, made.field(place).with_metadata(about))
            flat = [None if v is None else np.ravel(v).astype(f.dtype) for v in values]
            if any(v is not None and not np.isfinite(v).all() for v in flat):
                raise ValueError(f"feature {f.name}: not finite; give the row a reason instead")
            columns.append(pa.array(flat, made.field(place).type))
        else:
            columns.append(pa.array(values, made.field(place).type, from_pandas=True))
    return pa.table(columns, schema=made)


def tensor(column: pa.ChunkedArray | pa.Array, field: pa.Field, row: int) -> np.ndarray | None:
    """Return one cell of a tensor column in its shape, as float32, or None where it is empty."""
    cell = column[row]
    if not cell.is_valid:
        return None
    about = field.metadata or {}
    inner = [int(n) for n in about.get(b"inner_shape", b"").decode().split(",") if n]
    flat = np.asarray(cell.values.to_numpy(zero_copy_only=False), dtype=np.float32)
    return flat.reshape([-1, *inner])
