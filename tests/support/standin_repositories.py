"""Stand-ins for repositories of quality models: official arguments and output, and every failure.

No line of them is from the official repositories, and their scores mean nothing: a score is made of
the bytes of the video. ``plan.json`` in the folder ``SFQA_STANDIN_HOME`` says how they act for a video,
by the stem of its staged file; ``calls.txt`` there tells which videos were scored.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from sfqa.identity import digest
from sfqa.repositories.fetch import fetch_repository, write_manifest
from sfqa.repositories.sources import Source, Weights

_ACTS = '''
import hashlib, json, os, time
from pathlib import Path

home = Path(os.environ["SFQA_STANDIN_HOME"])


def act(video):
    """Return the score of a video, or do what the plan says."""
    stem = Path(video).stem
    with open(home / "calls.txt", "a") as calls:
        calls.write(stem + "\\n")
    plan = json.loads((home / "plan.json").read_text()) if (home / "plan.json").is_file() else {}
    name = plan.get(stem, "ok")
    if name == "exit1":
        raise SystemExit("cannot decode the video")
    if name == "hang":
        time.sleep(60)
    if name == "memory":
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
    if name == "full":
        with open("/dev/full", "wb", buffering=0) as full:
            full.write(b"x")
    if name == "nan":
        return float("nan")
    if name == "loud":
        print("first line\\n" + "in between\\n" * 10**6 + "last line", flush=True)
    if name in ("slow", "again"):
        time.sleep(1)
    if name in ("nothing", "template", "other", "twice", "again"):
        return name
    return int(hashlib.sha256(Path(video).read_bytes()).hexdigest()[:6], 16) / 2**24
'''

_DOVER = (
    _ACTS
    + """
import argparse, math

arguments = argparse.ArgumentParser()
arguments.add_argument("-o", "--opt", default="./dover.yml")
arguments.add_argument("-v", "--video_path")
arguments.add_argument("-d", "--device", default="cuda")
arguments.add_argument("-f", "--fusion", action="store_true")
called = arguments.parse_args()
assert Path("pretrained_weights/DOVER.pth").is_file() and called.fusion
score = act(called.video_path)
print("dict_keys(['technical', 'aesthetic'])")
if score == "template":
    print("Normalized fused overall score (scale in [0,1]): about half")
elif score != "nothing":
    if score == "twice":
        score = 0.5
        print("Normalized fused overall score (scale in [0,1]):", 0.25)
    print(score)
    print("Normalized fused overall score (scale in [0,1]):", 1 / (1 + math.exp(-score)))
"""
)

_LIST = (
    _ACTS
    + """
import sys

for line in Path(sys.argv[1]).read_text().split():
    score = act(line)
    if score == "nothing":
        continue
    name = "v000000000000" if score == "other" else Path(line).stem
    lines = [(name, score)]
    if score == "twice":
        lines = [(name, 0.25), (name, 0.5)]
    if score == "again":  # also of the first video
        lines = [(name, 0.5), (Path(Path(sys.argv[1]).read_text().split()[0]).stem, 0.5)]
    with open(sys.argv[2], "a") as results:
        for name, score in lines:
            results.write(json.dumps({"video": name, "score": score}) + "\\n")
"""
)


def install_standin(home: Path, script: str, weights: str = "pretrained_weights/DOVER.pth") -> Path:
    """Install a stand-in as fetch_models would, with its manifest; return its repository.

    ``script`` is evaluate_one_video.py (one video, as DOVER) or score_list.py (many videos).
    """
    repo, python = home / "repo", home / "env" / "bin" / "python"
    (repo / weights).parent.mkdir(parents=True, exist_ok=True)
    (repo / weights).write_bytes(b"weights of a stand-in")
    (repo / script).write_text({"evaluate_one_video.py": _DOVER, "score_list.py": _LIST}[script])
    python.parent.mkdir(parents=True, exist_ok=True)
    if not python.exists():
        python.symlink_to(sys.executable)
    write_standin_manifest(home, weights)
    return repo


def write_standin_manifest(home: Path, weights: str = "pretrained_weights/DOVER.pth") -> None:
    """Record an installation, as fetch_models does."""
    source = Source("a/b", "0" * 40, "MIT", "e.yaml", Weights(Path(weights).parts[0], (weights,)))
    manifest = fetch_repository(home.name, source, home, home / "e.yaml", print, noun="model")
    write_manifest(manifest, home / "manifest.json")


def plan_acts(home: Path, **acts: str) -> None:
    """Say how a stand-in acts, by sample."""
    plan = {f"v{digest(sample)[:12]}": act for sample, act in acts.items()}
    (home / "plan.json").write_text(json.dumps(plan))


def read_calls(home: Path, samples: list[str]) -> list[str]:
    """Return the samples that a stand-in has scored so far, in order."""
    names = {f"v{digest(sample)[:12]}": sample for sample in samples}
    path = home / "calls.txt"
    return [names[line] for line in path.read_text().split()] if path.is_file() else []
