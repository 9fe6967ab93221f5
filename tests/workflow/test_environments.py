"""Every environment file holds what the scripts of its rules import, and nothing they do not."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib import metadata

import pytest
import yaml

from flow import ROOT
from sfqa.features.base import list_extractors
from sfqa.generation import adapters
from sfqa.regression import heads

IMPORT_NAMES = {
    "ffmpeg-python": "ffmpeg", "imageio-ffmpeg": "imageio_ffmpeg", "open_clip_torch": "open_clip",
    "opencv-python-headless": "cv2", "pillow": "PIL", "pyyaml": "yaml", "scikit-learn": "sklearn",
}  # fmt: skip
#: Modules that are loaded by name while a job runs.
BY_NAME = {
    "fetch": ["huggingface_hub"],
    "media": [
        *(f"sfqa.generation.adapters.{name}" for name in adapters.list_adapters()),
        "imageio_ffmpeg",
    ],
    "torch": [
        *(f"sfqa.features.extractors.{n}" for n in list_extractors()),
        *(f"sfqa.regression.heads.{n}" for n in heads.list_heads()),
        "open_clip", "torchvision", "timm", "transformers", "peft", "sklearn.ensemble",
        "imageio_ffmpeg",
    ],
    "tables": ["openpyxl"],
}  # fmt: skip
#: Needed though no line imports it: snakemake runs the script; torchvision belongs to open_clip.
RUNS_SCRIPTS = {"snakemake"}

#: Makes packages of the one environment absent, as they are in a smaller one.
HIDE = """
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {blocked}:
            raise ModuleNotFoundError('No module named ' + name + ' in this environment')
sys.meta_path.insert(0, Hide())
"""


def pins(name):
    environment = yaml.safe_load((ROOT / f"workflow/envs/{name}.yaml").read_text())
    return {line.split("==")[0].lower() for line in environment["dependencies"][-1]["pip"]}


def with_dependencies(packages):
    found, todo = set(), list(packages)
    while todo:
        name = todo.pop().lower().replace("_", "-")
        if name in found:
            continue
        found.add(name)
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        todo += [re.match(r"[\w.-]+", line).group() for line in needs if "extra ==" not in line]
    return found


def scripts_of(name):
    text = "".join(p.read_text() for p in sorted((ROOT / "workflow/rules").glob("*.smk")))
    bodies = re.split(r"^ *(?:rule|checkpoint) \w+:$", text, flags=re.MULTILINE)[1:]
    return [
        re.search(r"scripts/(\w+)\.py", body).group(1)
        for body in bodies
        # Jobs of extractors choose their environment: this one, unless the extractor names another.
        if f"envs/{name}.yaml" in body or (name == "torch" and "extraction_environment" in body)
    ]


def import_lines(script):
    tree = ast.parse((ROOT / f"workflow/scripts/{script}.py").read_text())
    return [ast.unparse(n) for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_an_environment_is_enough_for_its_rules_and_not_more(name):
    scripts = scripts_of(name)
    assert scripts
    every = {
        line.split("==")[0].lower()
        for line in (ROOT / "requirements.txt").read_text().splitlines()
        if "==" in line
    }
    allowed = with_dependencies(pins(name))
    blocked = [IMPORT_NAMES.get(p, p) for p in every if p.replace("_", "-") not in allowed]
    lines = [f"import sys; sys.path.insert(0, {str(ROOT / 'workflow/scripts')!r})"]
    lines += [HIDE.format(blocked=sorted(blocked))]
    lines += [line for script in scripts for line in import_lines(script)]
    lines += [f"import {module}" for module in BY_NAME[name]]
    lines += ["print('\\n'.join(m for m, v in sys.modules.items() if v is not None))"]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    loaded = {module.split(".")[0] for module in done.stdout.split()}
    unused = {p for p in pins(name) if IMPORT_NAMES.get(p, p) not in loaded}
    assert unused <= RUNS_SCRIPTS


def test_every_script_belongs_to_one_environment():
    named = [script for name in BY_NAME for script in scripts_of(name)]
    assert sorted(named) == sorted(p.stem for p in (ROOT / "workflow/scripts").glob("*.py"))
