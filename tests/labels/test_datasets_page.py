"""docs/datasets.md beside config/datasets: every set, its size, dimensions, scale and guesses."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from published_datasets import MAKERS
from sfqa import cli
from sfqa.labels.joining import list_entries

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "datasets.md").read_text(encoding="utf-8")
#: ``import`` is a keyword.
COMMAND: Any = importlib.import_module("sfqa.cli.import")
#: The public sets that were looked for.
SETS = """
    t2vqa_db ntire2024_aigc_video lgvq fetv evalcrafter videoscore_bench mqt videofeedback genai_bench
    aigvqa_db aigve_60k q_eval_video q_eval_main vquala2025 gaia t2veval_bench hveval tdve_db thqa
    thqa_ntire thqa_10k thqa_3d fvq_20k gen3dhf agavqa_3k finevd finevd_gc lsvq konvid_1k live_vqc
    youtube_ugc kvq divide_maxwell cvd2014 live_sjtu unb_avq_2018 unb_avq_2013 sjtu_uav yt_ntu_avq
"""


def read_page_table(heading: str) -> dict[str, dict[str, str]]:
    """Return the rows of the table under a heading by the name in their first column."""
    section = PAGE.partition(f"### {heading}\n")[2].partition("\n#")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    header, _, *rows = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in lines
    ]
    cells = [dict(zip(header, row, strict=True)) for row in rows]
    return {re.findall(r"`(\w+)`", row["name"])[0]: row for row in cells}


CONTENT = read_page_table("What is in them")


def read_text(name: str) -> str:
    return (ROOT / "config" / "datasets" / f"{name}.yaml").read_text(encoding="utf-8")


def test_every_set_has_a_configuration_or_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    names = set(COMMAND.list_datasets())
    assert names == set(MAKERS) == set(CONTENT) == set(read_page_table("Where to get them"))
    without = read_page_table("Sets without a configuration")
    assert set(without) == set(COMMAND.NOT_IMPORTED)
    assert all(all(row.values()) for row in without.values())
    assert names.isdisjoint(without)
    assert names | set(without) >= set(SETS.split())
    assert len(SETS.split()) == 39
    assert cli.main(["import", "--list"]) == 0
    text = capsys.readouterr().out
    assert all(f"\n{name} " in f"\n{text}" for name in names)


@pytest.mark.parametrize("name", sorted(CONTENT))
def test_the_page_says_what_the_configuration_says(name: str) -> None:
    row, text = CONTENT[name], read_text(name)
    config = yaml.safe_load(text)
    comment = text.partition("\ndataset:")[0]
    for number in re.findall(r"\d[\d,]*", row["videos"]):
        assert number in comment
    entries = [entry for entry in list_entries(config["import"]) if entry.get("mos")]
    dimensions = row["dimensions"].split(", ")
    assert {d for entry in entries for d in entry["mos"]} == set(dimensions)
    assert config["correlation"]["dimensions"] == dimensions
    scales = {tuple(entry.get("ends", ())) for entry in entries}
    numbers = re.fullmatch(r"(\d+) to (\d+)", row["scale"])
    assert scales == {tuple(map(int, numbers.groups())) if numbers else ()}
    # A guess is marked on the page, said in the file and printed by sfqa import.
    assert ("*" in row["name"]) == bool(COMMAND.list_guesses(text)) == ("# A guess:" in text)
    assert row["protocol of papers"]


@pytest.mark.parametrize("name", sorted(CONTENT))
def test_licence_and_source_are_in_the_configuration(name: str) -> None:
    row = read_page_table("Where to get them")[name]
    comment = read_text(name).partition("\ndataset:")[0].replace("\n# ", " ")
    assert row["licence"]
    assert row["source"]
    for address in re.findall(
        r"github\.com/\S+?(?=[,;]|\s|$)|[\w-]+/[\w.-]+(?=$| *[,;])", row["source"]
    ):
        assert address in comment, address
