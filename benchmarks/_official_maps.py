"""The official repositories of FAST-VQA and DOVER, unmodified: their own script for each video.

They are not part of this project and have to be fetched. Their scripts need packages that this
project does not install (scikit-video, thop, einops, clip); a folder of them may be in PYTHONPATH.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class OfficialScript:
    """How a repository scores a file: its command, the path of its weights, what it prints."""

    command: tuple[str, ...]
    weights: str
    score: str


SCRIPTS = {
    "fast_vqa": OfficialScript(
        ("vqa.py", "-m", "FAST-VQA", "-d", "cpu", "-v"),
        "pretrained_weights/FAST_VQA_B_1*4.pth",
        r"quality score of the video \(range \[0,1\]\) is (\S+)\.$",
    ),
    "dover": OfficialScript(
        ("evaluate_one_video.py", "-d", "cpu", "-f", "-v"),
        "pretrained_weights/DOVER.pth",
        r"fused overall score \(scale in \[0,1\]\): (\S+)$",
    ),
}


def install_weights(model: str, repository: Path, network: Any, folder: Path) -> Path:
    """Return a copy of a repository in ``folder`` with a network's weights where it reads them.

    Its files also hold the tables of window positions, which ours compute. DOVER's script first
    loads ImageNet's weights for a branch, which DOVER's then replace: that file has no tensors
    here.
    """
    import torch

    target = folder / model
    shutil.copytree(repository, target, ignore=shutil.ignore_patterns(".git"))
    state = {**network.state_dict()}
    for name, module in network.named_modules():
        if (index := getattr(module, "relative_position_index", None)) is not None:
            positions = math.isqrt(index.numel())
            # torchvision alternates the stages with what makes the picture smaller.
            name = re.sub(r"features\.(\d+)\.", lambda m: f"layers.{int(m[1]) // 2}.blocks.", name)
            state[f"{name}.relative_position_index"] = index.reshape(positions, positions)
    path = target / SCRIPTS[model].weights
    path.parent.mkdir(exist_ok=True)
    torch.save({"state_dict": state} if model == "fast_vqa" else state, path)
    imagenet = target / "hub" / "checkpoints" / "convnext_tiny_1k_224_ema.pth"
    imagenet.parent.mkdir(parents=True)
    torch.save({"model": {}}, imagenet)
    return target


def score_videos(model: str, repository: Path, videos: Sequence[str], threads: int) -> list[float]:
    """Run the official script for each video; returns its scores, which differ from run to run."""
    script = SCRIPTS[model]
    environment = {
        **os.environ, "OMP_NUM_THREADS": str(threads), "TORCH_HOME": str(repository),
    }  # fmt: skip
    scores = []
    for video in videos:
        done = subprocess.run(
            [sys.executable, *script.command, video],
            cwd=repository, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        match = re.search(script.score, done.stdout.strip())
        if done.returncode or match is None:
            raise SystemExit(f"{model}, official: {(done.stderr or done.stdout)[-2000:]}")
        scores.append(float(match[1]))
    return scores
