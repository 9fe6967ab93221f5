"""The reader of users' Parquet files: rows and cells are counted in the footer before reading."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sfqa.errors import UserError
from sfqa.untrusted import limits
from sfqa.untrusted.limits import RefusedError

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

    file = pq.ParquetFile(path)
    rows, columns = file.metadata.num_rows, file.metadata.num_columns
    if rows > limits.TABLE_ROWS:
        raise RefusedError(f"it has {rows:,} rows; at most {limits.TABLE_ROWS:,} are read")
    if columns > limits.TABLE_COLUMNS:
        raise RefusedError(f"it has {columns:,} columns; at most {limits.TABLE_COLUMNS:,} are read")
    groups = [file.metadata.row_group(n) for n in range(file.metadata.num_row_groups)]
    values = sum(
        group.column(n).num_values for group in groups for n in range(group.num_columns)
    )  # of a column of lists: the values of all lists
    size = Path(path).stat().st_size
    most_cells = max(limits.SMALL_TABLE_CELLS, limits.TABLE_CELLS_PER_BYTE * size)
    if max(values, rows * columns) > most_cells:
        raise RefusedError(
            f"it has {max(values, rows * columns):,} cells in {size:,} bytes; a file of this size "
            f"may have {most_cells:,}, because its cells would fill the memory"
        )
    unpacked = sum(group.total_byte_size for group in groups)
    if unpacked > max(64 * limits.SMALL_TABLE_CELLS, limits.PACKING_RATIO * size):
        raise RefusedError(f"its {size:,} bytes would be {unpacked:,} unpacked")
    return file


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
