"""Nothing that a user brings, a file, its name, a configuration, runs code or leaves its folder."""

from __future__ import annotations

import ast
import csv
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from sfqa import media
from sfqa.configuration import complete
from sfqa.conform.run import conform_shard
from sfqa.conform.video import Form
from sfqa.errors import UserError
from sfqa.features import base, weights
from sfqa.features.run import extract_shard
from sfqa.generation import registry
from sfqa.generation.importing import import_shard, list_videos
from sfqa.regression import heads

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"

# --- What the code may not do, read from its syntax ---

#: Calls that run what they are given, or files that hold code.
FORBIDDEN = {
    "eval", "exec", "compile", "os.system", "os.popen", "subprocess.getoutput",
    "subprocess.getstatusoutput", "pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.loads",
    "marshal.load", "shelve.open", "joblib.load", "dill.load", "dill.loads", "pandas.read_pickle",
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
        "sfqa/features/reader.py",
        "pickle.loads",
    ): "between a job and its own workers, by a socketpair",
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
    assert issubclass(registry._Loader, yaml.SafeLoader)


def test_no_rule_has_a_shell_line():
    for path in (ROOT / "Snakefile", *(ROOT / "workflow/rules").glob("*.smk")):
        words = re.findall(
            r"^\s*(shell|run|notebook|wrapper|cwl)\s*:", path.read_text(), re.MULTILINE
        )
        assert words == [], path


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
    from sfqa.regression.engine import _resume
    from sfqa.regression.train import _stored

    trap = tmp_path / "pwned"
    torch.save({"name": "n", "state": Touches(trap)}, tmp_path / "c.pt")
    _resume(None, tmp_path / "c.pt", "n")
    np.savez(tmp_path / "d.npz", prediction=np.array([Touches(trap)], object), key=np.array("k"))
    assert _stored(tmp_path / "d.npz", "k", (1, 1)) is None
    assert not trap.exists()
    np.load(tmp_path / "d.npz", allow_pickle=True)["prediction"]
    assert trap.exists()  # the trap works


# --- Names of files ---

NAMES = (
    "plain", "sp ace  two", "it's", 'a "quoted" b', "semi;touch pwned;", "$(touch pwned)",
    "`touch pwned`", "a&touch pwned&b", "a|touch pwned", "a>pwned", "new\nline", "tab\there",
    "-i", "--help", "-y -f null", "~", "*", "?", "[a-b]", "{a,b}", "%03d", "%", "#hash", "a,b=c",
    "ünïcødé", "日本語", "עברית", "e\u0301", "a\\b", "a'b\"c`d$e", "..", "...",
)  # fmt: skip
#: FFmpeg reads what stands before a colon as the name of a protocol.
ADDRESSES = ("a:b", "12:30", "pipe:1", "concat:x|y", "file:x", "http:x", "subfile,,start,0:x")


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    folder = tmp_path_factory.mktemp("video")
    rng = np.random.default_rng(1)
    sound = (0.1 * rng.normal(0, 1, 16000)).astype(np.float32)
    media.write_wave(folder / "v.wav", sound, 16000)
    frames = (rng.integers(0, 255, (64, 64, 3), dtype=np.uint8) for _ in range(25))
    media.write_video(folder / "v.mp4", frames, 25, folder / "v.wav", preset="ultrafast")
    return folder / "v.mp4"


def conformed(names, video):
    """From a sheet of such names to conformed rows, by relative paths, as a user gives them."""
    for name in names:
        shutil.copyfile(video, f"{name}.mp4")
    with open("videos.csv", "w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["video", "method", "sample_id"])
        writer.writerows([f"{name}.mp4", "m", f"s{n}"] for n, name in enumerate(names))
    before = {p.name for p in Path().iterdir()}
    samples = pd.DataFrame(list_videos({"sheet": "videos.csv"}, 1))
    assert len(samples) == len(names)
    videos = import_shard(samples, Path("generation"))
    told = {Path(row["path"]).stem: row["detail"] for row in videos if row["status"] != "ok"}
    form = Form(64, 25, 16000, 12, "ultrafast")
    rows = conform_shard(pd.DataFrame(videos), Path("conform"), form, workers=0)
    made = {p.name for p in Path().iterdir()} - before
    assert made == {"generation", "conform"}
    assert not list(Path().rglob("pwned"))
    return told, rows


def same(rows):
    """The same video is conformed to the same bytes and judged the same, whatever its name."""
    assert len({(row["sha256"], row["status"], row["detail"]) for row in rows}) == 1
    assert rows[0]["sha256"]


def test_names_of_files_are_never_words_of_a_command(video, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told, rows = conformed(NAMES, video)
    assert told == {}
    same(rows)


def test_names_of_files_are_never_addresses(video, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told, rows = conformed(ADDRESSES, video)
    assert told == {}
    same(rows)


def test_a_features_job_takes_such_names_too(video, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = []
    for number, name in enumerate(("-i", "a;touch pwned;", "new\nline", "日本語")):
        shutil.copyfile(video, f"{name}.mp4")
        shutil.copyfile(video.with_suffix(".wav"), f"{name}.wav")
        rows.append({
            "sample_id": f"s{number}", "method": "m", "status": "ok", "detail": "",
            "path": f"{name}.mp4", "sha256": f"{number:064x}", "fps": 25.0, "frames": 25,
            "audio_path": f"{name}.wav", "audio_sha256": f"{number:064x}", "sample_rate": 16000,
            "prompt": None,
        })  # fmt: skip
    table, _, _ = extract_shard(
        pd.DataFrame(rows), "signal", {"weights": "none"}, Path("cache"), "0", lambda: None
    )
    kept = table.to_pandas()
    assert set(kept["status"]) <= {"ok", "flawed"}, kept["detail"].tolist()
    assert kept["sharpness"].nunique() == 1
    assert not Path("pwned").exists()


def test_ids_of_samples_never_leave_their_folder(tmp_path):
    with open(tmp_path / "videos.csv", "w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["video", "method", "sample_id"])
        writer.writerows([
            ["a.mp4", "m", "../../out"], ["b.mp4", "m", "/etc/x"], ["c.mp4", "m", "a;b`c`$d\n"],
        ])  # fmt: skip
    ids = [row["sample_id"] for row in list_videos({"sheet": str(tmp_path / "videos.csv")}, 1)]
    assert len(ids) == 3
    for name in ids:
        assert re.fullmatch(r"[A-Za-z0-9_.+-]+", name)
        assert (tmp_path / f"{name}.mp4").resolve().parent == tmp_path.resolve()


# --- The configuration ---

CONFIG = {
    "dataset": "d",
    "door": "build",
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
        complete({**CONFIG, "dataset": dataset}, SCHEMA)


@pytest.mark.parametrize("name", ["os", "../../evil", "os.path", "base", "__init__", "", "clip.x"])
def test_only_the_packages_own_modules_are_loaded_by_name(name, tmp_path):
    with pytest.raises(UserError):
        base.load(name)
    with pytest.raises(UserError):
        heads.version(name)
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
