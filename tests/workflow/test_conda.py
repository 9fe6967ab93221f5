"""--use-conda: each environment file alone is enough for its rules, in names that conda knows."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from flow import ROOT, SMALL, Flow

HERE = Path(__file__).parent
FAKE = HERE / "fake_conda"
ENVIRONMENTS = ("fetch", "media", "tables", "torch")
PYTHON = (3, 11)
#: link: seconds. pip: the environments as a user gets them, 9 GB and some minutes from the package index.
HOW = os.environ.get("SFQA_CONDA", "link")

with open(HERE / "conda_forge_names.csv", newline="") as table:
    NAMES = list(csv.DictReader(table))

on_its_python = pytest.mark.skipif(
    sys.version_info[:2] != PYTHON,
    reason=f"the environment files ask for Python {PYTHON[0]}.{PYTHON[1]}",
)


def environment_of(how="link"):
    path = f"{FAKE / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {
        **os.environ, "PATH": path, "SFQA_PYTHON": sys.executable, "SFQA_CONDA": how,
        "PYTHONNOUSERSITE": "1",
    }  # fmt: skip


def dependencies(path):
    """The conda lines and the pip lines of a file."""
    found = yaml.safe_load(path.read_text())["dependencies"]
    pip = [line for entry in found if isinstance(entry, dict) for line in entry["pip"]]
    return [entry for entry in found if isinstance(entry, str)], pip


def files():
    return [ROOT / "environment.yml", *(ROOT / f"workflow/envs/{n}.yaml" for n in ENVIRONMENTS)]


@pytest.mark.parametrize("path", files(), ids=lambda path: path.stem)
def test_names_are_spelt_as_conda_forge_and_pypi_spell_them(path):
    conda, pip = dependencies(path)
    of_conda = {row["conda_forge"] for row in NAMES}
    of_pip = {row["pip"] for row in NAMES}
    assert {line.split()[0] for line in conda} <= of_conda
    if path.stem != "environment":
        assert {line.split("==")[0] for line in pip} <= of_pip
    # What conda has no package for, or another build of, comes by pip: then pip must be named.
    assert "pip" in {line.split()[0] for line in conda}
    assert yaml.safe_load(path.read_text())["channels"] == ["conda-forge", "nodefaults"]


def test_the_table_of_names_covers_the_one_environment_too():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    named = {line.split("==")[0] for line in lines if "==" in line}
    assert named <= {row["pip"] for row in NAMES}
    assert [row["pip"] + row["conda_forge"] for row in NAMES if not row["how_known"]] == []
    for line in lines:
        # A version that conda and pip would both read: no local part, no dash.
        assert re.fullmatch(r"#.*|[\w.-]+==\d+(\.\d+)*(\.post\d+)?", line), line
    for row in NAMES:
        # conda folds no case and knows no underscore for a dash: the name must be exact.
        assert re.fullmatch(r"[a-z0-9._-]*", row["conda_forge"]), row


@pytest.mark.parametrize("path", files(), ids=lambda path: path.stem)
def test_every_version_is_pinned_as_its_own_tool_reads_it(path):
    conda, pip = dependencies(path)
    assert f"python ={PYTHON[0]}.{PYTHON[1]}" in conda
    known = {row["conda_forge"]: row["conda_version"] for row in NAMES if not row["pip"]}
    for line in conda:
        # "=1.2" and "1.2.*" leave the patch level open; a build's name may stand behind the second.
        found = re.fullmatch(r"([a-z0-9._-]+)(?: =([\d.]+)| ([\d.]+)\.\*(?: [a-z*]+)?)?", line)
        assert found, line
        name, version = found[1], found[2] or found[3]
        assert version or path.stem == "environment", f"{line}: give it a version"
        if version:
            assert f"{known[name]}.".startswith(f"{version}."), line
    if path.stem == "environment":
        assert pip == ["-r requirements.txt"]
        return
    pins = {
        line.lower()
        for line in (ROOT / "requirements.txt").read_text().splitlines()
        if "==" in line
    }
    assert {line.lower() for line in pip} <= pins


def created(prefix, name):
    """An environment made by the stand-in, in the way that SFQA_CONDA names; its Python."""
    done = subprocess.run(
        [
            "conda", "env", "create", "--quiet", "--no-default-packages",
            "--file", str(ROOT / f"workflow/envs/{name}.yaml"), "--prefix", str(prefix),
        ],
        env=environment_of(HOW), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return prefix / "bin/python"


@pytest.fixture(scope="module")
def tables_python(tmp_path_factory):
    return created(tmp_path_factory.mktemp("conda") / "tables", "tables")


@pytest.mark.thorough
@on_its_python
def test_the_stand_in_holds_what_the_file_lists_and_nothing_else(tables_python):
    code = (
        "import sys\n"
        # As Snakemake does in the preamble of every script.
        f"sys.path.extend({[p for p in sys.path if p.endswith('site-packages')]!r})\n"
        "import duckdb, matplotlib, numpy, pandas, pyarrow.parquet, scipy.stats, yaml, snakemake\n"
        "import importlib.util as u\n"
        "print([n for n in ('torch', 'cv2', 'av', 'PIL', 'pytest', 'sklearn') if u.find_spec(n)])\n"
        "print(pandas.__file__)\n"
    )
    done = subprocess.run(
        [tables_python, "-c", code], capture_output=True, text=True, check=False,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found, where = done.stdout.splitlines()
    assert found == "['PIL']"  # matplotlib needs pillow
    assert where.startswith(str(tables_python.parents[1]))


@on_its_python
def test_a_wrong_pin_is_refused(tmp_path):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("dependencies: [python =3.11, pip, {pip: [numpy==1.0.0]}]")
    done = subprocess.run(
        ["conda", "env", "create", "--file", str(wrong), "--prefix", str(tmp_path / "p")],
        env=environment_of(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "numpy==1.0.0: here is" in done.stdout


CONFIG = {
    **SMALL,
    "features": {
        "clip": {"weights": "random", "options": {"model": "ViT-S-32-alt", "frames": 2}},
        "lse": {"weights": "random", "options": {"detect_every": 5}},
        "signal": {"weights": "none"},
    },
    "regression": {
        "protocols": [{"name": "random", "kind": "random_kfold", "k": 2}],
        "metrics": {
            "LSE-C": {"kind": "zero_shot", "group": "SyncNet", "inputs": ["lse.lse_c"]},
            "ridge": {"kind": "regressor", "head": "ridge", "inputs": ["clip.image"]},
            "forest": {"kind": "regressor", "head": "random_forest", "inputs": ["clip.image"]},
            "mlp": {
                "kind": "regressor", "head": "mlp", "inputs": ["clip.image"],
                "options": {"epochs": 2},
            },
        },
    },
}  # fmt: skip


class CondaFlow(Flow):
    """The same workflow with --use-conda, conda being the stand-in."""

    def run(self, *options, ok=True):
        done = subprocess.run(
            self.command("--use-conda", *options), cwd=self.folder, capture_output=True,
            text=True, check=False, env=environment_of(HOW),
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert (done.returncode == 0) == ok, said[-6000:] + self.logs()
        return said


@on_its_python
@pytest.mark.thorough
@pytest.mark.slow
def test_the_demo_runs_in_its_own_environments_and_gives_the_same_bytes(tmp_path):
    conda = CondaFlow(tmp_path / "conda", CONFIG)
    said = conda.run()
    assert said.count("Creating conda environment") == 3
    made = sorted((conda.folder / ".snakemake/conda").glob("*.env_setup_done"))
    assert len(made) == 3
    plain = Flow(tmp_path / "plain", CONFIG)
    plain.run()
    ours, theirs = conda.tables(), plain.tables()
    assert set(ours) == set(theirs)
    assert [name for name in ours if ours[name] != theirs[name]] == []


@on_its_python
@pytest.mark.thorough
def test_the_environment_that_fetches_generators_is_enough_for_it(tmp_path):
    python = created(tmp_path / "fetch", "fetch")
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'workflow/scripts')!r})\n"
        "import huggingface_hub, snakemake\n"
        "from sfqa.repositories import fetch\n"
        "from sfqa.job import run_job\n"
    )
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
