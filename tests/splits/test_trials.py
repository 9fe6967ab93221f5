import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rated_samples import group_trials, make_crossed_samples, select_parts
from sfqa import store, tables
from sfqa.correlation.summarise import correlation_rows
from sfqa.errors import UserError
from sfqa.identity import digest
from sfqa.regression.controls import score_control
from sfqa.regression.design import Design
from sfqa.regression.train import RatedFeatures, train_metric
from sfqa.regression.zero_shot import score_metric
from sfqa.splits.drawing import draw_parts
from sfqa.splits.protocols import make_splits

THREE = ("train", "validation", "test")


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(1, 30), min_size=3, max_size=40),
    st.tuples(st.floats(0.5, 20), st.floats(0.5, 20), st.floats(0.5, 20)),
    st.integers(0, 100),
)
def test_parts_are_within_one_group_of_the_wish(sizes, shares, seed):
    unit = np.repeat(np.arange(len(sizes)), sizes)
    found = draw_parts(unit, shares, (seed,))
    assert all(len(set(found[unit == n])) == 1 for n in range(len(sizes)))
    rows = np.bincount(found, minlength=3)
    assert (rows > 0).all()
    wish = np.array(shares) / sum(shares) * len(unit)
    if wish.min() >= max(sizes):
        assert np.abs(rows - wish).max() < max(sizes)


def test_small_groups_fill_up_what_large_ones_leave():
    unit = np.repeat(np.arange(51), [5, 4, 3] + [1] * 48)
    for seed in range(20):
        assert np.bincount(draw_parts(unit, (7, 1, 2), (seed,))).tolist() == [42, 6, 12]


def test_a_large_group_is_tested_as_often_as_its_share_says():
    unit = np.repeat(np.arange(20), np.arange(1, 21))
    found = np.array([draw_parts(unit, (7, 1, 2), (seed,)) for seed in range(400)])
    # Standard error .02; always dealt out first to the emptiest part, it would never be tested.
    for n in (9, 14, 19):
        assert (found[:, unit == n][:, 0] == 2).mean() == pytest.approx(0.2, abs=0.08)


def test_lgvq_by_prompt_as_ugvq_splits_it():
    samples = pd.DataFrame(
        [
            {"sample_id": f"p{p}__m{m}", "method": f"m{m}", "prompt": f"prompt {p}"}
            for p in range(468)
            for m in range(6)
        ]
    )
    splits = make_splits(samples, group_trials(groups=["prompt"], trials=10, parts=[7, 1, 2]), 1)
    assert len(splits) == 10
    for split in splits:
        prompts = [set(select_parts(samples, split, part)["prompt"]) for part in THREE]
        assert [len(p) for p in prompts] == [328, 47, 93]
        assert len(set.union(*prompts)) == 468
        rows = pd.Series(split.part).value_counts()
        assert rows.to_dict() == {"train": 1968, "validation": 282, "test": 558}
    assert (
        make_splits(samples, group_trials(), 1)[3].part == splits[3].part
    )  # the defaults, all groups


def test_trials_are_new_draws_and_do_not_depend_on_their_number():
    samples = make_crossed_samples(20, 4)
    for kind in ("group_trials", "random_trials"):
        protocol = {"name": "t", "kind": kind, "trials": 12}
        splits = make_splits(samples, protocol, 0)
        assert len({digest(s.part) for s in splits}) == 12
        assert make_splits(samples, protocol | {"trials": 5}, 0) == splits[:5]
        assert make_splits(samples, protocol, 1)[0].part != splits[0].part


def test_a_hundred_random_trials_of_eighty_to_twenty():
    samples = make_crossed_samples(10, 10, 2)
    protocol = {"name": "r", "kind": "random_trials", "trials": 100, "parts": [8, 0, 2]}
    splits = make_splits(samples, protocol, 0)
    assert len(splits) == 100
    tested = np.zeros(len(samples))
    for split in splits:
        assert pd.Series(split.part).value_counts().to_dict() == {"train": 160, "test": 40}
        tested += samples["sample_id"].map(split.part) == "test"
    # Binomial(100, .2): 20 give or take 4; 200 rows stay within five of these.
    assert tested.min() > 2
    assert tested.max() < 40


