"""Commands and stages read the tables of users with the one reader: the same guards everywhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sfqa.cli import main
from sfqa.errors import UserError
from sfqa.pairs.material import read_kept_pairs
from sfqa.ratings.by_label import read_tags
from sfqa.ratings.rater_report import read_answers

SCORES = "rater,sample_id,dimension,score\n" + "".join(
    f"r{r},v{v},q,{1 + (r * v + v) % 5}\n" for r in range(4) for v in range(5)
)
LABELS = "sample_id,method,style\n" + "".join(f"v{v},m{v % 2},s{v % 2}\n" for v in range(5))
TAGS = "sample_id,hat\n" + "".join(f"v{v},{'yes' if v % 2 else 'no'}\n" for v in range(5))
MOS = "video,mos,ours\n" + "".join(f"v{v},{v + 0.5},{v * v}\n" for v in range(8))
FORMS: dict[str, Any] = {
    "plain": str,
    "trailing": lambda text: text.replace("\n", ",\n").replace(",\n", "\n", 1),
    "semicolons": lambda text: text.replace(",", ";").replace(".", ","),
    "blank": lambda text: text.replace("\nv", "\n\nv", 1),
}


def write(folder: Path, text: str, form: str, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_text(FORMS[form](text), "utf-16" if form == "blank" else "utf-8")
    return path


@pytest.mark.parametrize("form", FORMS)
def test_mos_with_labels_and_tags(tmp_path: Path, form: str, capsys: Any) -> None:
    (tmp_path / "s.csv").write_text(SCORES)
    labels, tags = write(tmp_path, LABELS, form, "l.csv"), write(tmp_path, TAGS, form, "g.csv")
    words = ["mos", str(tmp_path / "s.csv"), "--method", "mean"]
    main([*words, "--labels", str(labels), "--tags", str(tags), "--out", str(tmp_path / "m.csv")])
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    kinds = pd.read_csv(tmp_path / "m_by_label.csv")
    assert set(kinds["label_kind"]) >= {"method", "style", "hat"}
    assert kinds.loc[kinds["label_kind"] == "hat", "n"].tolist() == [3, 2]


@pytest.mark.parametrize("form", FORMS)
def test_correlate_and_challenge(tmp_path: Path, form: str, capsys: Any) -> None:
    path = write(tmp_path, MOS, form)
    assert main(["correlate", str(path), "--bootstrap", "0"]) == 0
    assert re.search(r"^ours +8 +1(\.0+)? ", capsys.readouterr().out, re.MULTILINE)
    out = tmp_path / "new"
    assert main(["challenge", "make", str(path), "--ungrouped", "--out", str(out)]) == 0
    parts = [pd.read_csv(out / "public/train.csv"), *(pd.read_csv(p) for p in out.glob("hidden/*"))]
    mos = pd.concat(parts).set_index("name")["mos"].sort_index()
    assert mos.tolist() == [v + 0.5 for v in range(8)]


@pytest.mark.parametrize("form", ["plain", "trailing"])
def test_kept_pairs_answers_and_tags(tmp_path: Path, form: str) -> None:
    pairs = write(tmp_path, "image_id,clip_id,split\na,1,train\nb,2,val\n", form)
    assert read_kept_pairs(pairs).to_numpy().tolist() == [["a", "1", "train"], ["b", "2", "val"]]
    answers = write(tmp_path, "sample_id,dimension,expected,tolerance\ng,q,4.5,1\n", form)
    assert read_answers(answers).loc[0, "expected"] == 4.5
    samples = pd.DataFrame({"sample_id": [f"v{v}" for v in range(5)]})
    labelled, names = read_tags(samples, str(write(tmp_path, TAGS, form)))
    assert (names, labelled["hat"].tolist()) == (["hat"], ["no", "yes", "no", "yes", "no"])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("image_id,clip_id\na,1\n", r"no column 'split' \(pairs.keep\)"),
        ("image_id,clip_id,split\na,1,tran\n", "row 2, column split: 'tran'; write train or val"),
        ("image_id,clip_id,split\na,,val\n", "row 2, column clip_id: empty"),
    ],
)
def test_mistakes_in_kept_pairs(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        read_kept_pairs(write(tmp_path, text, "plain"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("sample_id,dimension,expected\ng,q,4\n", "no column 'tolerance'"),
        ("sample_id,dimension,expected,tolerance\ng,q,,1\n", "row 2, column expected: empty"),
        ("sample_id,dimension,expected,tolerance\ng,q,inf,1\n", "row 2, column expected: 'inf'"),
        ("sample_id,dimension,expected,tolerance\ng,q,4,1\ng,q,5,1\n", "row 3, .* two answers"),
    ],
)
def test_mistakes_in_answers(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        read_answers(write(tmp_path, text, "plain"))
