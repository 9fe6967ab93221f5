"""What `pip install .` installs: the package with the project's files that it reads, and commands without PyTorch."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import sfqa
from package_wheel import BUNDLE, build_wheel, list_tracked_files
from sfqa import project_files

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
NAME = re.compile(r"[\w.-]+")


def name_of(requirement: str) -> str:
    return NAME.match(requirement)[0].lower().replace("_", "-")


def read_pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text().splitlines()
    return {name_of(line): line.partition("==")[2] for line in lines if "==" in line}


def list_closure(names: list[str]) -> set[str]:
    """Packages with all that they depend on, without extras."""
    closure: set[str] = set()
    while names:
        name = name_of(names.pop())
        if name in closure:
            continue
        closure.add(name)
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        names += [line for line in needs if "extra ==" not in line]
    return closure


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The content of the wheel, as pip puts it into site-packages."""
    folder = tmp_path_factory.mktemp("site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run(installed: Path, cwd: Path, code: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(installed), "HOME": str(cwd)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_the_wheel_holds_every_file_of_the_package_and_what_it_reads(installed: Path) -> None:
    present = {p.relative_to(installed).as_posix() for p in installed.rglob("*") if p.is_file()}
    tracked = list_tracked_files("workflow/scripts/sfqa")
    expected = {path.removeprefix("workflow/scripts/") for path in tracked}
    for folder in BUNDLE:
        expected |= {f"sfqa/_project/{path}" for path in list_tracked_files(folder)}
    assert expected - present == set()
    others = {path for path in present - expected if not path.split("/")[0].endswith(".dist-info")}
    assert others == set()


def test_the_wheel_has_version_command_and_extras(installed: Path) -> None:
    (folder,) = installed.glob("*.dist-info")
    text = (folder / "METADATA").read_text()
    assert f"\nVersion: {sfqa.__version__}\n" in text
    assert {*re.findall(r"^Provides-Extra: (\w+)$", text, re.MULTILINE)} == {*EXTRAS}
    assert "sfqa = sfqa.cli:main" in (folder / "entry_points.txt").read_text()


def test_an_installed_package_finds_its_files_and_fetches_into_the_working_directory(
    installed: Path, tmp_path: Path
) -> None:
    code = """
from sfqa import project_files
from sfqa.cli import main
from sfqa.configuration import complete_config
from sfqa.features.official import load_registry
from sfqa.models.locating import FOLDER
from sfqa.report.manifest import describe_workflow
import yaml
assert not project_files.IS_CHECKOUT
config = yaml.safe_load((project_files.PROJECT / "config" / "config.yaml").read_text())
full = complete_config(config, project_files.SCHEMA)
print(full["materials"]["images"], full["weights"]["folder"], FOLDER, full["weights"]["registry"])
assert load_registry() and describe_workflow()["commit"] is None
assert main(["published", "list"]) == 0
assert main(["--version"]) == 0
"""
    printed = run(installed, tmp_path, code).split()
    bundle = installed / "sfqa/_project"
    assert printed[:4] == [
        f"{bundle}/resources/demo/images.csv", "resources/weights", "resources/weights",
        f"{bundle}/config/weights.yaml",
    ]  # fmt: skip
    assert "sfqa_table2" in printed
    assert printed[-2:] == ["sfqa", sfqa.__version__]


def test_the_checkout_uses_its_own_files() -> None:
    assert project_files.IS_CHECKOUT
    assert project_files.PROJECT == ROOT
    assert project_files.FETCHED == ROOT / "resources"


#: Hides the packages of the extras, and runs the commands of the base.
WITHOUT_TORCH = """
import sys

class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {hidden}:
            raise ModuleNotFoundError("No module named " + name, name=name)

sys.meta_path.insert(0, Hide())
from sfqa.cli import main

scores = ["rater,sample_id,score"]
scores += [f"r{{r}},v{{n}},{{1 + (n + r % 2) % 5}}" for r in range(4) for n in range(8)]
open("scores.csv", "w").write("\\n".join(scores))
open("metric.csv", "w").write("\\n".join(["sample_id,sharpness", *(f"v{{n}},{{n % 5}}" for n in range(8))]))
open("samples.csv", "w").write("\\n".join(["sample_id,method,seconds", *(f"v{{n}},m{{n % 2}},5" for n in range(8))]))
assert main(["mos", "scores.csv", "--out", "mos.csv"]) == 0
assert main(["correlate", "metric.csv", "--mos", "mos.csv", "--bootstrap", "20"]) == 0
assert main(["plan", "samples.csv", "--raters", "4", "--per-sample", "2", "--out", "plan"]) == 0
assert main(["completion", "bash"]) == 0
import sfqa.ratings.screen.app, uvicorn
assert main(["features", "x.mp4", "--extractor", "clip", "--weights", "random"]) == 2
"""


def test_statistics_plans_and_the_rating_screen_need_no_package_of_the_extras(
    installed: Path, tmp_path: Path
) -> None:
    base = list_closure(list(PROJECT["dependencies"]))
    extra = list_closure(list(EXTRAS["torch"])) - base
    assert {"torch", "opencv-python-headless", "av"} <= extra
    hidden = {"torch", "torchvision", "cv2", "av", "decord", "ffmpeg", "timm", "transformers"}
    hidden |= {
        "open_clip",
        "safetensors",
        "sklearn",
        "huggingface_hub",
        "imageio_ffmpeg",
        "snakemake",
    }
    (tmp_path / "x.mp4").write_text("")
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH.format(hidden=sorted(hidden))], cwd=tmp_path,
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    assert "pip install 'sfqa[torch]'" in done.stderr


def test_the_lowest_versions_are_those_that_the_tests_use() -> None:
    pins = read_pins("requirements.txt")
    requirements = [*PROJECT["dependencies"], *EXTRAS["torch"], *EXTRAS["workflow"][1:]]
    assert {name_of(r) for r in requirements} == set(pins)
    for requirement in [*requirements, *EXTRAS["screen"]]:
        lowest = re.search(r">=([\d.]+)", requirement)[1]
        pin = pins[name_of(requirement)]
        assert pin == lowest or pin.startswith(f"{lowest}."), requirement


def test_one_version_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert str(citation["version"]) == sfqa.__version__
    assert f"## {sfqa.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_pip_takes_no_opencv_without_cascades() -> None:
    """OpenCV 5 left them out, so every video failed in an installation by pip."""
    extras = PROJECT["optional-dependencies"]
    named = [Requirement(text) for texts in extras.values() for text in texts]
    limits = [one.specifier for one in named if one.name == "opencv-python-headless"]
    assert len(limits) == 2
    assert not any(limit.contains("5.0.0") for limit in limits)
