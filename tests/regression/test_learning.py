from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from rated_samples import make_crossed_samples, make_mos
from sfqa import store
from sfqa.correlation.summarise import correlation_rows
from sfqa.errors import UserError
from sfqa.regression import heads, learning
from sfqa.regression.design import Design
from sfqa.regression.learning import FITS, SHARES, compute_learning_curve, count_groups
from sfqa.regression.train import RatedFeatures, train_metric
from sfqa.splits.protocols import Split, make_splits
from sfqa.tables import LEARNING

Rated = tuple[Design, pd.DataFrame, pd.DataFrame]
GROUPED = {"name": "by_image", "kind": "group_kfold", "groups": ["image"], "k": 4}
CROSSED = {"name": "disjoint", "kind": "group_kfold", "groups": ["image", "clip"], "k": 2}
FIXED = {"name": "own", "kind": "fixed", "groups": ["image"]}
RANDOM = {"name": "random", "kind": "random_kfold", "k": 5}
RIDGE = {"name": "r", "kind": "regressor", "head": "ridge", "options": {}}
FOREST = {"name": "f", "kind": "regressor", "head": "random_forest",
          "options": {"trees": 2, "fit_on_validation": True}}  # fmt: skip


def label(metric: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": metric["name"], "group": "G", "kind": "regressor", "direction": 1,
            "weights": "none"}  # fmt: skip


@pytest.fixture
def rated_features() -> Rated:
    """16 images x 3 clips x 3 methods; the MOS depends on 20 noisy features."""
    samples = make_crossed_samples(16, 3, 3, digits=2)
    samples["split"] = np.where(samples["image_id"] >= "i12", "val", "train")
    ids = samples["sample_id"].tolist()
    numbers = np.random.default_rng(3)
    x = numbers.normal(size=(len(ids), 20)).astype(np.float32)
    y = 50 + x @ numbers.normal(size=20) * 3 + numbers.normal(scale=6, size=len(ids))
    design = Design(ids, x, [f"x{n}" for n in range(20)], {})
    return design, samples, make_mos(dict(zip(ids, y.tolist(), strict=True)))


def curve(
    metric: Mapping[str, Any],
    rated_features: Rated,
    work: Path,
    protocol: Mapping[str, Any] = GROUPED,
    mapping: str = "none",
) -> pd.DataFrame:
    rows = compute_learning_curve(
        metric, label(metric), RatedFeatures(*rated_features), protocol, 5, work, mapping=mapping
    )
    store.to_arrow(LEARNING, rows)
    return pd.DataFrame(rows)


