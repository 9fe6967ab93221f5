"""The interface of extractors, and the form of feature tables."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import pyarrow as pa

from sfqa import tables
from sfqa.errors import UnusableError as UnusableError  # extractors find it here
from sfqa.errors import UserError
from sfqa.features import view_columns
from sfqa.features.extractors import EXTRACTORS
from sfqa.features.weights import NONE, RANDOM, Weights, check_parts

_TYPES = {
    "uint8": pa.uint8(),
    "float16": pa.float16(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "int64": pa.int64(),
    "string": pa.string(),
}


@dataclass(frozen=True)
class Feature:
    """One column of an extractor: a scalar if ``axes`` is empty, else a tensor.

    ``axes`` names the axes of a tensor in order, e.g. ``("clip", "channel")``. Only the length of
    the first axis may differ between videos. A tensor of type uint8 is a view, the input of a
    network (:mod:`sfqa.features.view_columns`).
    """

    name: str
    meaning: str
    axes: tuple[str, ...] = ()
    dtype: str = "float16"
    unit: str = ""


@dataclass(frozen=True)
class Video:
    """A conformed video, the input of an extractor; times in seconds, rate in frames per second.

    Frame i is shown at i / ``fps``, unless the video has a ``variable_rate``: then the frames have
    times of their own (:func:`sfqa.media.read_frame_times`, :mod:`sfqa.timing`).
    """

    sample_id: str
    path: Path
    sha256: str
    fps: float
    frames: int
    audio_path: Path | None = None
    audio_sha256: str | None = None
    sample_rate: int | None = None
    prompt: str | None = None
    variable_rate: bool = False


class Extractor(Protocol):
    """The class ``Extractor`` of a file in ``extractors/``.

    At its top the file declares constants that are read without importing it:

    - ``VERSION``, a whole number that is raised whenever the numbers change;
    - ``OPTIONS``, all options (:mod:`sfqa.options`), since each may change the numbers;
      ``UNKEYED_OPTIONS``, the names of those that change none, and ``REQUIRED_OPTIONS``, of those
      without a default;
    - ``WEIGHTS = True`` if it loads weights;
    - ``COMMAND = True`` if it calls the repository of a model of kind ``command``
      (:mod:`sfqa.features.command_model`);
    - ``WEIGHTS_PARTS`` if it has other networks with weights of their own: each name with the
      options that need it, such as ``{"detector": {"detector": "s3fd"}}``;
    - ``COLUMN_NEEDS``, if a column is empty unless an option has certain values:
      ``{"map": {"maps": (True,)}}``;
    - ``PACKAGE``, the package that it imports and that requirements.txt does not have, and
      ``ENVIRONMENT``, the file in workflow/envs that has it; without them 'torch'.

    ``FEATURES`` are the columns of a row. ``INPUTS`` names the parts of a video that the numbers
    depend on: video, audio, prompt. An extractor without weights needs no device and runs in worker
    processes. One with a network for a GPU should be a :class:`PipelinedExtractor` one.
    """

    FEATURES: ClassVar[tuple[Feature, ...]]
    INPUTS: ClassVar[tuple[str, ...]]

    def __init__(self, options: Mapping[str, Any], weights: Weights, device: str) -> None:
        """Build the network, load its weights and move it to the device ('cpu', 'cuda').

        ``options`` holds a checked value for every declared option. Raises :class:`UserError` for
        options that do not go together.
        """

    def extract(self, video: Video) -> dict[str, Any]:
        """Return a value per feature (array, number, text or None).

        The optional key ``detail`` holds 'word: sentence' for a row that is usable but flawed.
        Raises :class:`UnusableError` if the video cannot be scored.
        """


class VideoReader(Protocol):
    """The part of a :class:`PipelinedExtractor` extractor that needs no network: it reads a video.

    It is sent to worker processes that read ahead of the device, so it must be small, picklable and
    in a module that does not import torch when it is imported.
    """

    def prepare(self, video: Video) -> Any:
        """Return all that the features depend on: uint8 arrays, numbers, text; picklable.

        Raises :class:`UnusableError` if the video cannot be scored.
        """


class PipelinedExtractor(Extractor, Protocol):
    """An extractor in two parts, so that decoding runs ahead and batches mix several videos."""

    @property
    def reader(self) -> VideoReader:
        """The reader that is sent to the worker processes."""

    def score(self, prepared: Iterable[Any]) -> Iterator[dict[str, Any] | UnusableError]:
        """Yield the result or error of :meth:`Extractor.extract` for each video, in order.

        The input is read only as needed (:func:`sfqa.features.batches.run_batched`). A row must not
        depend on other videos.
        """


def extract_one(extractor: PipelinedExtractor, video: Video) -> dict[str, Any]:
    """Extract one video with both parts: the ``extract`` of a pipelined extractor."""
    (row,) = extractor.score([extractor.reader.prepare(video)])
    if isinstance(row, UnusableError):
        raise row
    return row


def list_extractors() -> list[str]:
    """Return the names of all extractors: the files of the folder.

    >>> "slowfast" in list_extractors()
    True
    """
    return EXTRACTORS.names()


def read_extractor_version(name: str) -> int:
    """Return an extractor's VERSION without importing it, so that planning needs no torch.

    Raises :class:`UserError` for an unknown name.

    >>> read_extractor_version("slowfast") >= 1
    True
    """
    return EXTRACTORS.version(name)


def load_extractor(name: str) -> type[Extractor]:
    """Import an extractor and return its class; raises :class:`UserError` for an unknown name."""
    extractor_class: type[Extractor] = EXTRACTORS.load(name).Extractor
    return extractor_class


def merge_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return all options of an extractor: those of the configuration, else the defaults.

    Raises :class:`UserError` for an unknown extractor, an unknown option and a value that is not
    allowed. Imports nothing heavy.

    >>> merge_options("slowfast", {"batch": 4})["batch"]
    4
    """
    return EXTRACTORS.merge_options(name, options, f"config, features.{name}.options")


