"""What may happen to a table on its way through programs and hands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

from good_tables import TABLES
from table_draft import Draft

Mutation = Callable[[Draft], None]
MUTATIONS: dict[str, Mutation] = {}


def _register(mutation: Mutation) -> Mutation:
    MUTATIONS[mutation.__name__.removeprefix("_")] = mutation
    return mutation


def _encoder(codec: str, start: bytes = b"") -> Callable[[str], bytes]:
    return lambda text: start + text.encode(codec)


@_register
def _readable_encoding(draft: Draft) -> None:
    codecs = [("utf-8-sig", b""), ("utf-16", b""), ("utf-16-le", b""), ("utf-16-be", b""),
              ("utf-16-be", b"\xfe\xff"), ("utf-32", b"")]  # fmt: skip
    draft.encode = _encoder(*draft.rng.choice(codecs))


@_register
def _other_encoding(draft: Draft) -> None:
    letter, codec = draft.rng.choice(
        [("é", "cp1252"), ("ü", "latin-1"), ("男", "gb18030"), ("あ", "shift-jis")]
    )
    row, _ = draft.pick_cell()
    draft.rows[row][0] += letter
    draft.encode, draft.is_clear = _encoder(codec), False


@_register
def _cut_bytes(draft: Draft) -> None:
    draft.encode = lambda text: text.encode("utf-16")[: draft.rng.choice([-1, 3, 1])]
    draft.is_clear = False


@_register
def _separator(draft: Draft) -> None:
    draft.separator = draft.rng.choice(";\t|")
    draft.suffix = draft.rng.choice([".csv", ".tsv", ".txt"])


@_register
def _separator_line(draft: Draft) -> None:
    draft.separator = draft.rng.choice(";\t")
    draft.edit = lambda text: f"sep={draft.separator}\r\n{text}"


@_register
def _strange_separator(draft: Draft) -> None:
    draft.separator, draft.is_clear = draft.rng.choice(":~^ "), False


@_register
def _semicolons_and_decimal_commas(draft: Draft) -> None:
    draft.separator = ";"
    for row in draft.rows[1:]:
        for k in draft.numbers:
            row[k] = row[k].replace(".", ",")
    # 67,125 alone may be a number of thousands.
    draft.is_clear = not any(
        len(row[k].partition(",")[2]) == 3 for row in draft.rows for k in draft.numbers
    )


@_register
def _line_ends(draft: Draft) -> None:
    end = draft.rng.choice(["\r\n", "\r"])
    draft.edit = lambda text: text.replace("\n", end)


@_register
def _trailing_separators(draft: Draft) -> None:
    count = draft.rng.choice([1, 1, 3])
    for row in draft.rows[draft.rng.choice([0, 1]) :]:
        row += [""] * count


@_register
def _trailing_separator_of_the_header(draft: Draft) -> None:
    draft.rows[0].append("")


@_register
def _trailing_separator_of_one_row(draft: Draft) -> None:
    draft.rows[draft.pick_cell()[0]].append("")
    draft.is_clear = False


@_register
def _cell_too_many(draft: Draft) -> None:
    row, column = draft.pick_cell()
    draft.rows[row].insert(column, draft.rng.choice(["", "7", "x"]))
    draft.is_clear = False


@_register
def _cell_too_few(draft: Draft) -> None:
    row, column = draft.pick_cell()
    # Sheets of images may leave out optional cells at the end.
    del draft.rows[row][min(column, 2)]
    draft.is_clear = False


@_register
def _cell_too_many_in_every_row(draft: Draft) -> None:
    column = draft.rng.randrange(len(draft.rows[0]) + 1)
    for number, row in enumerate(draft.rows[1:]):
        row.insert(column, draft.rng.choice([str(number), "x"]))
    draft.is_clear = False


@_register
def _blank_rows(draft: Draft) -> None:
    width = len(draft.rows[0])
    for _ in range(draft.rng.randrange(1, 4)):
        blank = draft.rng.choice([[], [""] * width, [" "] * width])
        draft.rows.insert(draft.rng.randrange(1, len(draft.rows) + 1), list(blank))


@_register
def _open_quote(draft: Draft) -> None:
    row, column = draft.pick_cell()
    marked = "@" + draft.rows[row][column]
    draft.rows[row][column] = marked
    draft.edit = lambda text: text.replace(marked, f'"{marked[1:]}')
    draft.is_clear = False


@_register
def _quotes(draft: Draft) -> None:
    draft.edit = lambda text: "\n".join(
        ",".join(f' "{cell}"' for cell in line.split(",")) for line in text.splitlines()
    )


@_register
def _name_twice(draft: Draft) -> None:
    first, second = draft.rng.sample(range(len(draft.rows[0])), 2)
    draft.rows[0][first] = draft.rows[0][second]
    draft.is_clear = False


@_register
def _name_missing(draft: Draft) -> None:
    column = draft.rng.randrange(len(draft.rows[0]))
    draft.rows[0][column] = draft.rng.choice(["", " ", f"Unnamed: {column}"])
    draft.is_clear = False


@_register
def _header_twice(draft: Draft) -> None:
    draft.rows.insert(draft.rng.randrange(1, len(draft.rows) + 1), list(draft.rows[0]))
    draft.is_clear = False


@_register
def _spaces_in_the_header(draft: Draft) -> None:
    draft.rows[0] = [
        f"{draft.rng.choice([' ', chr(0xA0), chr(0x200B)])}{name} " for name in draft.rows[0]
    ]


@_register
def _invisible_characters(draft: Draft) -> None:
    row, column = draft.pick_cell()
    sign = draft.rng.choice("\ufeff\u200b\u00a0\u2009")
    draft.rows[row][column] = f"{sign}{draft.rows[row][column]}{sign}"


@_register
def _control_character(draft: Draft) -> None:
    row, column = draft.pick_cell()
    cell = draft.rows[row][column]
    draft.rows[row][column] = cell[:1] + draft.rng.choice("\0\x1b\x07") + cell[1:]
    draft.is_clear = False


def _rewrite_column(draft: Draft, rewrite: Callable[[str], str]) -> None:
    for column in draft.numbers if draft.rng.random() < 0.5 else [draft.pick_number()[1]]:
        if column in draft.numbers:
            for row in draft.rows[1:]:
                row[column] = rewrite(row[column])


@_register
def _printed_minus(draft: Draft) -> None:
    sign = draft.rng.choice("\u2212\u2013\ufe63\uff0d")
    _rewrite_column(draft, lambda cell: cell.replace("-", sign))


@_register
def _decimal_comma(draft: Draft) -> None:
    _rewrite_column(draft, lambda cell: cell.replace(".", ","))
    draft.is_clear = False


@_register
def _plain_form(draft: Draft) -> None:
    forms: list[Callable[[str], str]] = [
        lambda cell: f"{float(cell):e}",
        lambda cell: f"{float(cell):+.3f}",
        lambda cell: f"{float(cell):012.4f}",
        lambda cell: f" {cell}\u00a0",
        lambda cell: "".join(chr(ord(c) + 0xFEE0) if c.isdigit() else c for c in cell),
    ]
    _rewrite_column(draft, draft.rng.choice(forms))


@_register
def _thousands(draft: Draft) -> None:
    def english(cell: str) -> str:
        return f"{float(cell):,}".removesuffix(".0")

    forms: list[Callable[[str], str]] = [
        english,
        lambda cell: english(cell).translate(str.maketrans(",.", ".,")),
        lambda cell: english(cell).replace(",", "'"),
        lambda cell: english(cell).translate(str.maketrans(",.", "\u202f,")),
        lambda cell: english(cell).replace(",", " "),
    ]
    _rewrite_column(draft, draft.rng.choice(forms))
    draft.is_clear = False


@_register
def _percent(draft: Draft) -> None:
    _rewrite_column(draft, lambda cell: f"{float(cell) * 100:.6g}%")
    draft.is_clear = False


@_register
def _no_numbers(draft: Draft) -> None:
    words = draft.rng.choice([("true", "false"), ("[1, 2]", "[3]"), ("good", "bad"), ("yes", "no")])
    _rewrite_column(draft, lambda _: draft.rng.choice(words))
    draft.is_clear = False


@_register
def _bad_number(draft: Draft) -> None:
    row, column = draft.pick_number()
    bad = [
        "x",
        "1_0",
        "0x1F",
        "3,,5",
        "1.2.3",
        "4 5",
        "5 pt",
        "O.5",
        "inf",
        "nan",
        "NA",
        "-",
        "12%",
        "#DIV/0!",
    ]
    if column in draft.numbers:
        draft.rows[row][column] = draft.rng.choice(bad)
        draft.is_clear = False


@_register
def _off_scale(draft: Draft) -> None:
    row, column = draft.pick_number()
    if column in draft.numbers:
        draft.rows[row][column] = draft.rng.choice(["1e999", "-1e999", "55e400"])
        draft.is_clear = False


@_register
def _row_numbers(draft: Draft) -> None:
    numbers = list(range(draft.rng.choice([0, 1]), len(draft.rows) + 5))[: len(draft.rows) - 1]
    if draft.rng.random() < 0.5:
        draft.rng.shuffle(numbers)
    names = ["", "Unnamed: 0", "Unnamed: 0.1"]
    for row, cell in zip(draft.rows, [draft.rng.choice(names), *map(str, numbers)], strict=True):
        row.insert(0, cell)
    draft.numbers = tuple(k + 1 for k in draft.numbers)


@_register
def _named_row_numbers(draft: Draft) -> None:
    for number, row in enumerate(draft.rows):
        row.append(str(number) if number else draft.rng.choice(["index", "No.", "row", "Nr", "#"]))
    draft.is_clear = False


@_register
def _stored_row_numbers(draft: Draft) -> None:
    draft.suffix, draft.has_parquet_types = ".parquet", True
    numbers = draft.rng.sample(range(100), len(draft.rows) - 1)
    for row, cell in zip(draft.rows, ["__index_level_0__", *map(str, numbers)], strict=True):
        row.append(cell)


@_register
def _parquet(draft: Draft) -> None:
    draft.suffix, draft.has_parquet_types = ".parquet", draft.rng.random() < 0.5


@_register
def _other_suffix(draft: Draft) -> None:
    draft.suffix = draft.rng.choice([".tsv", ".txt", ".CSV"])


@_register
def _text_named_parquet(draft: Draft) -> None:
    draft.edit, draft.is_clear = str, False
    text = ",".join(draft.rows[0])
    draft.encode = lambda _: draft.rng.choice([b"PAR1" + text.encode(), b"PK\x03\x04"])


@_register
def _row_twice(draft: Draft) -> None:
    draft.rows.append(list(draft.rows[draft.pick_cell()[0]]))
    draft.is_clear = False


@_register
def _long_text(draft: Draft) -> None:
    for number, row in enumerate(draft.rows):
        row.append("x" * 150_000 if number else "note")
    draft.is_clear = False


@_register
def _mean_row(draft: Draft) -> None:
    cells = ["mean", *([""] * (len(draft.rows[0]) - 1))]
    for k in draft.numbers:
        cells[k] = f"{sum(float(row[k]) for row in draft.rows[1:]) / (len(draft.rows) - 1):.2f}"
    draft.rows.append(cells)
    draft.is_clear = False


@_register
def _other_order(draft: Draft) -> None:
    columns = list(range(len(draft.rows[0])))
    draft.rng.shuffle(columns)
    body = draft.rows[1:]
    draft.rng.shuffle(body)
    draft.rows = [[row[k] for k in columns] for row in [draft.rows[0], *body]]
    draft.numbers = tuple(columns.index(k) for k in draft.numbers)


def mutate(seed: int) -> tuple[str, str, Draft]:
    """Return the name of the mutation of a seed, that of its table, and the mutated table."""
    names = list(MUTATIONS)
    name = names[seed % len(names)]
    start = seed + seed // len(names)
    for k in range(len(TABLES)):  # the first table that the mutation changes
        table_name = list(TABLES)[(start + k) % len(TABLES)]
        good = TABLES[table_name]
        draft = Draft([list(row) for row in good.rows], good.numbers, Random(seed))
        MUTATIONS[name](draft)
        if draft != Draft([list(row) for row in good.rows], good.numbers, draft.rng):
            break
    return name, table_name, draft


def read_good_tables(folder: Path) -> Mapping[str, dict[Any, Any]]:
    """Return the values of the ten tables as they are."""
    values = {}
    for name, good in TABLES.items():
        draft = Draft([list(row) for row in good.rows], good.numbers, Random(0))
        values[name], notes = good.read(draft.write(folder))
        assert not notes, (name, notes)
    return values
