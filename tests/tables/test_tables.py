"""Every table stands in one place, and one definition is all that a new table takes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import duckdb
import pytest

from sfqa import tables
from sfqa.tables import FEATURES, TABLES, Table, merged_path, table_path

PACKAGE = Path(tables.__file__).parents[1]
ROOT = PACKAGE.parents[2]
PAGES = [
    ROOT / "Snakefile", ROOT / "workflow/Snakefile", ROOT / "README.md",
    *sorted(ROOT.glob("workflow/rules/*.smk")), *sorted(ROOT.glob("docs/*.md")),
]  # fmt: skip
#: All that a new table takes: this, at the end of the file of its stage.
TOY = """

TOY = Table(
    "toy",
    "one toy of one method",
    (
        Column("toy_id", STRING, "name of the toy"),
        Column("method", STRING, "label of the generation method"),
        *STATUS,
    ),
    key=("toy_id",),
    path="report/toys/{method}.parquet",
)
"""


def test_every_table_has_a_path_of_its_own() -> None:
    paths = [table.path for table in (*TABLES.values(), FEATURES)]
    assert all(path.endswith(".parquet") for path in paths)
    assert len(set(paths)) == len(paths)


def test_wildcards_are_filled_or_left() -> None:
    assert table_path("mos") == "results/{dataset}/ratings/mos.parquet"
    assert table_path("features", dataset="d", extractor="clip") == (
        "results/d/features/clip/{method}/{shard}.parquet"
    )
    assert merged_path("conformed", dataset="d") == "results/d/conform/videos.parquet"
    assert tables.COSTS.glob(extractor="clip") == "features/clip/costs/*/*.parquet"
    with pytest.raises(ValueError, match="has no wildcard 'metric'"):
        table_path("mos", metric="ridge")


def test_braces_in_a_value_stay_as_they_are() -> None:
    assert tables.VIDEOS.fill_path(method="{shard}", shard="0") == "generation/{shard}/0.parquet"


def test_two_tables_of_one_name_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables.report, "OTHER", Table("mos", "a second", ()), raising=False)
    with pytest.raises(ValueError, match="two tables are named 'mos'"):
        tables._tables_of(tables.ratings, tables.report)


def test_the_tables_import_nothing_of_the_stages() -> None:
    code = "import sys, sfqa.tables; print(*(m for m in sys.modules if m.startswith('sfqa.')))"
    names = _python(code, PACKAGE.parent).split()
    # Neither is a stage: statistics are a list whose names and meanings are columns, and arrays
    # holds the names of types.
    allowed = ("sfqa.tables", "sfqa.statistics", "sfqa.arrays")
    assert [name for name in names if not name.startswith(allowed)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_rules_and_pages_name_paths_of_tables(page: Path) -> None:
    """Also in comments: `{method}` is a wildcard, `{mos,raters}` are two tables."""
    paths = [path for t in (*TABLES.values(), FEATURES) for path in (t.path, t.merged_path) if path]
    for mention in re.findall(r"\b[\w{},*/]+/[\w{},*]+\.parquet", page.read_text()):
        for named in expand_braces(re.sub(r"^results/[^/]+/", "", mention)):
            assert any(may_be_same(named, path) for path in paths), f"{page}: no table {mention}"


def may_be_same(named: str, path: str) -> bool:
    """Return whether a path in a text, perhaps without its first folders, can be a table's path."""
    pattern, table_pattern = (re.sub(r"\{\w+\}", "*", text) for text in (named, path))
    return fnmatch(path, pattern) or fnmatch(path, f"*/{pattern}") or fnmatch(named, table_pattern)


def expand_braces(text: str) -> list[str]:
    """Return the texts that a list in braces stands for, as in a shell."""
    match = re.search(r"\{(\w+(?:,\w+)+)\}", text)
    if match is None:
        return [text]
    choices = match[1].split(",")
    return [
        t for c in choices for t in expand_braces(text[: match.start()] + c + text[match.end() :])
    ]


def test_a_toy_table_takes_one_definition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(PACKAGE, tmp_path / "sfqa", ignore=shutil.ignore_patterns("__pycache__"))
    with open(tmp_path / "sfqa/tables/report.py", "a", encoding="utf-8") as file:
        file.write(TOY)
    _python(
        "from sfqa import reference, store, tables\n"
        "from sfqa.tables.report import TOY\n"
        "from sfqa.report.catalog import build_catalog\n"
        "from pathlib import Path\n"
        "path = tables.table_path('toy', dataset='demo', method='sharp')\n"
        "store.write(TOY, [{'toy_id': 'a', 'method': 'sharp', 'status': 'ok', 'detail': ''}], path)\n"
        "build_catalog(Path('results/demo'), Path('catalog.duckdb'))\n"
        "Path('outputs.md').write_text(reference.outputs_page())\n",
        tmp_path,
    )
    assert (tmp_path / "results/demo/report/toys/sharp.parquet").is_file()
    page = (tmp_path / "outputs.md").read_text()
    assert "## toy\n\n`report/toys/{method}.parquet`: one toy of one method.\n" in page
    monkeypatch.chdir(tmp_path)  # the views hold relative paths
    with duckdb.connect("catalog.duckdb", read_only=True) as connection:
        assert connection.sql("SELECT toy_id, method FROM toy").fetchall() == [("a", "sharp")]
        comment = "SELECT comment FROM duckdb_columns() WHERE column_name = 'toy_id'"
        assert connection.sql(comment).fetchall() == [("name of the toy",)]


def _python(code: str, package_folder: Path) -> str:
    """Run code in a Python of its own that imports sfqa from a folder; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=package_folder,
        env={**os.environ, "PYTHONPATH": str(package_folder)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout
