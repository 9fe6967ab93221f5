"""The workflow from any folder: ``snakemake -s``, ``--directory``, and as a module of another one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from demo_material import write_sheets
from flow import ROOT, SMALL

MODULE = """
import yaml
module sfqa:
    snakefile: "{root}/Snakefile"
    config: yaml.safe_load(open("{config}"))
use rule * from sfqa{names}
"""
SNAKEFILE = ("-s", str(ROOT / "Snakefile"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder without the project, with the small dataset's sheets and configuration."""
    folder = tmp_path / "other folder"
    (folder / "resources/demo").mkdir(parents=True)
    (folder / "resources/demo").rmdir()
    (folder / "resources/demo").symlink_to(ROOT / "resources/demo")
    write_sheets(folder, 4, 4)
    (folder / "my.yaml").write_text(yaml.safe_dump(SMALL))
    return folder


def run(cwd: Path, *options: str, ok: bool = True) -> str:
    completed = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1", *options],
        cwd=cwd, capture_output=True, text=True, check=False,
        env={**os.environ, "XDG_CACHE_HOME": str(cwd / "cache")},
    )  # fmt: skip
    output = completed.stdout + completed.stderr
    assert (completed.returncode == 0) == ok, output[-3000:]
    return output


def test_a_snakefile_elsewhere_reads_and_writes_in_the_working_directory(folder: Path) -> None:
    table = "results/small/materials/images.parquet"
    run(folder, table, *SNAKEFILE, "--configfile", "my.yaml")
    assert set(pd.read_parquet(folder / table)["status"]) <= {"ok", "flawed"}
    assert not (ROOT / "results/small").exists()


def test_the_option_directory_is_the_working_directory(folder: Path, tmp_path: Path) -> None:
    configuration = str(folder / "my.yaml")
    options = ("-n", "--directory", str(folder), "--configfile", configuration)
    assert "prepare_images" in run(tmp_path, *SNAKEFILE, *options)
    (folder / "images.csv").unlink()
    output = run(tmp_path, *SNAKEFILE, *options, ok=False)
    assert "config, materials.images: there is no file 'images.csv'" in output
    assert f"paths start at the working directory, {folder}" in output


def test_the_defaults_are_files_of_the_project(tmp_path: Path) -> None:
    """The embedded demo names no path; its sheets and its methods are the project's."""
    assert "prepare_images" in run(tmp_path, *SNAKEFILE, "-n")
    assert "prepare_images" in run(ROOT, "-n", "--directory", str(tmp_path))


@pytest.mark.parametrize("names", ["", " as quality_*"])
def test_a_module_of_another_workflow(folder: Path, names: str) -> None:
    text = MODULE.format(root=ROOT, config="my.yaml", names=names)
    (folder / "Snakefile").write_text(text)
    table = "results/small/materials/clips.parquet"
    output = run(folder, table)
    assert ("rule quality_prepare_clips:" in output) == bool(names)
    assert len(pd.read_parquet(folder / table)) == 4
    # The jobs of shards are known after a checkpoint of the module.
    assert "list_samples" in run(folder, "-n", "results/small/conform/videos.parquet")
