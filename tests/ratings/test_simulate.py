"""Simulated raters: labelled, on the slider, stable, and with the quality they were given."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfqa import store, tables
from sfqa.errors import UserError
from sfqa.ratings.mos import compute_mos
from sfqa.ratings.simulate import simulate_scores

TRUTHS = {
    "good": {"quality": 0.9, "sync": 0.2},
    "fair": {"quality": 0.5, "sync": 0.9},
    "poor": {"quality": 0.1, "sync": 0.5},
}


def samples_of(pairs: int, methods: tuple[str, ...] = ("good", "fair", "poor")) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"sample_id": f"i{k}__c{k}__{method}", "method": method, "pair_id": f"i{k}__c{k}"}
            for k in range(pairs)
            for method in methods
        ]
    )


def test_rows_are_synthetic_slider_scores() -> None:
    rows = simulate_scores(samples_of(4), TRUTHS, raters=5, seed=3)
    store.to_arrow(tables.SCORES, rows)
    assert len(rows) == 4 * 3 * 2 * 5
    assert all(row["synthetic"] is True for row in rows)
    assert {row["rater"] for row in rows} == {f"synthetic-{k:02d}" for k in range(1, 6)}
    assert {row["score"] for row in rows} <= {n / 10 for n in range(10, 51)}


@settings(max_examples=10, deadline=None)
@given(st.data(), st.sampled_from([None, 2]))
def test_more_samples_change_no_score(data: st.DataObject, per_sample: int | None) -> None:
    everything = samples_of(4)
    chosen = data.draw(st.lists(st.sampled_from(range(12)), min_size=1, unique=True))
    every = simulate_scores(everything, TRUTHS, 4, 1, per_sample=per_sample)
    some = simulate_scores(everything.iloc[chosen], TRUTHS, 4, 1, per_sample=per_sample)
    names = set(everything.iloc[chosen]["sample_id"])
    assert some == [row for row in every if row["sample_id"] in names]


def test_more_raters_change_no_score() -> None:
    few, many = (simulate_scores(samples_of(3), TRUTHS, raters, 1) for raters in (3, 6))
    assert few == [row for row in many if row["rater"] <= "synthetic-03"]


def test_seed_and_pair_name() -> None:
    samples = samples_of(3)
    assert simulate_scores(samples, TRUTHS, 3, 1) != simulate_scores(samples, TRUTHS, 3, 2)
    # Without the column, the pair is read from the sample's name.
    nameless = samples.drop(columns="pair_id")
    assert simulate_scores(nameless, TRUTHS, 3, 1) == simulate_scores(samples, TRUTHS, 3, 1)


def test_per_sample_panels() -> None:
    frame = pd.DataFrame(simulate_scores(samples_of(40), TRUTHS, 6, 1, per_sample=3))
    assert set(frame.groupby(["sample_id", "dimension"])["rater"].nunique()) == {3}
    panels = frame.groupby(["sample_id", "dimension"])["rater"].agg(tuple).unstack()
    assert (panels["quality"] == panels["sync"]).all()
    # 120 samples by 3 of 6 raters: 60 each on average, binomial sd 5.5.
    load = frame[frame["dimension"] == "sync"]["rater"].value_counts()
    assert load.between(40, 80).all()


def test_truths_come_back_as_the_order_of_methods() -> None:
    frame = pd.DataFrame(simulate_scores(samples_of(25), TRUTHS, 8, 5))
    mos = pd.DataFrame(compute_mos(frame)[0])
    mos["method"] = mos["sample_id"].str.rsplit("__", n=1).str[1]
    means = mos.groupby(["dimension", "method"])["mos"].mean()
    assert means["quality"].sort_values().index.tolist() == ["poor", "fair", "good"]
    assert means["sync"].sort_values().index.tolist() == ["good", "poor", "fair"]


def test_content_is_shared_by_the_methods() -> None:
    """With equal truths, samples of a pair agree more than samples of different pairs."""
    truths = {name: {"quality": 0.5} for name in TRUTHS}
    frame = pd.DataFrame(simulate_scores(samples_of(60), truths, 10, 2, careless=0))
    mos = frame.groupby("sample_id")["score"].mean().reset_index()
    mos[["pair", "method"]] = mos["sample_id"].str.rsplit("__", n=1).to_list()
    table = mos.pivot(index="pair", columns="method", values="score")
    # Content sd .35 against rater noise of about .38 / sqrt(10): correlation near .89.
    correlation = table.corr().to_numpy()[[0, 0, 1], [1, 2, 2]]
    assert (correlation > 0.75).all()


@pytest.mark.parametrize("scale", ["raw", "zscore"])
def test_the_careless_rater_is_screened_out(scale: str) -> None:
    truths = {"good": {"q": 0.75}, "fair": {"q": 0.5}, "poor": {"q": 0.25}}
    for careless, expected in ((1, ["synthetic-01"]), (0, [])):
        frame = pd.DataFrame(simulate_scores(samples_of(60), truths, 6, 0, careless))
        raters = compute_mos(frame, scale)[1]
        assert [row["rater"] for row in raters if row["rejected"]] == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"raters": 0, "careless": 0}, "0 raters"),
        ({"raters": 2, "careless": 3}, "2 raters with 3 careless ones"),
        ({"per_sample": 4}, "4 ratings per sample from 3 raters"),
        ({"truths": {"good": {"quality": 0.5}}}, "no truth for the method 'fair'"),
        ({"truths": {**TRUTHS, "fair": {"quality": 1.5}}}, "the truth 1.5 is outside 0 to 1"),
    ],
)
def test_mistakes(change: dict[str, object], message: str) -> None:
    arguments = {"truths": TRUTHS, "raters": 3, "seed": 1, **change}
    with pytest.raises(UserError, match=message):
        simulate_scores(samples_of(1), **arguments)  # type: ignore[arg-type]
