from __future__ import annotations

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sfqa.errors import UserError
from sfqa.options import (
    Choice,
    Flag,
    Names,
    Numbers,
    Option,
    Settings,
    Text,
    check_options,
    convert_texts,
    merge_options,
)

DECLARED = {
    "rate": Option(0.001, 0, None, "learning rate"),
    "steps": Option(25, 1, 200, "denoising steps", whole=True),
    "batch": Option(None, 1, None, "frames at once", whole=True),
    "matrix": Choice("bt601", ("bt601", "bt709"), "matrix of the decoder"),
    "direction": Choice(1, (1, -1), "which end is better"),
    "loss": Text("mse", "what is minimised", one_line=False),
    "prompt": Text("A person sings.", "what is seen"),
    "fusion": Flag(True, "whether the branches are joined"),
    "hidden": Numbers([128], 1, None, "widths of the layers", whole=True),
    "lambdas": Numbers([0.1, 1.0], 0, None, "penalties"),
    "members": Names(["kernel"], "heads that are blended"),
    "settings": Settings({}, "options of the members"),
}


def merged(**options):
    return merge_options(options, DECLARED, "config, here")


def test_without_values_there_are_the_defaults_in_the_order_of_the_declaration():
    assert merged() == {name: option.default for name, option in DECLARED.items()}
    assert list(merged(fusion=False, rate=1)) == list(DECLARED)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rate", 1), ("rate", 0.5), ("rate", math.inf), ("steps", 200), ("batch", None), ("batch", 7),
        ("matrix", "bt709"), ("direction", -1), ("loss", "mse +\nplcc"), ("fusion", False),
        ("hidden", []), ("hidden", [3, 4]), ("lambdas", [0, 0.5]), ("members", ["a", "b"]),
        ("settings", {"kernel": {"folds": 3}}),
    ],
)  # fmt: skip
def test_an_allowed_value_stays_as_it_is(name, value):
    assert merged(**{name: value})[name] == value
    assert type(merged(**{name: value})[name]) is type(value)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("rate", -1, "rate is -1; give a number of at least 0 (learning rate)"),
        ("rate", math.nan, "rate is nan; give a number of at least 0"),
        ("rate", "1e-4", "rate is '1e-4'; give a number of at least 0 (learning rate); write it "
                         "without quotes, and 1e-4 as 1.0e-4"),
        ("rate", None, "rate is None; give a number of at least 0"),
        ("steps", 201, "steps is 201; give a whole number from 1 to 200 (denoising steps)"),
        ("steps", 1.5, "steps is 1.5; give a whole number"),
        ("steps", True, "steps is True; give a whole number"),
        ("batch", 0, "batch is 0; give a whole number of at least 1, or null (frames at once)"),
        ("matrix", "bt2020", "matrix is 'bt2020'; give bt601 or bt709 (matrix of the decoder)"),
        ("matrix", "bt70", "did you mean 'bt709'?"),
        ("direction", True, "direction is True; give 1 or -1"),
        ("direction", 1.0, "direction is 1.0; give 1 or -1"),
        ("prompt", "two\nlines", "give a text on one line"),
        ("loss", 1, "loss is 1; give a text (what is minimised)"),
        ("fusion", 1, "fusion is 1; give true or false"),
        ("hidden", 128, "hidden is 128; give a list of whole numbers of at least 1"),
        ("hidden", [12.5], "give a list of whole numbers"),
        ("lambdas", [-1], "give a list of numbers of at least 0"),
        ("members", ["a", 1], "give a list of names"),
        ("settings", [], "give keys with values"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_a_sentence_with_what_is_allowed(name, value, expected):
    with pytest.raises(UserError) as caught:
        merged(**{name: value})
    assert f"config, here.{name} is " in str(caught.value)
    assert expected in str(caught.value)


def test_an_unknown_option_is_a_sentence_with_the_nearest_one():
    with pytest.raises(UserError, match="config, here: no option 'step'; did you mean 'steps'?"):
        merged(step=3)
    with pytest.raises(UserError, match="no option 'x'; it has rate, steps, "):
        merged(x=3)


def test_a_whole_number_may_be_written_with_a_point():
    steps = merged(steps=30.0)["steps"]
    assert (steps, type(steps)) == (30, int)


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3),
    st.lists(st.integers() | st.floats() | st.text(max_size=3), max_size=3),
)  # fmt: skip


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(name=st.sampled_from(sorted(DECLARED)), value=VALUES)
def test_any_value_is_allowed_or_a_sentence(name, value):
    try:
        checked = check_options({name: value}, DECLARED, "here")
    except UserError:
        return
    assert list(checked) == [name]
    assert check_options(checked, DECLARED, "here") == checked


def test_texts_of_the_command_line_become_numbers():
    texts = {
        "steps": "30",
        "rate": "0.5",
        "fusion": "false",
        "matrix": "bt709",
        "batch": "all",
        "x": "1",
    }
    assert convert_texts(texts, DECLARED) == {
        "steps": 30, "rate": 0.5, "fusion": False, "matrix": "bt709", "batch": "all", "x": "1",
    }  # fmt: skip
