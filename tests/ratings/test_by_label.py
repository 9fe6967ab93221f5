"""MOS by label: counted by hand, the interval against scipy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sfqa.errors import UserError
from sfqa.ratings.by_label import COLUMNS, add_tags, average_by_label

SAMPLES = pd.DataFrame(
    {
        "sample_id": ["a", "b", "c", "d"],
        "method": ["m1", "m1", "m2", "m2"],
        "image_source": ["real", "real", "ai", "ai"],
        "image_category": ["x", "y", "x", "y"],
        "style": [None, "pop", "pop", "pop"],
        "language": ["en", "zh", "en", "zh"],
    }
)
MOS = pd.DataFrame(
    {"sample_id": ["a", "b", "c", "d"], "dimension": "q", "mos": [10.0, 20.0, 40.0, np.nan]}
)


def test_by_hand() -> None:
    table = average_by_label(MOS, SAMPLES)
    assert list(table.columns) == list(COLUMNS)
    found = {(r.label_kind, r.label): (r.n, r.mean) for r in table.itertuples()}
    assert found == {
        ("method", "m1"): (2, 15.0),
        ("method", "m2"): (1, 40.0),
        ("image_source", "ai"): (1, 40.0),
        ("image_source", "real"): (2, 15.0),
        ("image_category", "x"): (2, 25.0),
        ("image_category", "y"): (1, 20.0),
        ("style", "pop"): (2, 30.0),
        ("language", "en"): (2, 25.0),
        ("language", "zh"): (1, 20.0),
    }
    assert table["sd"].isna().tolist() == (table["n"] == 1).tolist()
    assert table["ci95_low"].isna().tolist() == (table["n"] == 1).tolist()


def test_interval_against_scipy() -> None:
    values = np.random.default_rng(0).normal(50, 10, 30)
    mos = pd.DataFrame({"sample_id": [f"s{k}" for k in range(30)], "dimension": "q", "mos": values})
    row = average_by_label(mos, mos[["sample_id"]].assign(method="m")).iloc[0]
    low, high = stats.t.interval(0.95, 29, values.mean(), stats.sem(values))
    assert row["sd"] == pytest.approx(values.std(ddof=1), rel=1e-12)
    assert (row["ci95_low"], row["ci95_high"]) == pytest.approx((low, high), rel=1e-12)


def test_row_order_and_missing_kinds() -> None:
    both = pd.concat([MOS, MOS.assign(dimension="s", mos=[1.0, 2.0, 3.0, 4.0])])
    table = average_by_label(both, SAMPLES)
    pd.testing.assert_frame_equal(table, average_by_label(both.iloc[::-1], SAMPLES.iloc[::-1]))
    few = average_by_label(both, SAMPLES[["sample_id", "method"]])
    assert set(few["label_kind"]) == {"method"}
    assert len(few) == 4


def test_unknown_sample() -> None:
    with pytest.raises(UserError, match="2 samples have a MOS but .* 'c' first"):
        average_by_label(MOS, SAMPLES.iloc[:2])


def test_tags_are_labels_too() -> None:
    samples = SAMPLES.assign(image_id=["i", "j", "i", "k"])
    tags = pd.DataFrame(
        {"image_id": ["i", "j", "k"], "accessories": ["hat", "", "none"], "profile": [True, False, None]}
    )  # fmt: skip
    made, names = add_tags(samples, tags)
    assert names == ["accessories", "profile"]
    assert made["sample_id"].tolist() == samples["sample_id"].tolist()
    table = average_by_label(MOS.assign(mos=[10.0, 20.0, 40.0, 70.0]), made, names)
    found = {(r.label_kind, r.label): (r.n, r.mean) for r in table.itertuples()}
    assert found["accessories", "hat"] == (2, 25.0)
    assert found["accessories", "none"] == (1, 70.0)
    assert found["profile", "yes"] == (2, 25.0)
    assert found["profile", "no"] == (1, 20.0)
    assert list(dict.fromkeys(table["label_kind"]))[-2:] == names
    assert ("accessories", "") not in found


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"who": ["a"]}, "the table needs one of the columns sample_id, pair_id"),
        ({"sample_id": ["a"], "method": ["x"]}, "have a column 'method' already"),
        ({"image_id": ["a"], "hat": [True]}, "the samples have no image_id"),
        ({"sample_id": ["a", "a"], "hat": [True, True]}, "sample_id 'a' has two rows"),
        (
            {"sample_id": ["q"], "hat": [True]},
            "1 names are not a sample_id of the samples, 'q' first",
        ),
    ],
)
def test_tags_that_do_not_fit(tags: dict[str, list[object]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        add_tags(SAMPLES, pd.DataFrame(tags))


def test_a_label_that_is_not_there() -> None:
    with pytest.raises(UserError, match="no label 'hats'; did you mean 'hat'?"):
        average_by_label(MOS, SAMPLES.assign(hat="no"), ["hats"])
