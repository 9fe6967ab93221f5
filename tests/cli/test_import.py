"""sfqa import: what it prints of a folder, its exit status, the configuration that it writes."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from published_datasets import make_folder
from sfqa import cli

#: ``import`` is a keyword.
COMMAND: Any = importlib.import_module("sfqa.cli.import")


def test_a_whole_folder_gives_a_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_folder("thqa_ntire", tmp_path / "my data")
    out = tmp_path / "my.yaml"
    assert cli.main(["import", "thqa_ntire", str(tmp_path / "my data"), "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert "69 videos with labels" in text
    assert "split: train 44, val 13, test 12" in text
    assert "quality: 69 scores from 0 to 5, mean" in text
    config = yaml.safe_load(out.read_text())
    assert config["import"]["folder"] == str(tmp_path / "my data")
    assert cli.main(["import", "thqa_ntire", str(tmp_path / "my data"), "--out", str(out)]) == 2
    assert "it is there already; name another file with --out" in capsys.readouterr().err


def test_what_does_not_meet_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_folder("konvid_1k", tmp_path / "data")
    (tmp_path / "data/KoNViD_1k_videos/3339962845.mp4").unlink()
    (tmp_path / "data/KoNViD_1k_videos/77.mp4").write_bytes(b"")
    out = str(tmp_path / "my.yaml")
    assert cli.main(["import", "konvid_1k", str(tmp_path / "data"), "--out", out]) == 1
    text = capsys.readouterr().out
    assert "1 label without a video: 3339962845" in text
    assert "1 video without a label: KoNViD_1k_videos/77.mp4" in text


def test_errors_say_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def read_error(*words: str) -> str:
        assert cli.main(["import", *words]) == 2
        return capsys.readouterr().err

    assert "no dataset 't2vqa'; did you mean 't2vqa_db'?" in read_error("t2vqa", str(tmp_path))
    assert "the folder is missing" in read_error("thqa")
    assert "preferences between two videos" in read_error("genai_bench", str(tmp_path))
    assert "unpack the dataset there" in read_error("thqa", str(tmp_path / "none"))
    (tmp_path / "train.zip").write_bytes(b"PK")
    error = read_error("thqa", str(tmp_path), "--out", str(tmp_path / "a.yaml"))
    assert "vvmf_results_a01.csv: there is no such label file; unpack train.zip first" in error


def test_a_label_file_elsewhere_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    make_folder("t2vqa_db", data / "T2VQA-DB")

    def read_error(folder: Path) -> str:
        out = str(tmp_path / "a.yaml")
        assert cli.main(["import", "t2vqa_db", str(folder), "--out", out]) == 2
        return capsys.readouterr().err

    assert f"in a folder below; run sfqa import t2vqa_db {data}/T2VQA-DB" in read_error(data)
    (data / "T2VQA-DB/videos").mkdir()
    error = read_error(data / "T2VQA-DB/videos")
    assert f"in a folder above; run sfqa import t2vqa_db {data}/T2VQA-DB" in error
    (data / "T2VQA-DB/info.txt").rename(data / "T2VQA-DB/INFO.TXT")
    error = read_error(data / "T2VQA-DB")
    assert "info.txt: there is no such label file, but INFO.TXT; rename it" in error


def test_guesses_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_folder("gaia", tmp_path / "data")
    out = str(tmp_path / "a.yaml")
    assert cli.main(["import", "gaia", str(tmp_path / "data"), "--out", out]) == 0
    assert "A guess: MOS.csv has no header and four columns" in capsys.readouterr().out


def test_what_the_first_job_refuses_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_folder("lsvq", tmp_path / "data")
    path = tmp_path / "data/labels_train_test.csv"
    # R writes FALSE; a third value is no part of the split. Names of sets may have capitals.
    path.write_text(path.read_text().replace(",False,", ",FALSE,").replace(",True,", ",maybe,", 1))
    out = str(tmp_path / "my.yaml")
    assert cli.main(["import", "LSVQ", str(tmp_path / "data"), "--out", out]) == 2
    assert "row 22: split 'maybe'; there are train, val, test" in capsys.readouterr().err
    path.write_text(path.read_text().replace(",maybe,", ",TRUE,"))
    assert cli.main(["import", "LSVQ", str(tmp_path / "data"), "--out", out]) == 0
    assert "split: train 20, test 10, test_1080p 8" in capsys.readouterr().out


def test_a_configuration_of_ones_own_is_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_folder("gaia", tmp_path / "data")
    path = tmp_path / "data/MOS.csv"
    path.write_text("file | a | b | c\n" + path.read_text())
    assert cli.main(["import", "gaia", str(tmp_path / "data"), "--out", str(tmp_path / "x")]) == 2
    error = capsys.readouterr().err
    assert "row 1, column subject_quality: 'a' is not a number; if row 1 names the columns" in error
    text = (COMMAND.DATASETS / "gaia.yaml").read_text(encoding="utf-8")
    own = tmp_path / "my.yaml"
    own.write_text(COMMAND.set_folder(text, tmp_path / "data"))
    config = yaml.safe_load(own.read_text())
    labels = config["import"]["labels"]
    del labels["header"]
    labels |= {"video": "file", "mos": {"quality": "a"}}
    own.write_text(yaml.safe_dump(config))
    assert cli.main(["import", str(own)]) == 0
    assert "20 videos with labels" in capsys.readouterr().out
    config["import"]["folder"] = str(tmp_path)
    own.write_text(yaml.safe_dump(config))
    assert cli.main(["import", str(own)]) == 2
    assert f"in a folder below; write import.folder: {tmp_path}/data" in capsys.readouterr().err
    own.write_text("mode: build\n")
    assert cli.main(["import", str(own)]) == 2
    assert "the section import has no folder with labels" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("label", "remedy"),
    [
        ("a/x", "a/x.mp4 has a suffix that its label lacks; write path: '{video}.mp4'"),
        ("x.mp4", "a/x.mp4 is in another folder than its label says; write match: name"),
    ],
)
def test_labels_that_miss_their_video_by_a_rule(
    label: str, remedy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x.mp4").write_bytes(b"x")
    (tmp_path / "labels.csv").write_text(f"video,mos\n{label},3\n")
    source = {"folder": str(tmp_path), "constant": {"method": "natural"}}
    source["labels"] = {"files": "labels.csv", "mos": {"quality": "mos"}}
    own = tmp_path / "my.yaml"
    own.write_text(yaml.safe_dump({"import": source}))
    assert cli.main(["import", str(own)]) == 1
    assert remedy in capsys.readouterr().out
    source["without_video"] = source["without_label"] = "keep"
    own.write_text(yaml.safe_dump({"import": source}))
    assert cli.main(["import", str(own)]) == 0
