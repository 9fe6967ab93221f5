"""docs/correlation.md, 'Adding a statistic', followed word by word in a copy of the package."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = Path("workflow/scripts/sfqa")
BLOCK = re.compile(r"^```python\n# (append|add) to (.*?)(\S+\.py)\n(.*?)^```$", re.M | re.S)


def follow_page(folder: Path) -> dict[str, int]:
    """Copy the package and add what the page says; return the lines added to each file."""
    shutil.copytree(ROOT / PACKAGE, folder / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    # The site describes the quality models of the registries.
    for name in ("config", "resources/published", "workflow/schemas"):
        shutil.copytree(ROOT / name, folder / name)
    section = (ROOT / "docs/correlation.md").read_text("utf-8").split("## Adding a statistic")[1]
    added = {}
    for word, _, name, text in BLOCK.findall(section):
        path = folder / name
        code = path.read_text("utf-8")
        if word == "append":
            code = f"{code}\n\n{text}"
        else:
            before, end, after = code.partition("\n)\n\nNAMES")
            assert end
            code = f"{before}\n{text.rstrip()}{end}{after}"
        path.write_text(code, "utf-8")
        added[path.name] = len(text.rstrip().splitlines())
    return added


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("statistic")
    # One function and one entry: that is all.
    assert follow_page(folder) == {"functions.py": 7, "registry.py": 7}
    paths = [folder / "workflow/scripts", ROOT / "tests/report", ROOT / "tests/support"]
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/support/find_statistic.py"), str(folder), "ccc"], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": ":".join(map(str, paths))},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    values: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return values


@pytest.mark.thorough
def test_it_stands_in_the_tables_with_its_interval_and_spread(found: dict[str, Any]) -> None:
    assert sorted(found["columns"]) == ["ccc", "ccc_high", "ccc_low", "ccc_sd"]
    assert found["by_method"] == ["ccc", "ccc_low", "ccc_high"]
    for low, value, high in found["intervals"].values():
        assert -1 <= low < value <= 1
        assert low < high <= 1


def test_its_differences_are_tested(found: dict[str, Any]) -> None:
    assert found["compared"] == ["ccc", "krcc", "plcc", "srcc"]
    assert found["tested"] > 0


def test_pages_figures_and_leaderboards_show_it(found: dict[str, Any]) -> None:
    assert "Visual quality RMSE | Visual quality CCC |" in found["page"]
    assert re.search(r"   RMSE [\d.]+   CCC 0\.\d{3}\b", found["figure"])
    assert found["leaderboard"][3:8] == ["SRCC", "PLCC", "KRCC", "RMSE", "CCC"]
    assert 0.9 < found["challenge"] <= 1
    assert found["published"] == [{"source": "a", "ccc": 0.5}]


def test_the_site_has_it(found: dict[str, Any]) -> None:
    assert found["site"] == ["srcc", "plcc", "krcc", "rmse", "ccc"]
    assert found["site_values"] > 0