def test_stratified_trials_keep_the_shares_of_the_methods():
    samples = make_crossed_samples(10, 10, 3)
    samples = samples.iloc[np.r_[0:300:3, 1:150:3, 2:60:3]]  # 100, 50 and 20 rows of the methods
    protocol = {"name": "r", "kind": "random_trials", "trials": 10, "parts": [7, 1, 2]}
    splits = make_splits(samples, protocol | {"stratify": "method"}, 0)
    for split in splits:
        part = samples["sample_id"].map(split.part)
        counts = pd.crosstab(samples["method"], part)
        assert counts["test"].tolist() == [20, 10, 4]
        assert counts["validation"].tolist() == [10, 5, 2]
    assert len({digest(split.part) for split in splits}) == 10
    plain = [samples["sample_id"].map(s.part) for s in make_splits(samples, protocol, 0)]
    assert any(pd.crosstab(samples["method"], p)["test"].tolist() != [20, 10, 4] for p in plain)
    with pytest.raises(UserError, match="a method has 2 samples, too few for 3 parts"):
        make_splits(samples.iloc[:-18], protocol | {"stratify": "method"}, 0)
    with pytest.raises(UserError, match="unknown key 'stratify'"):
        make_splits(samples, {"name": "g", "kind": "group_trials", "stratify": "method"}, 0)


def test_crossed_trials_keep_the_rows_whose_values_agree():
    for split in make_splits(make_crossed_samples(20, 10, 1), group_trials(), 0):
        rows = pd.Series(split.part).value_counts()
        # Images 14 : 2 : 4, clips 7 : 1 : 2, and the products of these.
        assert rows.to_dict() == {"train": 98, "validation": 2, "test": 8}


def test_crossed_groups_that_cannot_be_parted_are_a_sentence():
    # One image with all clips, one clip with all images: two hubs for three parts.
    samples = make_crossed_samples(8, 8, 1)
    samples = samples[(samples["image_id"] == "i0") | (samples["clip_id"] == "c0")]
    with pytest.raises(UserError, match=r"trial 0 is left without \w+ rows, in 50 draws"):
        make_splits(samples, group_trials(), 0)
    assert make_splits(samples, group_trials(groups=["image"]), 0)


TRIALS = [
    {"name": "by_image", "kind": "group_trials", "groups": ["image"], "trials": 3},
    {"name": "random", "kind": "random_trials", "trials": 4, "parts": [3, 1, 2]},
]


def test_the_chain_from_features_to_the_table_runs_with_trials(tmp_path):
    samples = make_crossed_samples(12, 3, 2)
    numbers = np.random.default_rng(0)
    ids = sorted(samples["sample_id"])
    x = numbers.normal(size=(len(ids), 4)).astype(np.float32)
    design = Design(ids, x, list("abcd"), {})
    mos = pd.DataFrame(
        {"sample_id": ids, "dimension": "visual", "mos": 50 + 10 * x[:, 0] + x[:, 1],
         "status": "ok", "detail": "", "synthetic": False}
    )  # fmt: skip
    one = Design(ids, x[:, :1], ["a"], {})
    shared = {"group": "g", "direction": 1, "weights": "none"}
    metrics = [
        {"name": "ridge", "kind": "regressor", "head": "ridge", "options": {}, **shared},
        {"name": "forest", "kind": "regressor", "head": "random_forest", **shared,
         "options": {"trees": 5, "fit_on_validation": True}},
        {"name": "a", "kind": "zero_shot", "inputs": ["x.a"], **shared},
        {"name": "oracle", "kind": "control", "head": "oracle", **shared},
    ]  # fmt: skip

    def rows_of(protocols):
        forest = train_metric(
            metrics[1], RatedFeatures(design, samples, mos), protocols, 0, tmp_path
        )
        return (
            forest
            + score_metric(metrics[2], one, samples, mos, protocols, 0)
            + score_control(metrics[3], samples, mos, protocols, 0)
        )

    rows = rows_of(TRIALS) + train_metric(
        metrics[0], RatedFeatures(design, samples, mos), TRIALS, 0, tmp_path
    )
    store.to_arrow(tables.PREDICTIONS, rows)  # its key is unique
    assert {r["status"] for r in rows} == {"ok"}
    frame = pd.DataFrame(rows)
    ridge = frame[(frame["metric"] == "ridge") & (frame["protocol"] == "random")]
    assert ridge.groupby(["trial", "part"]).size().to_dict() == {
        (t, p): n for t in range(4) for p, n in (("test", 24), ("validation", 12))
    }
    found = pd.DataFrame(correlation_rows(frame, mos, samples, metrics))
    mean = found[(found["level"] == "video") & (found["pooling"] == "mean")]
    trials = mean.set_index(["metric", "protocol"])["trials"]
    assert trials["ridge"].to_dict() == {"by_image": 3, "random": 4}
    srcc = mean.set_index(["metric", "protocol"])["srcc"]
    assert srcc["oracle"].tolist() == pytest.approx([1.0, 1.0])
    assert srcc["ridge"].min() > 0.95

    none = [p | {"parts": [8, 0, 2]} for p in TRIALS]
    left = pd.DataFrame(rows_of(none))
    assert set(left["status"]) == {"ok"}
    assert set(left["part"]) == {"test"}
    with pytest.raises(UserError, match="'by_image': validation is 0, but metric 'ridge'"):
        train_metric(metrics[0], RatedFeatures(design, samples, mos), none, 0, tmp_path)
