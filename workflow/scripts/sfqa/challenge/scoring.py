"""Score a submission to a phase of a challenge; the result is the same on any machine."""

from __future__ import annotations

from typing import Any

import numpy as np

from sfqa import identity
from sfqa.arrays import Floats
from sfqa.challenge.phases import Phase
from sfqa.challenge.submission import Submission
from sfqa.correlation.agreement import UNDEFINED
from sfqa.correlation.fits import MAPPINGS, correlate_with_mapping
from sfqa.errors import UserError, hint
from sfqa.statistics.registry import RowResamples, find_statistic
from sfqa.tables import FAILED, FLAWED, OK, flaw

VERSION = 2

#: Mapping before PLCC and RMSE: NTIRE 2025 (section 3.3) uses a third-order polynomial.
MAPPING = "cubic"
#: Number of bootstrap resamples for the interval of a main score, and of those kept in memory.
RESAMPLES, _BLOCK = 1000, 100


def describe_formula(mapping: str = MAPPING) -> str:
    """Return the formula of the main score, as it is printed next to every number.

    >>> describe_formula("none")
    'main score = (|SRCC| + |PLCC|) / 2, PLCC of the scores as given'
    """
    name = MAPPINGS[mapping]
    description = "of the scores as given" if mapping == "none" else f"after the mapping {name}"
    return f"main score = (|SRCC| + |PLCC|) / 2, PLCC {description}"


def score_submission(
    submission: Submission,
    phase: Phase,
    team: str,
    mapping: str = MAPPING,
    sha256: str = "",
    baseline: bool = False,
) -> dict[str, Any]:
    """Score a submission; return its row of the leaderboard, not yet ranked.

    An invalid submission has status ``failed`` with its first errors as the reason; so has one
    whose scores are all equal, because correlations are then undefined.
    """
    if mapping not in MAPPINGS:
        raise UserError(f"mapping {mapping!r}: there is none; {hint(mapping, MAPPINGS)}")
    row: dict[str, Any] = {
        "rank": None,
        "team": team,
        **dict.fromkeys(("main_score", "main_score_low", "main_score_high")),
        **UNDEFINED,
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
    if not submission.is_valid:
        return row | {"detail": flaw("not_valid", " | ".join(submission.errors[:3]))}
    x = np.array([submission.scores[name] for name in phase.mos])
    y = np.array(list(phase.mos.values()))
    fit, mapping_function = correlate_with_mapping(x, y, mapping)
    row |= {**fit.values, "mapping": fit.mapping, "detail": fit.detail}
    main_score = fit.main_score
    if main_score is None or mapping_function is None:
        return row
    low, high = compute_main_interval(x, mapping_function(x), y)
    row |= {"main_score": main_score, "main_score_low": low, "main_score_high": high}
    return row | {"status": FLAWED if fit.detail else OK}


def compute_main_interval(scores: Floats, mapped: Floats, mos: Floats) -> tuple[float, float]:
    """Return the 95 % percentile interval of the main score from bootstrap resamples of the videos.

    ``scores``, ``mapped`` (scores after the mapping, which is not refitted) and ``mos``: (n,).
    Every submission to a phase uses the same resamples, so intervals differ only by the scores.
    """
    draw = identity.random_generator("challenge interval", len(mos))
    main_scores = []
    for _ in range(RESAMPLES // _BLOCK):
        counts = [
            np.bincount(draw.integers(0, len(mos), len(mos)), minlength=len(mos))
            for _ in range(_BLOCK)
        ]
        weights = np.array(counts, np.float64).T
        resamples = RowResamples(np.arange(len(mos)), weights, weights)
        srcc = find_statistic("srcc").compute_resamples(scores[:, None], mos, resamples)[0]
        plcc = find_statistic("plcc").compute_resamples(mapped[:, None], mos, resamples)[0]
        main_scores.append((np.abs(srcc) + np.abs(plcc)) / 2)
    low, high = np.nanquantile(np.concatenate(main_scores), (0.025, 0.975))
    return float(low), float(high)
