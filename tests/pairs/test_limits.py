"""Limits of the pair solver: the best pairs found are used, and the proof names the gap."""

from __future__ import annotations

import re
import time
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from sfqa.errors import UserError
from sfqa.pairs import program
from sfqa.pairs.constraints import PairConstraints
from sfqa.pairs.proof import Proof, Step
from sfqa.pairs.sampler import make_pairs
from sfqa.pairs.verify import verify_pairs
from sfqa.plan import Plan
from sfqa.reference import ROOT, SCHEMA


def sheets() -> tuple[pd.DataFrame, pd.DataFrame]:
    """24 images of 6 labels and 12 clips of 6 labels, unevenly many of each."""
    images = [
        {
            "image_id": f"i{k:02d}",
            "source": ("real", "ai")[k % 5 % 2],
            "category": "abc"[k * k % 7 % 3],
            "status": "ok",
        }
        for k in range(24)
    ]
    clips = [
        {
            "clip_id": f"c{k:02d}",
            "style": ("pop", "rap", "folk")[k * k % 5 % 3],
            "language": ("en", "zh")[k % 3 % 2],
            "status": "ok",
        }
        for k in range(12)
    ]
    return pd.DataFrame(images), pd.DataFrame(clips)


class FastClock:
    """A wall clock that runs 10,000 times as fast as the processor."""

    process_time = staticmethod(time.process_time)

    @staticmethod
    def perf_counter() -> float:
        return 10_000 * time.perf_counter()


@pytest.mark.parametrize("seconds", [1e-9, 0.05])
def test_the_best_pairs_found_within_the_time_are_used(seconds: float) -> None:
    images, clips = sheets()
    constraints: dict[str, Any] = {"per_image": (1, 4), "coverage": "possible"}
    rows, proof = make_pairs(images, clips, 60, seconds=seconds, **constraints)
    assert verify_pairs(rows, images, clips, PairConstraints(60, **constraints)) == []
    assert not proof.is_proven
    assert {step.limit for step in proof.steps if not step.is_proven} == {"seconds"}
    last = proof.format_proof().splitlines()[-1]
    assert last == (
        "the search ended at the limit pairs: seconds, and the best pairs found are used; better "
        "pairs may exist and another machine may find them; raise the limit to search on"
    )
    assert "gap 100.00 %" in proof.format_proof(with_times=False)


@pytest.mark.thorough
def test_the_best_pairs_found_within_the_nodes_are_used() -> None:
    """The last term of 30 images and 12 clips with random labels needs more than one node."""
    draw = np.random.default_rng(1)
    images = pd.DataFrame(
        {
            "image_id": [f"i{k}" for k in range(30)],
            "source": draw.choice(["real", "ai"], 30),
            "category": draw.choice([*"abcd"], 30),
            "status": "ok",
        }
    )
    clips = pd.DataFrame(
        {
            "clip_id": [f"a{k}" for k in range(12)],
            "style": draw.choice(["pop", "rap", "folk"], 12),
            "language": draw.choice(["en", "zh"], 12),
            "status": "ok",
        }
    )
    constraints: dict[str, Any] = {"per_image": (2, 5), "per_clip": (5, 10), "nodes": 1}
    rows, proof = make_pairs(images, clips, 90, **constraints)
    assert verify_pairs(rows, images, clips, PairConstraints(90, **constraints)) == []
    assert not proof.is_proven
    assert {step.limit for step in proof.steps if not step.is_proven} == {"nodes"}
    assert proof.format_proof().splitlines()[-1] == (
        "the search ended at the limit pairs: nodes, and the best pairs found are used; better "
        "pairs may exist; raise the limit to search on"
    )


