"""Simulated raters, to try the workflow without people: every row they give says synthetic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from sfqa.errors import UserError
from sfqa.identity import generator, seed_of

VERSION = 1
LOWEST, HIGHEST, STEP = 1.0, 5.0, 0.1

# Spreads on the slider of 1 to 5; the truth of a method spans all of it.
_CONTENT_SD = 0.35
_BIAS_SD = 0.3
_STRETCH = (0.8, 1.2)
_NOISE_SD = (0.25, 0.5)


def simulate(
    samples: pd.DataFrame,
    truths: Mapping[str, Mapping[str, float]],
    raters: int,
    seed: int,
    careless: int = 1,
    per_sample: int | None = None,
) -> list[dict[str, Any]]:
    """Return rows for ``tables.SCORES``, as raters with a 5-point slider (1 to 5 by .1) give them.

    ``samples`` has ``sample_id`` and ``method``, one row per sample that can be rated, and may
    have ``pair_id``. ``truths`` gives each method a quality of 0 to 1 in every dimension. A score
    is 1 + 4 truth + the content effect of the pair (shared by the methods), seen through the
    rater's bias and use of the scale, plus the rater's noise. The first ``careless`` raters
    answer at random. Each sample is rated by all raters, or by ``per_sample`` of them.

    A score depends on the seed, the rater, the sample and the dimension alone: more samples, or
    more raters where all rate everything, change no score that was there before. Raises
    :class:`UserError` for methods without a truth and impossible numbers of raters.

    >>> samples = pd.DataFrame({"sample_id": ["a__b__sharp"], "method": ["sharp"]})
    >>> rows = simulate(samples, {"sharp": {"quality": 0.9}}, raters=3, seed=1)
    >>> [row["rater"] for row in rows], all(row["synthetic"] for row in rows)
    (['synthetic-01', 'synthetic-02', 'synthetic-03'], True)
    """
    _check(samples, truths, raters, careless, per_sample)
    names = [f"synthetic-{number:02d}" for number in range(1, raters + 1)]
    random_ones = set(names[:careless])
    habits: dict[tuple[str, str], tuple[float, float, float]] = {}
    content: dict[tuple[str, str], float] = {}
    rows = []
    for sample, method, pair in _samples(samples):
        chosen = _panel(names, seed, sample, per_sample)
        for dimension, truth in sorted(truths[method].items()):
            if (pair, dimension) not in content:
                noise = generator(seed, "content", pair, dimension).normal()
                content[pair, dimension] = _CONTENT_SD * noise
            latent = LOWEST + (HIGHEST - LOWEST) * truth + content[pair, dimension]
            for rater in chosen:
                if (rater, dimension) not in habits:
                    habits[rater, dimension] = _habit(seed, rater, dimension)
                draw = generator(seed, rater, sample, dimension)
                if rater in random_ones:
                    value = draw.uniform(LOWEST, HIGHEST)
                else:
                    bias, stretch, noise = habits[rater, dimension]
                    middle = (LOWEST + HIGHEST) / 2
                    value = middle + stretch * (latent - middle) + bias + noise * draw.normal()
                rows.append(
                    {
                        "rater": rater,
                        "sample_id": sample,
                        "dimension": dimension,
                        "score": _slider(value),
                        "synthetic": True,
                    }
                )
    return rows


def _samples(samples: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Sample, method and pair, sorted; without ``pair_id`` the pair is what the name says."""
    pairs = samples["pair_id"] if "pair_id" in samples else pd.Series(None, samples.index, object)
    triples = []
    for sample, method, pair in zip(samples["sample_id"], samples["method"], pairs, strict=True):
        known = pair if isinstance(pair, str) and pair else sample.removesuffix(f"__{method}")
        triples.append((str(sample), str(method), str(known)))
    return sorted(triples)


def _panel(names: list[str], seed: int, sample: str, size: int | None) -> list[str]:
    if size is None:
        return names
    order = sorted(names, key=lambda rater: (seed_of(seed, "panel", rater, sample), rater))
    return sorted(order[:size])


def _habit(seed: int, rater: str, dimension: str) -> tuple[float, float, float]:
    """Bias, stretch of the scale and noise of a rater in a dimension."""
    draw = generator(seed, "rater", rater, dimension)
    return float(draw.normal(0, _BIAS_SD)), draw.uniform(*_STRETCH), draw.uniform(*_NOISE_SD)


def _slider(value: float) -> float:
    clipped = float(np.clip(value, LOWEST, HIGHEST))
    return round(round(clipped / STEP) * STEP, 1)


def _check(
    samples: pd.DataFrame,
    truths: Mapping[str, Mapping[str, float]],
    raters: int,
    careless: int,
    per_sample: int | None,
) -> None:
    if raters < 1 or not 0 <= careless <= raters:
        raise UserError(
            f"simulated raters: {raters} raters with {careless} careless ones; "
            "have at least one rater, and no more careless ones than raters"
        )
    if per_sample is not None and not 1 <= per_sample <= raters:
        raise UserError(
            f"simulated raters: {per_sample} ratings per sample from {raters} raters; "
            f"choose 1 to {raters}"
        )
    for method in sorted(set(samples["method"])):
        if not truths.get(method):
            raise UserError(
                f"simulated raters: no truth for the method {method!r}; give it a number of 0 to 1 "
                "in every dimension, or import real scores"
            )
        for dimension, truth in truths[method].items():
            if not 0 <= truth <= 1:
                raise UserError(
                    f"simulated raters: method {method!r}, dimension {dimension!r}: "
                    f"the truth {truth} is outside 0 to 1; correct it"
                )
