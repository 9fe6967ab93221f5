import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rated_samples import group_trials, make_crossed_samples, select_parts
from sfqa.errors import UserError
from sfqa.identity import digest
from sfqa.splits.protocols import VERSION, make_splits, validation_share


def grouped(**changes: object) -> dict[str, object]:
    return {"name": "g", "kind": "group_kfold", "k": 3} | changes


@st.composite
def designs(draw):
    rows = draw(st.integers(20, 60))
    numbers = np.random.default_rng(draw(st.integers(0, 10_000)))
    images, clips = draw(st.integers(6, 12)), draw(st.integers(6, 12))
    prompts = draw(st.sampled_from([0, 3, 30]))
    frame = pd.DataFrame(
        {
            "sample_id": [f"s{n}" for n in range(rows)],
            "image_id": [f"i{n}" for n in np.r_[:images, numbers.integers(0, images, rows)][:rows]],
            "clip_id": [f"c{n}" for n in np.r_[:clips, numbers.integers(0, clips, rows)][:rows]],
            "method": [f"m{n}" for n in numbers.integers(0, 3, rows)],
            "prompt": [
                f"p{n}" if prompts else None for n in numbers.integers(0, prompts or 1, rows)
            ],
        }
    )
    # Some methods take no prompt.
    frame.loc[frame["method"] == "m0", "prompt"] = None
    return frame.astype(object)


@settings(max_examples=60, deadline=None)
@given(
    designs(),
    st.sampled_from([["image"], ["clip"], ["prompt"], ["image", "clip"], ["image", "prompt"],
                     ["prompt", "clip", "image"]]),
    st.integers(0, 5),
)  # fmt: skip
def test_nothing_is_shared_and_every_row_is_tested_once(samples, groups, seed):
    try:
        splits = make_splits(samples, grouped(k=2, groups=groups), seed)
    except UserError:
        assert "prompt" in groups or len(groups) > 1  # a design may be too small, never silently
        return
    names = {"image": "image_id", "clip": "clip_id", "prompt": "prompt"}
    for split in splits:
        train, test = (
            select_parts(samples, split, "train", "validation"),
            select_parts(samples, split, "test"),
        )
        assert len(select_parts(samples, split, "train"))
        assert len(select_parts(samples, split, "validation"))
        for group in groups:
            side = samples.groupby("method")["prompt"].nunique()
            varied = (samples["method"].map(side) > 1) | (group != "prompt")
            one = set(train[names[group]].where(varied).dropna())
            assert not one & set(test[names[group]].where(varied).dropna())
    tested = [s for split in splits for s, part in split.part.items() if part == "test"]
    assert sorted(tested) == sorted(samples["sample_id"])


@settings(max_examples=25, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from(
    [grouped(), grouped(groups=["image"], repeats=2), {"name": "r", "kind": "random_kfold"},
     {"name": "l", "kind": "leave_one_method_out"},
     {"name": "t", "kind": "group_trials", "trials": 2},
     {"name": "t", "kind": "random_trials", "trials": 2}]))  # fmt: skip
def test_order_of_rows_changes_nothing(random, protocol):
    samples = make_crossed_samples(6, 5, 3)
    order = list(range(len(samples)))
    random.shuffle(order)
    assert make_splits(samples, protocol, 1) == make_splits(samples.iloc[order], protocol, 1)


def test_seed_matters_and_is_the_only_chance():
    samples = make_crossed_samples(8, 6)
    one, again, other = (make_splits(samples, grouped(), s) for s in (1, 1, 2))
    assert one == again
    assert one != other


def test_crossed_groups_have_one_trial_per_cell():
    samples = make_crossed_samples(6, 6, 1)
    splits = make_splits(samples, grouped(validation=0), 0)
    assert [s.trial for s in splits] == list(range(9))
    for split in splits:
        parts = pd.Series(split.part).value_counts()
        assert parts.to_dict() == {"train": 16, "test": 4}  # 16 rows share one side: left out


def test_nested_groups_are_one():
    samples = make_crossed_samples(6, 4, 2)
    samples["clip_id"] = samples["image_id"] + samples["clip_id"]  # every image has its own clips
    splits = make_splits(samples, grouped(validation=0), 0)
    assert [s.trial for s in splits] == [0, 1, 2]
    for split in splits:
        assert len(split.part) == len(samples)
        assert select_parts(samples, split, "test")["image_id"].nunique() == 2


