"""Simulated raters, to try the workflow without people. All their rows are marked synthetic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from sfqa.errors import UserError
from sfqa.identity import random_generator, seed_of

VERSION = 1
LOWEST, HIGHEST, STEP = 1.0, 5.0, 0.1

# Standard deviations on the scale from 1 to 5. The methods' true quality covers the whole scale.
_CONTENT_SD = 0.35
_BIAS_SD = 0.3
_STRETCH = (0.8, 1.2)
_NOISE_SD = (0.25, 0.5)


def simulate_scores(
    samples: pd.DataFrame,
    truths: Mapping[str, Mapping[str, float]],
    raters: int,
    seed: int,
    careless: int = 1,
    per_sample: int | None = None,
) -> list[dict[str, Any]]:
    """Return rows for ``tables.SCORES`` from simulated raters (slider from 1 to 5, steps of .1).

    ``samples`` has ``sample_id`` and ``method``, one row per sample to rate, and optionally
    ``pair_id``. ``truths`` gives the quality of each method, 0 to 1, in every dimension. The latent
    quality is 1 + 4 truth + a content effect of the pair (shared by the methods); each rater adds
    bias, stretch of the scale and noise. The first ``careless`` raters answer at random. Each
    sample is rated by all raters, or by ``per_sample`` of them.

    A score depends only on the seed, the rater, the sample and the dimension: more samples, or
    more raters if all rate everything, do not change existing scores. Raises :class:`UserError` for
    methods without a truth and impossible numbers of raters.

    >>> samples = pd.DataFrame({"sample_id": ["a__b__sharp"], "method": ["sharp"]})
    >>> rows = simulate_scores(samples, {"sharp": {"quality": 0.9}}, raters=3, seed=1)
    >>> [row["rater"] for row in rows], all(row["synthetic"] for row in rows)
    (['synthetic-01', 'synthetic-02', 'synthetic-03'], True)
    """
    _check_arguments(samples, truths, raters, careless, per_sample)
    names = [f"synthetic-{number:02d}" for number in range(1, raters + 1)]
    careless_raters = set(names[:careless])
    habits: dict[tuple[str, str], tuple[float, float, float]] = {}
    content: dict[tuple[str, str], float] = {}
    rows = []
    for sample, method, pair in _list_samples(samples):
        chosen = _choose_raters(names, seed, sample, per_sample)
        for dimension, truth in sorted(truths[method].items()):
            if (pair, dimension) not in content:
                noise = random_generator(seed, "content", pair, dimension).normal()
                content[pair, dimension] = _CONTENT_SD * noise
            latent = LOWEST + (HIGHEST - LOWEST) * truth + content[pair, dimension]
            for rater in chosen:
                if (rater, dimension) not in habits:
                    habits[rater, dimension] = _draw_habits(seed, rater, dimension)
                rng = random_generator(seed, rater, sample, dimension)
                if rater in careless_raters:
                    value = rng.uniform(LOWEST, HIGHEST)
                else:
                    bias, stretch, noise = habits[rater, dimension]
                    middle = (LOWEST + HIGHEST) / 2
                    value = middle + stretch * (latent - middle) + bias + noise * rng.normal()
                rows.append(
                    {
                        "rater": rater,
                        "sample_id": sample,
                        "dimension": dimension,
                        "score": _round_to_slider(value),
                        "synthetic": True,
                    }
                )
    return rows


def _list_samples(samples: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Return (sample, method, pair), sorted; without ``pair_id`` the name gives the pair."""
    pairs = samples["pair_id"] if "pair_id" in samples else pd.Series(None, samples.index, object)
    triples = []
    for sample, method, pair in zip(samples["sample_id"], samples["method"], pairs, strict=True):
        if not (isinstance(pair, str) and pair):
            pair = sample.removesuffix(f"__{method}")
        triples.append((str(sample), str(method), str(pair)))
    return sorted(triples)


def _choose_raters(names: list[str], seed: int, sample: str, size: int | None) -> list[str]:
    if size is None:
        return names
    order = sorted(names, key=lambda rater: (seed_of(seed, "panel", rater, sample), rater))
    return sorted(order[:size])


def _draw_habits(seed: int, rater: str, dimension: str) -> tuple[float, float, float]:
    """Return a rater's bias, stretch of the scale and noise in a dimension."""
    rng = random_generator(seed, "rater", rater, dimension)
    return float(rng.normal(0, _BIAS_SD)), rng.uniform(*_STRETCH), rng.uniform(*_NOISE_SD)


def _round_to_slider(value: float) -> float:
    clipped = float(np.clip(value, LOWEST, HIGHEST))
    return round(round(clipped / STEP) * STEP, 1)


def _check_arguments(
    samples: pd.DataFrame,
    truths: Mapping[str, Mapping[str, float]],
    raters: int,
    careless: int,
    per_sample: int | None,
) -> None:
    if raters < 1 or not 0 <= careless <= raters:
        raise UserError(
            f"simulated raters: {raters} raters with {careless} careless ones; "
            "use at least one rater, and at most as many careless ones as raters"
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
