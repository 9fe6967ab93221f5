"""Nothing that a user brings, a file, its name, a configuration, runs code or leaves its folder."""

from __future__ import annotations

import ast
import pickle
import re
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from sfqa import yaml_entries
from sfqa.challenge import submission
from sfqa.configuration import complete_config
from sfqa.errors import UserError
from sfqa.features import base, weights
from sfqa.generation import registry
from sfqa.regression import heads, metrics, model_files

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"

# --- What the code may not do, read from its syntax ---

#: Calls that run what they are given, or files that hold code.
FORBIDDEN = {
    "eval", "exec", "compile", "os.system", "os.popen", "subprocess.getoutput",
    "subprocess.getstatusoutput", "pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.loads",
    "marshal.load", "shelve.open", "joblib.load", "dill.load", "dill.loads", "cloudpickle.load", "cloudpickle.loads", "pandas.read_pickle", "pandas.eval",
    "yaml.unsafe_load", "yaml.full_load", "yaml.unsafe_load_all", "yaml.full_load_all",
    "torch.jit.load", "torch.hub.load", "runpy.run_path", "shutil.unpack_archive",
}  # fmt: skip
#: An archive can name files outside of its folder: members are read, never laid out by their names.
ARCHIVES = {"tarfile", "zipfile"}
#: Calls that load arrays; pickled objects inside must be refused.
ARRAYS = {"numpy.load", "numpy.lib.format.read_array"}
#: What is allowed, and why.
ALLOWED = {
    (
        "sfqa/messages.py",
        "pickle.loads",
    ): "between a job and its own workers, by a socketpair",
    (
        "sfqa/training/processes.py",
        "pickle.loads",
    ): "from a job to the processes that it starts, in a new folder of mode 0700",
}


def problems(source: str) -> list[str]:
    """What a file does that is forbidden, by the full names of what it calls."""
    tree = ast.parse(source)
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for a in node.names:
                names[a.asname or a.name.split(".")[0]] = (
                    a.name if a.asname else a.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    archives = any(name.split(".")[0] in ARCHIVES for name in names.values())
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        head, *rest = ast.unparse(node.func).split(".")
        called = ".".join([names.get(head, head), *rest])
        given = {k.arg: ast.unparse(k.value) for k in node.keywords}
        if called in FORBIDDEN:
            found.append(called)
        if called == "torch.load" and given.get("weights_only") != "True":
            found.append("torch.load without weights_only=True")
        if called in ARRAYS and given.get("allow_pickle", "False") != "False":
            found.append(f"{called} with allow_pickle")
        if called == "yaml.load" and given.get("Loader") not in ("_Loader", "yaml.SafeLoader"):
            found.append("yaml.load without a safe loader")
        if given.get("shell", "False") != "False":
            found.append(f"{called} with shell")
        last = called.split(".")[-1]
        if last == "extractall" or (archives and last == "extract"):
            found.append(f"an archive is laid out by {last}")
    return found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import torch as t\nt.load(f)", "torch.load without weights_only=True"),
        ("import torch\ntorch.load(f, weights_only=flag)", "torch.load without weights_only=True"),
        ("from torch import load\nload(f)", "torch.load without weights_only=True"),
        ("import numpy as np\nnp.load(f, allow_pickle=True)", "numpy.load with allow_pickle"),
        ("from pickle import loads as read\nread(b)", "pickle.loads"),
        ("import pandas as pd\npd.read_pickle(f)", "pandas.read_pickle"),
        ("import yaml\nyaml.load(f, Loader=yaml.Loader)", "yaml.load without a safe loader"),
        ("import subprocess\nsubprocess.run(f'cp {a}', shell=True)", "subprocess.run with shell"),
        ("import os\nos.system('ls')", "os.system"),
        ("import tarfile\ntarfile.open(f).extractall(d)", "an archive is laid out by extractall"),
        (
            "from zipfile import ZipFile\nz = ZipFile(f)\nz.extract(n)",
            "an archive is laid out by extract",
        ),
        ("import shutil\nshutil.unpack_archive(f)", "shutil.unpack_archive"),
        ("eval('1')", "eval"),
    ],
)
def test_the_scan_finds_what_it_looks_for(source, found):
    assert problems(source) == [found]


