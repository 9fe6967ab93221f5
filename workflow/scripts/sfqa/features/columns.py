"""Read the feature columns of an imported table, as the plan and the import both see them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sfqa.errors import UserError
from sfqa.user_tables import UserTable, read_table
from sfqa.user_tables.columns import explain_no_numbers, find_row_numbers
from sfqa.user_tables.summaries import leave_out_summary_rows


def read_source(source: Mapping[str, Any]) -> UserTable:
    """Return the table that ``import`` in the configuration names.

    Raises :class:`UserError` as :func:`sfqa.user_tables.read_table`.
    """
    features = source.get("features", "all")
    if isinstance(features, str) and features != "all":
        raise UserError(f"config, import.features: {features!r}; write 'all' or a list of columns")
    names = _list_used_columns(source) | set(() if features == "all" else features)
    table = read_table(Path(source["table"]), "samples (import.table)", named=names)
    leave_out_summary_rows(table, source["id"])
    return table


def feature_columns(source: Mapping[str, Any]) -> list[str]:
    """Return the feature columns of ``import`` in the configuration.

    ``features: all`` means every column that is not an id, role or MOS, contains a number and does
    not count the rows.

    >>> import tempfile; path = Path(tempfile.mkdtemp()) / "t.csv"
    >>> _ = path.write_text("name,niqe,note,score\\na,1.5,x,3\\n")
    >>> feature_columns({"table": path, "id": "name", "mos": {"quality": "score"}})
    ['niqe']
    """
    features = source.get("features", "all")
    return (
        list(features) if isinstance(features, list) else list_features(read_source(source), source)
    )


def list_features(table: UserTable, source: Mapping[str, Any]) -> list[str]:
    """Return the feature columns of a table that was read, see :func:`feature_columns`."""
    features = source.get("features", "all")
    if features != "all":
        return list(features)
    used = _list_used_columns(source)
    candidates = [name for name in table.columns if name not in used]
    row_numbers = find_row_numbers(table, candidates)
    return [name for name in candidates if name not in row_numbers and table.has_numbers(name)]


def explain_left_out(table: UserTable, name: str) -> str:
    """Return why a column that nothing names is no feature."""
    if find_row_numbers(table, [name]):
        return "it counts the rows; name it in import.features to use it"
    return explain_no_numbers(table, name)


def _list_used_columns(source: Mapping[str, Any]) -> set[str]:
    """Return the columns of ids, MOS and roles."""
    mos, roles = source.get("mos") or {}, source.get("columns") or {}
    return {source["id"], *mos.values(), *roles.values()}
