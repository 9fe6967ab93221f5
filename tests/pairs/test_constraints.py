"""Conflicting constraints are named, with what is possible instead; and the report."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from sfqa.errors import UserError
from sfqa.pairs.coverage import count_combinations, describe_pairs, format_coverage
from sfqa.pairs.sampler import make_pairs


def sheets(categories: str, languages: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One image per letter of ``categories``, one pop clip per letter of ``languages``."""
    images = [
        {"image_id": f"i{k:02d}", "source": "ai", "category": c, "status": "ok"}
        for k, c in enumerate(categories)
    ]
    clips = [
        {"clip_id": f"c{k:02d}", "style": "pop", "language": c, "status": "ok"}
        for k, c in enumerate(languages)
    ]
    return pd.DataFrame(images), pd.DataFrame(clips)


@pytest.mark.parametrize(
    ("size", "constraints", "message"),
    [
        ((1, 5), {"count": 2}, "1 usable images and 5 usable clips"),
        ((5, 1), {"count": 2}, "5 usable images and 1 usable clips"),
        ((3, 3), {"count": 6}, "count is 6, but 3 images and 3 clips give at most 5"),
        ((3, 3), {"count": 1}, "count is 1"),
        ((3, 3), {"count": 4, "ratio": 0}, "ratio train : val is 0"),
        ((3, 3), {"count": 4, "ratio": float("nan")}, "ratio train : val is nan"),
        ((3, 3), {"count": 4, "val": 4}, "val is 4 of 4 pairs; give a number from 1 to 3"),
        ((3, 3), {"count": 4, "per_image": (3, 2)}, r"per_image is \[3, 2\]"),
        ((3, 3), {"count": 4, "coverage": "al"}, "coverage 'al' is unknown; did you mean 'all'"),
        ((3, 3), {"count": 4, "proportion": "eqal"}, "did you mean 'equal'"),
        # Plain counting.
        (
            (6, 4),
            {"count": 11, "per_image": (2, 4)},
            "lower the least uses to 1, or raise count to 12",
        ),
        (
            (6, 4),
            {"count": 13, "per_image": (0, 2)},
            "raise the most uses to 3, or lower count to 12",
        ),
        ((6, 4), {"count": 13, "per_clip": (1, 3)}, "per_clip .* raise the most uses to 4"),
        (
            (3, 4),
            {"count": 12 - 5, "per_clip": (3, 3)},
            "per_clip asks for at least 3 uses; 4 clips",
        ),
        # 3 images: a clip meets 2 of them at most.
        ((3, 2), {"count": 3, "per_clip": (1, 1)}, "per_clip allows at most 1 uses"),
        # Every clip 3 times: validation pairs come by threes.
        (
            (8, 4),
            {"count": 12, "per_clip": (3, 3), "val": 4},
            "val is 4, .* the nearest possible value is 3 or 6",
        ),
        # 5 pairs of 3 x 3 are 2 x 2 and 1 x 1: one image is used once.
        (
            (3, 3),
            {"count": 5, "per_image": (0, 2), "per_clip": (1, 2), "val": 3},
            "val is 3, .* 1 or 4",
        ),
    ],
)
def test_impossible_constraints(
    size: tuple[int, int], constraints: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        make_pairs(*sheets("x" * size[0], "e" * size[1]), **constraints)


def test_limits_that_the_split_cannot_hold() -> None:
    """10 pairs of 4 x 4 are 3 x 3 and 1 x 1: the lone image of a side is used once."""
    with pytest.raises(
        UserError, match=r"per_image is \[2, 4\].*least can be at most 1: write \[1, 4\]"
    ):
        make_pairs(*sheets("xxxx", "eeee"), 10, per_image=(2, 4))
    assert len(make_pairs(*sheets("xxxx", "eeee"), 10, per_image=(1, 4)).rows) == 10


def test_coverage_that_cannot_be() -> None:
    """Category z and language h have one member each and are needed on both sides."""
    images, clips = sheets("yz", "eh")
    with pytest.raises(UserError, match=r"at most 2 of 4 .* \(1 images, 1 clips\)"):
        make_pairs(images, clips, 2, coverage="all")
    assert float(make_pairs(images, clips, 2).proof.steps[1].value) == 2


def test_two_conflicting_constraints() -> None:
    """Leaving out either limit is not enough: both ask for more than 9 pairs of 4 x 4 hold."""
    images, clips = sheets("xxxx", "eeee")
    with pytest.raises(UserError, match="per_image and per_clip conflict .* is not enough"):
        make_pairs(images, clips, 9, per_image=(2, 3), per_clip=(2, 3), val=1)


def test_repeated_name() -> None:
    images, clips = sheets("xy", "eee")
    with pytest.raises(UserError, match="'i00' occurs twice"):
        make_pairs(pd.concat([images, images[:1]]), clips, 2)


def test_report_by_hand() -> None:
    images, clips = sheets("xyy", "ehh")
    images.loc[1, "status"] = "failed"
    pairs = pd.DataFrame(
        [
            ("i00", "c00", "x", "e", "train"),
            ("i02", "c01", "y", "h", "val"),
            ("i02", "c02", "y", "h", "val"),
        ],
        columns=["image_id", "clip_id", "image_category", "language", "split"],
    ).assign(image_source="ai", style="pop")
    matrix = count_combinations(pairs, images, clips)
    assert matrix.to_numpy().tolist() == [[1, 0], [0, 2]]
    text = format_coverage(matrix).splitlines()
    assert [line.split() for line in text[1:4]] == [
        ["ai", "x", "1", "-", "1"],
        ["ai", "y", "-", "2", "2"],
        ["sum", "1", "2", "3"],
    ]
    assert text[-1].startswith("2 of 4 combinations")
    whole = describe_pairs(pairs, images, clips).splitlines()
    assert whole[0] == "3 pairs, train : val = 1 : 2 (ratio 0.5)"
    assert whole[1] == "2 images, 1 train and 1 val, used 1 to 2 times (mean 1.5)"
    assert "without a pair: ai x x pop h; ai y x pop e" in whole
    assert whole[-2].split() == ["language", "e", "1", "100.0%", "0", "0.0%"]
