"""Read and write tables. The only module that does: checks schemas and writes atomically."""

from __future__ import annotations

import errno
import json
import math
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from sfqa import tables
from sfqa.errors import UserError, is_full, no_room, of_the_machine, writing

if TYPE_CHECKING:  # planning a workflow needs no pandas, which takes a third of a second to import
    import pandas as pd


def to_arrow(table: tables.Table, rows: pd.DataFrame | Iterable[Mapping[str, Any]]) -> pa.Table:
    """Return rows as an Arrow table of the given kind, checked.

    Missing columns are filled with empty cells where the schema allows it. Raises
    :class:`UserError` for unknown columns, empty cells where none may be, a row that is not ok
    without a reason, and repeated keys.

    >>> to_arrow(tables.PAIRS, []).num_rows
    0
    """
    import pandas as pd

    given = records(rows) if isinstance(rows, pd.DataFrame) else [dict(row) for row in rows]
    schema = table.schema
    for number, record in enumerate(given):
        unknown = set(record) - set(table.names)
        if unknown:
            raise UserError(
                f"table {table.name}, row {number}: unknown column {sorted(unknown)[0]!r}; "
                f"the columns are {', '.join(table.names)}"
            )
    columns = {}
    for column in table.columns:
        values = [_clean(r.get(column.name)) for r in given]
        if not column.nullable and None in values:
            raise UserError(
                f"table {table.name}, row {values.index(None)}: column {column.name!r} "
                f"({column.meaning}) is empty; fill it"
            )
        columns[column.name] = pa.array(values, type=column.type)
    result = pa.table(columns, schema=schema)
    _check_status(table, given)
    if table.key:
        keys = [tuple(r.get(k) for k in table.key) for r in given]
        if len(set(keys)) != len(keys):
            twice = Counter(keys).most_common(1)[0][0]
            raise UserError(f"table {table.name}: the row {twice} is there twice; keep one")
    return result


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a frame's rows as dictionaries, empty cells as None.

    >>> import pandas as pd
    >>> records(pd.DataFrame({"a": ["x", None], "b": [1.5, float("nan")]}))[1]
    {'a': None, 'b': None}
    """
    rows = frame.to_dict("records")
    return [{str(k): _clean(v) for k, v in row.items()} for row in rows]


def _clean(value: Any) -> Any:
    """NaN and NaT become empty cells, so that a table never holds a silent NaN."""
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
                f"table {table.name}, row {number}: status {status!r} is none of {tables.STATUSES}"
            )
        if (status == tables.OK) == bool(detail):
            raise UserError(
                f"table {table.name}, row {number}: status {status!r} with detail {detail!r}; "
                "a row that is not ok needs a reason, and one that is ok has none"
            )


def write(
    table: tables.Table,
    rows: pd.DataFrame | Iterable[Mapping[str, Any]],
    path: Path | str,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write rows as Parquet (zstd) of the given kind: whole, last, by rename.

    ``metadata`` values are stored as JSON in the file's schema. Rows are sorted by the table's
    key, so that equal content gives equal bytes.
    """
    arrow = to_arrow(table, rows)
    if table.key and arrow.num_rows:
        arrow = arrow.sort_by([(k, "ascending") for k in table.key])
    write_arrow(arrow, path, metadata)


def write_arrow(
    arrow: pa.Table, path: Path | str, metadata: Mapping[str, Any] | None = None
) -> None:
    """Write an Arrow table as Parquet (zstd) by rename, ``metadata`` as JSON beside its own."""
    extra = {f"sfqa.{k}": json.dumps(v, sort_keys=True) for k, v in (metadata or {}).items()}
    if extra:
        arrow = arrow.replace_schema_metadata({**(arrow.schema.metadata or {}), **extra})
    with replacing(path) as temporary:
        # Without checksums a flipped bit in a page is read as another number.
        pq.write_table(arrow, temporary, compression="zstd", write_page_checksum=True)


def metadata(path: Path | str) -> dict[str, Any]:
    """Return what :func:`write` was given as metadata for this file."""
    with reading(path):
        stored = pq.read_schema(path).metadata or {}
        return {k.decode()[5:]: json.loads(v) for k, v in stored.items() if k.startswith(b"sfqa.")}


