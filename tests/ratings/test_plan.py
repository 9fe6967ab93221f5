"""Plans: exact by construction, checked by counting again; the paper's size; running studies."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfqa import store
from sfqa.errors import UserError
from sfqa.ratings.plan import COLUMNS, make_plan, select_ratable_samples
from sfqa.ratings.plan_balance import assign_groups, assign_raters, order_videos
from sfqa.ratings.plan_check import compute_half_width, describe_plan, verify_plan
from sfqa.ratings.study_design import StudyDesign
from sfqa.tables import PLAN


def crossed(pairs: int, methods: int, seconds: float = 8.0, extra: int = 0) -> pd.DataFrame:
    """Every pair by every method, labels by pair, and ``extra`` clips for training and checks."""
    rows = [
        (f"p{p:03d}__m{m:02d}", f"m{m:02d}", f"p{p:03d}", f"c{p % 3}", f"s{p % 5}", "zh" if p % 2 else "en", seconds)
        for p in range(pairs)
        for m in range(methods)
    ]  # fmt: skip
    rows += [(f"x{n}", "m00", None, None, None, None, 5.0) for n in range(extra)]
    names = ["sample_id", "method", "pair_id", "image_category", "style", "language", "seconds"]
    return pd.DataFrame(rows, columns=names)


def test_the_papers_size_is_balanced_and_quick() -> None:
    samples = crossed(432, 12, extra=9)
    kinds = {
        "training": ["x0", "x1", "x2"],
        "gold": ["x3", "x4", "x5"],
        "traps": ["x6", "x7", "x8"],
    }
    start = time.process_time()
    plan = make_plan(samples, 18, StudyDesign(6, repeats_share=0.02, **kinds), seed=1)
    assert time.process_time() - start < 10
    facts = verify_plan(plan, samples, StudyDesign(6))
    assert facts.problems == ()
    assert (facts.videos, facts.test, facts.ratings, facts.load) == (5184, 31104, (6, 6), (1728, 1728))  # fmt: skip
    assert facts.minutes[1] <= 30
    assert facts.minutes[0] > 25  # the sessions are about equally long
    assert facts.distance >= 288  # two thirds of a round of 432 pairs
    assert facts.repeat_distance > 150
    assert facts.shared[0] > 300
    method = plan[plan["role"] == "test"].merge(samples, on="sample_id")
    counts = pd.crosstab(method["rater"], method["method"])
    assert counts.min().min() == counts.max().max() == 144
    for label in ("method", "image_category", "style", "language"):
        even = facts.evenness[label]
        assert even.largest <= 5
        assert even.mean < 0.4 * even.random_mean
    for role in ("gold", "trap"):
        own = plan[plan["role"] == role]
        assert (own.groupby(["rater", "session"]).size() == 1).all()
        assert len(own) == plan.groupby("rater")["session"].max().sum()
        assert (own["position"] > 3).all()
    text = describe_plan(plan, samples, StudyDesign(6))
    assert "5184 videos x 6 ratings = 31104 presentations" in text
    assert "6 ratings per video are below the 15 raters that ITU-R BT.500 asks for" in text
    assert "+-0.94 with 6 ratings, +-0.50 with 15" in text
    assert "BROKEN" not in text


small = st.fixed_dictionaries(
    {
        "sizes": st.lists(st.integers(1, 4), min_size=1, max_size=9),
        "methods": st.integers(1, 4),
        "raters": st.integers(1, 7),
        "share": st.integers(0, 100),
        "repeats_share": st.sampled_from([0.0, 0.2, 0.5]),
        "warm_up": st.integers(0, 2),
        "checks": st.booleans(),
        "minutes": st.sampled_from([1.5, 4, 30]),
        "seed": st.integers(0, 99),
    }
)


def small_study(of: dict[str, Any]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Pairs with different numbers of videos, some without a pair."""
    draw = np.random.default_rng(of["seed"])
    rows = [
        (f"v{p}_{m}", f"m{m % of['methods']}", f"p{p}" if size > 1 else None, f"c{p % 2}", float(draw.uniform(3, 20)))
        for p, size in enumerate(of["sizes"])
        for m in range(size)
    ]  # fmt: skip
    rows += [(f"x{n}", "m0", None, None, 4.0) for n in range(3 if of["checks"] else 0)]
    names = ["sample_id", "method", "pair_id", "image_category", "seconds"]
    kinds = {"training": ["x0"], "gold": ["x1"], "traps": ["x2"]} if of["checks"] else {}
    options = {
        "minutes": of["minutes"],
        "repeats_share": of["repeats_share"],
        "warm_up": of["warm_up"],
    } | kinds
    return pd.DataFrame(rows, columns=names), options


