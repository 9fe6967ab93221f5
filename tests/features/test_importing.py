from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from sfqa import identity, store, tables
from sfqa.errors import UserError
from sfqa.features.columns import feature_columns
from sfqa.features.importing import Imported, import_table
from sfqa.report.rejects import collect_rejects

THQA = Path(__file__).parents[3] / "shared/data/thqa/features_and_mos.csv"
PATTERN = r"(?P<image>\d+)_(?P<clip>voice_[a-z]+_\d+)_(?P<method>.+)"

TEXT = """name,sharp,noise,note,score
1_voice_en_7_wav lip,0.5,2,hello,3.5
2_voice_en_8_sad,,nope,"a, b",
3_voice_fr_9_x_y,-1e-3,inf,,4
"""


def source(path: Path, **changes: object) -> dict[str, object]:
    plain = {"table": str(path), "id": "name", "pattern": PATTERN, "mos": {"visual": "score"}}
    return plain | {"features": "all"} | changes


def written(tmp_path: Path, text: str = TEXT, name: str = "t.csv") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_rows_come_through_the_door(tmp_path):
    got = import_table(source(written(tmp_path)), 4)
    assert [(s["image_id"], s["clip_id"], s["method"]) for s in got.samples] == [
        ("1", "voice_en_7", "wav lip"),
        ("2", "voice_en_8", "sad"),
        ("3", "voice_fr_9", "x_y"),
    ]
    assert got.samples[0]["pair_id"] == "1__voice_en_7"
    assert [s["shard"] for s in got.samples] == [
        identity.shard_of(s["sample_id"], 4) for s in got.samples
    ]
    assert store.to_arrow(tables.SAMPLES, got.samples).num_rows == 3
    assert store.to_arrow(tables.MOS, got.mos).num_rows == 3


def test_feature_table_has_the_common_head_and_scalar_columns(tmp_path):
    got = import_table(source(written(tmp_path)), 4).features
    assert got.column_names == [c.name for c in tables.FEATURES.columns] + ["sharp", "noise"]
    assert str(got.schema.field("sharp").type) == "double"
    assert got["sharp"].to_pylist() == [0.5, None, -1e-3]
    assert got["noise"].to_pylist() == [2.0, None, None]
    assert got["status"].to_pylist() == ["ok", "flawed", "flawed"]
    assert got["detail"].to_pylist() == [
        "",
        "not_a_number: sharp is empty; not_a_number: noise is 'nope', not a finite number",
        "not_a_number: noise is 'inf', not a finite number",
    ]


def test_missing_mos_is_a_failed_row_with_the_reason(tmp_path):
    got = import_table(source(written(tmp_path), synthetic=True), 1).mos
    assert [(m["mos"], m["status"], m["detail"]) for m in got] == [
        (3.5, "ok", ""),
        (None, "failed", "no_mos: score is empty"),
        (4.0, "ok", ""),
    ]
    assert all(m["synthetic"] and m["dimension"] == "visual" for m in got)


def test_parquet_gives_what_csv_gives(tmp_path):
    csv = written(tmp_path)
    frame = pd.read_csv(csv).astype({"noise": object})
    frame.to_parquet(tmp_path / "t.parquet")
    one, two = (import_table(source(tmp_path / n), 4) for n in ("t.csv", "t.parquet"))
    assert one.samples == two.samples
    for name in ("sharp", "noise", "status"):
        assert one.features[name].to_pylist() == two.features[name].to_pylist()
    assert [m["mos"] for m in one.mos] == [m["mos"] for m in two.mos]


def test_columns_stand_in_for_and_overrule_the_pattern(tmp_path):
    text = "id,who,side,f,g\na,p1,train,1,\nb,p2,val,2,3\nc,,,3,4\n"
    got = import_table(
        {"table": written(tmp_path, text), "id": "id", "features": ["f"],
         "columns": {"image": "who", "split": "side"}}, 2
    )  # fmt: skip
    assert [(s["image_id"], s["split"], s["method"]) for s in got.samples] == [
        ("p1", "train", "imported"),
        ("p2", "val", "imported"),
        (None, None, "imported"),
    ]
    assert got.features.column_names[-1] == "f"
    assert got.mos == []


