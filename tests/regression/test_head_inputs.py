"""The constant INPUTS of every head says what its list_inputs accepts."""

from __future__ import annotations

from typing import Any

import pytest

from sfqa.errors import UserError
from sfqa.regression import heads
from sfqa.regression.head_inputs import assign_shapes, list_roles

CASES: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in heads.list_heads() if heads.read_design(name) == "blocks"),
    ("avqa_recurrent", {"model": "general"}),
    ("avqa_recurrent", {"model": "general", "columns": 0}),
    ("avqa_recurrent", {"model": "dnn"}),
    ("audio_visual_fusion", {"columns": 0}),
]


@pytest.mark.parametrize(("name", "options"), CASES)
def test_numbers_of_inputs_are_those_that_the_head_reads(
    name: str, options: dict[str, Any]
) -> None:
    merged = heads.merge_options(name, options)
    assert list_roles(name, merged), f"{name}: declare INPUTS"
    for count in range(1, 7):
        inputs = [f"extractor.column{number}" for number in range(count)]
        try:
            head_inputs = heads.load_head(name).list_inputs(merged, inputs)
        except UserError:
            with pytest.raises(UserError, match=f"there are {count}"):
                assign_shapes(name, merged, inputs)
            continue
        shapes = assign_shapes(name, merged, inputs)
        assert len(shapes) == len(head_inputs)
        for shape, head_input in zip(shapes, head_inputs, strict=True):
            assert (shape in ("maps", "views")) == head_input.steps.keep_axes
            assert shape != "steps" or head_input.steps.count != 0


def test_a_pooled_head_reads_any_number() -> None:
    assert assign_shapes("ridge", {}, ["a", "b.c"]) == ["numbers", "numbers"]
    with pytest.raises(UserError, match="head ridge reads 1 or more"):
        assign_shapes("ridge", {}, [])