def test_prompt_of_a_whole_method_is_a_setting_and_one_of_a_pair_is_content():
    samples = make_crossed_samples(6, 3, 3)
    samples["prompt"] = samples["method"].map({"m0": None, "m1": "sing!", "m2": "a singing face"})
    assert len(make_splits(samples, grouped(groups=None), 0)) == 9
    samples["clip_id"] = None
    samples["prompt"] = samples["image_id"].map(lambda i: f"p{int(i[1:]) // 2}")
    splits = make_splits(samples, grouped(groups=None), 0)
    assert len(splits) == 3
    assert all(select_parts(samples, s, "test")["prompt"].nunique() == 1 for s in splits)


@pytest.mark.parametrize("share", [0.15, 0.4])
def test_validation_is_carved_out_by_groups_to_the_nearest(share):
    samples = make_crossed_samples(20, 2, 4)
    for split in make_splits(samples, grouped(groups=["image"], k=5, validation=share), 3):
        train, validation = (
            select_parts(samples, split, "train"),
            select_parts(samples, split, "validation"),
        )
        assert not set(train["image_id"]) & set(validation["image_id"])
        assert validation["image_id"].nunique() == round(share * 16)


def test_random_kfold_is_even_and_repeats_anew():
    samples = make_crossed_samples(5, 5, 2)
    splits = make_splits(samples, {"name": "r", "kind": "random_kfold", "k": 5, "repeats": 2}, 0)
    assert [s.trial for s in splits] == list(range(10))
    for split in splits:
        counts = pd.Series(split.part).value_counts()
        assert counts.to_dict() == {"train": 34, "test": 10, "validation": 6}
    assert splits[0].part != splits[5].part


def test_leave_one_method_out_tests_each_and_validates_on_others():
    samples = make_crossed_samples(4, 3, 8)
    splits = make_splits(samples, {"name": "l", "kind": "leave_one_method_out"}, 0)
    held = [select_parts(samples, s, "test")["method"].unique().tolist() for s in splits]
    assert held == [[f"m{n}"] for n in range(8)]
    for split in splits:
        validation, train = (
            select_parts(samples, split, "validation"),
            select_parts(samples, split, "train"),
        )
        assert validation["method"].nunique() == 1
        assert train["method"].nunique() == 6
        assert not set(validation["method"]) & set(train["method"])


def test_fixed_uses_the_datasets_split_and_refuses_a_leak():
    samples = make_crossed_samples(6, 4, 2)
    low = samples["image_id"].isin(["i0", "i1"]) & samples["clip_id"].isin(["c0"])
    high = ~samples["image_id"].isin(["i0", "i1"]) & ~samples["clip_id"].isin(["c0"])
    samples.loc[low, "split"] = "val"
    samples.loc[high, "split"] = "train"
    (split,) = make_splits(samples, {"name": "paper", "kind": "fixed"}, 0)
    assert set(select_parts(samples, split, "test")["sample_id"]) == set(samples[low]["sample_id"])
    assert len(split.part) == low.sum() + high.sum()
    train, validation = (
        select_parts(samples, split, "train"),
        select_parts(samples, split, "validation"),
    )
    assert not set(train["image_id"]) & set(validation["image_id"])
    samples.loc[1, "split"] = "train"
    leak = {"name": "paper", "kind": "fixed"}
    with pytest.raises(UserError, match="image 'i0' .*allow_shared"):
        make_splits(samples, leak, 0)
    assert make_splits(samples, leak | {"allow_shared": True}, 0)[0].part["i0__c0__m1"] == "train"


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        (grouped(k=7), "6 different values of image are too few for 7 folds"),
        (grouped(kind="group_fold"), "did you mean 'group_kfold'"),
        (grouped(groups=["imge"]), "did you mean 'image'"),
        (grouped(groups=["prompt"]), "no sample has a prompt"),
        (grouped(groups=["image", "image"]), "name every group once"),
        (grouped(folds=3), "unknown key 'folds'"),
        (grouped(k=1), "2 or more"),
        (grouped(validation=1), "share from 0"),
        ({"name": "r", "kind": "random_kfold", "k": 100}, "too few for 100 folds"),
        ({"name": "l", "kind": "leave_one_method_out"}, "2 methods are too few"),
        ({"name": "f", "kind": "fixed"}, "0 samples have the split 'train'"),
        (group_trials(parts=[7, 1]), r"parts: \[7, 1\]; write three numbers"),
        (group_trials(parts=[7, -1, 2]), "write three numbers, 0 or more"),
        (group_trials(parts=[7, float("nan"), 2]), "write three numbers, 0 or more"),
        (group_trials(parts="712"), "write three numbers, 0 or more"),
        (group_trials(parts=[1, 1, 0]), "only the second, validation, may be 0"),
        (group_trials(trials=0), "trials: 0; write a whole number, 1 or more"),
        (
            group_trials(validation=0.1),
            "unknown key 'validation'; kind group_trials has groups, trials, p",
        ),
        (group_trials(groups=["method"]), "2 different values of method are too few for 3 parts"),
        (group_trials(groups=["prompt"]), "no sample has a prompt"),
        (group_trials(kind="group_trial"), "did you mean 'group_trials'"),
    ],
)
def test_impossible_protocols_are_sentences(protocol, message):
    with pytest.raises(UserError, match=message):
        make_splits(make_crossed_samples(6, 6), protocol, 0)


