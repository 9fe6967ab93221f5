"""Every mistake in a sheet is a sentence; what is right comes back as it was written."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfqa.errors import UserError
from sfqa.sheets import CLIP_CHOICES, CLIP_COLUMNS, IMAGE_CHOICES, IMAGE_COLUMNS, read_sheet

HEAD = "image_id,path,source,category,licence,prompt\n"
GOOD = HEAD + "a,a.png,ai,elf,CC0,elf_01\nb,b.png,real,man,,\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("sheets")


def read(folder, content, columns=IMAGE_COLUMNS, choices=IMAGE_CHOICES):
    path = folder / "images.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_sheet(path, columns, choices)


def test_a_row_has_all_columns_in_order(folder):
    first, second = read(folder, GOOD)
    assert list(first) == list(IMAGE_COLUMNS)
    assert first == {
        "image_id": "a",
        "path": str(folder / "a.png"),
        "source": "ai",
        "category": "elf",
        "licence": "CC0",
        "prompt": "elf_01",
    }
    assert (second["licence"], second["prompt"]) == ("", "")


def test_licence_and_prompt_may_be_left_out_and_columns_may_be_in_any_order(folder):
    (row,) = read(folder, "category,source,path,image_id\nelf,ai,x/a.png,a\n")
    assert row["path"] == str(folder / "x" / "a.png")
    assert (row["licence"], row["prompt"], row["category"]) == ("", "", "elf")


def test_a_short_row_has_empty_optional_cells(folder):
    (row,) = read(folder, HEAD + "a,a.png,ai,elf\n")
    assert row["prompt"] == ""


def test_a_clip_sheet_is_as_it_was(folder):
    assert CLIP_COLUMNS == ("clip_id", "path", "style", "language", "origin", "title", "licence")
    text = "clip_id,path,style,language,origin\nc,c.wav,pop,zh,ai\n"
    (row,) = read(folder, text, CLIP_COLUMNS, CLIP_CHOICES)
    assert row["title"] == ""
    with pytest.raises(UserError, match="unknown column 'prompt'"):
        read(folder, text.replace("origin", "prompt"), CLIP_COLUMNS, CLIP_CHOICES)


@pytest.mark.parametrize("mark", ["\ufeff", ""])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_byte_order_mark_line_ends_and_blank_lines_do_not_matter(folder, mark, end):
    text = mark + GOOD.replace("\nb", "\n\nb").replace("\n", end)
    assert [r["image_id"] for r in read(folder, text)] == ["a", "b"]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("source,", "source,source,", "the column 'source' is there twice; delete one"),
        ("source,", "source,,", "column 4 has no name"),
        ("elf,CC0,elf_01", "elf,CC0,elf_01,more", "row 2: 7 cells where the header has 6"),
        ("man,,", "man,,,", "row 3: 7 cells where the header has 6"),
        ("CC0", "CC\t0", "row 2, column licence: holds the invisible character U+0009"),
        ("elf,", '"el\nf",', "row 2, column category: holds a line break"),
        ("a.png", "a\0.png", "row 2, column path: holds the invisible character U+0000"),
        ("man", "m\x1ban", "row 3, column category: holds the invisible character U+001B"),
        ("man", "m\ufeffan", "row 3, column category: holds the invisible character U+FEFF"),
        ("man", "m\u2028an", "row 3, column category: holds a line break"),
        ("elf,", '"elf,', "row 2, column category: holds a line break (a quote"),
        ("man", "", "row 3, column category: empty; fill it"),
        ("real", "Real", "row 3, column source: 'Real' is not one of real, ai, synthetic"),
        ("b,b.png", "a,b.png", "row 3, column image_id: 'a' is in row 2 too"),
        ("b,b.png", "ö,b.png", "row 3, column image_id: 'ö' may hold"),
        ("b,b.png", ".b,b.png", "row 3, column image_id: '.b' may hold"),
        ("prompt\n", "promt\n", "unknown column 'promt'; did you mean 'prompt'?"),
    ],
)
def test_a_mistake_is_named(folder, old, new, sentence):
    assert old in GOOD
    with pytest.raises(UserError) as caught:
        read(folder, GOOD.replace(old, new, 1))
    assert str(folder / "images.csv") in str(caught.value)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (GOOD.replace(",", ":"), "unknown column 'image_id:path:source"),
        (GOOD.encode("utf-16")[:-1], "not UTF-16 text (byte "),
        (GOOD.replace("man", "男").encode("gb18030"), "not UTF-8 text (byte "),
        (GOOD.replace("man", "männ").encode("cp1252"), "row 3); save it as 'CSV UTF-8'"),
        (HEAD + "a," + "x" * 140000, "row 2, column source: empty; fill it"),
        (b"PK\x03\x04" + GOOD.encode(), "it is an Excel workbook"),
        ("", "the file is empty"),
        (HEAD, "the sheet has no rows"),
        (HEAD + "\n\n", "the sheet has no rows"),
    ],
)
def test_files_that_are_no_sheets(folder, content, sentence):
    with pytest.raises(UserError) as caught:
        read(folder, content)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        GOOD.replace(",", ";"), GOOD.replace(",", "\t"), "sep=;\n" + GOOD.replace(",", ";"),
        GOOD.encode("utf-16"), b"\xfe\xff" + GOOD.encode("utf-16-be"), GOOD.encode("utf-16-le"),
        GOOD.replace("\n", ",\n"), GOOD.replace("CC0", "C" * 140000),
    ],
)  # fmt: skip
def test_what_a_person_can_read_is_read(folder, content):
    rows = read(folder, content)
    assert [(r["image_id"], r["category"], r["prompt"]) for r in rows] == [
        ("a", "elf", "elf_01"),
        ("b", "man", ""),
    ]


def test_a_folder_is_no_sheet(folder):
    with pytest.raises(UserError, match="no such sheet"):
        read_sheet(folder, IMAGE_COLUMNS, IMAGE_CHOICES)


plain = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=12
)
ids = st.from_regex(r"[A-Za-z0-9+]([A-Za-z0-9.+-]|_(?!_)){0,8}", fullmatch=True)


@given(st.lists(st.tuples(ids, plain, st.sampled_from(["real", "ai"]), plain, plain | st.just("")), min_size=1, max_size=5, unique_by=lambda r: r[0]))  # fmt: skip
def test_what_is_written_by_any_csv_writer_comes_back(folder, rows):
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["image_id", "path", "source", "category", "licence"])
    writer.writerows(rows)
    back = read(folder, text.getvalue())
    assert [(r["image_id"], r["source"], r["category"], r["licence"]) for r in back] == [
        (name, source, category, licence) for name, _, source, category, licence in rows
    ]
    assert [r["path"] for r in back] == [str(folder / path) for _, path, *_ in rows]


@given(st.text(max_size=60))
def test_any_text_gives_rows_or_a_sentence(folder, text):
    try:
        rows = read(folder, HEAD + text)
    except UserError as error:
        assert "images.csv" in str(error)
    else:
        assert all(set(row) == set(IMAGE_COLUMNS) for row in rows)


@given(st.binary(max_size=60))
def test_any_bytes_give_a_sentence(folder, content):
    with pytest.raises(UserError, match="images.csv"):
        read(folder, b"image_id,path\n" + content)
