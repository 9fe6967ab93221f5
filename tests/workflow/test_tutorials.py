"""The walks of docs/tutorial_*.md, followed word by word on small made folders."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from flow import ROOT, nothing_to_do
from pages import copy_project, follow_page
from published_datasets import make_folder
from sfqa import store, tables
from videos import make_video


def make_data(name: str, folder: Path, scratch: Path) -> None:
    """Write the made folder of a published set, with five small videos over and over."""
    for number in range(5):
        make_video(scratch / f"source{number}.mp4", number)
    for number, one in enumerate(make_folder(name, folder)):
        (folder / one.path).unlink()
        shutil.copy(scratch / f"source{number % 5}.mp4", folder / one.path)


def run_again(folder: Path, *configs: str) -> str:
    """Run Snakemake once more; return what it printed."""
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", *configs]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.thorough
def test_a_set_of_ones_own(tmp_path: Path) -> None:
    copy_project(tmp_path)
    for m, method in enumerate(("sora", "pika")):
        for number, content in enumerate(("dog", "city", "boat", "cook", "snow", "bird")):
            make_video(tmp_path / f"mine/{method}/{content}.mp4", 10 * m + number)
    _, run, more = follow_page("tutorial_own_set.md", tmp_path)
    assert "signal-ridge" in run
    mos = store.read(tables.MOS, tmp_path / "results/mine/ratings/mos.parquet")
    assert mos["status"].eq("ok").all()
    row = mos.set_index("sample_id").loc["pika-boat"]
    assert (row["mos"], row["sd"], row["n"]) == (1.7, 0.7, 24)
    assert row["ci95_low"] < 1.7 < row["ci95_high"]
    assert "pika-boat" in set(mos["sample_id"])
    assert len(mos) == 13
    # The new video is a copy: nothing is computed for it, and all tables have its row.
    assert "extract_features" in more
    assert nothing_to_do(run_again(tmp_path, "mine.yaml"))


@pytest.mark.slow
@pytest.mark.thorough
def test_t2vqa_db(tmp_path: Path) -> None:
    copy_project(tmp_path)
    shutil.copytree(ROOT / "resources/published", tmp_path / "resources/published")
    make_data("t2vqa_db", tmp_path / "data/T2VQA-DB", tmp_path)
    checked, planned, _, read, leakage = follow_page("tutorial_t2vqa_db.md", tmp_path)
    assert "24 videos with labels" in checked
    assert re.search(r"extract_features +\d+", planned)
    assert "Protocol random; 5 test samples; 10 trials, means over the trials." in read
    assert "signal-kernel" in read
    assert "signal-forest" in read
    assert "AIGC-VQA" in read
    assert "By prompt" in leakage
    samples = store.read(tables.SAMPLES, tmp_path / "results/t2vqa_db/samples.parquet")
    assert set(samples["method"]) == {"Model-A", "Model-B", "02", "03"}


@pytest.mark.slow
@pytest.mark.thorough
def test_thqa_ntire(tmp_path: Path) -> None:
    copy_project(tmp_path)
    make_data("thqa_ntire", tmp_path / "data/THQA-NTIRE", tmp_path)
    checked, _, read, _, scored = follow_page("tutorial_thqa_ntire.md", tmp_path)
    assert "split: train 44, val 13, test 12" in checked
    assert "The published split 'official' is not disjoint: 1 image in train and validation" in read
    assert "main" in scored.lower()
    assert len((tmp_path / "output.txt").read_text().splitlines()) == 12


@pytest.mark.parametrize("page", ["tutorial_t2vqa_db.md", "tutorial_thqa_ntire.md"])
def test_the_pages_are_followed_on_sets_that_exist(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    (name,) = re.findall(r"sfqa import (\w+) ", text)
    config = yaml.safe_load((ROOT / f"config/datasets/{name}.yaml").read_text(encoding="utf-8"))
    protocols = {protocol["name"] for protocol in config["regression"]["protocols"]}
    assert config["correlation"]["protocol"] in protocols
    assert f"`{config['correlation']['protocol']}`" in text


def test_only_ratings(tmp_path: Path) -> None:
    (tmp_path / "sfqa").symlink_to(ROOT / "sfqa")
    rated, correlated = follow_page("start_ratings.md", tmp_path)
    assert "r6" in rated
    assert "video,dimension,mos" in rated or "sample_id,dimension,mos" in rated
    assert "SRCC" in correlated


@pytest.mark.slow
@pytest.mark.thorough
def test_only_features(tmp_path: Path) -> None:
    copy_project(tmp_path)
    (run,) = follow_page("start_features.md", tmp_path)
    assert "niqe" in run
    assert "ridge" in run


@pytest.mark.slow
@pytest.mark.thorough
def test_ready_videos(tmp_path: Path) -> None:
    copy_project(tmp_path)
    for number in range(1, 9):
        make_video(tmp_path / f"ready/clips/talk{number}.mp4", number)
    (run,) = follow_page("start_ready_videos.md", tmp_path)
    assert "Sharpness" in run
    mos = store.read(tables.MOS, tmp_path / "results/ready/ratings/mos.parquet")
    assert mos.set_index("sample_id").loc["a1", "n"] == 5


@pytest.mark.slow
@pytest.mark.thorough
def test_own_material_and_a_study(tmp_path: Path) -> None:
    copy_project(tmp_path)
    (run,) = follow_page("start_own_material.md", tmp_path)
    assert "Lip-loudness" in run
    planned, _ = follow_page("start_study.md", tmp_path)
    assert "plan of 4 raters" in planned
    assert (tmp_path / "links.csv").is_file()