@settings(max_examples=25, deadline=None)
@given(small)
def test_small_plans_keep_every_promise(of: dict[str, Any]) -> None:
    samples, options = small_study(of)
    k = 1 + of["share"] % of["raters"]
    plan = make_plan(samples, of["raters"], StudyDesign(k, **options), seed=of["seed"])
    facts = verify_plan(plan, samples, StudyDesign(k, minutes=of["minutes"]))
    assert facts.problems == ()
    assert facts.ratings == (k, k)
    assert facts.load[1] - facts.load[0] <= 1 or facts.load[0] == 0
    assert facts.distance <= facts.distance_bound or not facts.distance_bound
    again = make_plan(
        samples.sample(frac=1, random_state=1),
        of["raters"],
        StudyDesign(k, **options),
        seed=of["seed"],
    )
    pd.testing.assert_frame_equal(plan, again)
    if of["checks"]:
        first = plan[(plan["role"] == "training") & (plan["session"] == 1)]
        assert set(zip(first["session"], first["position"], first["block"], strict=True)) <= {
            (1, 1, 1)
        }
        assert not (
            (plan["role"] != "training") & (plan["session"] == 1) & (plan["block"] == 1)
        ).any()
    shown = plan["rater"].nunique()
    wanted = sum(
        round(of["repeats_share"] * n) for n in plan[plan["role"] == "test"].groupby("rater").size()
    )
    got = int((plan["role"] == "repeat").sum())
    assert got <= wanted
    assert got >= wanted - shown or of["repeats_share"] > 0.2


@pytest.mark.thorough
@settings(max_examples=10, deadline=None)
@given(small, st.integers(0, 2))
def test_a_running_study_takes_new_videos(of: dict[str, Any], joined: int) -> None:
    samples, options = small_study(of)
    k = 1 + of["share"] % of["raters"]
    before = make_plan(samples, of["raters"], StudyDesign(k, **options), seed=of["seed"])
    new = samples[~samples["sample_id"].str.startswith("x")].copy()
    new["sample_id"], new["method"] = "new_" + new["sample_id"], "new"
    both = pd.concat([samples, new], ignore_index=True)
    people = of["raters"] + joined
    plan = make_plan(both, people, StudyDesign(k, **options), seed=of["seed"], existing=before)
    pd.testing.assert_frame_equal(plan.iloc[: len(before)], before)
    facts = verify_plan(plan, both, StudyDesign(k, minutes=of["minutes"]), existing=before)
    # A rater without any new video is not counted, so that the least load may be one too high.
    assert facts.problems == ()
    assert facts.ratings == (k, k)
    added = plan.iloc[len(before) :]
    last = before.groupby("rater")["session"].max()
    assert (added["session"] > added["rater"].map(last).fillna(0)).all()
    assert not set(added.loc[added["role"] == "test", "sample_id"]) & set(samples["sample_id"])
    trained = plan[plan["role"] == "training"]
    assert not trained.duplicated(["rater", "sample_id"]).any() or of["warm_up"]
    same = make_plan(
        samples, of["raters"], StudyDesign(k, **options), seed=of["seed"], existing=before
    )
    pd.testing.assert_frame_equal(same, before)


def test_a_pair_seen_last_is_not_the_first_of_the_new_ones() -> None:
    samples = crossed(60, 4)
    before = make_plan(samples, 8, StudyDesign(4), seed=2)
    new = crossed(60, 5)
    plan = make_plan(new, 8, StudyDesign(4), seed=2, existing=before)
    facts = verify_plan(plan, new, StudyDesign(4), existing=before)
    assert facts.problems == ()
    assert facts.load == (150, 150)
    assert facts.distance >= 10