def test_no_file_unpickles_evaluates_unpacks_or_builds_a_shell():
    scripts = ROOT / "workflow/scripts"
    found = {
        (path.relative_to(scripts).as_posix(), word)
        for path in sorted(scripts.rglob("*.py"))
        for word in problems(path.read_text())
    }
    assert found - set(ALLOWED) == set()


def test_what_is_allowed_is_still_there():
    for name, word in ALLOWED:
        assert word in problems((ROOT / "workflow/scripts" / name).read_text()), name


def test_the_loader_of_methods_is_a_safe_one():
    # libyaml's safe loader is no SafeLoader; what makes a loader safe is how it builds objects.
    assert issubclass(yaml_entries._Loader, yaml.constructor.SafeConstructor)
    assert not issubclass(yaml_entries._Loader, yaml.constructor.FullConstructor)


def test_no_rule_has_a_shell_line():
    lines = r"^\s*(?:shell|run|notebook|wrapper|cwl)\s*:"
    calls = r"\b(?:eval|exec|compile|__import__|shell|os\.(?:system|popen|exec\w*|spawn\w*)|subprocess\.\w+)\s*\("
    for path in (
        ROOT / "Snakefile",
        ROOT / "workflow/Snakefile",
        *(ROOT / "workflow/rules").glob("*.smk"),
    ):
        assert re.findall(f"{lines}|{calls}", path.read_text(), re.MULTILINE) == [], path


# --- Files that hold code ---


