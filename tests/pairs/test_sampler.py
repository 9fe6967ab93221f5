"""Pairs: separate sides, the ratio, coverage, even use, independence of row order."""

from __future__ import annotations

from itertools import product

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfqa import store, tables
from sfqa.errors import UserError
from sfqa.pairs.sampler import coverage, format_coverage, make_pairs
from sfqa.pairs.sides import choose_sizes, draw_val

LABELS = ["image_category", "style", "language"]


def images_of(categories: list[str], source: str = "ai") -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"image_id": f"i{k:03d}", "source": source, "category": name, "status": "ok"}
            for k, name in enumerate(categories)
        ]
    )


def clips_of(music: list[tuple[str, str]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"clip_id": f"c{k:02d}", "style": style, "language": language, "status": "ok"}
            for k, (style, language) in enumerate(music)
        ]
    )


@pytest.fixture(scope="module")
def paper() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The sizes of the SFQA paper: 100 images in 11 categories, 36 clips, 7 styles, 2 languages."""
    images = images_of([f"real{k % 4}" if k < 50 else f"ai{k % 7}" for k in range(100)])
    images["source"] = ["real"] * 50 + ["ai"] * 50
    music = list(product("abcdefg", ("en", "zh")))
    return images, clips_of([music[k % 14] for k in range(36)])


@pytest.mark.parametrize("seed", [0, 7])
def test_paper_size(paper: tuple[pd.DataFrame, pd.DataFrame], seed: int) -> None:
    images, clips = paper
    pairs = store.to_arrow(tables.PAIRS, make_pairs(images, clips, 432, 3.5, seed)).to_pandas()
    assert pairs["split"].value_counts().to_dict() == {"train": 336, "val": 96}
    assert pairs["image_id"].nunique() == 100
    assert pairs["clip_id"].nunique() == 36
    matrix = coverage(pairs, images, clips)
    assert matrix.shape == (11, 14)
    assert matrix.to_numpy().min() >= 1
    assert matrix.to_numpy().sum() == 432
    assert set(pairs["image_id"].value_counts()) == {4, 5}
    assert set(pairs["clip_id"].value_counts()) == {12}
    val = pairs[pairs["split"] == "val"]
    assert val["image_category"].nunique() == 11
    assert val["style"].nunique() == 7
    assert val.drop_duplicates("clip_id")["language"].value_counts().to_dict() == {"en": 4, "zh": 4}
    assert val.drop_duplicates("image_id")["image_source"].value_counts().to_dict() == {
        "real": 11,
        "ai": 11,
    }


def test_labels_are_those_of_the_sheets(paper: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    images, clips = paper
    by_image, by_clip = images.set_index("image_id"), clips.set_index("clip_id")
    for row in make_pairs(images, clips, 60):
        image, clip = by_image.loc[row["image_id"]], by_clip.loc[row["clip_id"]]
        assert row["pair_id"] == f"{row['image_id']}__{row['clip_id']}"
        assert (row["image_source"], row["image_category"]) == (image["source"], image["category"])
        assert (row["style"], row["language"]) == (clip["style"], clip["language"])


@st.composite
def sheets(draw: st.DrawFn) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    categories = draw(st.lists(st.sampled_from("xyz"), min_size=2, max_size=9))
    music = draw(
        st.lists(
            st.tuples(st.sampled_from(["pop", "rap"]), st.sampled_from(["en", "zh"])),
            min_size=2,
            max_size=7,
        )
    )
    room = (len(categories) - 1) * (len(music) - 1) + 1
    return images_of(categories), clips_of(music), draw(st.integers(2, room))


@settings(max_examples=60, deadline=None)
@given(sheets(), st.floats(0.2, 8), st.integers(0, 3), st.randoms(use_true_random=False))
def test_any_sheet(
    drawn: tuple[pd.DataFrame, pd.DataFrame, int], ratio: float, seed: int, random: object
) -> None:
    images, clips, count = drawn
    rows = make_pairs(images, clips, count, ratio, seed)
    pairs = pd.DataFrame(rows)
    assert len(pairs) == count
    assert pairs["pair_id"].is_unique
    train, val = (pairs[pairs["split"] == side] for side in ("train", "val"))
    assert len(train) >= 1
    assert len(val) >= 1
    assert not set(train["image_id"]) & set(val["image_id"])
    assert not set(train["clip_id"]) & set(val["clip_id"])

    # No other number of validation pairs that fits some cut is nearer the ratio.
    fits = {
        n
        for n in range(1, count)
        for i in range(1, len(images))
        for c in range(1, len(clips))
        if i * c >= n and (len(images) - i) * (len(clips) - c) >= count - n
    }
    best = min(abs((count - n) / n - ratio) for n in fits)
    assert abs(len(train) / len(val) - ratio) == best

    orders = [random.sample(range(len(f)), len(f)) for f in (images, clips)]  # type: ignore[attr-defined]
    shuffled = [f.iloc[order] for f, order in zip((images, clips), orders, strict=True)]
    assert make_pairs(*shuffled, count, ratio, seed) == rows


def test_covers_all_that_the_split_can_cover() -> None:
    """Where there are pairs enough, only combinations that no side has stay uncovered."""
    images = images_of(["x"] * 6 + ["y"] * 3 + ["z"])
    clips = clips_of([("pop", "en")] * 3 + [("pop", "zh"), ("rap", "en"), ("rap", "en")])
    pairs = pd.DataFrame(make_pairs(images, clips, 24, 3))
    coverable = set()
    sides = pairs.groupby("split")
    for _, part in sides:
        names = part["image_id"].unique(), part["clip_id"].unique()
        categories = images[images["image_id"].isin(names[0])]["category"]
        music = clips[clips["clip_id"].isin(names[1])]
        coverable |= set(product(categories, zip(music["style"], music["language"], strict=True)))
    got = {(c, (s, g)) for c, s, g in zip(*(pairs[k] for k in LABELS), strict=True)}
    assert got == coverable
    assert len(coverable) == 9


def test_few_pairs_never_cover_twice() -> None:
    """With fewer pairs than combinations, each pair covers another one."""
    images = images_of(["v", "w", "x", "y", "z"] * 2)
    clips = clips_of([("pop", "en"), ("pop", "zh"), ("rap", "en"), ("rap", "zh")] * 2)
    pairs = pd.DataFrame(make_pairs(images, clips, 18, 2))
    assert not pairs.duplicated(LABELS).any()


def test_failed_materials_are_not_used(paper: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    images, clips = (frame.copy() for frame in paper)
    images.loc[3, "status"] = "failed"
    images.loc[4, "status"] = "flawed"
    clips.loc[5, "status"] = "failed"
    pairs = pd.DataFrame(make_pairs(images, clips, 432))
    assert set(pairs["image_id"]) == set(images["image_id"]) - {"i003"}
    assert set(pairs["clip_id"]) == set(clips["clip_id"]) - {"c05"}


def test_seed_matters(paper: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    first, second = (make_pairs(*paper, 100, seed=seed) for seed in (0, 1))
    assert first != second


@pytest.mark.parametrize(
    ("images", "clips", "count", "ratio", "message"),
    [
        (1, 5, 2, 3.5, "1 usable images and 5 usable clips"),
        (5, 1, 2, 3.5, "5 usable images and 1 usable clips"),
        (3, 3, 6, 3.5, "6 pairs are wanted, but 3 images and 3 clips give at most 5"),
        (3, 3, 1, 3.5, "count is 1"),
        (3, 3, 4, 0, "ratio train : val is 0"),
        (3, 3, 4, float("nan"), "ratio train : val is nan"),
    ],
)
def test_impossible_wishes(images: int, clips: int, count: int, ratio: float, message: str) -> None:
    sheet = images_of(["x"] * images), clips_of([("pop", "en")] * clips)
    with pytest.raises(UserError, match=message):
        make_pairs(*sheet, count, ratio)


def test_as_many_as_possible() -> None:
    rows = make_pairs(images_of(["x"] * 3), clips_of([("pop", "en")] * 3), 5)
    assert sorted(row["split"] for row in rows) == ["train"] * 4 + ["val"]


def test_repeated_name() -> None:
    images = pd.concat([images_of(["x", "y"]), images_of(["x"])])
    with pytest.raises(UserError, match="'i000' is there twice"):
        make_pairs(images, clips_of([("pop", "en")] * 3), 2)


def test_the_only_cut_with_room() -> None:
    """9 and 3 pairs of 6 images and 4 clips: 3 x 3 and 3 x 1 alone leave room on both sides."""
    assert choose_sizes(12, 3, images=6, clips=4, categories=3, groups=2) == (9, 3, 3, 3, 3, 1)


def test_val_keeps_lone_strata_in_train() -> None:
    labels = {"a": ("x",), **{f"b{k}": ("y",) for k in range(4)}}
    for seed in range(5):
        assert "a" not in draw_val(labels, 3, "image", seed)
    assert draw_val(labels, 5, "image", 0) == set(labels)


def test_coverage_counts_by_hand() -> None:
    images = images_of(["x", "y", "y"])
    images.loc[1, "status"] = "failed"
    clips = clips_of([("pop", "en"), ("rap", "zh"), ("folk", "zh")])
    clips.loc[2, "status"] = "failed"
    pairs = pd.DataFrame(
        [("y", "rap", "zh"), ("y", "rap", "zh"), ("x", "pop", "en")], columns=LABELS
    )
    matrix = coverage(pairs, images, clips)
    assert matrix.to_dict() == {("pop", "en"): {"x": 1, "y": 0}, ("rap", "zh"): {"x": 0, "y": 2}}
    text = format_coverage(matrix).splitlines()
    assert [line.split() for line in text[1:4]] == [
        ["x", "1", "-", "1"],
        ["y", "-", "2", "2"],
        ["sum", "1", "2", "3"],
    ]
    assert text[-1].startswith("2 of 4 combinations")
