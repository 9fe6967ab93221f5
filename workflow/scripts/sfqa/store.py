"""Read and write tables: schemas checked, files written atomically. No other module does it."""

from __future__ import annotations

import errno
import json
import math
import os
import secrets
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from sfqa import tables
from sfqa.errors import (
    UserError,
    explain_full_disk,
    explain_machine_error,
    explain_write_errors,
    is_disk_full,
)  # fmt: skip
from sfqa.private_files import PRIVATE_MODE

if TYPE_CHECKING:  # planning a workflow needs no pandas, which takes a third of a second to import
    import pandas as pd


def to_arrow(table: tables.Table, rows: pd.DataFrame | Iterable[Mapping[str, Any]]) -> pa.Table:
    """Return rows as an Arrow table with the schema of ``table``, checked.

    Missing columns are filled with empty cells if the schema allows empty cells. Raises
    :class:`UserError` for an unknown column, an empty cell in a column that allows none, a row that
    is not ok and has no reason, and a repeated key.

    >>> to_arrow(tables.PAIRS, []).num_rows
    0
    """
    import pandas as pd

    records = to_records(rows) if isinstance(rows, pd.DataFrame) else [dict(row) for row in rows]
    schema = table.schema
    for number, record in enumerate(records):
        unknown = set(record) - set(table.names)
        if unknown:
            raise UserError(
                f"table {table.name}, row {number}: unknown column {sorted(unknown)[0]!r}; "
                f"the columns are {', '.join(table.names)}"
            )
    columns = {}
    for column in table.columns:
        values = [_nan_to_none(record.get(column.name)) for record in records]
        if not column.nullable and None in values:
            raise UserError(
                f"table {table.name}, row {values.index(None)}: column {column.name!r} "
                f"({column.meaning}) is empty; fill it"
            )
        columns[column.name] = pa.array(values, type=column.type)
    result = pa.table(columns, schema=schema)
    _check_status(table, records)
    if table.key:
        keys = [tuple(record.get(name) for name in table.key) for record in records]
        if len(set(keys)) != len(keys):
            repeated_key = Counter(keys).most_common(1)[0][0]
            raise UserError(f"table {table.name}: the row {repeated_key} occurs twice; keep one")
    return result


def to_records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a frame as dictionaries, with None for empty cells.

    >>> import pandas as pd
    >>> to_records(pd.DataFrame({"a": ["x", None], "b": [1.5, float("nan")]}))[1]
    {'a': None, 'b': None}
    """
    rows = frame.to_dict("records")
    return [{str(k): _nan_to_none(v) for k, v in row.items()} for row in rows]


def _nan_to_none(value: Any) -> Any:
    """Replace NaN and NaT by None, so that a table has empty cells instead of NaN."""
    if value is None or isinstance(value, (list, str, bytes, int)):
        return value
    if isinstance(value, float):
        return None if math.isnan(value) else value
    import pandas as pd

    return None if pd.isna(value) else value


def _check_status(table: tables.Table, rows: list[dict[str, Any]]) -> None:
    if "status" not in table.names:
        return
    for number, record in enumerate(rows):
        status, detail = record["status"], record["detail"]
        if status not in tables.STATUSES:
            raise UserError(
                f"table {table.name}, row {number}: status {status!r} is not one of "
                f"{tables.STATUSES}"
            )
        if (status == tables.OK) == bool(detail):
            raise UserError(
                f"table {table.name}, row {number}: status {status!r} with detail {detail!r}; "
                "a row that is not ok needs a detail, a row that is ok has none"
            )


def write(
    table: tables.Table,
    rows: pd.DataFrame | Iterable[Mapping[str, Any]],
    path: Path | str,
    metadata: Mapping[str, Any] | None = None,
    private: bool = False,
) -> None:
    """Write rows as a Parquet file (zstd) with the schema of ``table``, atomically.

    The values of ``metadata`` are stored as JSON in the file's schema. Rows are sorted by the
    table's key, so that equal content gives equal bytes. A ``private`` file has the mode 0600.
    """
    arrow = to_arrow(table, rows)
    if table.key and arrow.num_rows:
        arrow = arrow.sort_by([(k, "ascending") for k in table.key])
    write_arrow(arrow, path, metadata, private)


def write_arrow(
    arrow: pa.Table,
    path: Path | str,
    metadata: Mapping[str, Any] | None = None,
    private: bool = False,
) -> None:
    """Write an Arrow table as a Parquet file (zstd), atomically.

    The values of ``metadata`` are added as JSON to the metadata of the table's schema.
    """
    write_groups(arrow.schema, [arrow], path, metadata, private)


def write_groups(
    schema: pa.Schema,
    groups: Iterable[pa.Table],
    path: Path | str,
    metadata: Mapping[str, Any] | None = None,
    private: bool = False,
) -> None:
    """Write tables of one schema as the row groups of a Parquet file (zstd), atomically.

    Only one group need be in memory at a time. The file of one group is that of
    :func:`write_arrow`.
    """
    extra = {f"sfqa.{k}": json.dumps(v, sort_keys=True) for k, v in (metadata or {}).items()}
    schema = schema.with_metadata({**(schema.metadata or {}), **extra})
    # Without checksums, a flipped bit in a page would be read as another number.
    options: dict[str, Any] = {"compression": "zstd", "write_page_checksum": True}
    with (
        replacing(path, private) as temporary,
        pq.ParquetWriter(temporary, schema, **options) as writer,
    ):
        for group in groups:
            writer.write_table(group.replace_schema_metadata(schema.metadata))


def read_metadata(path: Path | str) -> dict[str, Any]:
    """Return the ``metadata`` that :func:`write` stored in a file."""
    with explain_read_errors(path):
        stored = pq.read_schema(path).metadata or {}
        return {k.decode()[5:]: json.loads(v) for k, v in stored.items() if k.startswith(b"sfqa.")}


@contextmanager
def explain_read_errors(path: Path | str) -> Iterator[None]:
    """Raise :class:`UserError` naming ``path`` if the block cannot read it as a table.

    >>> with explain_read_errors("a.parquet"): raise pa.ArrowInvalid("no magic bytes")
    Traceback (most recent call last):
    ...
    sfqa.errors.UserError: a.parquet: cannot be read as a table (no magic bytes); delete it, and \