@pytest.mark.thorough
def test_a_busy_machine_does_not_change_the_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the clock runs 10,000 times as fast as the processor, the pairs and the proof stay."""
    options = []
    milp = program.milp

    def record_options(*args: Any, **kwargs: Any) -> Any:
        options.append(dict(kwargs["options"]))
        if "time_limit" in kwargs["options"]:  # the first solution has none
            kwargs["options"]["time_limit"] /= 10_000
        return milp(*args, **kwargs)

    expected = make_pairs(*sheets(), 24)
    monkeypatch.setattr(program, "milp", record_options)
    monkeypatch.setattr(program, "time", FastClock)
    rows, proof = make_pairs(*sheets(), 24, seconds=300)
    assert rows == expected.rows
    assert proof.format_proof(False) == expected.proof.format_proof(False)
    assert proof.is_proven
    assert max(option.get("time_limit", 0) for option in options) > 300
    assert {option["node_limit"] for option in options} == {2000}


def test_seconds_are_processor_time() -> None:
    """A solve that a busy machine stops early is repeated with more wall-clock time."""
    limits = []

    def wait(options: Any) -> dict[str, Any]:
        limits.append(options["time_limit"])
        time.sleep(min(options["time_limit"], 0.3))
        return {"status": 1 if options["time_limit"] < 0.3 else 0}

    result, timed_out = program._limit_processor_time(wait, 0.05)
    assert (result["status"], timed_out) == (0, False)
    assert limits[0] == 0.05
    assert limits[-1] >= 0.3

    def work(options: Any) -> dict[str, Any]:
        start = time.perf_counter()
        while time.perf_counter() - start < options["time_limit"]:
            pass
        return {"status": 1}

    start = time.process_time()
    result, timed_out = program._limit_processor_time(work, 0.2)
    assert timed_out
    assert 0.1 < time.process_time() - start < 2


@pytest.mark.parametrize(
    ("limits", "tie_limit", "text"),
    [
        (("nodes", ""), "", "limit pairs: nodes, .*; better pairs may exist; raise the limit"),
        (("nodes", "seconds"), "", "pairs: nodes and seconds, .* and another machine may find"),
        (("", ""), "", "two solves disagreed; better pairs may exist"),
        ((None, None), "nodes", "pairs: nodes, .* other pairs that are as good may exist"),
        ((None, None), "", "two solves disagreed; other pairs that are as good may exist"),
    ],
)
def test_the_proof_names_the_limit(limits: Any, tie_limit: str, text: str) -> None:
    """None: a proven step."""
    steps = [
        Step("uneven use", Fraction(2), Fraction(2 if limit is None else 1), 1, 0.1, limit or "")
        for limit in limits
    ]
    proof = Proof(tuple(steps), settled=False, tie_limit=tie_limit)
    assert re.search(text, proof.format_proof().splitlines()[-1])
    assert ", 0.1 s" not in proof.format_proof(with_times=False)


@pytest.mark.parametrize("limits", [{"nodes": 0}, {"seconds": 0}, {"seconds": -1}])
def test_limits_are_above_0(limits: Any) -> None:
    with pytest.raises(
        UserError, match=r"pairs: nodes is .* and seconds is .*; give numbers above"
    ):
        PairConstraints(2, **limits)


@pytest.mark.parametrize("seconds", [3000, "3000", 0.5])
def test_the_key_seconds_reaches_the_solver(seconds: Any) -> None:
    """As in --config 'pairs={seconds: 3000}'."""
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    plan = Plan(config | {"pairs": {"count": 12, "seconds": seconds}}, SCHEMA, check_files=False)
    constraints = PairConstraints(12, **plan.pair_constraints())
    assert constraints.seconds == float(seconds)
    plan = Plan(config | {"pairs": {"count": 12}}, SCHEMA, check_files=False)
    assert PairConstraints(12, **plan.pair_constraints()).seconds == 1800
    with pytest.raises(UserError, match=r"pairs\.seconds: 0 is less"):
        Plan(config | {"pairs": {"count": 12, "seconds": 0}}, SCHEMA, check_files=False)
