"""The reader of users' Parquet files: what they unpack to is counted before reading."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sfqa.errors import UserError
from sfqa.shown_text import quote_value
from sfqa.untrusted import limits
from sfqa.untrusted.limits import RefusedError
from sfqa.untrusted.parquet_pages import TableSize, measure_pages

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


def open_parquet(path: Path | str) -> pq.ParquetFile:
    """Open a Parquet file that the machine's memory can hold.

    A file of equal values takes a fraction of a byte per row on the disk and some 64 bytes per cell
    in memory, so that a megabyte may become many gigabytes. Raises :class:`RefusedError`, and the
    errors of Arrow for a file that is not Parquet.
    """
    import pyarrow.parquet as pq

    table = measure_pages(path)
    rows, columns = table.rows, len(table.columns)
    if rows > limits.TABLE_ROWS:
        raise RefusedError(f"it has {rows:,} rows; at most {limits.TABLE_ROWS:,} are read")
    size = Path(path).stat().st_size
    # Of a column of lists: the values of all lists. Each level of a nested one has an object, too.
    cells = max(rows * columns, sum(column.values * column.depth for column in table.columns))
    most_cells = max(limits.SMALL_TABLE_CELLS, limits.TABLE_CELLS_PER_BYTE * size)
    if cells + limits.TABLE_ROW_CELLS * rows > most_cells:
        raise RefusedError(
            f"it has {cells:,} cells and {rows:,} rows in {size:,} bytes; a file of this size may "
            f"have {most_cells:,} cells, a row counted as {limits.TABLE_ROW_CELLS} more, because "
            "they would fill the memory"
        )
    most_bytes = max(limits.TABLE_UNPACKED_BYTES, limits.TABLE_UNPACKED_RATIO * size)
    unpacked = sum(max(c.unpacked, c.width * c.values) for c in table.columns)
    if unpacked > most_bytes:
        raise RefusedError(f"its {size:,} bytes would be {unpacked:,} unpacked")
    if sum(column.text_bound for column in table.columns) > most_bytes:
        _check_text(path, table, most_bytes)
    return pq.ParquetFile(path)


def _check_text(path: Path | str, table: TableSize, most_bytes: int) -> None:
    """Raise :class:`RefusedError` if the text of all cells has more than ``most_bytes``.

    The columns are read in the form in which each different text is in memory once.
    """
    import pyarrow.parquet as pq

    schema = pq.ParquetFile(path).schema
    paths = [schema.column(number).path for number in range(len(table.columns))]
    texts = [name for name, column in zip(paths, table.columns, strict=True) if column.is_text]
    # Opened once for all columns, because that takes as long as the footer is.
    file = pq.ParquetFile(path, read_dictionary=texts)
    total = 0
    for name, column in zip(paths, table.columns, strict=True):
        if column.text_bound <= column.unpacked:
            total += column.text_bound
        elif column.repeats_prefixes:
            raise RefusedError(
                f"the text of its column {quote_value(name)} may have "
                f"{column.text_bound:,} bytes; write it without the encoding DELTA_BYTE_ARRAY"
            )
        else:
            encoded = file.read([name], use_threads=False)
            total += sum(map(_count_text, encoded.columns))
        if total > most_bytes:
            raise RefusedError(f"the text of its cells has more than {most_bytes:,} bytes")


def _count_text(column: pa.ChunkedArray | pa.Array) -> int:
    """Return the bytes of text in a column, also in its lists and structures."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(column, pa.ChunkedArray):
        return sum(map(_count_text, column.chunks))
    if isinstance(column, pa.DictionaryArray):
        lengths = pc.binary_length(column.dictionary).take(column.indices)
        return int(pc.sum(lengths).as_py() or 0)
    if isinstance(column, pa.StructArray):
        return sum(map(_count_text, column.flatten()))
    if isinstance(column, pa.MapArray):
        return _count_text(column.keys) + _count_text(column.items)
    if isinstance(column, pa.ListArray | pa.LargeListArray | pa.FixedSizeListArray):
        return _count_text(column.flatten())
    return 0


def read_parquet(path: Path | str, columns: list[str] | None = None) -> pa.Table:
    """Return a Parquet file as an Arrow table; raises as :func:`open_parquet`."""
    return open_parquet(path).read(columns=columns)


def load_table(path: Path | str, columns: list[str] | None = None) -> pa.Table:
    """Return a Parquet file as an Arrow table.

    Raises :class:`UserError` naming a file that is not Parquet or would fill the memory.
    """
    import pyarrow as pa

    try:
        return read_parquet(path, columns)
    except MemoryError as error:
        raise UserError(f"{path}: not enough memory for the table; write fewer rows") from error
    except (pa.ArrowException, ValueError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:150]
        raise UserError(
            f"{path}: cannot be read as a Parquet table ({reason}); write it again"
        ) from error
