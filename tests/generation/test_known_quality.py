from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfqa.errors import UserError
from sfqa.generation.adapters.procedural import OPTIONS
from sfqa.generation.known_quality import compute_quality, get_known_quality

DIMENSIONS = ["audio_visual_consistency", "visual_quality"]
DEFECTS = sorted(set(OPTIONS) - {"sway", "blink"})
options = st.fixed_dictionaries(
    {name: st.floats(option.low, option.high) for name, option in OPTIONS.items()}
)


@given(options, st.sampled_from(DEFECTS), st.floats(0, 1), st.floats(0, 1), st.booleans())
def test_more_of_a_defect_is_never_better(others, name, first, second, upwards):
    option = OPTIONS[name]
    end = option.high if upwards else option.low
    small, large = sorted([first, second])
    a = compute_quality({**others, name: option.default + small * (end - option.default)})
    b = compute_quality({**others, name: option.default + large * (end - option.default)})
    assert all(0 <= b[d] <= a[d] <= 1 for d in DIMENSIONS)


@pytest.mark.parametrize("name", DEFECTS)
def test_every_defect_counts_in_a_dimension(name):
    option = OPTIONS[name]
    worst = option.high if option.high != option.default else option.low
    half = compute_quality({name: (worst + option.default) / 2})
    assert min(half.values()) < 0.999
    assert min(compute_quality({name: worst}).values()) < min(half.values())


def test_looks_are_no_defects():
    assert compute_quality({"sway": 0.0, "blink": 0.0}) == compute_quality({})


def test_demo_methods_differ_where_they_should(methods):
    known = {label: get_known_quality(m) for label, m in methods.items()}
    assert all(sorted(t) == DIMENSIONS for t in known.values())
    assert known["sharp"] == dict.fromkeys(known["sharp"], 1.0)
    assert known["late"]["visual_quality"] == 1.0
    assert known["late"]["audio_visual_consistency"] < 0.5
    assert known["frozen"]["audio_visual_consistency"] < 0.5
    assert known["blurry"]["visual_quality"] < 0.5 < known["blurry"]["audio_visual_consistency"]
    assert known["drift"]["visual_quality"] < 0.5 < known["drift"]["audio_visual_consistency"]


def test_other_kinds_have_no_known_truth(methods):
    with pytest.raises(UserError, match="only procedural methods"):
        get_known_quality(replace(methods["sharp"], kind="command"))
