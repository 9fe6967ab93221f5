"""docs/tutorials.md, followed on small made folders: a set of one's own, and a submission to a challenge."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from flow import ROOT, Flow
from published_datasets import make_folder
from sfqa import cli, store, tables
from videos import make_video

PAGE = (ROOT / "docs" / "tutorials.md").read_text(encoding="utf-8")


def find_block(language: str, word: str) -> str:
    """Return the page's block of code in a language that has a word in it."""
    blocks = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    (block,) = [text for text in blocks if word in text]
    return block


@pytest.mark.slow
def test_a_set_of_ones_own(tmp_path: Path) -> None:
    lines = ["file;quality;sd;raters"]
    for m, method in enumerate(("sora", "pika")):
        for number in range(6):
            make_video(tmp_path / f"mine/{method}/c{number}.mp4", 10 * m + number)
            lines.append(f"{method}/c{number}.mp4;{1 + number % 4},{m + 3};0,9;24")
    (tmp_path / "mine/scores.csv").write_text("\n".join(lines) + "\n")
    flow = Flow(tmp_path, yaml.safe_load(find_block("yaml", "# mine.yaml")))
    flow.run()
    mos = store.read(tables.MOS, flow.results / "ratings/mos.parquet")
    assert mos["status"].eq("ok").all()
    assert mos["n"].eq(24).all()
    assert mos.set_index("sample_id").loc["pika-c2", "mos"] == pytest.approx(3.4)
    assert "signal-ridge" in (flow.results / "correlation/metrics.md").read_text()


@pytest.mark.slow
@pytest.mark.thorough
def test_a_submission_to_a_challenge(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    for number in range(5):
        make_video(tmp_path / f"source{number}.mp4", number)
    for number, one in enumerate(make_folder("thqa_ntire", data)):
        (data / one.path).unlink()
        shutil.copy(tmp_path / f"source{number % 5}.mp4", data / one.path)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["import", "thqa_ntire", str(data)]) == 0
    config = yaml.safe_load((tmp_path / "thqa_ntire.yaml").read_text())
    flow = Flow(tmp_path, config | {"shards": 1, "conform": {"mode": "none", "expect": []}})
    flow.run()
    block = find_block("bash", "output.txt")
    code = block.split("<<'END'\n")[1].split("END\n")[0]
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    command = [sys.executable, "-m", "zipfile", "-c", "team.zip", "output.txt", "readme.txt"]
    subprocess.run(command, cwd=tmp_path, check=True)
    phase = str(data / "thqa_ntire_test.csv")
    assert cli.main(["challenge", "score", "team.zip", "--phase", phase]) == 0
    assert "main" in capsys.readouterr().out.lower()