def test_bom_and_blank_lines_do_not_shift_rows(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("\ufeff" + TEXT.replace("2_voice", "\nx_voice"), encoding="utf-8")
    with pytest.raises(UserError, match=r"t\.csv, row 4: the id 'x_voice_en_8_sad'"):
        import_table(source(path), 4)


def test_id_that_does_not_match_names_file_row_id_and_pattern(tmp_path):
    path = written(tmp_path, TEXT.replace("3_voice_fr_9_x_y", "3_voice_fr_x"))
    with pytest.raises(UserError) as caught:
        import_table(source(path), 4)
    for part in (str(path), "row 4", "'3_voice_fr_x'", "voice_[a-z]+"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("text", "changes", "message"),
    [
        (TEXT.replace("2_voice_en_8_sad", "1_voice_en_7_wav lip"), {}, "row 3: the id .* in row 2"),
        (TEXT.replace("2_voice_en_8_sad", ""), {}, "row 3: the id is empty"),
        (TEXT, {"id": "nam"}, "no column 'nam' .*did you mean 'name'"),
        (TEXT, {"mos": {"visual": "scor"}}, "did you mean 'score'"),
        (TEXT, {"features": ["sharpp"]}, "did you mean 'sharp'"),
        (TEXT, {"features": ["note"]}, "'note' .* holds no number"),
        (TEXT, {"features": "every"}, "write 'all'"),
        (TEXT, {"pattern": "(?P<imge>.+)"}, "did you mean 'image'"),
        (TEXT, {"pattern": ".+"}, "no named group"),
        (TEXT, {"pattern": "("}, "no regular expression"),
        (TEXT, {"columns": {"split": "note"}}, "row 2: split 'hello'; there are train, val"),
        (TEXT.replace("sharp", "status"), {}, "cannot be called 'status'"),
        (TEXT.replace("sharp", "noise"), {}, "'noise' is there twice"),
        (TEXT.replace(',"a, b"', ",a, b"), {}, "row 3: 6 cells"),
        ("name,score\n", {}, "no rows"),
        ("name,score\n1_voice_en_7_a,3\n", {}, "no column with numbers"),
    ],
)
def test_mistakes_are_sentences(tmp_path, text, changes, message):
    with pytest.raises(UserError, match=message):
        import_table(source(written(tmp_path, text), **changes), 4)


def test_missing_or_foreign_file(tmp_path):
    with pytest.raises(UserError, match="no such table"):
        import_table(source(tmp_path / "none.csv"), 4)
    with pytest.raises(UserError, match=r"must be \.csv, \.tsv or \.parquet"):
        import_table(source(written(tmp_path, name="t.xlsx")), 4)


#: Ids, a MOS and two features, as a program writes them.
PLAIN = "video,sharp,noise,mos\nv1,55.775,-36.844,51\nv2,9.5,-38.15,48\nv3,52.687,-5.5,56\n"
SHARP, NOISE = [55.775, 9.5, 52.687], [-36.844, -38.15, -5.5]


def imported(tmp_path, content, name="p.csv", **changes):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    described = {"table": str(path), "id": "video", "mos": {"quality": "mos"}, **changes}
    got = import_table(described, 1)
    assert feature_columns(described) == got.features.column_names[5:]  # the plan sees the same
    return got


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        PLAIN.replace("\n", ",\n"),
        PLAIN.encode("utf-16"),
        PLAIN.replace(",", ";").replace(".", ","),
        PLAIN.replace("55.775", '"55,775"').replace("9.5", '"9,5"').replace("52.687", '"52,687"'),
        PLAIN.replace("-", "\u2212"),
        PLAIN.replace("\n", f",{'0.1 ' * 50_000}\n").replace("mos," + "0.1 " * 50_000, "mos,note"),
    ],
)
def test_the_same_numbers_in_other_forms(tmp_path, content):
    got = imported(tmp_path, content)
    assert got.features.column_names[5:] == ["sharp", "noise"]
    assert got.features["sharp"].to_pylist() == SHARP
    assert got.features["noise"].to_pylist() == NOISE
    assert [row["mos"] for row in got.mos] == [51, 48, 56]
    assert set(got.features["status"].to_pylist()) == {"ok"}