@contextmanager
def reading(path: Path | str) -> Iterator[None]:
    """Raise :class:`UserError` naming ``path`` where the block cannot read it as a table.

    >>> with reading("a.parquet"): raise pa.ArrowInvalid("no magic bytes")
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
        first = (str(error).splitlines() or [type(error).__name__])[0][:150]
        raise UserError(
            f"{path}: cannot be read as a table ({first}); delete it, and it is made again"
        ) from error


def load(path: Path | str, columns: list[str] | None = None) -> pa.Table:
    """Read a table of any kind, its checksums compared.

    Raises :class:`UserError` naming the file where it is damaged.
    """
    with reading(path):
        return pq.read_table(path, columns=columns, page_checksum_verification=True)


def parquet(path: Path | str) -> pq.ParquetFile:
    """Open a table of any kind to be read with :func:`batches`; raises as :func:`load` does."""
    with reading(path):
        return pq.ParquetFile(path, page_checksum_verification=True)


def batches(
    file: pq.ParquetFile, path: Path | str, rows: int, columns: list[str]
) -> Iterator[pa.RecordBatch]:
    """Yield so many rows at a time of an open table; raises as :func:`load` does."""
    parts = file.iter_batches(rows, columns=columns)
    while True:
        with reading(path):
            batch = next(parts, None)
        if batch is None:
            return
        yield batch


def read(
    table: tables.Table, paths: Path | str | Iterable[Path | str], columns: list[str] | None = None
) -> pd.DataFrame:
    """Read one or many files of the given kind into a frame, empty cells as None or NaN.

    Raises :class:`UserError` naming the file whose columns are not the table's.
    """
    many = [paths] if isinstance(paths, (str, Path)) else list(paths)
    parts = []
    for path in many:
        wanted = columns or table.names
        with reading(path):
            arrow = load(path, columns)
            if arrow.schema.names != wanted:
                raise UserError(
                    f"{path}: not a {table.name} table; its columns are "
                    f"{', '.join(arrow.schema.names)} where {', '.join(wanted)} are needed. "
                    "Delete it, so that it is made again"
                )
        parts.append(arrow.replace_schema_metadata(None))
    if not parts:
        return to_arrow(table, []).to_pandas()
    return pa.concat_tables(parts, promote_options="permissive").to_pandas()


def read_shard(table: tables.Table, path: Path | str, method: str, shard: str) -> pd.DataFrame:
    """Read the table of one shard of one method.

    Raises :class:`UserError` as :func:`read` does, and where a row belongs to another shard.
    """
    frame = read(table, path)
    for row in frame[(frame["method"] != method) | (frame["shard"] != int(shard))].itertuples():
        raise UserError(
            f"{path}: holds {row.sample_id} of {row.method}, shard {row.shard}; it is the table of "
            f"{method}, shard {shard}. Delete it, so that it is made again"
        )
    return frame


class replacing:
    """Give a temporary path beside ``path``, renamed onto it only when the block ends well.

    >>> import tempfile; target = Path(tempfile.mkdtemp()) / "t.txt"
    >>> with replacing(target) as temporary: _ = temporary.write_text("whole")
    >>> target.read_text()
    'whole'
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def __enter__(self) -> Path:
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(
                dir=self.path.parent, prefix=f".{self.path.name}.", suffix=_suffix(self.path)
            )
            os.close(handle)
            self.temporary = Path(name)
            self.temporary.chmod(0o644)
        return self.temporary

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        full = None
        if isinstance(error, Exception) and not isinstance(error, UserError):
            full = _full(self.path, error)  # before the half-written file makes room again
        try:
            if error is None:
                with writing(self.path):
                    with open(self.temporary, "rb") as handle:
                        os.fsync(handle.fileno())
                    self.temporary.replace(self.path)
        finally:
            self.temporary.unlink(missing_ok=True)
        if full:
            raise full from error


def _suffix(path: Path) -> str:
    """The end of a temporary name: that of the file, as writers of pictures and sound go by it.

    Not so where files are found by their end (DuckDB and pathlib find hidden ones too): what a
    kill leaves would be read as one more table.

    >>> _suffix(Path("mos.png")), _suffix(Path("mos.parquet"))
    ('.png', '')
    """
    return "" if path.suffix in (".parquet", ".rows") else path.suffix


def _full(path: Path, error: Exception) -> UserError | None:
    """The sentence where a file was not written because of its disk, whatever the error says."""
    if no_room(error) is None:
        if not is_full(path.parent):
            return None
        error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return of_the_machine(error, path)
