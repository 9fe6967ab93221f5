"""sfqa import: what it prints of a folder, its exit status, the configuration that it writes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from published_datasets import make_folder
from sfqa import cli


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
