from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from sfqa import identity, store, tables
from sfqa.errors import UserError
from sfqa.features.importing import Imported, import_table

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
        (TEXT, {"columns": {"split": "note"}}, "row 2: the split 'hello'"),
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
    with pytest.raises(UserError, match=r"\.csv or a \.parquet"):
        import_table(source(written(tmp_path, name="t.xlsx")), 4)


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
