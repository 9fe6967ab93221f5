"""Read wide tables of ratings: a column for each rater, or a column for each video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sfqa.errors import UserError
from sfqa.ratings.cells import (
    ScoreReader,
    describe_columns,
    get_entry,
    join_samples,
    list_named_columns,
    list_sample_columns,
    make_row,
    require_text,
)
from sfqa.ratings.column_names import parse_column_names
from sfqa.ratings.scales import Ratings
from sfqa.user_tables import UserTable, read_table
from sfqa.user_tables.columns import find_row_numbers
from sfqa.user_tables.summaries import describe_doubt, find_summaries, list_doubtful_names

#: The scores of a wide table by column.
_Scores = dict[str, list[float | None]]
_IGNORE = "list it in 'ignore' (sfqa mos: --ignore)"


def read_wide(path: Path, source: Mapping[str, Any], notes: list[str]) -> Ratings:
    """Return the ratings of a wide table, see :func:`sfqa.ratings.importing.import_scores`."""
    entries = [name for name in ("dimension_name", "dimension", "columns_are") if name in source]
    if not entries:
        get_entry(source, path, "dimension_name")
    if len(entries) > 1:
        raise UserError(f"ratings source {path}: give only one of {', '.join(entries)}")
    has_rater_rows = "rater" in source
    if has_rater_rows == ("sample_id" in source):
        raise UserError(
            f"ratings source {path}: give either 'sample_id' (a column of videos: one row per "
            "video, one column per rater; sfqa mos: --sample) or 'rater' (a column of raters: one "
            "row per rater, one column per video; sfqa mos: --rater)"
        )
    table = read_table(path, "scores", named=list_named_columns(source))
    keys = [source["rater"]] if has_rater_rows else list_sample_columns(source, path)
    others = [*keys, *source.get("ignore", ())]
    others += [source["dimension"]] if "dimension" in source else []
    for name in others:
        if name not in table.columns:
            raise UserError(
                f"{path}: no column {name!r}; {describe_columns(name, list(table.columns))}"
            )
    columns = [name for name in table.columns if name not in others]
    for name in find_row_numbers(table, columns):
        table.left_out[name] = "it counts the rows"
        columns.remove(name)
    if not columns:
        column_role = "video" if has_rater_rows else "rater"
        raise UserError(f"{path}: no column besides {keys[0]!r}; add one column per {column_role}")
    labels = _label_columns(table, columns, source, "sample" if has_rater_rows else "rater")
    reader = ScoreReader(table, source)
    scores: _Scores = {
        name: reader.read_scores(name, f"correct it, or {_IGNORE} if it holds no scores")
        for name in columns
    }
    row_names = [join_samples(table, keys, index) for index in range(len(table.rows))]
    dimensions = [
        require_text(table, source["dimension"], index) if "dimension" in source else None
        for index in range(len(table.rows))
    ]
    columns = _leave_out_columns(table, columns, labels, scores, not has_rater_rows, notes)
    rows = _leave_out_rows(table, columns, row_names, dimensions, scores, has_rater_rows, notes)
    ratings: Ratings = []
    for index in rows:
        for name in columns:
            score = scores[name][index]
            if score is None:
                continue
            column_name, dimension = labels[name]
            names = (column_name, row_names[index])
            rater, sample = names[::-1] if has_rater_rows else names
            row = make_row(rater, sample, dimensions[index] or dimension, score)
            ratings.append((table.rows[index], name, row))
    notes += table.notes + reader.notes
    return ratings


def _label_columns(
    table: UserTable, columns: Sequence[str], source: Mapping[str, Any], role: str
) -> dict[str, tuple[str, str]]:
    """Return the rater or sample of each column, and its dimension."""
    pattern = source.get("columns_are")
    if pattern is None:
        return {name: (name, str(source.get("dimension_name"))) for name in columns}
    return parse_column_names(
        table.path, columns, str(pattern), role, source.get("dimensions") or ()
    )


def _leave_out_columns(
    table: UserTable,
    columns: Sequence[str],
    labels: Mapping[str, tuple[str, str]],
    scores: _Scores,
    are_raters: bool,
    notes: list[str],
) -> list[str]:
    """Return the columns without those that summarise others of the same dimension.

    Only of a rater the name alone makes a question: a video may be called average_face.
    """
    by_dimension: dict[str, list[str]] = {}
    for name in columns:
        by_dimension.setdefault(labels[name][1], []).append(name)
    for names in by_dimension.values():
        titles, lines = [labels[name][0] for name in names], [scores[name] for name in names]
        summaries, unclear = find_summaries(titles, lines)
        for k in unclear if are_raters else ():
            raise UserError(
                f"{table.path}, row 1: is the column {names[k]!r} a summary of the others? Its "
                f"name says so, but its cells are no statistic of theirs; {_IGNORE}, or rename it "
                "if it holds scores"
            )
        doubtful = [k for k in list_doubtful_names(titles, lines) if k not in summaries]
        notes += [
            f"{table.path}, row 1: {describe_doubt(names[k], 'column')}, or {_IGNORE}"
            for k in doubtful
        ]
        for k, statistic in summaries.items():
            table.left_out[names[k]] = f"it holds the {statistic} of the other columns"
    return [name for name in columns if name not in table.left_out]


def _leave_out_rows(
    table: UserTable,
    columns: Sequence[str],
    row_names: Sequence[str],
    dimensions: Sequence[str | None],
    scores: _Scores,
    are_raters: bool,
    notes: list[str],
) -> list[int]:
    """Return the indices of the rows without those that summarise others of the same dimension."""
    by_dimension: dict[str | None, list[int]] = {}
    for index, dimension in enumerate(dimensions):
        by_dimension.setdefault(dimension, []).append(index)
    left_out = set()
    for indices in by_dimension.values():
        titles = [row_names[index] for index in indices]
        lines = [[scores[name][index] for name in columns] for index in indices]
        summaries, unclear = find_summaries(titles, lines)
        for k in unclear if are_raters else ():
            raise UserError(
                f"{table.path}, row {table.rows[indices[k]]}: is {row_names[indices[k]]!r} a "
                "summary of the other rows? Its name says so, but its cells are no statistic of "
                "theirs; delete the row, or rename it if it holds scores"
            )
        doubtful = [k for k in list_doubtful_names(titles, lines) if k not in summaries]
        notes += [
            f"{table.path}, row {table.rows[indices[k]]}: {describe_doubt(titles[k], 'row')}"
            for k in doubtful
        ]
        for k, statistic in summaries.items():
            left_out.add(indices[k])
            notes.append(
                f"{table.path}, row {table.rows[indices[k]]}: {row_names[indices[k]]!r} is left "
                f"out: it holds the {statistic} of the other rows"
            )
    return [index for index in range(len(table.rows)) if index not in left_out]
