"""sfqa import: what it prints of a folder, its exit status, the configuration that it writes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from published_datasets import MAKERS, make_folder
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


def test_the_list_and_the_page_have_every_dataset(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["import", "--list"]) == 0
    text = capsys.readouterr().out
    page = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text(encoding="utf-8")
    for name in MAKERS:
        assert f"\n{name} " in f"\n{text}"
        assert f"| `{name}` |" in page