def has_weights(name: str) -> bool:
    """Return whether an extractor loads weights: the constant WEIGHTS of its file.

    >>> has_weights("lse"), has_weights("signal")
    (True, False)
    """
    return bool(EXTRACTORS.read(name, "WEIGHTS", False))


def is_command(name: str) -> bool:
    """Return whether an extractor calls somebody's repository: the constant COMMAND of its file.

    >>> is_command("lse")
    False
    """
    return bool(EXTRACTORS.read(name, "COMMAND", False))


def read_environment(name: str) -> str:
    """Return the name of the file in workflow/envs of an extractor: its constant ENVIRONMENT.

    >>> read_environment("slowfast"), read_environment("iqa")
    ('torch', 'iqa')
    """
    return str(EXTRACTORS.read(name, "ENVIRONMENT", "torch"))


def check_package(name: str, options: Mapping[str, Any] | None = None) -> None:
    """Raise :class:`UserError` if an optional package of an extractor is not installed.

    The package is the constant PACKAGE of the extractor's file. The constant OPTION_PACKAGES has
    for 'option=value' the packages that this value needs. Most extractors have neither.
    """
    package = EXTRACTORS.read(name, "PACKAGE")
    if package and find_spec(package) is None:
        environment = read_environment(name)
        raise UserError(
            f"config, features.{name}: the package {package}, which this extractor needs, is not "
            f"installed; run: pip install --no-deps -r requirements-{environment}.txt"
        )
    for setting, packages in EXTRACTORS.read(name, "OPTION_PACKAGES", {}).items():
        option, _, value = setting.partition("=")
        missing = [package for package in packages if find_spec(package) is None]
        if missing and str((options or {}).get(option)) == value:
            raise UserError(
                f"config, features.{name}.options.{option}: {value} needs {' and '.join(missing)}, "
                f"which no requirements file has; run: pip install {' '.join(missing)}"
            )


def check_weights(name: str, kind: str) -> None:
    """Check that an extractor with weights gets some, and another one none.

    ``kind`` is official, random or none. Raises :class:`UserError`.
    """
    if has_weights(name) and kind == NONE:
        raise UserError(
            f"config, features.{name}.weights: {name} has weights; give their file, or say "
            "'random' to run untrained"
        )
    if not has_weights(name) and kind != NONE:
        raise UserError(f"config, features.{name}.weights: {name} has no weights; say 'none'")


def check_option_needs(name: str, options: Mapping[str, Any]) -> None:
    """Raise :class:`UserError` for two options of an extractor that do not go together.

    The constant OPTION_NEEDS of the extractor's file has for 'option=value' which values another
    option must have; most extractors have none.
    """
    needs: Mapping[str, Mapping[str, Any]] = EXTRACTORS.read(name, "OPTION_NEEDS", {})
    for setting, others in needs.items():
        option, _, value = setting.partition("=")
        for other, allowed in others.items():
            if str(options[option]) == value and options[other] not in allowed:
                raise UserError(
                    f"config, features.{name}.options: {option}: {value} does not go with {other}: "
                    f"{options[other]}; it needs {' or '.join(allowed)}"
                )


def check_required_options(name: str, options: Mapping[str, Any]) -> None:
    """Raise :class:`UserError` for an option that has no default and is not given.

    The constant REQUIRED_OPTIONS of the extractor's file names them; most extractors have none.
    """
    for option in EXTRACTORS.read(name, "REQUIRED_OPTIONS", ()):
        if not options[option]:
            meaning = EXTRACTORS.options(name)[option].meaning
            raise UserError(
                f"config, features.{name}.options.{option}: missing; this extractor has no default "
                f"for it: {meaning}"
            )