def test_samples_without_an_image_cannot_be_kept_apart():
    samples = make_crossed_samples(6, 4)
    samples.loc[3, "image_id"] = None
    with pytest.raises(UserError, match="'i0__c1__m1' .*has no image"):
        make_splits(samples, grouped(groups=["image"]), 0)
    samples[["image_id", "clip_id"]] = None
    with pytest.raises(UserError, match="random_kfold"):
        make_splits(samples, grouped(), 0)


def test_sample_twice():
    samples = make_crossed_samples(4, 4)
    with pytest.raises(UserError, match="occurs twice"):
        make_splits(pd.concat([samples, samples[:1]]), grouped(), 0)


def test_splits_change_only_with_the_version():
    protocols = [
        grouped(), grouped(groups=["image"], repeats=2), {"name": "r", "kind": "random_kfold"},
        {"name": "l", "kind": "leave_one_method_out"},
    ]  # fmt: skip
    parts = [
        [s.trial, s.part]
        for p in protocols
        for s in make_splits(make_crossed_samples(7, 5, 3), p, 4)
    ]
    assert (VERSION, digest(parts)[:16]) == (3, "9762bdf33c3e9ef7")
    protocols = [
        group_trials(trials=2), group_trials(groups=["image"], parts=[8, 0, 2]),
        {"name": "r", "kind": "random_trials", "trials": 3},
    ]  # fmt: skip
    parts = [
        [s.trial, s.part]
        for p in protocols
        for s in make_splits(make_crossed_samples(7, 5, 3), p, 4)
    ]
    assert (VERSION, digest(parts)[:16]) == (3, "51b07cbb892ff124")


NAMES = {"image": "image_id", "clip": "clip_id", "prompt": "prompt"}
THREE = ("train", "validation", "test")


@settings(max_examples=40, deadline=None)
@given(
    designs(),
    st.sampled_from([["image"], ["clip"], ["prompt"], ["image", "clip"], ["prompt", "clip"]]),
    st.sampled_from([(7, 1, 2), (8, 0, 2), (1, 1, 1), (0.2, 0.1, 0.7)]),
    st.integers(0, 5),
)
def test_trials_share_nothing_and_leave_out_only_what_is_between_the_parts(
    samples, groups, parts, seed
):
    try:
        splits = make_splits(
            samples, group_trials(groups=groups, parts=list(parts), trials=3), seed
        )
    except UserError:
        assert "prompt" in groups or len(groups) > 1  # a design may be too small, never silently
        return
    many = samples.groupby("method")["prompt"].transform("nunique") > 1
    columns = {
        g: samples[NAMES[g]].where(many if g == "prompt" else samples[NAMES[g]].notna())
        for g in groups
    }
    assert [s.trial for s in splits] == [0, 1, 2]
    for split in splits:
        part = samples["sample_id"].map(split.part)
        assert set(part.dropna()) == {n for n, share in zip(THREE, parts, strict=True) if share}
        # Where each value stands; a value of left-out rows only may stand anywhere.
        stands = [
            column.map(part.groupby(column).agg(lambda p: set(p.dropna())))
            for column in columns.values()
        ]
        assert all(len(found) < 2 for place in stands for found in place.dropna())
        if len(groups) == 1:
            assert part.notna().all()
        for row in samples.index[part.isna()]:
            known = [place[row] for place in stands]
            assert not all(isinstance(k, set) and k == known[0] and k for k in known)


def test_share_of_validation():
    assert validation_share(grouped()) == 0.15
    assert validation_share(grouped(validation=0)) == 0
    assert validation_share(group_trials(parts=[6, 2, 2])) == 0.2
    assert validation_share(group_trials(parts=[8, 0, 2])) == 0
    with pytest.raises(UserError, match="did you mean"):
        validation_share({"name": "x", "kind": "random_trial"})
