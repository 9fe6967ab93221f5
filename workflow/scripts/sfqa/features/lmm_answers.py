"""Numbers from what a language model says about a video: its answer, or the logits of level words.

Every language model has the same columns, so that one metric reads any of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sfqa.errors import UserError
from sfqa.features.base import Feature, UnusableError
from sfqa.features.lmm_options import ANSWER, DIMENSIONS, LEVEL_WORDS, LEVELS

#: The columns of a language model.
FEATURES: tuple[Feature, ...] = (
    *(
        Feature(name, f"{words}, as the answer says; higher is better", dtype="float64")
        for name, words in DIMENSIONS.items()
    ),
    Feature("answer", "what the model answered", dtype="string"),
    *(
        Feature(
            f"{name}_expected", f"{words}: mean of the levels 5 (excellent) to 1 (bad), weighted "
            "by the softmax of their logits", dtype="float64", unit="1..5",
        )
        for name, words in DIMENSIONS.items()
    ),
    Feature(
        "levels", f"logits of the words {', '.join(LEVEL_WORDS)} for {', '.join(DIMENSIONS)}",
        ("dimension", "level"), "float32",
    ),
)  # fmt: skip

_LEVEL_WEIGHTS = np.arange(len(LEVEL_WORDS), 0, -1, dtype=np.float64)
_NUMBER = r"([+-]?[0-9]+(?:\.[0-9]+)?)"
# Longest part of an answer that a reason holds, in characters.
_QUOTED = 300


@dataclass(frozen=True)
class Questions:
    """What a model is asked, from its options; raises :class:`UserError` for an empty scale.

    ``prompt`` asks for an answer; ``level_prompts`` and ``level_prefixes`` have one text for each
    dimension.
    """

    options: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not self.options["lowest"] < self.options["highest"]:
            raise UserError(
                f"config, features: lowest: {self.options['lowest']} is not below highest: "
                f"{self.options['highest']}; write the lowest number of the scale first"
            )

    @property
    def asks_answer(self) -> bool:
        """Whether the model is asked for an answer."""
        return self.options["scoring"] != LEVELS

    @property
    def asks_levels(self) -> bool:
        """Whether the logits of the level words are read."""
        return self.options["scoring"] != ANSWER

    @property
    def prompt(self) -> str:
        """The question for an answer, with template and scale."""
        template = self.options["template"]
        for name in DIMENSIONS:
            template = template.replace(f"{{{name}}}", "<number>")
        prompt: str = self.options["prompt"].replace("{template}", template)
        for end in ("lowest", "highest"):
            prompt = prompt.replace(f"{{{end}}}", f"{self.options[end]:g}")
        return prompt

    @property
    def level_prompts(self) -> list[str]:
        """The question for a level, for each dimension."""
        return [self._name_dimension("level_prompt", words) for words in DIMENSIONS.values()]

    @property
    def level_prefixes(self) -> list[str]:
        """How the answer with a level begins, for each dimension."""
        return [self._name_dimension("level_prefix", words) for words in DIMENSIONS.values()]

    def _name_dimension(self, option: str, words: str) -> str:
        return str(self.options[option]).replace("{dimension}", words)

    def make_row(
        self, answer: str | None, levels: npt.NDArray[np.float32] | None
    ) -> dict[str, Any]:
        """Return the row of a video; ``levels`` has shape (dimensions, 5).

        Raises :class:`UnusableError`, with the answer's text, for an answer that does not follow
        the template or has a number outside the scale, and for logits that are not finite.
        """
        row: dict[str, Any] = {feature.name: None for feature in FEATURES}
        if answer is not None:
            row |= {"answer": answer, **self.read_answer(answer)}
        if levels is not None:
            if not np.isfinite(levels).all():
                raise UnusableError("not_finite: the model gave logits that are no numbers")
            expected = compute_expected_levels(levels)
            row |= {f"{n}_expected": float(v) for n, v in zip(DIMENSIONS, expected, strict=True)}
            row["levels"] = levels
        return row

    def check_end(self, answer: str, is_cut: bool) -> None:
        """Raise :class:`UnusableError` for an answer that was cut after ``max_new_tokens``.

        Its last number may lack digits: "consistency: 4" is the beginning of "consistency: 48".
        """
        if is_cut:
            raise UnusableError(
                f"cut: the answer {quote_answer(answer)} was not finished after "
                f"{self.options['max_new_tokens']} tokens, the option max_new_tokens"
            )

    def read_answer(self, answer: str) -> dict[str, float]:
        """Return the number of each dimension.

        The answer must be the template with numbers in its places. Upper and lower case, the
        lengths of gaps and a full stop at the end may differ. Raises :class:`UnusableError` as
        :meth:`make_row` does.
        """
        template: str = self.options["template"]
        match = re.fullmatch(_make_pattern(template), answer.strip(), re.IGNORECASE)
        if match is None:
            raise UnusableError(
                f"wrong_template: the answer {quote_answer(answer)} does not follow the template "
                f"{quote_answer(template)}"
            )
        lowest, highest = self.options["lowest"], self.options["highest"]
        numbers = {name: float(text) for name, text in zip(_list_places(template), match.groups(),
                   strict=True)}  # fmt: skip
        for name, number in numbers.items():
            if not lowest <= number <= highest:
                raise UnusableError(
                    f"outside_scale: the answer {quote_answer(answer)} gives {name} {number:g}, "
                    f"which is not from {lowest:g} to {highest:g}"
                )
        return numbers


def compute_expected_levels(levels: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """Return the expected level, 5 (excellent) to 1 (bad), of logits (..., 5).

    >>> compute_expected_levels(np.zeros(5)), compute_expected_levels(np.array([99.0, 0, 0, 0, 0]))
    (np.float64(3.0), np.float64(5.0))
    """
    logits = np.asarray(levels, np.float64)
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    expected: npt.NDArray[np.float64] = (shares @ _LEVEL_WEIGHTS) / shares.sum(axis=-1)
    return expected


def quote_answer(text: str) -> str:
    """Return a text on one line for a reason, cut after 300 characters.

    >>> quote_answer("70; good\\nor so")
    '"70, good\\\\nor so"'
    """
    shortened = text if len(text) <= _QUOTED else text[:_QUOTED] + "..."
    # "; " separates the reasons of a row.
    return json.dumps(shortened, ensure_ascii=False).replace("; ", ", ")


def _list_places(template: str) -> list[str]:
    return re.findall(r"\{(\w+)\}", template)


def _make_pattern(template: str) -> str:
    """Return the regular expression of answers that follow the template."""
    pieces = re.split(r"\{\w+\}", template.strip().removesuffix("."))
    patterns = [r"\s+".join(re.escape(word) for word in re.split(r"\s+", p)) for p in pieces]
    return _NUMBER.join(patterns) + r"\s*\.?"
