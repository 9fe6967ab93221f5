"""Stable mode: an older table of pairs is kept when material comes or goes."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from sfqa.errors import UserError
from sfqa.pairs.sampler import make_pairs

IMAGES = pd.DataFrame(
    [
        {"image_id": f"i{k:02d}", "source": "real", "category": "xy"[k % 2], "status": "ok"}
        for k in range(12)
    ]
)
CLIPS = pd.DataFrame(
    [
        {"clip_id": f"c{k}", "style": "pop", "language": ("en", "zh")[k % 2], "status": "ok"}
        for k in range(6)
    ]
)
NEW = pd.DataFrame([{"image_id": "i99", "source": "real", "category": "x", "status": "ok"}])


def cells(frame: pd.DataFrame) -> set[tuple[str, str, str]]:
    return set(zip(frame["image_id"], frame["clip_id"], frame["split"], strict=True))


@pytest.fixture(scope="module")
def old() -> pd.DataFrame:
    return pd.DataFrame(make_pairs(IMAGES, CLIPS, 24, 2).rows)


@pytest.mark.slow
@pytest.mark.thorough
def test_one_more_image_at_the_papers_size() -> None:
    """432 + 4 pairs: all 432 stay."""
    images = pd.DataFrame(
        [
            {
                "image_id": f"i{k:03d}", "status": "ok",
                "source": "real" if k < 50 else "ai",
                "category": f"r{k % 4}" if k < 50 else f"a{k % 7}",
            }
            for k in range(101)
        ]
    )  # fmt: skip
    clips = pd.DataFrame(
        [
            {"clip_id": f"c{k:02d}", "style": f"s{k % 7}", "language": f"l{k % 2}", "status": "ok"}
            for k in range(36)
        ]
    )
    before = pd.DataFrame(make_pairs(images[:100], clips, 432).rows)
    rows, proof = make_pairs(images, clips, 436, keep=before)
    assert len(cells(before) & cells(pd.DataFrame(rows))) == 432
    assert sum(row["image_id"] == "i100" for row in rows) >= 3
    assert proof.is_proven


def test_one_more_image(old: pd.DataFrame) -> None:
    rows, proof = make_pairs(pd.concat([IMAGES, NEW]), CLIPS, 26, val=8, keep=old)
    now = pd.DataFrame(rows)
    assert cells(old) < cells(now)
    assert (now["image_id"] == "i99").sum() == 2
    assert proof.is_proven
    shuffled = old.sample(frac=1, random_state=1)
    assert make_pairs(pd.concat([NEW, IMAGES]), CLIPS, 26, val=8, keep=shuffled).rows == rows


def test_one_more_clip(old: pd.DataFrame) -> None:
    more = pd.DataFrame([{"clip_id": "c9", "style": "rap", "language": "en", "status": "ok"}])
    now = pd.DataFrame(make_pairs(IMAGES, pd.concat([CLIPS, more]), 28, val=8, keep=old).rows)
    assert cells(old) < cells(now)
    assert (now["clip_id"] == "c9").sum() == 4
    assert set(now[now["clip_id"] == "c9"]["image_category"]) == {"x", "y"}


def test_image_that_failed_goes_alone(old: pd.DataFrame) -> None:
    images = IMAGES.copy()
    images.loc[2, "status"] = "failed"
    stay = old[old["image_id"] != "i02"]
    now = pd.DataFrame(make_pairs(images, CLIPS, 24, 2, keep=old).rows)
    assert cells(stay) < cells(now)
    assert len(now) == 24
    assert "i02" not in set(now["image_id"])


def test_nothing_to_add(old: pd.DataFrame) -> None:
    assert make_pairs(IMAGES, CLIPS, 24, 2, keep=old).rows == old.to_dict("records")


def test_labels_are_those_of_the_sheet_now(old: pd.DataFrame) -> None:
    images = IMAGES.assign(category=["new", *IMAGES["category"][1:]])
    now = pd.DataFrame(make_pairs(images, CLIPS, 24, 2, keep=old).rows)
    assert cells(now) == cells(old)
    assert set(now[now["image_id"] == "i00"]["image_category"]) == {"new"}


@pytest.mark.parametrize(
    ("count", "constraints", "message"),
    [
        (23, {}, "the kept table has 24 pairs .* ask for at least 24"),
        (25, {"val": 2}, "the kept table has 8 validation and 16 training pairs; .* 8 to 9"),
        (26, {"per_clip": (4, 4)}, "per_clip allows at most 4 uses"),
    ],
)
def test_constraints_that_conflict_with_the_kept_table(
    old: pd.DataFrame, count: int, constraints: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        make_pairs(IMAGES, CLIPS, count, 2, keep=old, **constraints)


def test_table_that_leaks(old: pd.DataFrame) -> None:
    wrong = old.copy()
    wrong.loc[0, "split"] = {"train": "val", "val": "train"}[wrong.loc[0, "split"]]
    with pytest.raises(UserError, match="in train and in val; correct the table"):
        make_pairs(IMAGES, CLIPS, 24, keep=wrong)
    with pytest.raises(UserError, match="has split 'test'; write train or val"):
        make_pairs(IMAGES, CLIPS, 24, keep=old.assign(split="test"))
