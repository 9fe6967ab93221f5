"""Comparisons of labels: scipy's tests, Holm by hand, what pairs share, what cannot be tested."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sfqa import store
from sfqa.ratings.significance import COLUMNS, compare_labels
from sfqa.tables import LABEL_DIFFERENCES


def study(pairs: int = 30, seed: int = 1, effect: float = 0.0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Three methods on every pair; the pair moves all of them, category b by ``effect``."""
    draw = np.random.default_rng(seed)
    content = draw.normal(0, 10, pairs)
    rows = []
    for p in range(pairs):
        for m, lead in (("m1", 0.0), ("m2", 2.0), ("m3", 2.2)):
            mos = 50 + content[p] + lead + effect * (p % 2) + draw.normal(0, 1)
            rows.append((f"p{p}_{m}", m, f"p{p}", "ab"[p % 2], "zh" if p < 10 else "en", mos))
    names = ["sample_id", "method", "pair_id", "image_category", "language", "mos"]
    frame = pd.DataFrame(rows, columns=names)
    return frame[["sample_id", "mos"]].assign(dimension="q"), frame.drop(columns="mos")


def found(mos: pd.DataFrame, samples: pd.DataFrame, *extra: str) -> dict[Any, dict[str, Any]]:
    frame = compare_labels(mos, samples, extra)
    assert tuple(frame.columns) == COLUMNS
    store.to_arrow(LABEL_DIFFERENCES, frame)
    return {(r["label_kind"], r["label_a"], r["label_b"]): r for r in store.to_records(frame)}


def test_methods_are_compared_on_their_pairs() -> None:
    mos, samples = study()
    row = found(mos, samples)["method", "m1", "m2"]
    by = mos.merge(samples).pivot(index="pair_id", columns="method", values="mos")
    wanted = stats.ttest_rel(by["m1"], by["m2"])
    low, high = wanted.confidence_interval(0.95)
    assert (row["test"], row["unit"], row["n_a"], row["n_b"]) == ("paired t", "pair", 30, 30)
    assert row["p"] == pytest.approx(wanted.pvalue, rel=1e-9)
    assert (row["ci95_low"], row["ci95_high"]) == pytest.approx((low, high), rel=1e-9)
    assert row["difference"] == pytest.approx((by["m1"] - by["m2"]).mean(), rel=1e-9)
    assert row["significant"]
    # Unpaired, the pairs' content would hide it.
    assert stats.ttest_ind(by["m1"], by["m2"]).pvalue > 0.05


def test_methods_that_failed_on_some_pairs() -> None:
    mos, samples = study()
    left = mos.drop(index=mos.index[samples["sample_id"].isin(["p0_m1", "p1_m2", "p2_m2"])])
    row = found(left, samples)["method", "m1", "m2"]
    assert (row["n_a"], row["n_b"]) == (27, 27)


def test_labels_of_pairs_are_compared_over_pairs() -> None:
    mos, samples = study(effect=3.0)
    row = found(mos, samples)["image_category", "a", "b"]
    mean = mos.merge(samples).groupby("pair_id").agg({"mos": "mean", "image_category": "first"})
    a, b = (mean.loc[mean["image_category"] == c, "mos"] for c in "ab")
    wanted = stats.ttest_ind(a, b, equal_var=False)
    assert (row["test"], row["unit"], row["n_a"], row["n_b"]) == ("Welch t", "pair", 15, 15)
    assert row["p"] == pytest.approx(wanted.pvalue, rel=1e-9)
    assert (row["ci95_low"], row["ci95_high"]) == pytest.approx(wanted.confidence_interval(), rel=1e-9)  # fmt: skip


def test_the_level_is_kept_although_videos_share_their_pair() -> None:
    """Without any effect of the category about 5 of 100 are significant, not a third of them."""
    below = 0
    for seed in range(60):
        mos, samples = study(24, seed)
        frame = compare_labels(mos, samples.drop(columns="language"))
        below += int((frame.loc[frame["label_kind"] == "image_category", "p"] < 0.05).sum())
    assert below <= 9


def test_a_failed_method_pulls_no_category() -> None:
    """m3 is far better and failed on all of a: without the methods' means b would seem better."""
    mos, samples = study(effect=0.0)
    both = mos.merge(samples)
    both.loc[both["method"] == "m3", "mos"] += 40
    both = both[~((both["method"] == "m3") & (both["image_category"] == "a"))]
    naive = both.groupby("image_category")["mos"].mean()
    assert naive["b"] - naive["a"] > 10
    row = found(both[["sample_id", "mos", "dimension"]], samples)["image_category", "a", "b"]
    assert abs(row["difference"]) < 5


def test_holm_by_hand() -> None:
    mos, samples = study()
    rows = [r for key, r in found(mos, samples).items() if key[0] == "method"]
    rows.sort(key=lambda r: r["p"])
    p = [r["p"] for r in rows]
    first = min(1.0, 3 * p[0])
    second = max(first, min(1.0, 2 * p[1]))
    assert [r["p_holm"] for r in rows] == pytest.approx([first, second, max(second, p[2])])
    assert [r["significant"] for r in rows] == [r["p_holm"] < 0.05 for r in rows]


def test_tags_and_samples_without_pairs() -> None:
    mos, samples = study()
    samples["glasses"] = np.where(samples["pair_id"].str[-1].isin(list("02468")), "yes", "no")
    rows = found(mos, samples, "glasses")
    assert rows["glasses", "no", "yes"]["unit"] == "pair"
    loose = found(mos, samples.drop(columns="pair_id"))
    assert loose["method", "m1", "m2"]["test"] == "Welch t"
    assert {row["unit"] for row in loose.values()} == {"sample"}
    assert found(mos, samples[["sample_id", "method"]]).keys() == {("method", a, b) for a, b in (("m1", "m2"), ("m1", "m3"), ("m2", "m3"))}  # fmt: skip


def test_what_cannot_be_tested_says_why() -> None:
    mos = pd.DataFrame({"sample_id": list("abcdef"), "dimension": "q", "mos": [1.0, 2, 3, 2, 3, 9]})
    samples = pd.DataFrame(
        {"sample_id": list("abcdef"), "pair_id": list("xyzxyw"), "method": list("mmmnno")}
    )
    rows = found(mos, samples)
    same = rows["method", "m", "n"]  # exactly one apart on both pairs
    assert (same["difference"], same["p"], same["significant"]) == (-1.0, None, False)
    assert same["detail"].startswith("no_spread: ")
    apart = rows["method", "m", "o"]  # no pair in common
    assert (apart["difference"], apart["n_a"], apart["status"]) == (None, 0, "flawed")
    assert apart["detail"].startswith("too_few: ")


def test_order_of_rows_changes_nothing() -> None:
    mos, samples = study()
    one = compare_labels(mos, samples)
    other = compare_labels(mos.sample(frac=1, random_state=1), samples.sample(frac=1, random_state=2))  # fmt: skip
    pd.testing.assert_frame_equal(one, other)
    assert compare_labels(mos.iloc[:0], samples).empty
