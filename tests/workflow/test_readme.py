"""The README's examples of a configuration, word for word, to a table with numbers."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from demo_material import write_sheets
from flow import ROOT
from videos import make_video

README = (ROOT / "README.md").read_text()
SECTION = README.split("## Your own data in ten lines")[1].split("\n## ")[0]
#: Examples of the README by the name of their file, in its first line.
EXAMPLES = {
    re.match(r"# (\S+)", text)[1]: text
    for text in re.findall(r"```yaml\n(.+?)```", SECTION, flags=re.DOTALL)
}


def run_example(folder: Path, name: str) -> str:
    """Write an example into a folder and run the command in its first line; return the table."""
    for link in ("Snakefile", "workflow", "config", "resources/demo", "resources/published"):
        (folder / link).parent.mkdir(exist_ok=True)
        (folder / link).symlink_to(ROOT / link)
    (folder / name).write_text(EXAMPLES[name])
    program, *arguments = re.search(r"(snakemake .+)", EXAMPLES[name])[1].split()
    assert program == "snakemake"
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *arguments],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    assert "Protocols by default: " in done.stderr
    dataset = re.search(r"^dataset: (\w+)", EXAMPLES[name], flags=re.MULTILINE)[1]
    return (folder / f"results/{dataset}/correlation/metrics.md").read_text()


def assert_row_has_numbers(table: str, metric: str) -> None:
    row = next(line for line in table.splitlines() if re.search(rf"\| {metric}\b", line))
    assert re.search(r"\d\.\d{4}", row), row


def test_an_example_of_each_mode_is_there() -> None:
    assert set(EXAMPLES) == {"my.yaml", "ready.yaml"}
    assert "source .venv/bin/activate" in README


@pytest.mark.slow
def test_ready_videos_and_ratings_become_a_table(tmp_path: Path) -> None:
    names = [f"talk_{n}" for n in range(8)]
    for number, name in enumerate(names):
        make_video(tmp_path / f"{name}.mp4", number)
    rows = [f"{name}.mp4,sonic" for name in names]
    (tmp_path / "videos.csv").write_text("\n".join(["video,method", *rows]) + "\n")
    header = ",".join(["rater", *(f"{name}__sonic" for name in names)])
    scores = [
        ",".join([f"r{rater}", *(str(1 + (n + n * rater // 2) % 5) for n in range(8))])
        for rater in range(4)
    ]
    (tmp_path / "ratings.csv").write_text("\n".join([header, *scores]) + "\n")
    table = run_example(tmp_path, "ready.yaml")
    for metric in ("Sharpness", "oracle"):
        assert_row_has_numbers(table, metric)


@pytest.mark.slow
@pytest.mark.thorough
def test_pictures_and_clips_become_a_table(tmp_path: Path) -> None:
    (tmp_path / "resources").mkdir()
    write_sheets(tmp_path, 4, 4)
    table = run_example(tmp_path, "my.yaml")
    for metric in ("Sharpness", "oracle"):
        assert_row_has_numbers(table, metric)