class Fits:
    """The problems that a head was asked to fit, with whether they were."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.problems: list[Any] = []
        real = heads.fit_and_predict

        def noted(head: str, x: Any, problems: Any, *rest: Any) -> Any:
            self.problems += problems
            return real(head, x, problems, *rest)

        monkeypatch.setattr(heads, "fit_and_predict", noted)


def test_there_is_a_row_per_share_and_dimension(rated_features: Rated, tmp_path: Path) -> None:
    found = curve(RIDGE, rated_features, tmp_path)
    assert found[["dimension", "share"]].to_numpy().tolist() == [
        [d, s] for s in SHARES for d in ("sync", "visual")
    ]
    assert set(found["status"]) == {"ok"}
    assert found["synthetic_mos"].tolist() == [True, False] * len(SHARES)
    # 12 of 16 images are not for the test, 2 of these for validation; 9 videos of each.
    own = found[found["dimension"] == "visual"].set_index("share")
    assert own["groups"].tolist() == [1, 3, 5, 8, 10]
    assert own["rows"].tolist() == [9, 27, 45, 72, 90]
    assert own["trials"].tolist() == [12, 12, 12, 12, 4]  # 4 folds, three subsets in each
    assert set(own["n"]) == {36}


def test_the_whole_share_is_the_row_of_the_main_table(
    rated_features: Rated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictions = train_metric(RIDGE, RatedFeatures(*rated_features), [GROUPED], 5, tmp_path)
    main = pd.DataFrame(
        correlation_rows(
            pd.DataFrame(predictions), rated_features[2], rated_features[1], [label(RIDGE)]
        )
    )
    main = main[(main["level"] == "video") & (main["pooling"] == "mean")].set_index("dimension")
    fits = Fits(monkeypatch)
    found = curve(RIDGE, rated_features, tmp_path, mapping="logistic4")
    whole = found[found["share"] == 1].set_index("dimension")
    assert set(whole["mapping"]) == {"logistic-4"}
    for name in ("srcc", "srcc_sd", "plcc", "plcc_sd", "n", "trials"):
        assert whole[name].to_dict() == pytest.approx(main.loc[whole.index, name].to_dict(), 1e-7)
    assert fits.problems
    assert max(len(p.train) for p in fits.problems) < whole["rows"].max()


def test_subsets_are_nested_whole_images_and_leave_the_rest(
    rated_features: Rated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits = Fits(monkeypatch)
    curve(RIDGE, rated_features, tmp_path)
    design, samples, _ = rated_features
    image = samples.set_index("sample_id")["image_id"]
    chains: dict[int, list[set[str]]] = {}
    for split in make_splits(samples, GROUPED, 5):
        own = [p for p in fits.problems if p.label == f"by_image, trial {split.trial}, visual"]
        part = pd.Series(split.part)
        whole = set(part.index[part == "train"])
        assert len(own) == 13  # three subsets of four shares, and the whole
        for problem in own:
            learnt = {design.sample_ids[n] for n in problem.train}
            kept = {design.sample_ids[n] for n in problem.validation}
            assert kept == set(part.index[part == "validation"])
            assert learnt <= whole
            assert learnt == {s for s in whole if image[s] in set(image[list(learnt)])}
            assert np.isnan(problem.y[[design.sample_ids.index(s) for s in whole - learnt]]).all()
            chains.setdefault(split.trial, []).append(learnt)
    for sets in chains.values():
        order = [sorted((t for t in sets if len(t) == n), key=sorted) for n in (9, 27, 45, 72, 90)]
        assert [len(same) for same in order] == [3, 3, 3, 3, 1]
        assert not set.intersection(*order[0])
        for small, large in itertools.pairwise(order):
            assert all(any(one <= other for other in large) for one in small)
    assert len({frozenset(sets[0]) for sets in chains.values()}) > 1  # other trials draw others


def test_a_point_is_the_head_on_the_subset(
    rated_features: Rated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits = Fits(monkeypatch)
    found = curve(RIDGE, rated_features, tmp_path)
    design, samples, mos = rated_features
    truth = mos[mos["dimension"] == "visual"].set_index("sample_id")["mos"]
    splits = make_splits(samples, GROUPED, 5)
    for share, rows in ((0.25, 27), (0.75, 72)):
        each = []
        for problem in fits.problems:
            if not problem.label.endswith("visual") or len(problem.train) != rows:
                continue
            trial = int(problem.label.split("trial ")[1].split(",")[0])
            test = sorted(s for s, p in splits[trial].part.items() if p == "test")
            place = [design.sample_ids.index(s) for s in test]
            options = heads.merge_options("ridge", {})
            model = heads.load_head("ridge").fit(
                design.X, [problem], options, tmp_path / "other", "cpu"
            )
            value = model.predict(design.X)[0, place, 0]
            each.append(spearmanr(value, truth[test]).statistic)
        row = found[(found["share"] == share) & (found["dimension"] == "visual")].iloc[0]
        assert len(each) == row["trials"] == 12
        assert row["srcc"] == pytest.approx(np.mean(each), abs=1e-7)
        assert row["srcc_sd"] == pytest.approx(np.std(each, ddof=1), abs=1e-7)


def test_more_groups_teach_more(rated_features: Rated, tmp_path: Path) -> None:
    own = curve(RIDGE, rated_features, tmp_path)
    own = own[own["dimension"] == "visual"]
    assert own["srcc"].iloc[-1] > own["srcc"].iloc[0] + 0.15


@pytest.mark.thorough
def test_a_second_call_fits_nothing_and_gives_the_same(
    rated_features: Rated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = curve(FOREST, rated_features, tmp_path)
    fits = Fits(monkeypatch)
    two = curve(FOREST, rated_features, tmp_path)
    assert fits.problems == []
    pd.testing.assert_frame_equal(one, two)
    design, samples, mos = rated_features
    mixed = (design, samples.sample(frac=1, random_state=1), mos.sample(frac=1, random_state=2))
    pd.testing.assert_frame_equal(one, curve(FOREST, mixed, tmp_path / "other"))


@pytest.mark.thorough
def test_a_head_that_learns_from_validation_rows_draws_from_them_too(
    rated_features: Rated, tmp_path: Path
) -> None:
    own = curve(FOREST, rated_features, tmp_path)
    own = own[own["dimension"] == "visual"]
    assert (
        own["groups"].tolist() == [count_groups(share, 12) for share in SHARES] == [2, 3, 6, 9, 12]
    )
    assert own["rows"].tolist() == [18, 27, 54, 81, 108]


def test_crossed_groups_are_drawn_by_the_larger_one(
    rated_features: Rated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits = Fits(monkeypatch)
    found = curve(RIDGE, rated_features, tmp_path, CROSSED)
    design, samples, _ = rated_features
    rows = samples.set_index("sample_id").loc[design.sample_ids]
    clips: dict[str, set[int]] = {}
    for problem in fits.problems:
        own = rows.iloc[problem.train]
        clips.setdefault(problem.label, set()).add(own["clip_id"].nunique())
    assert all(len(counts) == 1 for counts in clips.values())
    assert found["groups"].max() == 7  # 8 images of a half, one of them for validation


def test_random_protocols_draw_single_rows(rated_features: Rated, tmp_path: Path) -> None:
    found = curve(RIDGE, rated_features, tmp_path, RANDOM)
    assert (found["groups"] == found["rows"]).all()
    assert found["trials"].tolist() == [10] * 8 + [5] * 2
    assert found["rows"].is_monotonic_increasing


def test_a_fixed_split_gets_several_subsets(rated_features: Rated, tmp_path: Path) -> None:
    own = curve(RIDGE, rated_features, tmp_path, FIXED)
    own = own[own["dimension"] == "visual"]
    assert own["trials"].tolist() == [FITS] * 4 + [1]
    assert own["srcc_sd"].notna().tolist() == [True] * 4 + [False]


def test_equal_subsets_count_once(rated_features: Rated, tmp_path: Path) -> None:
    design, samples, mos = rated_features
    few = samples["image_id"].isin(["i00", "i01", "i02", "i13"])
    own = curve(RIDGE, (design, samples[few], mos), tmp_path, FIXED)
    own = own[own["dimension"] == "visual"]
    # Two train images remain beside the one for validation.
    assert own["groups"].tolist() == [1, 1, 1, 2, 2]
    assert own["trials"].tolist() == [2, 2, 2, 1, 1]


def test_a_share_that_teaches_nothing_says_so(rated_features: Rated, tmp_path: Path) -> None:
    design, samples, mos = rated_features
    kept = samples["sample_id"].str.endswith("c0__m0")
    found = curve(RIDGE, (design, samples[kept], mos), tmp_path)
    first = found.iloc[0]
    assert first["status"] == "failed"
    assert np.isnan(first["srcc"])
    assert "too_few_rows" in first["detail"]
    assert found.iloc[-1]["status"] != "failed"


def test_counts_are_of_rows_with_features_and_mos(rated_features: Rated, tmp_path: Path) -> None:
    design, samples, mos = rated_features
    gone = mos["sample_id"].str.endswith("m0") & (mos["dimension"] == "visual")
    found = curve(RIDGE, (design, samples, mos[~gone]), tmp_path).set_index(["share", "dimension"])
    assert found.loc[(0.5, "visual"), "rows"] == 30
    assert found.loc[(0.5, "sync"), "rows"] == 45


def test_taken_is_at_least_one_and_at_most_all() -> None:
    assert [count_groups(share, 1) for share in SHARES] == [1] * 5
    for groups in range(1, 60):
        counts = [count_groups(share, groups) for share in SHARES]
        assert counts == sorted(counts)
        assert counts[-1] == groups


def test_mistakes(rated_features: Rated, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="only a regressor has a learning curve"):
        curve({**RIDGE, "kind": "zero_shot"}, rated_features, tmp_path)
    with pytest.raises(UserError, match="trains no model"):
        curve(
            RIDGE,
            rated_features,
            tmp_path,
            {"name": "x", "kind": "cross_dataset", "model": "results/a"},
        )


def test_groups_of_a_split_are_only_thinned_where_they_are_learnt_from() -> None:
    split = Split("p", 0, {"a": "train", "b": "train", "v": "validation", "t": "test"})
    codes = {"a": 0, "b": 1, "v": 2, "t": 3}
    own = learning._reduce_split(split, ["train"], frozenset([1]), codes)
    assert own.part == {"b": "train", "v": "validation", "t": "test"}