def select_keyed_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that are part of the cache key: all that may change a number.

    The constant UNKEYED_OPTIONS of the extractor's file names the others, such as the address of a
    server; most extractors have none.

    >>> select_keyed_options("clip", {"batch": 4})
    {'batch': 4}
    """
    unkeyed = EXTRACTORS.read(name, "UNKEYED_OPTIONS", ())
    keyed = view_columns.drop_unused_options(options)
    return {option: value for option, value in keyed.items() if option not in unkeyed}


def check_entry(name: str, entry: Mapping[str, Any]) -> None:
    """Check ``features.<name>`` of the configuration without reading any file.

    Raises :class:`UserError` for an unknown extractor, for options as :func:`merge_options`,
    :func:`check_required_options`, :func:`check_option_needs` and
    :func:`~sfqa.features.view_columns.check_size` do, and for weights as :func:`check_weights` and
    :func:`check_parts` do.
    """
    options = merge_options(name, entry.get("options") or {})
    check_required_options(name, options)
    check_option_needs(name, options)
    view_columns.check_size(name, options)
    check_weights(name, NONE if entry.get("weights") == NONE else RANDOM)
    check_parts(name, entry)


def build_extractor(
    name: str, options: Mapping[str, Any], weights: Weights, device: str
) -> Extractor:
    """Return an extractor with these options, the others at their defaults, on a device.

    Raises :class:`UserError` as :func:`merge_options`, :func:`check_weights` and
    :func:`check_package` do.
    """
    check_weights(name, weights.kind)
    all_options = merge_options(name, options)
    check_package(name, all_options)
    check_required_options(name, all_options)
    return load_extractor(name)(all_options, weights, device)


def build_schema(features: Sequence[Feature]) -> pa.Schema:
    """Return the schema of a feature table: sample, key, status, then the extractor's columns."""
    fields = [
        pa.field(c.name, c.type, c.nullable, {"unit": c.unit, "meaning": c.meaning})
        for c in tables.FEATURES.columns
    ]
    for f in features:
        column_type = pa.list_(_TYPES[f.dtype]) if f.axes else _TYPES[f.dtype]
        metadata = {"unit": f.unit, "meaning": f.meaning, "axes": ",".join(f.axes)}
        fields.append(pa.field(f.name, column_type, True, metadata))
    return pa.schema(fields, metadata={"table": "features"})


def build_table(features: Sequence[Feature], rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Build a feature table from rows (arrays are flattened; shapes go to the fields' metadata).

    Raises ``ValueError`` if rows differ in an axis other than the first, or contain NaN.
    """
    table_schema = build_schema(features)
    columns: list[pa.Array] = [
        pa.array([r.get(c.name) for r in rows], c.type) for c in tables.FEATURES.columns
    ]
    for f in features:
        column_type = table_schema.field(f.name).type
        values = [r.get(f.name) for r in rows]
        if f.axes:
            inner_shapes = {np.shape(v)[1:] for v in values if v is not None}
            table_schema = set_inner_shape(table_schema, f.name, inner_shapes)
            flat = [None if v is None else np.ravel(v).astype(f.dtype, copy=False) for v in values]
            numbers = [v for v in flat if v is not None and f.dtype.startswith("float")]
            if not all(np.isfinite(v).all() for v in numbers):
                raise ValueError(f"feature {f.name}: not finite; give the row a reason instead")
            columns.append(_make_lists(flat, column_type))
        else:
            columns.append(pa.array(values, column_type, from_pandas=True))
    return pa.table(columns, schema=table_schema)


def _make_lists(rows: Sequence[np.ndarray | None], column_type: pa.DataType) -> pa.Array:
    """Return a column of lists; ``pa.array`` takes 0.3 s for the bytes of a view, 19 MB."""
    filled = [row for row in rows if row is not None]
    if len(filled) < max(1, len(rows)):
        return pa.array(rows, column_type)
    offsets = pa.array(np.cumsum([0, *map(len, filled)]), pa.int32())
    numbers = filled[0] if len(filled) == 1 else np.concatenate(filled)
    return pa.ListArray.from_arrays(offsets, pa.array(numbers))


def set_inner_shape(
    table_schema: pa.Schema, name: str, inner_shapes: Collection[tuple[int, ...]]
) -> pa.Schema:
    """Return the schema with the shape of a tensor's rows, except their first axis, at its field.

    Raises ``ValueError`` if the rows have several such shapes.
    """
    if len(inner_shapes) > 1:
        raise ValueError(f"feature {name}: rows of different shapes {sorted(inner_shapes)}")
    inner_shape = ",".join(str(n) for n in next(iter(inner_shapes), ()))
    column_index = table_schema.get_field_index(name)
    field = table_schema.field(column_index)
    metadata = {**(field.metadata or {}), b"inner_shape": inner_shape.encode()}
    return table_schema.set(column_index, field.with_metadata(metadata))


def read_tensor(column: pa.ChunkedArray | pa.Array, field: pa.Field, row: int) -> np.ndarray | None:
    """Return a cell of a tensor column in its shape, None if it is empty; views as bytes."""
    cell = column[row]
    if not cell.is_valid:
        return None
    metadata = field.metadata or {}
    inner_shape = [int(n) for n in metadata.get(b"inner_shape", b"").decode().split(",") if n]
    flat = cell.values.to_numpy(zero_copy_only=False)
    dtype = np.uint8 if flat.dtype == np.uint8 else np.float32
    return np.asarray(flat, dtype).reshape([-1, *inner_shape])