class Touches:
    """What a hostile file holds: unpickled, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_weights_that_hold_code_are_refused_and_the_code_is_not_run(tmp_path):
    trap = tmp_path / "pwned"
    torch.save({"state_dict": Touches(trap)}, tmp_path / "a.pth")
    (tmp_path / "b.pkl").write_bytes(pickle.dumps(Touches(trap)))
    for name in ("a.pth", "b.pkl"):
        with pytest.raises(UserError, match="cannot be read as weights"):
            weights.read_state(tmp_path / name)
    assert not trap.exists()
    torch.load(tmp_path / "a.pth", weights_only=False)
    assert trap.exists()  # the trap works


def test_checkpoints_and_stored_fits_that_hold_code_are_a_miss(tmp_path):
    from sfqa.regression.train import _read_cached_predictions
    from sfqa.training.checkpoints import read_checkpoint

    trap = tmp_path / "pwned"
    torch.save({"name": "n", "state": Touches(trap)}, tmp_path / "c.pt")
    assert read_checkpoint(tmp_path / "c.pt", "n") is None
    np.savez(tmp_path / "d.npz", prediction=np.array([Touches(trap)], object), key=np.array("k"))
    assert _read_cached_predictions(tmp_path / "d.npz", "k", (1, 1)) is None
    assert not trap.exists()
    np.load(tmp_path / "d.npz", allow_pickle=True)["prediction"]
    assert trap.exists()  # the trap works


# --- Archives ---


def test_archives_lay_nothing_out_whatever_their_members_are_called(tmp_path, monkeypatch):
    """Members named as another file, by a whole path, or as a link: read by content, or refused."""
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    outside = tmp_path / "outside.txt"
    outside.write_text("mine")
    link = zipfile.ZipInfo("output.txt")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    places = ("../outside.txt", str(outside), "..\\outside.txt", "in/../../outside.txt")
    for member in (*places, *(f"{place}/../output.txt" for place in places), link):
        with zipfile.ZipFile("s.zip", "w") as archive:
            archive.writestr(member, str(outside) if member is link else "a.mp4,1\n")
            archive.writestr("arrays/../../outside.txt", "theirs")
        entry = submission.read_zip(Path("s.zip"), ["a.mp4"])
        assert not entry.is_valid
        with pytest.raises(UserError, match="not a model file"):
            model_files.read("s.zip")
        assert [p.name for p in Path().iterdir()] == ["s.zip"]
        assert outside.read_text() == "mine"
        if member is link:  # its content is the text of the link, never the file that it names
            assert entry.scores == {}
            assert "mine" not in " ".join(entry.errors)


# --- The configuration ---

CONFIG = {
    "dataset": "d",
    "mode": "build",
    "materials": {},
    "pairs": {"count": 2},
    "generation": {"methods": ["sharp"]},
}


@pytest.mark.parametrize(
    "dataset",
    [
        "../x",
        "/etc",
        "a/b",
        "a b",
        "a;b",
        "$(x)",
        "-n",
        "",
        ".",
        "..",
        ".hidden",
        "a\nb",
        "{x}",
        "é",
    ],
)
def test_a_dataset_is_a_plain_name(dataset):
    with pytest.raises(UserError):
        complete_config({**CONFIG, "dataset": dataset}, SCHEMA)


@pytest.mark.parametrize("name", ["os", "../../evil", "os.path", "base", "__init__", "", "clip.x"])
def test_only_the_packages_own_modules_are_loaded_by_name(name, tmp_path):
    with pytest.raises(UserError):
        base.load_extractor(name)
    with pytest.raises(UserError):
        heads.read_version(name)
    entry = {
        "name": "n", "year": 2024, "backbone": "b", "kind": "procedural", "version": 1,
        "adapter": name,
    }  # fmt: skip
    (tmp_path / "methods.yaml").write_text(yaml.safe_dump({"m": entry}))
    with pytest.raises(UserError):
        registry.load_methods(tmp_path / "methods.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "m: !!python/object/apply:os.system ['touch pwned']\n",
        "m: {kind: !!python/object/apply:subprocess.check_output [[touch, pwned]]}\n",
        "m: !!python/name:os.system\n",
    ],
)
def test_a_methods_file_cannot_name_python_objects(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("methods.yaml").write_text(text)
    with pytest.raises(UserError, match="not valid YAML"):
        registry.load_methods("methods.yaml")
    assert not Path("pwned").exists()


#: Words of a shell, of Python's and Snakemake's formats, of regular expressions, of paths.
CODE = (
    "{input}", "{wildcards.method.__class__}", "{0.__globals__}", "{config[x]!r}", "%(x)s", "{a.__class__}",
    "$(touch pwned)", "a;touch pwned", "`touch pwned`", ".*", "a|b", "(?i:a)", "../x", "a/b", "a\nb", " ",
)  # fmt: skip


@pytest.mark.parametrize("name", CODE)
def test_a_name_that_becomes_a_path_or_a_pattern_holds_no_code(name, tmp_path):
    """Extractors, metrics, protocols, methods and modules: each is refused with a sentence."""
    entry = {"kind": "zero_shot", "inputs": ["signal.sharpness"]}
    with pytest.raises(UserError, match="becomes a folder"):
        metrics.list_metrics({name: entry}, {"signal": ["sharpness"]})
    with pytest.raises(UserError):
        base.merge_options(name, {})
    with pytest.raises(UserError):
        complete_config(
            {**CONFIG, "regression": {"protocols": [{"name": name, "kind": "fixed"}]}}, SCHEMA
        )
    (tmp_path / "m.yaml").write_text(yaml.safe_dump({name: {"kind": "import"}}))
    with pytest.raises(UserError):
        registry.load_methods(tmp_path / "m.yaml")


@pytest.mark.slow
def test_a_config_file_cannot_name_python_objects(tmp_path):
    for name in ("Snakefile", "workflow", "config", "profiles"):
        (tmp_path / name).symlink_to(ROOT / name)
    text = yaml.safe_dump({**CONFIG, "dataset": "DATASET"})
    for number, value in enumerate((
        "!!python/object/apply:os.system ['touch pwned']",
        "\"{__import__('os').system('touch pwned')}\"",
    )):  # fmt: skip
        (tmp_path / "c.yaml").write_text(text.replace("DATASET", value))
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", "-n", "--cores", "1", "--configfile", "c.yaml"],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode != 0, number
        assert not (tmp_path / "pwned").exists()