@pytest.mark.thorough
def test_lgvq_groups_see_every_prompt_once() -> None:
    samples = crossed(468, 6)
    plan = make_plan(samples, 60, StudyDesign(10, groups=6), seed=3)
    facts = verify_plan(plan, samples, StudyDesign(10, groups=6))
    assert facts.problems == ()
    assert (facts.test, facts.load, facts.distance) == (28080, (468, 468), 0)
    test = plan[plan["role"] == "test"].merge(samples, on="sample_id")
    assert (test.groupby(["rater", "pair_id"]).size() == 1).all()
    counts = pd.crosstab(test["rater"], test["method"])
    assert counts.min().min() >= 75
    assert counts.max().max() <= 81
    group = test.groupby("rater")["sample_id"].agg(frozenset)
    assert group.nunique() == 6
    assert (group.value_counts() == 10).all()


def test_groups_smaller_than_their_raters() -> None:
    samples = crossed(30, 3).drop(index=[0, 4, 8])  # three pairs lack a video
    plan = make_plan(samples, 12, StudyDesign(2, groups=3), seed=3)
    facts = verify_plan(plan, samples, StudyDesign(2, groups=3))
    assert facts.problems == ()
    assert facts.load[1] - facts.load[0] <= 1


def test_sessions_are_of_real_lengths() -> None:
    draw = np.random.default_rng(4)
    samples = crossed(40, 5)
    samples["seconds"] = draw.choice([3.0, 20.0, 55.0], len(samples))
    plan = make_plan(samples, 5, StudyDesign(5, minutes=10, scoring_sec=4, block_minutes=4), seed=1)
    took = (plan["seconds"] + 4).groupby([plan["rater"], plan["session"]]).sum() / 60
    assert took.max() <= 10
    needed = (samples["seconds"] + 4).sum() / 600
    assert plan["session"].max() in (int(np.ceil(needed)), int(np.ceil(needed)) + 1)
    blocks = (plan["seconds"] + 4).groupby(
        [plan["rater"], plan["session"], plan["block"]]
    ).sum() / 60
    assert blocks.max() < 4 + 1  # a video that starts in a block ends in it
    assert (plan.groupby(["rater", "session"])["block"].diff().dropna().isin([0, 1])).all()


def test_seeds_and_names() -> None:
    samples = crossed(20, 3)
    one, two = (
        make_plan(samples, 4, StudyDesign(2), seed=1),
        make_plan(samples, 4, StudyDesign(2), seed=2),
    )
    assert not one.equals(two)
    named = make_plan(samples, ["ann", "ben"], StudyDesign(1), seed=1)
    assert list(named.columns) == list(COLUMNS)
    assert sorted(set(named["rater"])) == ["ann", "ben"]
    assert sorted(set(one["rater"])) == ["r001", "r002", "r003", "r004"]


def broken(plan: pd.DataFrame, how: str) -> pd.DataFrame:
    made = plan.copy()
    test = made.index[made["role"] == "test"]
    if how == "dropped":
        return made.drop(index=test[0])
    if how == "moved":
        other = sorted(set(made["rater"]) - {made.loc[test[0], "rater"]})[0]
        made.loc[test[0], ["rater", "session", "position"]] = [other, 1, 99]
    elif how == "long":
        made.loc[test[0], "seconds"] = 2000.0
    elif how == "repeat":
        made.loc[test[0], "role"] = "repeat"
    elif how == "unsession":
        made.loc[made["session"] == 1, "session"] = 7
    elif how == "gold":
        made.loc[test[0], "role"] = "gold"
    return made


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("dropped", "do not have 2 raters"),
        ("moved", "positions do not count"),
        ("long", "a session takes"),
        ("repeat", "a repeat comes before"),
        ("unsession", "sessions do not count"),
        ("gold", "is a test video and"),
    ],
)
def test_verify_sees_what_is_broken(how: str, words: str) -> None:
    samples = crossed(8, 3)
    plan = make_plan(samples, 4, StudyDesign(2, minutes=4), seed=1)
    assert verify_plan(plan, samples, StudyDesign(2, minutes=4)).problems == ()
    found = verify_plan(broken(plan, how), samples, StudyDesign(2, minutes=4))
    assert any(words in problem for problem in found.problems)
    assert "BROKEN" in describe_plan(broken(plan, how), samples, StudyDesign(2, minutes=4))


