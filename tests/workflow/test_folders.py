"""The workflow from any folder: ``snakemake -s``, ``--directory``, and as a module of another one."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest
import yaml

from demo_material import write_sheets
from flow import ROOT, SMALL
from package_wheel import build_wheel, copy_tracked_files

MODULE = """
import yaml
module sfqa:
    snakefile: {snakefile}
    config: yaml.safe_load(open("{config}"))
use rule * from sfqa{names}

onstart:
    sfqa.onstart()

onsuccess:
    sfqa.onsuccess()

onerror:
    sfqa.onerror()
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


def run(cwd: Path, *options: str, ok: bool = True, package: Path | None = None) -> str:
    environment = {**os.environ, "XDG_CACHE_HOME": str(cwd / "cache")}
    if package is not None:
        environment["PYTHONPATH"] = str(package)
    completed = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1", *options],
        cwd=cwd, capture_output=True, text=True, check=False,
        env=environment,
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


@pytest.mark.parametrize("name", ["Snakefile", "workflow/Snakefile"])
def test_without_a_target_everything_is_made(tmp_path: Path, name: str) -> None:
    """The file at the top includes the other one, and sets the default target."""
    printed = run(tmp_path, "-s", str(ROOT / name), "-n", "--quiet", "rules")
    assert {"all", "build_site", "correlate"} <= {
        line.split(" ")[0] for line in printed.splitlines()
    }


@pytest.mark.parametrize("names", ["", " as quality_*"])
def test_a_module_of_another_workflow(folder: Path, names: str) -> None:
    snakefile = repr(str(ROOT / "Snakefile"))
    text = MODULE.format(snakefile=snakefile, config="my.yaml", names=names)
    (folder / "Snakefile").write_text(text)
    table = "results/small/materials/clips.parquet"
    output = run(folder, table)
    assert ("rule quality_prepare_clips:" in output) == bool(names)
    assert "The files that were asked for are complete." in output
    if names:  # the default target
        assert "rule quality_all:" in run(folder, "-n")
    assert len(pd.read_parquet(folder / table)) == 4
    # The jobs of shards are known after a checkpoint of the module.
    assert "list_samples" in run(folder, "-n", "results/small/conform/videos.parquet")


def test_a_tag_of_a_repository_with_the_package_of_pip(folder: Path, tmp_path: Path) -> None:
    """As ``snakedeploy`` writes it: rules and scripts of a tag, the package beside Snakemake."""
    site, repository = tmp_path / "site-packages", tmp_path / "repository"
    with zipfile.ZipFile(build_wheel(tmp_path)) as wheel:
        wheel.extractall(site)
    copy_tracked_files(repository)
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "x"], ["tag", "v1"]):
        identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        subprocess.run(["git", *identity, *words], cwd=repository, check=True)
    source = f"gitfile({str(repository)!r}, path='workflow/Snakefile', tag='v1')"
    text = MODULE.format(snakefile=source, config="my.yaml", names="")
    (folder / "Snakefile").write_text(text)
    table = "results/small/materials/clips.parquet"
    output = run(folder, table, ok=False)
    assert "the Python package sfqa is not installed beside Snakemake" in output
    output = run(folder, table, package=site)
    assert len(pd.read_parquet(folder / table)) == 4
    assert "The files that were asked for are complete." in output
