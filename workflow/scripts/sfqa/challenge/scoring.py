"""Scores a submission to a phase of a challenge, alike on any machine."""

from __future__ import annotations

from typing import Any

import numpy as np

from sfqa import identity
from sfqa.challenge.phases import Phase
from sfqa.challenge.submission import Submission
from sfqa.correlation import resampled
from sfqa.correlation.fits import MAPPINGS, fitted
from sfqa.correlation.statistics import Array
from sfqa.errors import UserError, hint
from sfqa.tables import FAILED, FLAWED, OK, flaw

VERSION = 1

#: What stands before PLCC and RMSE: NTIRE 2025 (section 3.3) takes a third-order polynomial.
MAPPING = "cubic"
#: Bootstrap samples behind the interval of a main score, and how many are held at once.
RESAMPLES, _BLOCK = 1000, 100


def formula(mapping: str = MAPPING) -> str:
    """Return the main score's formula as it stands beside every number.

    >>> formula("none")
    'main score = (|SRCC| + |PLCC|) / 2, PLCC of the scores as given'
    """
    name = MAPPINGS[mapping]
    how = "of the scores as given" if mapping == "none" else f"after the mapping {name}"
    return f"main score = (|SRCC| + |PLCC|) / 2, PLCC {how}"


def score(
    submission: Submission,
    phase: Phase,
    team: str,
    mapping: str = MAPPING,
    sha256: str = "",
    baseline: bool = False,
) -> dict[str, Any]:
    """Return a row of the leaderboard, not yet ranked: the one scorer of every phase.

    A submission that is not valid is failed, with its first mistakes as the reason; so is one
    whose scores are all equal, since nothing is correlated with them.
    """
    if mapping not in MAPPINGS:
        raise UserError(f"mapping {mapping!r}: there is none; {hint(mapping, MAPPINGS)}")
    row: dict[str, Any] = {
        "rank": None,
        "team": team,
        **dict.fromkeys(("main_score", "main_score_low", "main_score_high")),
        **dict.fromkeys(("srcc", "plcc", "krcc", "rmse")),
        "n": len(submission.scores),
        "mapping": MAPPINGS[mapping],
        "phase": phase.name,
        "phase_sha256": phase.sha256,
        "submission_sha256": sha256,
        **{
            name: submission.facts.get(name)
            for name in ("runtime", "cpu_or_gpu", "extra_data", "llm", "description")
        },
        "baseline": baseline,
        "status": FAILED,
    }
    if not submission.valid:
        return row | {"detail": flaw("not_valid", " | ".join(submission.errors[:3]))}
    x = np.array([submission.scores[name] for name in phase.mos])
    y = np.array(list(phase.mos.values()))
    found, brought = fitted(x, y, mapping)
    row |= {"mapping": found.mapping, "krcc": found.krcc, "rmse": found.rmse}
    row |= {"srcc": found.srcc, "plcc": found.plcc, "detail": found.detail}
    if found.srcc is None or found.plcc is None or brought is None:
        return row
    low, high = main_interval(x, brought(x), y)
    row |= {"main_score": (abs(found.srcc) + abs(found.plcc)) / 2}
    row |= {"main_score_low": low, "main_score_high": high}
    return row | {"status": FLAWED if found.detail else OK}


def main_interval(scores: Array, brought: Array, mos: Array) -> tuple[float, float]:
    """Return the 95 % percentile interval of the main score: videos drawn anew, the mapping held.

    ``scores``, ``brought`` (after the mapping) and ``mos``: (n,). The same videos are drawn for
    every submission to a phase, so that intervals differ by the scores alone.
    """
    draw = identity.generator("challenge interval", len(mos))
    found = []
    for _ in range(RESAMPLES // _BLOCK):
        times = [
            np.bincount(draw.integers(0, len(mos), len(mos)), minlength=len(mos))
            for _ in range(_BLOCK)
        ]
        weights = np.array(times, np.float64).T
        rank = resampled.srcc(scores[:, None], mos, weights)[0]
        linear = resampled.plcc(brought[:, None], mos, weights)[0]
        found.append((np.abs(rank) + np.abs(linear)) / 2)
    low, high = np.nanquantile(np.concatenate(found), (0.025, 0.975))
    return float(low), float(high)