def test_verify_sees_loads_changes_and_groups() -> None:
    samples = crossed(8, 3)
    plan = make_plan(samples, 4, StudyDesign(2), seed=1)
    lopsided = plan.copy()
    lopsided.loc[lopsided["rater"] == "r001", "rater"] = "r002"
    assert any("loads differ" in p for p in verify_plan(lopsided, samples, StudyDesign(2)).problems)
    assert any("see" in p for p in verify_plan(plan, samples, StudyDesign(2, groups=2)).problems)
    changed = plan.assign(seconds=plan["seconds"] + 1)
    found = verify_plan(plan, samples, StudyDesign(2), existing=changed).problems
    assert "rows of the existing plan were changed" in found
    more = crossed(9, 3)
    assert any("rated by nobody" in p for p in verify_plan(plan, more, StudyDesign(2)).problems)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"per_sample": 5}, "5 ratings per sample cannot come from 4 raters of the study"),
        ({"raters": 0}, "no rater"),
        ({"raters": ["a", "a"]}, "'a' is named twice"),
        ({"raters": ["a b"]}, "'a b' is not a valid name"),
        ({"training": ["nobody"]}, "training: no sample 'nobody'"),
        ({"training": ["x0"], "gold": ["x0"]}, "gold: the sample 'x0' is named twice"),
        ({"groups": 3}, "4 raters cannot form 3 equal groups"),
        ({"groups": 2}, "has 3 videos for 2 groups"),
        ({"groups": 4}, "from 1 raters of a group"),
        ({"minutes": 0.2}, "a session has 0.2"),
        ({"minutes": -1}, "above 0"),
        ({"repeats_share": 0.7}, "outside 0 to 0.5"),
    ],
)
def test_impossible_plans(change: dict[str, Any], message: str) -> None:
    options: dict[str, Any] = {"per_sample": 2, **change}
    raters = options.pop("raters", 4)
    with pytest.raises(UserError, match=message):
        make_plan(crossed(5, 3, extra=2), raters, StudyDesign(**options), seed=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.drop(columns="seconds"), "no column 'seconds'"),
        (lambda s: s.assign(seconds=np.nan), "have no length"),
        (lambda s: s.assign(seconds=0.0), "have no length"),
        (lambda s: pd.concat([s, s.iloc[:1]]), "has two rows"),
        (lambda s: s.assign(sample_id=None), "no sample_id"),
        (lambda s: s.iloc[:0], "no sample is left"),
    ],
)
def test_bad_samples(change: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_plan(change(crossed(3, 2)), 3, StudyDesign(2), seed=1)


def test_a_running_study_keeps_its_number() -> None:
    samples = crossed(5, 3)
    plan = make_plan(samples, 4, StudyDesign(2), seed=1)
    with pytest.raises(UserError, match="to 2 raters, not 3"):
        make_plan(crossed(6, 3), 4, StudyDesign(3), seed=1, existing=plan)
    with pytest.raises(UserError, match="is a test video of the running study"):
        make_plan(samples, 4, StudyDesign(2, gold=["p000__m00"]), seed=1, existing=plan)
    with pytest.raises(UserError, match="no column 'block'"):
        make_plan(samples, 4, StudyDesign(2), seed=1, existing=plan.drop(columns="block"))


def test_half_width_of_the_interval() -> None:
    assert compute_half_width(6, 1.0) == pytest.approx(2.5705818 / 6**0.5, abs=1e-6)
    assert compute_half_width(1, 1.0) == float("inf")
    report = describe_plan(
        make_plan(crossed(4, 2), 2, StudyDesign(1), seed=1), crossed(4, 2), StudyDesign(1), sd=0.7
    )
    assert "unbounded with 1 ratings" in report
    assert "standard deviation 0.70: given" in report


def test_designs_by_themselves() -> None:
    rng = np.random.default_rng(1)
    pair = np.repeat(np.arange(40), 6)
    method = np.tile(np.arange(6), 40)
    group = assign_groups(pair, method, 6, rng)
    assert (np.bincount(group) == 40).all()
    assert len(set(zip(pair, group, strict=True))) == 240
    table = assign_raters(pair, method, pair * 0, 9, 3, rng)
    assert set(table.sum(axis=1)) == {3}
    assert set(table.sum(axis=0)) == {80}
    own = np.flatnonzero(table[:, 0])
    codes = np.unique(pair[own], return_inverse=True)[1]
    order = order_videos(codes, method[own], [], 4, rng)
    positions = [np.flatnonzero(codes[order] == code) for code in range(40)]
    assert min(np.diff(showings).min() for showings in positions) >= 2 / 3 * 39


def test_later_sessions_warm_up() -> None:
    samples = crossed(60, 4, extra=5)
    kinds = {"training": ["x0", "x1", "x2"], "gold": ["x3"], "traps": ["x4"]}
    plan = make_plan(samples, 3, StudyDesign(3, minutes=12, warm_up=2, **kinds), seed=1)
    facts = verify_plan(plan, samples, StudyDesign(3, minutes=12))
    assert facts.problems == ()
    assert facts.minutes[0] > 9
    trained = plan[plan["role"] == "training"]
    for (_, session), own in trained.groupby(["rater", "session"]):
        assert own["position"].tolist() == list(range(1, len(own) + 1))
        assert (own["block"] == 1).all()
        if session == 1:
            assert own["sample_id"].tolist() == ["x0", "x1", "x2"]
        else:
            assert own["sample_id"].nunique() == 2
    assert trained.groupby("rater")["session"].nunique().eq(plan["session"].max()).all()
    more = crossed(60, 5, extra=5)
    grown = make_plan(
        more, 3, StudyDesign(3, minutes=12, warm_up=2, **kinds), seed=1, existing=plan
    )
    new = grown.iloc[len(plan) :]
    assert (new[new["role"] == "training"].groupby(["rater", "session"]).size() == 2).all()
    assert verify_plan(grown, more, StudyDesign(3, minutes=12), existing=plan).problems == ()
    with pytest.raises(UserError, match="warm_up -1 is below 0"):
        make_plan(samples, 3, StudyDesign(3, warm_up=-1), seed=1)


def test_groups_take_new_methods_too(tmp_path: Any) -> None:
    samples, more = crossed(20, 3), crossed(20, 5)
    people = ["zoe", "ann", "ben", "cat", "dan", "eve"]
    first = make_plan(samples, people, StudyDesign(2, groups=3), seed=1)
    store.write(PLAN, first, tmp_path / "plan.parquet")  # sorted by name, as a study keeps it
    plan = store.read(PLAN, tmp_path / "plan.parquet")
    grown = make_plan(more, people, StudyDesign(2, groups=3), seed=1, existing=plan)
    facts = verify_plan(grown, more, StudyDesign(2, groups=3), existing=plan)
    assert facts.problems == ()
    assert facts.ratings == (2, 2)
    test = grown[grown["role"] == "test"].merge(more, on="sample_id")
    assert test.groupby(["rater", "pair_id"]).size().max() == 2  # five videos in three groups
    assert "groups: 3" in describe_plan(grown, more, StudyDesign(2, groups=3), existing=plan)
    for wrong in ([*people[:5], "fay"], [*people, "fay", "gil", "hal"]):
        with pytest.raises(UserError, match="keep its 6 raters, 'ann' to 'zoe'"):
            make_plan(more, wrong, StudyDesign(2, groups=3), seed=1, existing=plan)


def test_lengths_are_those_of_the_samples() -> None:
    samples = crossed(8, 3)
    plan = make_plan(samples, 4, StudyDesign(2), seed=1)
    shorter = samples.assign(seconds=samples["seconds"] - 1)
    found = verify_plan(plan, shorter, StudyDesign(2)).problems
    assert found == ("lengths of videos are not those of the samples",)


def test_what_of_a_dataset_can_be_rated() -> None:
    samples = crossed(3, 2).drop(columns="seconds").assign(shard=0)
    videos = pd.DataFrame(
        {"sample_id": samples["sample_id"], "status": ["ok", "flawed", "failed", "ok", "ok", "ok"],
         "duration_sec": [1.0, 2.0, None, 4.0, 5.0, 6.0]}
    )  # fmt: skip
    found = select_ratable_samples(samples, videos.iloc[::-1])
    assert found["sample_id"].tolist() == samples["sample_id"].drop(index=2).tolist()
    assert found["seconds"].tolist() == [1.0, 2.0, 4.0, 5.0, 6.0]
    plan = make_plan(found, 2, StudyDesign(1), seed=1)
    assert verify_plan(plan, found, StudyDesign(1)).problems == ()