def test_row_numbers_are_no_feature_unless_they_are_named(tmp_path):
    lines = PLAIN.splitlines()
    numbered = "\n".join(
        f"{n},{line}" for n, line in zip(["Unnamed: 0", 2, 0, 1], lines, strict=True)
    )
    for name in ("Unnamed: 0", "", "index", "No.", "X", "...1", "Zeile", "Pos.", "video_nr"):
        got = imported(tmp_path, numbered.replace("Unnamed: 0", name))
        assert got.features.column_names[5:] == ["sharp", "noise"]
        row = next(row for row in got.columns if row["column"] == name)
        assert (row["use"], row["status"]) == ("none", "flawed")
        assert row["detail"].startswith("left_out: it ")
    got = imported(tmp_path, numbered, features=["Unnamed: 0", "noise"])
    assert got.features["Unnamed: 0"].to_pylist() == [2, 0, 1]
    frame = pd.read_csv(tmp_path / "p.csv", index_col=0).rename_axis(None).sort_values("mos")
    frame.to_parquet(tmp_path / "p.parquet")
    got = imported(tmp_path, (tmp_path / "p.parquet").read_bytes(), "p.parquet")
    assert got.features.column_names[5:] == ["sharp", "noise"]
    assert {row["column"] for row in got.columns if row["detail"]} == {"__index_level_0__"}


@pytest.mark.parametrize(
    ("cells", "detail"),
    [
        (["yes", "no", "no"], "left_out: row 2 holds 'yes', not a number"),
        (["true", "false", "true"], "left_out: row 2 holds 'true', not a number"),
        (["[1 2]", "[3]", "[4]"], "left_out: row 2 holds '[1 2]', not a number"),
        (["", "NA", ""], "left_out: it is empty"),
    ],
)
def test_a_column_that_is_left_out_is_named_with_the_reason(tmp_path, cells, detail):
    lines = PLAIN.splitlines()
    text = "\n".join(f"{line},{c}" for line, c in zip(lines, ["extra", *cells], strict=True))
    got = imported(tmp_path, text)
    assert {row["column"]: (row["use"], row["detail"]) for row in got.columns} == {
        "video": ("id", ""),
        "sharp": ("feature", ""),
        "noise": ("feature", ""),
        "mos": ("mos quality", ""),
        "extra": ("none", detail),
    }
    rejects = collect_rejects({"imported_columns": pd.DataFrame(got.columns)})
    assert [(row["item"], row["detail"]) for row in rejects] == [("extra", detail)]
    assert store.to_arrow(tables.IMPORTED_COLUMNS, got.columns).num_rows == 5


def test_percentages_are_shares_and_named(tmp_path):
    got = imported(
        tmp_path, PLAIN.replace("55.775", "55%").replace("9.5", "9%").replace("52.687", "2 %")
    )
    assert got.features["sharp"].to_pylist() == pytest.approx([0.55, 0.09, 0.02])
    assert [r["detail"] for r in got.columns if r["column"] == "sharp"] == [
        "percent: the column is in percent, 12% is read as .12"
    ]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("9.5", '"9,500"', "row 3, column sharp: '9,500' can be read as two numbers"),
        ("v2", "vü", "not UTF-8 text (byte "),
        (",51\n", ",51%\n", None),
        ("sharp", "noise", "the column 'noise' is there twice"),
        ("v2,", "v2,,", "row 3: 5 cells where the header has 4"),
    ],
)
def test_what_is_unclear_is_a_sentence(tmp_path, old, new, sentence):
    text = PLAIN.replace(old, new, 1)
    if sentence is None:
        text = text.replace(",48\n", ",48%\n").replace(",56\n", ",56%\n")
        sentence = "column mos: the MOS are in percent"
    with pytest.raises(UserError) as caught:
        imported(tmp_path, text.encode("cp1252"))
    assert sentence in str(caught.value)


@pytest.mark.shared
@pytest.mark.skipif(not THQA.is_file(), reason="the real data are not beside the checkout")
def test_thqa_comes_in_whole():
    got: Imported = import_table(
        {"table": THQA, "id": "Image", "pattern": PATTERN, "mos": {"overall": "Score"}}, 8
    )
    frame = pd.DataFrame(got.samples)
    assert [frame[c].nunique() for c in ("sample_id", "image_id", "clip_id", "method")] == [
        800, 20, 100, 8,
    ]  # fmt: skip
    assert got.features.num_columns == len(tables.FEATURES.columns) + 24
    assert set(got.features["status"].to_pylist()) == {"ok"}
    raw = pd.read_csv(THQA)
    mos = np.array([m["mos"] for m in got.mos])
    assert (mos == raw["Score"]).all()
    known = {"clipiqa+": 0.512, "musiq-koniq": 0.493, "qalign": 0.432, "distance": -0.137}
    for name, value in known.items():
        column = got.features[name].to_numpy()
        assert (column == raw[name]).all()
        assert spearmanr(column, mos).statistic == pytest.approx(value, abs=1e-3)