it is made again
    """
    if Path(path).is_dir():  # Arrow would read all files in it
        raise UserError(f"{path}: a folder stands where a table belongs; move it away")
    try:
        yield
    except (FileNotFoundError, PermissionError, MemoryError):
        raise
    except (OSError, ValueError, pa.ArrowException) as error:
        first_line = (str(error).splitlines() or [type(error).__name__])[0][:150]
        raise UserError(
            f"{path}: cannot be read as a table ({first_line}); delete it, and it is made again"
        ) from error


def load(path: Path | str, columns: list[str] | None = None) -> pa.Table:
    """Read a file with any schema and verify its checksums.

    Raises :class:`UserError` naming the file if it is damaged.
    """
    with explain_read_errors(path):
        return pq.read_table(path, columns=columns, page_checksum_verification=True)


def open_parquet(path: Path | str) -> pq.ParquetFile:
    """Open a file to read it with :func:`read_batches`; raises as :func:`load` does."""
    with explain_read_errors(path):
        return pq.ParquetFile(path, page_checksum_verification=True)


def read_batches(
    file: pq.ParquetFile, path: Path | str, rows: int, columns: list[str]
) -> Iterator[pa.RecordBatch]:
    """Yield at most ``rows`` rows at a time of an open file; raises as :func:`load` does."""
    batches = file.iter_batches(rows, columns=columns)
    while True:
        with explain_read_errors(path):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


def read(
    table: tables.Table, paths: Path | str | Iterable[Path | str], columns: list[str] | None = None
) -> pd.DataFrame:
    """Read one or more files of a table into a frame, with None or NaN for empty cells.

    Raises :class:`UserError` naming a file that does not have the table's columns.
    """
    files = [paths] if isinstance(paths, (str, Path)) else list(paths)
    parts = []
    for path in files:
        expected = columns or table.names
        with explain_read_errors(path):
            arrow = _add_optional_columns(table, load(path, columns), expected)
            if arrow.schema.names != expected:
                raise UserError(
                    f"{path}: not a {table.name} table; its columns are "
                    f"{', '.join(arrow.schema.names)} where {', '.join(expected)} are needed. "
                    "Delete it, so that it is made again"
                )
        parts.append(arrow.replace_schema_metadata(None))
    if not parts:
        return to_arrow(table, []).to_pandas()
    return pa.concat_tables(parts, promote_options="permissive").to_pandas()


def _add_optional_columns(table: tables.Table, arrow: pa.Table, expected: list[str]) -> pa.Table:
    """Return a table of an earlier version with empty cells in the columns that were added."""
    names = set(arrow.schema.names)
    added = [c for c in table.columns if c.optional and c.name in expected and c.name not in names]
    for column in added:
        arrow = arrow.append_column(
            pa.field(column.name, column.type), pa.nulls(arrow.num_rows, column.type)
        )
    is_complete = bool(added) and set(arrow.schema.names) == set(expected)
    return arrow.select(expected) if is_complete else arrow


def read_shard(table: tables.Table, path: Path | str, method: str, shard: str) -> pd.DataFrame:
    """Read the table of one shard of one method.

    Raises :class:`UserError` as :func:`read` does, and if a row belongs to another shard.
    """
    frame = read(table, path)
    for row in frame[(frame["method"] != method) | (frame["shard"] != int(shard))].itertuples():
        raise UserError(
            f"{path}: holds {row.sample_id} of {row.method}, shard {row.shard}; it is the table of "
            f"{method}, shard {shard}. Delete it, so that it is made again"
        )
    return frame


class replacing:
    """Write a file atomically: the block writes a temporary file, which then replaces ``path``.

    If the block raises, ``path`` stays as it was and the temporary file is deleted. A file that is
    replaced keeps its mode; a new one gets what the umask allows. A ``private`` file has the mode
    0600 in each case.

    >>> import tempfile; target = Path(tempfile.mkdtemp()) / "t.txt"
    >>> with replacing(target) as temporary: _ = temporary.write_text("complete")
    >>> target.read_text()
    'complete'
    """

    def __init__(self, path: Path | str, private: bool = False) -> None:
        self.path, self.private = Path(path), private

    def __enter__(self) -> Path:
        with explain_write_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.temporary = _create_temporary_file(self.path, self.private)
        return self.temporary

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        disk_error = None
        if isinstance(error, Exception) and not isinstance(error, UserError):
            # Looked at before the deletion of the temporary file frees its space.
            disk_error = _explain_by_disk(self.path, error)
        try:
            if error is None:
                with explain_write_errors(self.path):
                    with open(self.temporary, "rb") as handle:
                        os.fsync(handle.fileno())
                        if not self.private:
                            _copy_mode(self.path, handle.fileno())
                    self.temporary.replace(self.path)
        finally:
            self.temporary.unlink(missing_ok=True)
        if disk_error:
            raise disk_error from error


def _create_temporary_file(path: Path, private: bool) -> Path:
    """Create an empty file beside ``path``, readable by whom the umask allows, or privately."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    mode = PRIVATE_MODE if private else 0o666
    while True:
        name = f".{path.name}.{secrets.token_hex(4)}{_temporary_suffix(path)}"
        temporary = path.with_name(name)
        with suppress(FileExistsError):
            handle = os.open(temporary, flags, mode)
            os.close(handle)
            return temporary


def _copy_mode(path: Path, handle: int) -> None:
    """Give a new file the mode of the file that it replaces, if there is one."""
    with suppress(OSError):  # no such file, or a file system that stores no modes
        status = path.lstat()
        if stat.S_ISREG(status.st_mode):
            os.fchmod(handle, stat.S_IMODE(status.st_mode) & 0o777)


def _temporary_suffix(path: Path) -> str:
    """Return the suffix of a temporary file's name.

    It is that of the file, because writers of images and sound choose the format by it. Tables get
    none: DuckDB and pathlib find hidden files by their suffix, so a temporary file that a killed
    job left would be read as one more table.

    >>> _temporary_suffix(Path("mos.png")), _temporary_suffix(Path("mos.parquet"))
    ('.png', '')
    """
    return "" if path.suffix in (".parquet", ".rows") else path.suffix


def _explain_by_disk(path: Path, error: Exception) -> UserError | None:
    """Return a :class:`UserError` if the disk is why a file was not written, else None.

    A full disk is the reason whatever ``error`` says: an encoder may not mention it.
    """
    if explain_full_disk(error) is None:
        if not is_disk_full(path.parent):
            return None
        error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return explain_machine_error(error, path)
