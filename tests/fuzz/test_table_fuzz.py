"""Mutated tables: the same values, a named warning, or a sentence; never another number.

Every eighth mutation by default; with SFQA_TESTS=all all 500.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
from good_tables import TABLES
from table_mutations import MUTATIONS, mutate, read_good_tables

from sfqa.errors import UserError

COUNT = 500
#: Mutations of a whole file, whose sentence names no row or column.
OF_THE_FILE = {"other_encoding", "cut_bytes", "text_named_parquet"}


def list_seeds(is_thorough: bool) -> list[int]:
    return list(range(COUNT)) if is_thorough else list(range(0, COUNT, 8))


def are_equal(first: Any, second: Any) -> bool:
    if isinstance(first, float) and isinstance(second, (int, float)):
        both_missing = math.isnan(first) and math.isnan(second)
        return both_missing or math.isclose(first, second, rel_tol=1e-5)
    return bool(first == second)


def is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def check(seed: int, folder: Path, good: dict[str, dict[Any, Any]]) -> str:
    """Mutate, write and read one table; return what came of it."""
    mutation, name, draft = mutate(seed)
    what = f"seed {seed}: {mutation} of {name}"
    path = draft.write(folder)
    try:
        values, notes = TABLES[name].read(path)
    except UserError as error:
        assert str(path) in str(error), f"{what}: the file is not named: {error}"
        names_cell = re.search(r"row \d+|column", str(error)) or mutation in OF_THE_FILE
        assert names_cell, f"{what}: neither row nor column is named: {error}"
        assert not draft.is_clear, f"{what}: it can be read without doubt, but: {error}"
        return "sentence"
    wrong = {
        key: (value, good[name].get(key))
        for key, value in values.items()
        if not are_equal(value, good[name].get(key))
    }
    missing = [key for key in good[name] if key not in values]
    if not wrong and not missing:
        return "same"
    assert not draft.is_clear, f"{what}: {wrong} {missing} {notes}"
    # Whatever is missing is named, and what is there is right.
    assert notes, f"{what}: {wrong} {missing}, without a word"
    other_numbers = {key: pair for key, pair in wrong.items() if not is_missing(pair[0])}
    assert not other_numbers, f"{what}: {other_numbers} {notes}"
    assert all(any(str(part) in note for part in (key if isinstance(key, tuple) else [key]) for note in notes)
               for key in [*missing, *wrong]), f"{what}: {missing} {wrong} not in {notes}"  # fmt: skip
    return "warning"


@pytest.mark.parametrize("is_thorough", [False, pytest.param(True, marks=pytest.mark.thorough)])
def test_no_mutation_gives_another_number(tmp_path: Path, is_thorough: bool) -> None:
    good = dict(read_good_tables(tmp_path))
    results = [check(seed, tmp_path, good) for seed in list_seeds(is_thorough)]
    assert set(results) == {"same", "warning", "sentence"}


def test_every_mutation_and_table_is_among_the_500() -> None:
    assert len(MUTATIONS) >= 40
    pairs = {mutate(seed)[:2] for seed in range(COUNT)}
    assert {mutation for mutation, _ in pairs} == set(MUTATIONS)
    assert {name for _, name in pairs} == set(TABLES)
