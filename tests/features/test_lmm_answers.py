"""What becomes a number: answers that follow the template, and logits of level words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sfqa.errors import UserError
from sfqa.features.lmm_answers import (
    FEATURES,
    Questions,
    UnusableError,
    compute_expected_levels,
    quote_answer,
)
from sfqa.features.lmm_options import DIMENSIONS, LEVEL_WORDS, declare_answer_options
from sfqa.options import check_options, fill_defaults
from sfqa.tables import flaw, has_flaw

DECLARED = declare_answer_options()


def make(**options: Any) -> Questions:
    return Questions(fill_defaults(check_options(options, DECLARED, "here"), DECLARED))


@pytest.mark.parametrize(
    ("answer", "numbers"),
    [
        ("Visual quality: 62, audio-visual consistency: 48.5", (62, 48.5)),
        ("visual  QUALITY: 0,\naudio-visual consistency: 100.", (0, 100)),
        ("  Visual quality: 62.25, audio-visual consistency: +48 \n", (62.25, 48)),
    ],
)
def test_answers_that_follow_the_template(answer: str, numbers: tuple[float, float]) -> None:
    assert tuple(make().read_answer(answer).values()) == numbers


@pytest.mark.parametrize(
    "answer",
    [
        "", "62", "62, 48", "Visual quality: 62", "Visual quality: good, audio-visual consistency: 3",
        "Visual quality: 62/100, audio-visual consistency: 48/100",
        "Visual quality: 62%, audio-visual consistency: 48%",
        "Visual quality: 6,2, audio-visual consistency: 4",
        "Visual quality: 1e1, audio-visual consistency: 4",
        "Visual quality: ٦٢, audio-visual consistency: 4",
        "Visual quality: nan, audio-visual consistency: inf",
        "Audio-visual consistency: 48, visual quality: 62",
        "**Visual quality:** 62, audio-visual consistency: 48",
        "Sure! Visual quality: 62, audio-visual consistency: 48",
        "Visual quality: 62, audio-visual consistency: 48\nThe face is sharp.",
        "Visual quality: 62-70, audio-visual consistency: 48",
        "Visual quality: 62audio-visual consistency: 48",
    ],
)  # fmt: skip
def test_other_answers_fail_with_their_text(answer: str) -> None:
    with pytest.raises(UnusableError) as caught:
        make().read_answer(answer)
    detail = str(caught.value)
    assert detail.startswith(f"wrong_template: the answer {quote_answer(answer)} does not follow")
    assert detail == flaw(*detail.split(": ", 1))  # a reason among others, on one line
    assert has_flaw(detail, "wrong_template")


@pytest.mark.parametrize("number", ["-1", "100.01", "7000"])
def test_numbers_outside_the_scale_fail_with_the_answer(number: str) -> None:
    with pytest.raises(UnusableError, match=rf"outside_scale: .*consistency: {number}\" gives a"):
        make().read_answer(f"Visual quality: 62, audio-visual consistency: {number}")


def test_the_scale_and_the_template_are_options() -> None:
    questions = make(
        template="[{audio_visual_consistency}|{visual_quality}]", lowest=1, highest=5,
        prompt="{lowest} to {highest}: {template}",
    )  # fmt: skip
    assert questions.prompt == "1 to 5: [<number>|<number>]"
    assert questions.read_answer("[2|4.5]") == {
        "audio_visual_consistency": 2.0, "visual_quality": 4.5
    }  # fmt: skip
    with pytest.raises(UnusableError, match="outside_scale"):
        questions.read_answer("[0|4.5]")


def test_two_numbers_that_touch_are_none() -> None:
    questions = make(template="{visual_quality} {audio_visual_consistency}")
    assert questions.read_answer("7 5") == {"visual_quality": 7, "audio_visual_consistency": 5}
    with pytest.raises(UnusableError, match="wrong_template"):
        questions.read_answer("75")


@pytest.mark.parametrize(
    "template",
    [
        "Visual quality: {visual_quality}", "{visual_quality}{audio_visual_consistency}",
        "{visual_quality} {visual_quality} {audio_visual_consistency}",
        "{visual_quality} {audio_visual_consistency} {beauty}",
        "{visual_quality}\n{audio_visual_consistency}",
    ],
)  # fmt: skip
def test_a_template_without_its_places_is_an_error(template: str) -> None:
    with pytest.raises(UserError, match=r"here\.template is .*; give a text on one line that has"):
        make(template=template)


def test_an_empty_scale_is_an_error() -> None:
    with pytest.raises(UserError, match="lowest: 5 is not below highest: 5"):
        make(lowest=5, highest=5)


def test_levels_have_known_expectations() -> None:
    assert compute_expected_levels(np.zeros((2, 5))).tolist() == [3.0, 3.0]
    best, worst = np.eye(5)[[0, 4]] * 1000
    assert compute_expected_levels(np.stack([best, worst])).tolist() == [5.0, 1.0]
    logits = np.array([[2.0, 1.0, 0.0, -1.0, -2.0]])
    # Logits and log probabilities differ by a constant, which does not count.
    np.testing.assert_allclose(
        compute_expected_levels(logits), compute_expected_levels(logits - 7.25), rtol=1e-12
    )
    row = make(scoring="levels").make_row(None, np.repeat(logits, 2, axis=0).astype(np.float32))
    assert row.keys() == {feature.name for feature in FEATURES}
    assert row["answer"] is row["visual_quality"] is None
    shares = np.exp(logits[0]) / np.exp(logits[0]).sum()
    for name in DIMENSIONS:
        assert row[f"{name}_expected"] == pytest.approx(shares @ [5, 4, 3, 2, 1])


def test_logits_that_are_no_numbers_fail() -> None:
    levels = np.zeros((2, 5), np.float32)
    levels[1, 3] = np.nan
    with pytest.raises(UnusableError, match="not_finite"):
        make(scoring="levels").make_row(None, levels)


def test_each_dimension_is_asked_by_its_name() -> None:
    questions = make()
    assert questions.level_prefixes == [
        "The visual quality of the video is", "The audio-visual consistency of the video is"
    ]  # fmt: skip
    assert all(", ".join(LEVEL_WORDS) in prompt for prompt in questions.level_prompts)
    assert questions.level_prompts[0] != questions.level_prompts[1]
    assert "from 0 (bad) to 100 (excellent)" in questions.prompt
