"""Labels outside the vocabulary are named by file, row and column; all others pass."""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfqa.errors import UserError
from sfqa.materials.vocabulary import check_vocabulary
from sfqa.sheets import IMAGE_CHOICES, IMAGE_COLUMNS, read_sheet

WORDS = {
    "category": {"real": ["woman_young", "man_old"], "ai": ["anime", "painting"]},
    "style": ["pop", "rock"],
    "language": ["zh", "en"],
}
IMAGES = [
    {"image_id": "a", "source": "real", "category": "man_old"},
    {"image_id": "b", "source": "ai", "category": "anime"},
    {"image_id": "c", "source": "synthetic", "category": "anything"},
]
CLIPS = [{"clip_id": "x", "style": "pop", "language": "zh", "origin": "ai"}]
PROMPTS = Path(__file__).parents[2] / "config" / "prompts" / "ai_portraits.csv"


def test_sheets_inside_the_vocabulary_pass():
    check_vocabulary(IMAGES, WORDS, "i.csv")
    check_vocabulary(CLIPS, WORDS, "c.csv")
    check_vocabulary(IMAGES, {}, "i.csv")
    check_vocabulary([], WORDS, "i.csv")


@pytest.mark.parametrize(
    ("rows", "change", "sentence"),
    [
        (IMAGES, (1, "category", "animee"), "i.csv, row 3, column category: unknown label 'animee' of source 'ai'; did you mean 'anime'?"),
        (IMAGES, (0, "category", "anime"), "i.csv, row 2, column category: unknown label 'anime' of source 'real'; there are woman_young, man_old"),
        (CLIPS, (0, "style", "Pop"), "i.csv, row 2, column style: unknown label 'Pop'; did you mean 'pop'?"),
        (CLIPS, (0, "language", "fr"), "i.csv, row 2, column language: unknown label 'fr'; there are zh, en"),
    ],
)  # fmt: skip
def test_a_label_outside_is_named(rows, change, sentence):
    number, column, label = change
    rows = [row | {column: label} if k == number else row for k, row in enumerate(rows)]
    with pytest.raises(UserError) as caught:
        check_vocabulary(rows, WORDS, "i.csv")
    assert str(caught.value) == sentence


def test_a_plain_list_serves_all_sources():
    words = {"category": ["man_old", "anime", "anything"]}
    check_vocabulary(IMAGES, words, "i.csv")
    with pytest.raises(UserError, match=r"row 4, column category: unknown label 'anything'; "):
        check_vocabulary(IMAGES, {"category": ["man_old", "anime"]}, "i.csv")


labels = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=6
)


@given(st.lists(labels, min_size=1, max_size=8), st.lists(labels, min_size=1, max_size=8))
def test_it_raises_exactly_where_the_first_label_is_outside(used, known):
    rows = [{"clip_id": str(k), "style": label} for k, label in enumerate(used)]
    wrong = [k for k, label in enumerate(used) if label not in known]
    if not wrong:
        check_vocabulary(rows, {"style": known}, "c.csv")
        return
    with pytest.raises(UserError) as caught:
        check_vocabulary(rows, {"style": known}, "c.csv")
    assert f"c.csv, row {wrong[0] + 2}, column style: " in str(caught.value)
    assert repr(used[wrong[0]]) in str(caught.value)


def test_rows_are_counted_as_the_sheet_counts_them(tmp_path):
    path = tmp_path / "i.csv"
    path.write_text("image_id,path,source,category\na,a.png,ai,anime\n\nb,b.png,ai,elf\n")
    rows = read_sheet(path, IMAGE_COLUMNS, IMAGE_CHOICES)
    with pytest.raises(UserError, match="row 4, column category"):
        check_vocabulary(rows, WORDS, path, rows.row_numbers)
    path.write_text(path.read_text().replace("b,b.png,ai", "b,b.png,al"))
    with pytest.raises(UserError, match="row 4, column source"):
        read_sheet(path, IMAGE_COLUMNS, IMAGE_CHOICES)


def test_fifty_prompts_in_seven_categories():
    with open(PROMPTS, newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    assert list(rows[0]) == ["prompt_id", "category", "prompt"]
    assert (
        len(rows) == len({r["prompt_id"] for r in rows}) == len({r["prompt"] for r in rows}) == 50
    )
    counts = [
        sum(r["category"] == c for r in rows) for c in dict.fromkeys(r["category"] for r in rows)
    ]
    assert sorted(counts) == [7] * 6 + [8]
    for row in rows:
        assert row["prompt_id"].rsplit("_", 1)[0] == row["category"]
        for words in ("head and shoulders", "turned to the viewer", "upright", "mouth"):
            assert words in row["prompt"]
        assert row["prompt"].isascii()
