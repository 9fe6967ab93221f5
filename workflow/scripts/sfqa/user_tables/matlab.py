"""Read MATLAB files as tables: variables and structs with one value per row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sfqa.errors import UserError
from sfqa.untrusted.limits import RefusedError
from sfqa.untrusted.matlab import check_matlab
from sfqa.user_tables.table import UserTable
from sfqa.user_tables.text import shorten


def read_matlab(path: Path) -> UserTable:
    """Read a MATLAB file up to version 7; raises :class:`UserError`.

    Columns are the variables with one value per row: as many as the longest variable has. The
    fields of a struct, or of an array of structs, are called ``struct.field``, those of inner
    structs ``struct.inner.field``. A variable with several values per row gives the columns
    ``name_1``, ``name_2``, ... Variables of another length are left out with a note.
    """
    import numpy as np
    from scipy import io

    try:
        check_matlab(path)
        content = io.loadmat(path, squeeze_me=False, chars_as_strings=True)
    except NotImplementedError:
        raise UserError(
            f"{path}: a MATLAB file of version 7.3; save it in MATLAB with save(..., '-v7')"
        ) from None
    except MemoryError:
        raise
    except RefusedError as error:
        raise UserError(
            f"{path}: not a MATLAB file that can be read ({error}); save it again"
        ) from None
    except Exception as error:  # the reader raises errors of many types for a damaged file
        raise UserError(f"{path}: not a MATLAB file ({shorten(error)}); save it again") from None
    variables = [
        variable
        for name, value in content.items()
        if not name.startswith("__") and isinstance(value, np.ndarray) and value.ndim <= 2
        for variable in _list_variables(path, name, np.atleast_2d(value))
    ]
    variables = [
        (name, array.T if array.shape[0] == 1 and array.shape[1] > 1 else array)
        for name, array in variables
    ]
    length = max((array.shape[0] for _, array in variables if array.size), default=0)
    if length < 2:
        raise UserError(f"{path}: no variable with one value per row; name another file")
    table = UserTable(path, {}, list(range(1, length + 1)))
    for name, array in variables:
        if array.shape[0] != length:
            if array.size > 1:
                table.left_out[name] = f"it has {array.shape[0]} rows where others have {length}"
            continue
        count = array.shape[1]
        names = [name] if count == 1 else [f"{name}_{k + 1}" for k in range(count)]
        for k, column in enumerate(names):
            if column in table.columns:
                raise UserError(f"{path}: two variables give the column {column!r}; rename one")
            table.columns[column] = array[:, k].tolist()
    return table


def _list_variables(path: Path, name: str, array: Any) -> Iterator[tuple[str, Any]]:
    """Yield a variable, or the fields of a struct, with their names."""
    import numpy as np
    from scipy.io import matlab

    if isinstance(array, matlab.MatlabOpaque | matlab.MatlabFunction):
        raise UserError(
            f"{path}: the variable {name!r} is a table, a string array or another object of "
            "MATLAB; save structs, cell arrays and numbers (table2struct, cellstr)"
        )
    if array.dtype.names is None:
        yield name, _unpack_cells(array)
        return
    for field in array.dtype.names:
        values = array[field]
        if array.size == 1:  # a struct whose fields hold one value per row
            inner = values.flat[0]
        else:
            inner = np.empty(array.shape, object)
            for index, value in np.ndenumerate(values):
                inner[index] = value
            structs = [v for v in inner.flat if isinstance(v, np.ndarray) and v.dtype.names]
            if structs and len(structs) == inner.size and all(v.size == 1 for v in structs):
                inner = _join_structs(path, f"{name}.{field}", structs).reshape(array.shape)
        if isinstance(inner, np.ndarray) and inner.ndim <= 2:
            yield from _list_variables(path, f"{name}.{field}", np.atleast_2d(inner))


def _join_structs(path: Path, name: str, structs: list[Any]) -> Any:
    """Return an array of the structs that each element of an outer array of structs holds."""
    import numpy as np

    fields = structs[0].dtype.names
    if any(struct.dtype.names != fields for struct in structs):
        raise UserError(f"{path}: the structs of {name!r} have different fields; save them alike")
    joined = np.empty(len(structs), dtype=[(field, object) for field in fields])
    for index, struct in enumerate(structs):
        for field in fields:
            joined[index][field] = struct[field].flat[0]
    return joined


def _unpack_cells(array: Any) -> Any:
    """Return an array whose cells hold text or numbers instead of arrays of one element."""
    import numpy as np

    if array.dtype != object:
        return array
    unpacked = np.empty(array.shape, object)
    for index, cell in np.ndenumerate(array):
        while isinstance(cell, np.ndarray) and cell.size == 1 and cell.dtype.names is None:
            cell = cell.flat[0]
        unpacked[index] = "" if isinstance(cell, np.ndarray) and cell.size == 0 else cell
    return unpacked
